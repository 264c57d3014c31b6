"""The books of a stack: what came in equals what became of it, link by link."""

import contextlib
import sqlite3
import time
from typing import Final

import msgspec

from gateway.totals import Totals, load_totals
from resik.chain import Chain, Words
from resik.reconcile import read_dead_letters, read_times, reconcile, stored_identities
from square.health import Health

LOOKS: Final = 5
"""Figures are read while they change: only a difference that stays for so many looks is one."""
LOOK_EVERY_S: Final = 0.2


class Line(msgspec.Struct, frozen=True):
    """One equation.

    Attributes
    ----------
    name : Words
        Where it holds.
    came, became : dict[str, int]
        Terms of the left and the right side.
    """

    name: Words
    came: dict[str, int]
    became: dict[str, int]

    @property
    def difference(self) -> int:
        """Left minus right; 0 when nothing is missing and nothing was made up."""
        return sum(self.came.values()) - sum(self.became.values())


INTAKE: Final = Words("masuk ke gerbang", "into the gateway")
SPOOL: Final = Words("keluar dari gerbang", "out of the gateway")
INGEST: Final = Words("penyimpan bacaan", "ingest")
LEDGER: Final = Words("catatan alat simulasi", "ledger of the simulated nodes")


def gateway_lines(totals: Totals, waiting: int) -> list[Line]:
    """Return the two equations of a spool file."""
    return [
        Line(
            INTAKE,
            {"offered": totals.offered},
            {"spooled": totals.spooled, "duplicates": totals.duplicates, "let_go": totals.let_go},
        ),
        Line(
            SPOOL,
            {"spooled": totals.spooled, "replayed": totals.replayed},
            {"stored": totals.stored, "dead": totals.dead, "waiting": waiting},
        ),
    ]


def ingest_line(health: Health, worker: str = "ingest") -> Line:
    """Return the equation of an ingest worker, since its start."""
    names = ("stored", "dead_lettered", "status_rows", "rows_in_hand")
    number = worker.removeprefix("ingest").replace("-", " ")
    return Line(
        Words(INGEST.id + number, INGEST.en + number),
        {"rows_taken": int(health.counts.get("rows_taken", 0))},
        {name: int(health.counts.get(name, 0)) for name in names},
    )


def read_spool(chain: Chain) -> tuple[Totals, int]:
    """Return totals and waiting rows of a spool that no gateway uses at the moment.

    Raises
    ------
    sqlite3.Error
        If it cannot be read.
    """
    connection = sqlite3.connect(f"{chain.spool.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        waiting = connection.execute("SELECT COUNT(*) FROM waiting").fetchone()[0]
        return load_totals(connection), waiting
    finally:
        connection.close()


def balance(chain: Chain) -> list[Line]:
    """Return every equation that can be read now; a difference that a second look does not see is none."""
    lines: list[Line] = []
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_EVERY_S)
        lines = _look(chain)
        if not any(line.difference for line in lines):
            break
    return lines


def _look(chain: Chain) -> list[Line]:
    lines: list[Line] = []
    gateway = chain.health("gateway", fresh=True) if chain.is_running else None
    if gateway is not None:
        totals = Totals(**{name: int(gateway.counts.get(f"file_{name}", 0)) for name in Totals.__struct_fields__})
        lines += gateway_lines(totals, int(gateway.counts.get("waiting", 0)))
    elif chain.spool.exists():
        with contextlib.suppress(sqlite3.Error):  # held by a gateway that does not answer: that link says so
            lines += gateway_lines(*read_spool(chain))
    if chain.is_running:
        for worker in chain.workers:
            if (ingest := chain.health(worker, fresh=True)) is not None:
                lines.append(ingest_line(ingest, worker))
    return lines


def ledger_line(chain: Chain) -> Line | None:
    """Compare what the simulator published in this run with store and dead letters, reading by reading.

    What is neither here nor there must still wait somewhere, and what is stored twice counts as a difference. None
    without a ledger, or while the stack is not running.

    Raises
    ------
    StoreError
        If the store or the dead letters cannot be read.
    """
    published = read_times(chain.ledger) if chain.is_running else {}
    if not published:
        return None
    line = None
    for look in range(LOOKS):  # what was published before the first look arrives while we look again
        if look:
            time.sleep(LOOK_EVERY_S)
        waits = _waiting(chain)
        dead = read_dead_letters(chain.dead_letters).identities if chain.dead_letters.exists() else []
        stored = stored_identities(chain.card.store_url, chain.store_secret(), chain.site.id)
        report = reconcile(published, stored, dead)
        line = Line(
            LEDGER,
            {"published": report.published, "stored_twice": report.duplicated},
            {"stored": report.stored, "dead": report.dead_lettered, "on_the_way": min(report.lost, waits)},
        )
        if not line.difference:
            break
    return line


def _waiting(chain: Chain) -> int:
    """Count readings that gateway, ingest and simulated nodes hold."""
    places = (("gateway", "waiting"), *((name, "rows_in_hand") for name in chain.workers), ("simulator", "waiting"))
    return sum(
        int(health.counts.get(name, 0))
        for service, name in places
        if (health := chain.health(service, fresh=True)) is not None
    )
