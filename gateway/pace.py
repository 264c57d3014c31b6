"""How fast rows that have waited for long may go up: never more than so many, or so many bytes, within any second.

After an outage everything that waited wants to leave at once. Broker and store have to carry the new readings as well,
so the old ones are given a share that leaves room.
"""

from collections import deque

WINDOW_S = 1.0


class Pace:
    """Counts what was sent within the last second.

    Parameters
    ----------
    rows_per_s
        Rows within any second [>= 1].
    bytes_per_s
        Bytes within any second, 0 for no limit. It MUST be more than the largest row.

    Examples
    --------
    >>> pace = Pace(10)
    >>> pace.use(0.0, 8, 900)
    >>> pace.rows_left(0.9), pace.pause_s(0.9), pace.rows_left(1.0)
    (2, 0.0, 10)
    """

    def __init__(self, rows_per_s: int, bytes_per_s: int = 0) -> None:
        self._rows_per_s = rows_per_s
        self._bytes_per_s = bytes_per_s
        self._used: deque[tuple[float, int, int]] = deque()
        self._rows = 0
        self._bytes = 0

    def rows_left(self, now_s: float) -> int:
        """Return how many rows may go now."""
        self._forget(now_s)
        return max(0, self._rows_per_s - self._rows)

    def bytes_left(self, now_s: float) -> int | None:
        """Return how many bytes may go now; None without a limit."""
        self._forget(now_s)
        return max(0, self._bytes_per_s - self._bytes) if self._bytes_per_s else None

    def use(self, now_s: float, rows: int, n_bytes: int) -> None:
        """Note that rows go now."""
        self._used.append((now_s, rows, n_bytes))
        self._rows += rows
        self._bytes += n_bytes

    def pause_s(self, now_s: float, *, is_stuck: bool = False) -> float:
        """Return how long to wait until more may go [s].

        Parameters
        ----------
        now_s
            Monotonic time [s].
        is_stuck
            What comes next is larger than what is left: something must be over first.
        """
        if self.rows_left(now_s) and self.bytes_left(now_s) != 0 and not is_stuck:
            return 0.0
        return max(0.0, self._used[0][0] + WINDOW_S - now_s) if self._used else 0.0

    def _forget(self, now_s: float) -> None:
        while self._used and self._used[0][0] <= now_s - WINDOW_S:
            _, rows, n_bytes = self._used.popleft()
            self._rows -= rows
            self._bytes -= n_bytes
