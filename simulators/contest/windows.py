"""When work is possible: minutes in which a bin may be emptied and some crew is there, for a stretch of days."""

from typing import Final

import numpy as np
import numpy.typing as npt

from simulators.contest.square_view import SquareView
from square.calendar import ServiceHours

MINUTE_MS: Final = 60_000
Bools = npt.NDArray[np.bool_]


class Windows:
    """Possible minutes of each bin.

    Parameters
    ----------
    square
        Hours of bins and zones, shifts and crews.
    start_ms
        Beginning of minute 0 [ms].
    minutes
        How many are looked at; questions beyond the end are answered by the last one.
    with_handover
        Count the time after a shift, in which accepted work is still finished.
    """

    def __init__(self, square: SquareView, start_ms: int, minutes: int, *, with_handover: bool = False) -> None:
        self.start_ms = start_ms
        self.minutes = minutes
        self._square = square
        plan = square.plan
        moments_ms = [start_ms + n * MINUTE_MS for n in range(minutes)]
        staffed = {crew.shift for crew in plan.crews}
        # A shift is looked up once a minute for all of its crews.
        self.staffed = np.array(
            [
                any(
                    plan.is_on_shift(shift, at_ms) or (with_handover and not plan.has_left(shift, at_ms))
                    for shift in sorted(staffed)
                )
                for at_ms in moments_ms
            ],
            dtype=bool,
        )
        self._by_hours: dict[ServiceHours | None, Bools] = {None: self.staffed}
        self._next_open: dict[ServiceHours | None, npt.NDArray[np.int64]] = {}

    def hours_of(self, asset_id: str) -> ServiceHours | None:
        """Service hours of a bin."""
        return self._square.asset(asset_id).hours

    def allowed(self, asset_id: str) -> Bools:
        """Whether a bin can be emptied in each minute (minutes,)."""
        return self._allowed(self.hours_of(asset_id))

    def _allowed(self, hours: ServiceHours | None) -> Bools:
        if hours not in self._by_hours:
            assert hours is not None
            zone = self._square.plan.shift_plan.zone
            starts_s = (self.start_ms / 1000 + 60.0 * n for n in range(self.minutes))
            is_open = np.array([hours.is_allowed(at_s, zone) for at_s in starts_s], dtype=bool)
            self._by_hours[hours] = is_open & self.staffed
        return self._by_hours[hours]

    def matrix(self, assets: list[str]) -> Bools:
        """Whether each bin can be emptied in each minute (minutes, n_bins)."""
        return np.stack([self.allowed(asset_id) for asset_id in assets], axis=1)

    def minute(self, now_ms: int) -> int:
        """Return the number of the minute of a moment, within the stretch."""
        return min(max(0, (now_ms - self.start_ms) // MINUTE_MS), self.minutes - 1)

    def next_open(self, asset_id: str, minute: int) -> int:
        """First minute from `minute` on in which the bin can be emptied; `minutes` when there is none."""
        hours = self.hours_of(asset_id)
        if hours not in self._next_open:
            self._next_open[hours] = _next_true(self._allowed(hours))
        return int(self._next_open[hours][min(minute, self.minutes - 1)])

    def next_closed(self, asset_id: str, minute: int) -> int:
        """First minute from `minute` on in which the bin cannot be emptied; `minutes` when there is none."""
        closed = ~self.allowed(asset_id)[minute:]
        return minute + int(closed.argmax()) if closed.any() else self.minutes


def _next_true(flags: Bools) -> npt.NDArray[np.int64]:
    at = np.where(flags, np.arange(len(flags)), len(flags))
    return np.minimum.accumulate(at[::-1])[::-1]
