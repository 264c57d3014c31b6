"""The square of one site as its nodes sense it: plan and scenario on one side, the model of the truth on the other."""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulators.diary import Diary
from simulators.faults import FaultScript
from simulators.ground import Ground
from simulators.happenings import Event
from simulators.model import TICK_S, SquareModel
from simulators.node import NodeIdentity, Reading, Sense
from simulators.scenario import Scenario
from simulators.sensing import AirSensors, BinSensors
from square.registry import Placement, Registry
from square.site import Site

_log = logging.getLogger(__name__)

CATCH_UP_MAX_S = 7 * 86_400  # a longer jump of the clock is not lived through, only its last week
HAPPENED_MAX = 500


class World:
    """True state of a simulated site, moved by square time.

    Parameters
    ----------
    site
        The plan.
    seed
        Seed of visitors, weather, mishaps and sensors.
    start_s
        Square time now [s].
    initial_fill_pct
        Range of the first fill of the bins [%].
    scenario
        What the square goes through; None is an ordinary time.
    """

    def __init__(
        self,
        site: Site,
        *,
        seed: int,
        start_s: float,
        initial_fill_pct: tuple[float, float],
        scenario: Scenario | None = None,
    ) -> None:
        self.site = site
        self.emptied = 0
        self.happened: deque[Event] = deque(maxlen=HAPPENED_MAX)
        """What happened on the square, the newest last."""
        self.diary: Diary | None = None
        """Where the truth is written down."""
        self._seed = seed
        self._faults = scenario.faults if scenario else FaultScript()
        self._ground = Ground.of(site)
        self.model = SquareModel.of(
            self._ground, scenario, seed=seed, start_s=start_s, initial_fill_pct=initial_fill_pct
        )
        self._mount(start_s)

    def _mount(self, since_s: float) -> None:
        """Hang up the sensors; their cells are as old as they were at `since_s`."""
        placements = Registry.from_site(self.site).placements()
        self._since_s = since_s
        self._bins = BinSensors(placements, self._ground.bins, seed=self._seed, start_s=since_s, faults=self._faults)
        self._air = AirSensors(placements, seed=self._seed, start_s=since_s, faults=self._faults)

    def advance(self, now_s: float) -> None:
        """Bring the model to `now_s`; a clock that was set back or far ahead moves it without living the gap."""
        behind_s = now_s - self.model.at_s
        if behind_s < -2 * TICK_S:
            _log.warning("the clock was set back by %.0f s: the square goes on from there", -behind_s)
            self.model.rebase(now_s)
        elif behind_s > CATCH_UP_MAX_S:
            _log.warning("the clock jumped by %.1f days: only the last 7 are simulated", behind_s / 86_400)
            self.model.rebase(now_s - CATCH_UP_MAX_S)
        if self.diary is None:
            self.model.advance(now_s)
        else:
            while self.model.at_s + TICK_S <= now_s:
                self.model.advance(self.model.at_s + TICK_S)
                self.diary.fill(round(self.model.at_s * 1000), self.model.fill_pct.tolist())
        for event in self.model.take_events():
            self.happened.append(event)
            _log.debug("%s %s: %.1f l", event.kind, event.target, event.amount_l)

    def empty(self, asset_id: str, now_s: float) -> float | None:
        """Empty a bin as a crew does and return the litres; None when the site has no such bin."""
        if asset_id not in self.model.bins:
            _log.warning("a task names bin %s, which this site does not have", asset_id)
            return None
        self.advance(now_s)
        self.emptied += 1
        if self.diary is not None:
            self.diary.emptied(round(now_s * 1000), asset_id, self.model.fill_of(asset_id))
        return self.model.empty(asset_id)

    def sweep(self, zone_id: str, now_s: float) -> float | None:
        """Sweep a zone as a crew does and return the litres; None when the site has no such zone."""
        if zone_id not in self.model.zones:
            _log.warning("a task names zone %s, which this site does not have", zone_id)
            return None
        self.advance(now_s)
        return self.model.sweep(zone_id)

    def sense(self, placement: Placement) -> Sense:
        """Return the sensor of a device: a function of square time, None where the device measures nothing."""
        device = placement.device.id

        def sense_bin(at_s: float) -> Reading | None:
            self.advance(at_s)
            which = np.array([self._bins.index[device]])
            return self._bins.sense(which, self.model.bin_truths(), at_s)[0]

        def sense_air(at_s: float) -> Reading | None:
            self.advance(at_s)
            which = np.array([self._air.index[device]])
            truth = self.model.air_truth(placement.asset.lon, placement.asset.lat, at_s)
            return self._air.sense(which, [truth], at_s)[0]

        return sense_bin if placement.kind == "bin" else sense_air

    def identity(self, placement: Placement, interval_s: int | None) -> NodeIdentity:
        """Return who the virtual node of a device is; `interval_s` overrides the device's own."""
        device = placement.device
        return NodeIdentity(self.site.id, device.id, device.kind, interval_s or device.interval_s)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {"model": self.model.snapshot(), "emptied": self.emptied, "since_s": self._since_s}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a state of `snapshot`.

        Raises
        ------
        KeyError, TypeError, ValueError
            It has another shape.
        """
        self.model.restore(snapshot["model"])
        self.emptied = int(snapshot["emptied"])
        self._mount(float(snapshot["since_s"]))
