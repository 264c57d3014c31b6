"""Does what was published stand in the store, once each? The ledger of the publisher against the store itself.

Counts alone prove nothing: a loss and a duplicate cancel out. The comparison is by identity, in both directions.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from ingest.deadletter import SqliteDeadLetters
from ingest.errors import StoreUnavailable
from ingest.store import TimeSeriesStore
from ingest.stores import open_store
from resik.errors import StackError

END_OF_TIME_MS = 7_258_118_400_000
"""Year 2200: later than every reading, and a time that InfluxDB's 64-bit nanoseconds can still hold [ms]."""

Identity = tuple[str, int, int]
"""Device, boot, seq."""


class Reconciliation(msgspec.Struct, frozen=True):
    """What became of everything that was published.

    Attributes
    ----------
    published : int
        Distinct readings in the publisher's ledger.
    stored : int
        Of these, how many stand in the store.
    dead_lettered : int
        Of the published, how many were set aside with a reason.
    lost : int
        Published, neither stored nor set aside.
    duplicated : int
        Surplus points of published readings: 1 for a reading that is stored twice.
    unknown : int
        Points in the store that nobody published.
    """

    published: int
    stored: int
    dead_lettered: int
    lost: int
    duplicated: int
    unknown: int


def reconcile(
    published: Mapping[Identity, int], stored: Iterable[Identity], dead: Iterable[Identity] = ()
) -> Reconciliation:
    """Compare the ledger with the store by identity.

    Parameters
    ----------
    published : Mapping[Identity, int]
        What was published; the values (publish times [ns]) do not matter here.
    stored : Iterable[Identity]
        Every point of the store; a reading stored twice comes twice.
    dead : Iterable[Identity]
        What was set aside as a dead letter.

    Examples
    --------
    >>> ledger = {("n-1", 7, 1): 0, ("n-1", 7, 2): 0, ("n-1", 7, 3): 0}
    >>> report = reconcile(ledger, [("n-1", 7, 1), ("n-1", 7, 1)], [("n-1", 7, 3)])
    >>> report.stored, report.dead_lettered, report.lost, report.duplicated
    (1, 1, 1, 1)
    """
    counts = Counter(stored)
    set_aside = {identity for identity in dead if identity in published and identity not in counts}
    known = [identity for identity in published if identity in counts]
    return Reconciliation(
        published=len(published),
        stored=len(known),
        dead_lettered=len(set_aside),
        lost=len(published) - len(known) - len(set_aside),
        duplicated=sum(counts[identity] - 1 for identity in known),
        unknown=sum(count for identity, count in counts.items() if identity not in published),
    )


def read_times(path: Path) -> dict[Identity, int]:
    """Read a file of ``device,boot,seq,...,wall_ns`` lines; the first time of each identity counts.

    A last line that was cut off while being written is ignored.
    """
    times: dict[Identity, int] = {}
    if not path.exists():
        return times
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            try:
                identity = (row[0], int(row[1]), int(row[2]))
                times.setdefault(identity, int(row[-1]))
            except (IndexError, ValueError):
                continue
    return times


def check_store(store_url: str | None, secret: str | None) -> None:
    """See that a store answers before anything is sent that will be looked up there; None is one that will be made.

    Raises
    ------
    StackError
        If it does not answer.
    StoreRefused
        If it answers and says no.
    """
    if store_url is None:
        return
    store = open_store(store_url, secret=secret)
    try:
        store.prepare()
    except StoreUnavailable as error:
        words = str(error).replace(": will try again", "")  # ingest would; we do not
        raise StackError(
            f"{words}. Nothing was started, as each reading is looked up there at the end: start that store, or name "
            "another (--store, or store_url in [stack] of --config)"
        ) from error
    finally:
        store.close()


def stored_identities(store_url: str, secret: str | None, site: str) -> list[Identity]:
    """Return the identity of every stored point of a site, bins and air; a reading stored twice comes twice."""
    store: TimeSeriesStore = open_store(store_url, secret=secret, read_only=True)
    try:
        store.prepare()
        return [
            identity
            for measurement in ("bin", "air")
            for identity in store.identities(measurement, site=site, start_ms=0, end_ms=END_OF_TIME_MS)
        ]
    finally:
        store.close()


class DeadLetters(msgspec.Struct, frozen=True):
    """What a dead-letter file holds.

    Attributes
    ----------
    codes : dict[str, int]
        How many were seen, by reason code, repeats included.
    identities : list[Identity]
        Of those that are readings. Poison has none.
    """

    codes: dict[str, int]
    identities: list[Identity]

    @property
    def total(self) -> int:
        """How many were seen, repeats included."""
        return sum(self.codes.values())


def read_dead_letters(path: Path) -> DeadLetters:
    """Return what a dead-letter file holds."""
    letters = SqliteDeadLetters(path, read_only=True)
    try:
        return DeadLetters(letters.counts(), list(letters.identities()))
    finally:
        letters.close()


def latency_ms(published: Mapping[Identity, int], stored: Mapping[Identity, int]) -> dict[int, float] | None:
    """Return the 50th and 99th percentile [ms] from publish to stored, or None without a pair.

    Both files take the wall clock of one machine. Their join is by identity.
    """
    pairs = [(at - published[identity]) / 1e6 for identity, at in stored.items() if identity in published]
    if not pairs:
        return None
    values = np.percentile(np.array(pairs), [50, 99])
    return {50: float(values[0]), 99: float(values[1])}
