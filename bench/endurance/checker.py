"""The independent reconciliation: the ledger of the devices against the rows of the store, by identity, both ways.

It asks InfluxDB itself over HTTP and reads the file of dead letters itself, with no code of ingest or gateway: a fault
that writes and reads wrongly in the same way would hide otherwise. Rows are counted one by one: the same reading under
another time or on another asset is a second row, and seen.
"""

import csv
import io
import sqlite3
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.endurance.ledger import Identity, Ledger, Made

DATABASE = "resik"
_COLUMNS = "boot, seq, distance_mm, device"
_ASK_WITHIN_S = 120.0


class Row(NamedTuple):
    """A row of the store."""

    identity: Identity
    ts_ms: int
    distance_mm: int


class Letter(NamedTuple):
    """A dead letter. `identity` is None for what is no reading."""

    identity: Identity | None
    code: str
    count: int
    raw_bytes: int


class Verdict(NamedTuple):
    """What became of everything that was made.

    Attributes
    ----------
    made, acked : int
        Readings made, and those that the devices were told to forget.
    stored, dead : int
        Of the made ones, how many stand in the store, and how many only among the dead letters, with a reason.
    lost : int
        Made, and neither stored nor a dead letter.
    duplicated : int
        Rows of the store beyond the first of a reading.
    foreign : int
        Rows of readings that nobody made.
    wrong : int
        Rows with another value or time than was made.
    """

    made: int = 0
    acked: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    duplicated: int = 0
    foreign: int = 0
    wrong: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether everything is there once, as it was made."""
        return not (self.lost or self.duplicated or self.foreign or self.wrong)


def judge(
    made: Mapping[Identity, Made], acked: Iterable[Identity], rows: Iterable[Row], letters: Iterable[Letter]
) -> Verdict:
    """Compare by identity."""
    counts: Counter[Identity] = Counter()
    wrong = 0
    for row in rows:
        counts[row.identity] += 1
        wanted = made.get(row.identity)
        wrong += wanted is not None and (row.ts_ms, row.distance_mm) != wanted
    dead = {letter.identity for letter in letters} & made.keys()
    stored = made.keys() & counts.keys()
    return Verdict(
        made=len(made),
        acked=len(set(acked)),
        stored=len(stored),
        dead=len(dead - stored),
        lost=len(made.keys() - stored - dead),
        duplicated=counts.total() - len(counts),
        foreign=sum(count for identity, count in counts.items() if identity not in made),
        wrong=wrong,
    )


def query(store_port: int, statement: str, *, post: bool = False) -> list[dict[str, str]]:
    """Ask InfluxDB 1.x in InfluxQL; times in ms."""
    asked = urllib.parse.urlencode({"db": DATABASE, "epoch": "ms", "q": statement})
    request = urllib.request.Request(
        f"http://127.0.0.1:{store_port}/query?{asked}",
        headers={"Accept": "application/csv"},
        method="POST" if post else "GET",
    )
    with urllib.request.urlopen(request, timeout=_ASK_WITHIN_S) as reply:  # noqa: S310 - http to loopback
        return list(csv.DictReader(io.TextIOWrapper(reply, encoding="utf-8")))


def read_rows(store_port: int) -> list[Row]:
    """Return every row of the readings of bins, whatever its site, asset or time."""
    return [
        Row((row["device"], int(row["boot"]), int(row["seq"])), int(row["time"]), int(row["distance_mm"] or -1))
        for row in query(store_port, f"SELECT {_COLUMNS} FROM bin")  # noqa: S608 - constants
    ]


def read_letters(path: Path) -> list[Letter]:
    """Return every dead letter of a file."""
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        found = connection.execute("SELECT device, boot, seq, code, count, LENGTH(raw) FROM letters").fetchall()
    finally:
        connection.close()
    return [
        Letter((device, boot, seq) if seq is not None else None, code, count, size or 0)
        for device, boot, seq, code, count, size in found
    ]


def reconcile(ledger: Ledger, store_port: int, letters: Path) -> Verdict:
    """Hold store and dead letters against the ledger."""
    return judge(ledger.made(), ledger.acked(), read_rows(store_port), read_letters(letters))
