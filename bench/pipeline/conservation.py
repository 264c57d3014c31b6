"""Whether every reading that was sent is stored once."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from bench.pipeline import fleet


class Conservation(NamedTuple):
    """What became of the readings.

    Attributes
    ----------
    sent : int
        Different readings that were sent.
    stored : int
        Different readings that are stored.
    lost : int
        Sent and not stored.
    duplicated : int
        Rows beyond the first of a reading.
    foreign : int
        Stored and never sent.
    """

    sent: int
    stored: int
    lost: int
    duplicated: int
    foreign: int

    @property
    def is_kept(self) -> bool:
        """Whether rows and readings are one to one."""
        return not (self.lost or self.duplicated or self.foreign)


def reconcile(sent: Iterable[fleet.Identity], stored: Iterable[fleet.Identity]) -> Conservation:
    """Hold what is stored against what was sent."""
    wanted = set(sent)
    rows = Counter(stored)
    return Conservation(
        sent=len(wanted),
        stored=len(rows),
        lost=len(wanted - rows.keys()),
        duplicated=rows.total() - len(rows),
        foreign=len(rows.keys() - wanted),
    )
