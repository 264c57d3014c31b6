"""Which rows go up next.

Three lanes, in this order:

1. **live**: the newest row of each device and kind, so that the map is fresh soon after a long outage;
2. **fresh**: the other rows that have just arrived, in order of arrival;
3. **backlog**: rows that wait for more than `OLD_AFTER_S`, or from an earlier run, in order of arrival and at a limited
   pace. They travel in batches of their own: a live row is never in the same batch as them, nor behind more than one.

Fresh rows have no limit. So a limit below the rate of the devices holds up what is old, but the queue does not grow
without end: what arrives while the gateway keeps up never becomes old. Without a limit there are but two lanes, and
their rows share batches.
"""

from collections import deque

from firmware import wire
from gateway.batches import wire_bytes
from gateway.pace import Pace
from gateway.spool import Spool
from gateway.tail import Row

OLD_AFTER_S = 10.0
"""A row that could not leave for so long belongs to the backlog [s]."""

_SAMPLE_EVERY_S = 1.0


class Lanes:
    """Takes rows out of a spool, the most urgent first.

    Parameters
    ----------
    spool
        Where they are.
    batch_rows, batch_bytes
        Limits of one batch; the byte limit counts bodies.
    pace
        Limit of the backlog; None for none.
    """

    def __init__(self, spool: Spool, *, batch_rows: int, batch_bytes: int, pace: Pace | None) -> None:
        self._spool = spool
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self.pace = pace
        self._old_upto = spool.newest_id if pace is not None else 0
        self._old_cursor = 0
        self._cursor = self._old_upto
        self._samples: deque[tuple[float, int]] = deque()
        self._is_stuck = False

    @property
    def has_backlog(self) -> bool:
        """Whether rows may wait that have waited for long."""
        return self._old_cursor < self._old_upto

    def look(self, now_s: float, flying: int) -> None:
        """Let what has waited for too long become backlog.

        Parameters
        ----------
        now_s
            Monotonic time [s].
        flying
            Rows on their way.
        """
        if self.pace is None or (self._samples and now_s - self._samples[-1][0] < _SAMPLE_EVERY_S):
            return
        self._samples.append((now_s, self._spool.newest_id))
        while self._samples[0][0] <= now_s - OLD_AFTER_S:
            _, upto = self._samples.popleft()
            if self._cursor < upto and self._spool.waiting > flying:
                self._old_upto = self._cursor = upto

    def take_prompt(self, flying: set[int]) -> list[Row]:
        """Take rows that must not wait: live ones, then fresh ones."""
        live = self._spool.take_live(self._batch_rows, self._batch_bytes)
        room_rows = self._batch_rows - len(live)
        room_bytes = self._batch_bytes - sum(len(row.body) for row in live)
        ids = {row.id for row in live}
        cursor, newest_id = self._behind(flying, ids), self._spool.newest_id
        fresh: list[Row] = []
        if room_rows > 0 and room_bytes >= wire.MAX_PAYLOAD_BYTES and cursor < newest_id:
            taken = flying | ids if ids else flying  # many may fly: no copy for nothing
            fresh = self._spool.take_backlog(cursor, room_rows, room_bytes, taken, upto_id=newest_id)
            cursor = fresh[-1].id if fresh else newest_id
        self._cursor = cursor  # only now: had the spool failed, nobody would come back for the live rows
        return live + fresh

    def _behind(self, flying: set[int], taken: set[int]) -> int:
        """Return the cursor moved behind rows that are on their way: they need not be looked at for each batch."""
        cursor = self._cursor
        while cursor + 1 in taken or cursor + 1 in flying:
            cursor += 1
        return cursor

    def take_backlog(self, now_s: float, flying: set[int]) -> list[Row]:
        """Take rows that have waited for long, as far as the pace allows."""
        assert self.pace is not None, "without a pace nothing is backlog"
        rows_left, bytes_left = self.pace.rows_left(now_s), self.pace.bytes_left(now_s)
        if not rows_left or bytes_left == 0:
            return []
        found = self._spool.take_backlog(
            self._old_cursor,
            min(self._batch_rows, rows_left),
            self._batch_bytes if bytes_left is None else min(self._batch_bytes, bytes_left),
            flying,
            upto_id=self._old_upto,
        )
        if not found:
            self._old_cursor = self._old_upto
            return []
        rows = found if bytes_left is None else _that_fit(found, bytes_left)
        self._is_stuck = not rows
        if rows:
            self._old_cursor = rows[-1].id
            self.pace.use(now_s, len(rows), sum(map(wire_bytes, rows)))
        return rows

    def pause_s(self, now_s: float) -> float:
        """Return how long the backlog has to wait for its pace [s]; a minute when there is none."""
        if self.pace is None or not self.has_backlog:
            return 60.0
        return self.pace.pause_s(now_s, is_stuck=self._is_stuck)


def _that_fit(rows: list[Row], n_bytes: int) -> list[Row]:
    for count, row in enumerate(rows):
        n_bytes -= wire_bytes(row)
        if n_bytes < 0:
            return rows[:count]
    return rows
