"""What has arrived of one boot of one device: a contiguous mark and the ranges above it.

The watermark outlives the rows. A reading that is sent again after its row was forwarded, settled
and pruned is recognised here, acknowledged, and not stored a second time.
"""

from bisect import bisect_right
from collections.abc import Sequence

Range = tuple[int, int]


class Watermark:
    """Sequence numbers seen so far, as `upto` and sorted, disjoint ranges above it.

    Parameters
    ----------
    upto
        Every sequence number from 1 to here arrived or is known to be lost [>= 0].
    above
        Ranges (low, high), both inclusive, that arrived beyond a hole; ascending and never adjacent.
    """

    __slots__ = ("_high", "_low", "upto")

    def __init__(self, upto: int = 0, above: Sequence[Range] = ()) -> None:
        self.upto = upto
        self._low = [low for low, _ in above] if above else []
        self._high = [high for _, high in above] if above else []

    def copy(self) -> "Watermark":
        """Make an independent copy, so that a rolled-back transaction leaves the original as it was."""
        twin = Watermark(self.upto)
        twin._low = self._low.copy()
        twin._high = self._high.copy()
        return twin

    @property
    def above(self) -> list[Range]:
        """Ranges that arrived beyond a hole, ascending."""
        return list(zip(self._low, self._high, strict=True)) if self._low else []

    @property
    def n_ranges(self) -> int:
        """Number of ranges beyond a hole, which is also the number of holes."""
        return len(self._low)

    def covers(self, seq: int) -> bool:
        """Whether `seq` arrived before, or lies below the contiguous mark."""
        if seq <= self.upto:
            return True
        index = bisect_right(self._low, seq) - 1
        return index >= 0 and seq <= self._high[index]

    def add(self, seq: int) -> bool:
        """Note the arrival of `seq`; False when it was covered already."""
        if seq == self.upto + 1:  # the usual case
            self.upto = seq
            self._absorb()
            return True
        if self.covers(seq):
            return False
        index = bisect_right(self._low, seq)
        joins_left = index > 0 and self._high[index - 1] == seq - 1
        joins_right = index < len(self._low) and self._low[index] == seq + 1
        if joins_left and joins_right:
            self._high[index - 1] = self._high.pop(index)
            self._low.pop(index)
        elif joins_left:
            self._high[index - 1] = seq
        elif joins_right:
            self._low[index] = seq
        else:
            self._low.insert(index, seq)
            self._high.insert(index, seq)
        return True

    def pass_below(self, oldest_seq: int) -> list[Range]:
        """Let the mark pass what the device no longer holds; return the holes that were passed.

        Parameters
        ----------
        oldest_seq
            Lowest sequence number that the device can still send [>= 1].
        """
        if not self._low and oldest_seq <= self.upto + 1:  # the usual case
            return []
        lost: list[Range] = []
        for low, high in self.holes():
            if low >= oldest_seq:
                break
            lost.append((low, min(high, oldest_seq - 1)))
        if oldest_seq - 1 > self.upto:
            last_seen = max(self.upto, self._high[-1] if self._high else 0)
            if last_seen < oldest_seq - 1:
                lost.append((last_seen + 1, oldest_seq - 1))
            self.upto = oldest_seq - 1
            while self._low and self._high[0] <= self.upto:
                self._low.pop(0)
                self._high.pop(0)
            if self._low and self._low[0] <= self.upto:
                self._low[0] = self.upto + 1
            self._absorb()
        return lost

    def holes(self) -> list[Range]:
        """Missing ranges between the mark and the newest arrival, ascending."""
        result: list[Range] = []
        expected = self.upto + 1
        for low, high in zip(self._low, self._high, strict=True):
            result.append((expected, low - 1))
            expected = high + 1
        return result

    def also(self, touched: Sequence[int], limit: int = 128) -> list[Range]:
        """Ranges for an application ack: those with a sequence number in `touched`, then the lowest.

        The ack has a size limit; what a message just brought must be in it, or the device would
        send the same message for ever.
        """
        if len(self._low) <= limit:
            return self.above
        chosen: set[int] = set()
        for seq in touched:
            index = bisect_right(self._low, seq) - 1
            if index >= 0 and seq <= self._high[index] and len(chosen) < limit:
                chosen.add(index)
        for index in range(len(self._low)):
            if len(chosen) >= limit:
                break
            chosen.add(index)
        return [(self._low[i], self._high[i]) for i in sorted(chosen)]

    def _absorb(self) -> None:
        while self._low and self._low[0] == self.upto + 1:
            self.upto = self._high[0]
            self._low.pop(0)
            self._high.pop(0)


def intersect(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """Return the common parts of two ascending lists of disjoint inclusive ranges.

    Examples
    --------
    >>> intersect([(1, 5), (8, 9)], [(3, 8)])
    [(3, 5), (8, 8)]
    """
    result: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low = max(left[i][0], right[j][0])
        high = min(left[i][1], right[j][1])
        if low <= high:
            result.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return result
