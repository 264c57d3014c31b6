"""The square of one site as its nodes sense it: plan and scenario on one side, the model of the truth on the other."""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulators import sensing
from simulators.ground import Ground
from simulators.happenings import Event
from simulators.mishaps import Mishaps
from simulators.model import TICK_S, SquareModel
from simulators.node import NodeIdentity, Reading, Sense
from simulators.scenario import Scenario
from simulators.scenario_sections import MishapRates, Visits, WeatherOverrides
from simulators.visitors import Crowd
from simulators.weather import Weather
from square.occasions import Occasions
from square.registry import Placement
from square.site import Bin, Site

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
    run
        Number of this start, so that noise does not repeat after a restart.
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
        run: int = 0,
        scenario: Scenario | None = None,
    ) -> None:
        self.site = site
        self.emptied = 0
        self.happened: deque[Event] = deque(maxlen=HAPPENED_MAX)
        """What happened on the square, the newest last."""
        self._seed = (seed, run)
        ground, zone = Ground.of(site), site.zone_info
        self.weather = Weather(seed, scenario.weather if scenario else WeatherOverrides(), zone=zone)
        crowd = Crowd(
            ground,
            seed=seed,
            occasions=Occasions(scenario.occasions if scenario else None),
            visits=scenario.visits if scenario else Visits(),
            rain_mmph=self.weather.rain_mmph,
        )
        self.model = SquareModel(
            ground,
            crowd,
            self.weather,
            Mishaps(scenario.mishaps if scenario else MishapRates(), seed=seed, zone=zone),
            seed=seed,
            start_s=start_s,
            initial_fill_pct=initial_fill_pct,
        )

    def advance(self, now_s: float) -> None:
        """Bring the model to `now_s`; a clock that was set back or far ahead moves it without living the gap."""
        behind_s = now_s - self.model.at_s
        if behind_s < -2 * TICK_S:
            _log.warning("the clock was set back by %.0f s: the square goes on from there", -behind_s)
            self.model.rebase(now_s)
        elif behind_s > CATCH_UP_MAX_S:
            _log.warning("the clock jumped by %.1f days: only the last 7 are simulated", behind_s / 86_400)
            self.model.rebase(now_s - CATCH_UP_MAX_S)
        self.model.advance(now_s)
        for event in self.model.take_events():
            self.happened.append(event)
            _log.debug("%s %s: %.1f l", event.kind, event.target, event.amount_l)

    def empty(self, asset_id: str, now_s: float) -> float | None:
        """Empty a bin as a crew does and return the litres; None when the site has no such bin."""
        try:
            self.advance(now_s)
            litres = self.model.empty(asset_id)
        except KeyError:
            _log.warning("a task names bin %s, which this site does not have", asset_id)
            return None
        self.emptied += 1
        return litres

    def sweep(self, zone_id: str, now_s: float) -> float | None:
        """Sweep a zone as a crew does and return the litres; None when the site has no such zone."""
        try:
            self.advance(now_s)
            return self.model.sweep(zone_id)
        except KeyError:
            _log.warning("a task names zone %s, which this site does not have", zone_id)
            return None

    def sense(self, placement: Placement, index: int, started_s: float) -> Sense:
        """Return the sensor of a device: a function of square time.

        Parameters
        ----------
        placement
            The device and its asset.
        index
            Number of the device, part of its own random stream.
        started_s
            Square time of the start [s]; decides how old its battery is.
        """
        rng = np.random.default_rng([*self._seed, 1, index])
        battery_age_s = float(rng.uniform(0, 0.7)) * sensing.value("battery_life_d") * 86_400
        power = sensing.Power(started_s - battery_age_s, float(rng.uniform(-82, -55)))
        asset = placement.asset
        if isinstance(asset, Bin):
            which = self.model.index[asset.id]

            def sense_bin(at_s: float) -> Reading:
                self.advance(at_s)
                true_mm = self.model.bin_truth(which).surface_mm
                return sensing.bin_reading(true_mm, at_s, rng) | power.fields(at_s, rng)

            return sense_bin
        air = sensing.AirSensor(rng)

        def sense_air(at_s: float) -> Reading:
            return air.reading(at_s, rng) | power.fields(at_s, rng)

        return sense_air

    def identity(self, placement: Placement, interval_s: int | None) -> NodeIdentity:
        """Return who the virtual node of a device is; `interval_s` overrides the device's own."""
        device = placement.device
        return NodeIdentity(self.site.id, device.id, device.kind, interval_s or device.interval_s)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {"model": self.model.snapshot(), "emptied": self.emptied}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a state of `snapshot`.

        Raises
        ------
        KeyError, TypeError, ValueError
            It has another shape.
        """
        self.model.restore(snapshot["model"])
        self.emptied = int(snapshot["emptied"])
