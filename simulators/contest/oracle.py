"""A clairvoyant: sees the true fill of every bin and everything that will be thrown away, and has the same crews.

Greedy: a crew that is free goes where it saves the most overflow for its minutes, over a horizon that reaches past the
next closed time. So it is no optimum; but what a policy lacks against it is worth to be learned, and can be.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from alerts.domain.estimate import level_of
from simulators.contest.bound import Floats, Foresight
from simulators.contest.policy import Belief, CrewReport, CrewView, Observation, Order, Stop
from simulators.contest.square_view import SquareView
from simulators.contest.windows import MINUTE_MS, Windows
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "horizon_min": Parameter(240, "min", "chosen: overflow saved within this time counts"),
    "sweep_from_l": Parameter(1.0, "l", "chosen: a zone with less litter is left alone"),
    "give_up_min": Parameter(25, "min", "chosen: an order not done after this is given to somebody else"),
}


class Truth(Protocol):
    """True state of the square; never shown to an ordinary policy."""

    @property
    def fill_pct(self) -> Floats:
        """True fill of all bins (n_bins,) [%]."""

    @property
    def litter_l(self) -> Floats:
        """Litter in all zones (n_zones,) [l]."""


@runtime_checkable
class Clairvoyant(Protocol):
    """A policy that is told the truth before the first minute."""

    def reveal(self, truth: Truth, foresight: Foresight) -> None:
        """Take the model and what will come."""


class Oracle:
    """Sends crews by truth and foresight."""

    name = "oracle"
    every_s = 60

    def begin(self, square: SquareView, now_ms: int) -> None:
        """Look up hours and places."""
        self._square = square
        self._start_ms = now_ms
        self._assets = list(square.volumes_l)
        self._zones = list(square.zones)
        self._given: dict[str, tuple[Stop, int]] = {}

    def reveal(self, truth: Truth, foresight: Foresight) -> None:
        """Learn what nobody can know."""
        self._truth = truth
        self._foresight = foresight
        minutes = len(foresight.inflow_pct) + 24 * 60
        self._windows = Windows(self._square, self._start_ms, minutes)

    def observe(self, observation: Observation) -> None:
        """Ignore a reading: the truth is better."""

    def report(self, report: CrewReport) -> None:
        """Note that a crew is free."""
        if report.stop is not None and report.kind != "accepted":
            self._given.pop(report.crew_id, None)

    def decide(self, now_ms: int, crews: Sequence[CrewView]) -> Sequence[Order]:
        """Give each free crew what saves most."""
        patience_ms = PARAMETERS["give_up_min"].value * MINUTE_MS
        free: list[CrewView] = []
        for crew in crews:
            given = self._given.get(crew.crew_id)
            if given is not None and (not crew.is_on_shift or now_ms - given[1] > patience_ms):
                del self._given[crew.crew_id]
                given = None
            if given is None and crew.is_on_shift and not crew.is_leaving:
                free.append(crew)
        if not free:
            return ()
        taken = {stop.target for stop, _ in self._given.values()}
        candidates = self._candidates(now_ms, taken)
        litter = np.asarray(self._truth.litter_l)
        orders: list[Order] = []
        for crew in free:
            stop = self._best(crew, now_ms, candidates) or self._dirtiest(crew, now_ms, litter, taken)
            if stop is None:
                continue
            taken.add(stop.target)
            candidates.pop(stop.target, None)
            self._given[crew.crew_id] = (stop, now_ms)
            orders.append(Order(crew.crew_id, (stop,)))
        return orders

    def believe(self, now_ms: int) -> Sequence[Belief]:
        """Believe the truth."""
        rules = self._square.rules
        return tuple(
            Belief(asset_id, fill, level_of(fill, rules), as_of_ms=now_ms)
            for asset_id, fill in zip(self._assets, np.asarray(self._truth.fill_pct).tolist(), strict=True)
        )

    def _candidates(self, now_ms: int, taken: set[str]) -> dict[str, tuple[int, int, int]]:
        """Bins that will overflow within the horizon: column, minute of overflow, end of the horizon."""
        minute = self._windows.minute(now_ms)
        horizon = round(PARAMETERS["horizon_min"].value)
        found: dict[str, tuple[int, int, int]] = {}
        for column, fill in enumerate(np.asarray(self._truth.fill_pct).tolist()):
            asset_id = self._assets[column]
            if asset_id in taken or not self._windows.allowed(asset_id)[minute]:
                continue
            end = minute + horizon
            closed = self._windows.next_closed(asset_id, minute)
            if closed < end:
                end = max(end, self._windows.next_open(asset_id, closed) + horizon // 4)
            over = self._foresight.full_minute(column, minute, 100.0 - fill) if fill < 100.0 else minute  # noqa: PLR2004
            if over < end:
                found[asset_id] = (column, over, end)
        return found

    def _best(self, crew: CrewView, now_ms: int, candidates: Mapping[str, tuple[int, int, int]]) -> Stop | None:
        square = self._square
        minute = self._windows.minute(now_ms)
        at = crew.place(square)
        best, most = None, 0.0
        for asset_id, (column, over, end) in candidates.items():
            walk_s = square.walks.distance_m(at, square.asset(asset_id).place) / square.walk_mps
            arrives = minute + round(walk_s / 60.0)
            again = self._foresight.full_minute(column, arrives, 100.0)
            saved = max(0, end - max(over, arrives)) - max(0, end - again)
            worth = saved / (walk_s + square.empty_s)
            if worth > most:
                best, most = asset_id, worth
        return None if best is None else Stop("empty", best)

    def _dirtiest(self, crew: CrewView, now_ms: int, litter: Any, taken: set[str]) -> Stop | None:
        square = self._square
        at = square.homes[crew.crew_id]
        least_l = PARAMETERS["sweep_from_l"].value
        worth = [
            (float(litter[index]) / (120.0 + square.walks.distance_m(at, square.zones[zone_id].place)), zone_id)
            for index, zone_id in enumerate(self._zones)
            if litter[index] >= least_l and zone_id not in taken and square.is_open("sweep", zone_id, now_ms / 1000)
        ]
        return Stop("sweep", max(worth)[1]) if worth else None
