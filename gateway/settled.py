"""Which rows of the spool ingest has taken over: ranges of their ids, and when that was.

Rows are settled nearly in the order of their ids, so an ack of five hundred rows changes one range, and a day is one
for each minute. A mark in each row would write the row a second time, and two indexes with it. Ids are never used
again: a range may cover rows that are gone.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence

import msgspec

from gateway.watermark import Range

TOGETHER_MS = 60_000
"""Neighbours that were settled within the same minute become one range."""


class Changes(msgspec.Struct):
    """What is to be written of a change.

    Attributes
    ----------
    fresh
        Ranges that were not settled before, ascending.
    gone, written
        First ids of ranges that are no more; ranges to write, by first id: last id and time.
    """

    fresh: list[Range] = []
    gone: set[int] = set()
    written: dict[int, tuple[int, int]] = {}

    def write(self, connection: sqlite3.Connection) -> None:
        """Write them, inside the caller's transaction."""
        if self.gone:
            connection.executemany("DELETE FROM settled WHERE from_id = ?", [(low,) for low in self.gone])
        connection.executemany(
            "INSERT OR REPLACE INTO settled VALUES (?, ?, ?)",
            [(low, high, settled_ms) for low, (high, settled_ms) in self.written.items()],
        )


class Settled:
    """Sorted, disjoint ranges of row ids, both ends inclusive.

    Parameters
    ----------
    ranges
        First id, last id, and the end of the minute in which they were settled [ms since 1970]; ascending.
    """

    __slots__ = ("_high", "_low", "_settled_ms")

    def __init__(self, ranges: Sequence[tuple[int, int, int]] = ()) -> None:
        self._low = [low for low, _, _ in ranges]
        self._high = [high for _, high, _ in ranges]
        self._settled_ms = [settled_ms for _, _, settled_ms in ranges]

    def copy(self) -> "Settled":
        """Make an independent copy, so that a rolled-back transaction leaves the original as it was."""
        twin = Settled()
        twin._low, twin._high, twin._settled_ms = self._low.copy(), self._high.copy(), self._settled_ms.copy()
        return twin

    @property
    def ranges(self) -> list[tuple[int, int, int]]:
        """First id, last id and time [ms since 1970] of each range, ascending."""
        return list(zip(self._low, self._high, self._settled_ms, strict=True))

    def covers(self, row_id: int) -> bool:
        """Whether a row is settled."""
        at = bisect_right(self._low, row_id) - 1
        return at >= 0 and row_id <= self._high[at]

    def gaps(self, after_id: int, upto_id: int) -> Iterator[Range]:
        """Give the ranges above `after_id`, up to `upto_id`, in which nothing is settled; ascending.

        Examples
        --------
        >>> list(Settled([(1, 4, 0), (7, 7, 0)]).gaps(2, 9))
        [(5, 6), (8, 9)]
        """
        expected, high = after_id + 1, self._high
        for at in range(bisect_left(high, expected), len(high)):
            low = self._low[at]
            if low > upto_id:
                break
            if low > expected:
                yield expected, low - 1
            expected = high[at] + 1
        if expected <= upto_id:
            yield expected, upto_id

    def add(self, ids: Collection[int], now_ms: int) -> Changes:
        """Settle rows.

        Parameters
        ----------
        ids
            Which; those that are settled already keep their time.
        now_ms
            When [ms since 1970].
        """
        settled_ms = (now_ms // TOGETHER_MS + 1) * TOGETHER_MS
        changes = Changes()
        for low, high in runs(ids):
            changes.fresh += self.gaps(low - 1, high)
        for low, high in changes.fresh:
            self._insert(low, high, settled_ms, changes)
        return changes

    def _insert(self, low: int, high: int, settled_ms: int, changes: Changes) -> None:
        """Insert a range where nothing is, as one with its neighbours of the same minute."""
        at = bisect_right(self._low, low)
        if at < len(self._low) and self._low[at] == high + 1 and self._settled_ms[at] == settled_ms:
            changes.gone.add(self._low[at])
            changes.written.pop(self._low[at], None)
            high = self._high[at]
            del self._low[at], self._high[at], self._settled_ms[at]
        if at and self._high[at - 1] == low - 1 and self._settled_ms[at - 1] == settled_ms:
            at -= 1
            low = self._low[at]
            self._high[at] = high
        else:
            self._low.insert(at, low)
            self._high.insert(at, high)
            self._settled_ms.insert(at, settled_ms)
        changes.written[low] = high, settled_ms

    def drop(self, low: int, upto_id: int) -> Changes:
        """Forget the range that begins with `low`, up to an id of it: these rows are gone, or wait again."""
        at = bisect_left(self._low, low)
        changes = Changes(gone={low})
        if upto_id < self._high[at]:
            self._low[at] = upto_id + 1
            changes.written[upto_id + 1] = self._high[at], self._settled_ms[at]
        else:
            del self._low[at], self._high[at], self._settled_ms[at]
        return changes


def runs(ids: Collection[int]) -> list[Range]:
    """Return ids as ascending ranges without a hole.

    Examples
    --------
    >>> runs([3, 1, 2, 7])
    [(1, 3), (7, 7)]
    """
    if not ids:
        return []
    low, high = min(ids), max(ids)
    if high - low + 1 == len(ids):  # the usual case: a batch went up in order. No id is named twice in a set
        return [(low, high)]
    found: list[Range] = []
    ordered = iter(sorted(ids))
    low = high = next(ordered)
    for row_id in ordered:
        if row_id > high + 1:
            found.append((low, high))
            low = row_id
        high = row_id
    found.append((low, high))
    return found


def load_settled(connection: sqlite3.Connection) -> Settled:
    """Read the ranges of a spool file."""
    return Settled(connection.execute("SELECT from_id, to_id, settled_ms FROM settled ORDER BY from_id").fetchall())
