"""Send before it is full: the forecast of the alert domain decides who is sent when, and the walk decides the order.

Beside full bins, those are emptied that would overflow before a crew could come later: within the time that a crew
needs, or while the bin cannot be served (night, prayer, after the last shift). Uses the simple line of
`alerts.domain.forecast`; it knows no calendar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from alerts.domain.model import HOUR_MS, Task
from simulators.contest.office import BinFile
from simulators.contest.policy import CrewView
from simulators.contest.square_view import SquareView
from simulators.contest.threshold import Threshold
from simulators.contest.windows import MINUTE_MS, Windows
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "lead_min": Parameter(40, "min", "assumed: a bin that overflows sooner than this is worth a crew now"),
    "closing_min": Parameter(90, "min", "assumed: so long before a bin closes it is decided whether it lasts"),
    "early_from_pct": Parameter(55, "%", "assumed: a bin below this is never emptied early"),
    "hands": Parameter(4, "1", "assumed: stops that a crew has in hand, ordered by walk"),
    "look_min": Parameter(10, "min", "chosen: forecasts are looked at this often, as nodes report"),
}
_DAYS_AHEAD: Final = 2


class Predictive(Threshold):
    """Threshold with foresight."""

    name = "predictive"

    def begin(self, square: SquareView, now_ms: int) -> None:
        """Open the office with more hands for each crew."""
        rules = msgspec.structs.replace(square.rules, max_open_tasks=int(PARAMETERS["hands"].value))
        super().begin(replace(square, rules=rules), now_ms)
        self._windows = Windows(square, now_ms, _DAYS_AHEAD * 1440)
        self._looked_ms: int | None = None

    def _early(self, now_ms: int) -> Sequence[str]:
        """Return bins that would overflow before a crew could come later; forecasts are looked at every ten minutes."""
        if self._looked_ms is not None and now_ms - self._looked_ms < PARAMETERS["look_min"].value * MINUTE_MS:
            return ()
        self._looked_ms = now_ms
        if now_ms >= self._windows.start_ms + (_DAYS_AHEAD - 1) * 24 * HOUR_MS:
            self._windows = Windows(self.office.square, now_ms, _DAYS_AHEAD * 1440)
        return [file.asset_id for file in self.office.bins.values() if self._is_early(file, now_ms)]

    def _is_early(self, file: BinFile, now_ms: int) -> bool:
        good_pct = file.memory.tip.good_pct
        if good_pct is None or good_pct < PARAMETERS["early_from_pct"].value:
            return False
        left_min = self._left_min(file, now_ms)
        return left_min is not None and left_min <= self._needed_min(file, now_ms)

    def _left_min(self, file: BinFile, now_ms: int) -> float | None:
        """Minutes until a bin overflows, rather too few than too many; None without a rate."""
        found = self.office.known(file)
        if found.rate is None or found.fill_pct is None:
            return None
        rate = found.rate.pct_h + found.rate.sd_pct_h
        if rate <= 0:
            return None
        missing_pct = self.office.square.rules.overflow_pct - found.fill_pct
        return missing_pct / rate * 60.0 - (now_ms - found.rate.at_ms) / MINUTE_MS

    def _needed_min(self, file: BinFile, now_ms: int) -> float:
        """Minutes that a bin must last if nobody is sent now: until a crew can come, or over a closed time near by."""
        minute = self._windows.minute(now_ms)
        lead_min = PARAMETERS["lead_min"].value
        closed = self._windows.next_closed(file.asset_id, minute)
        if closed - minute > PARAMETERS["closing_min"].value:
            return lead_min
        return self._windows.next_open(file.asset_id, closed) - minute + lead_min

    def _sequence(self, crew: CrewView, tasks: list[Task]) -> list[Task]:
        """Overflowing bins first, then always the nearest one, from where the crew reported last."""
        if len(tasks) < 2:  # noqa: PLR2004 - nothing to order
            return tasks
        square = self.office.square
        at = crew.place(square)
        over = {task.id: self.office.known(self.office.bins[task.asset_id]).level != "overflow" for task in tasks}
        left, found = list(tasks), []
        while left:
            task = min(
                left,
                key=lambda one: (over[one.id], square.walks.distance_m(at, square.asset(one.asset_id).place), one.id),
            )
            left.remove(task)
            found.append(task)
            at = square.asset(task.asset_id).place
        return found
