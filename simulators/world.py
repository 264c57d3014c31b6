"""The square of one site as its nodes sense it: the site file on one side, the waste model on the other."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulators import sensing
from simulators.footfall import BASE_WEIGHT, TICK_S, BinSpec, SquareModel, ZoneSpec
from simulators.node import NodeIdentity, Reading, Sense
from square.geometry import distance_mm_of
from square.registry import Placement
from square.site import Bin, Site, Zone

_log = logging.getLogger(__name__)

CATCH_UP_MAX_S = 7 * 86_400  # a longer jump of the clock is not lived through, only its last week
# Words in a zone's id or name that tell what kind of place it is; the first that matches counts, else "park".
_CHARACTER_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("forecourt", ("payung", "umbrella", "forecourt", "serambi", "masjid", "mosque")),
    ("food", ("kuliner", "culinary", "pkl", "vendor", "food")),
    ("street", ("jalan", "jl", "street")),
    ("floor", ("tugu", "monument", "plaza")),
    ("path", ("granit", "granite", "gerbang", "gate", "path")),
)


def character_of(zone: Zone) -> str:
    """Return the kind of place of a zone (a key of `footfall.BASE_WEIGHT`), judged by its id and names."""
    words = {w for text in (zone.id, zone.name_id, zone.name_en) for w in text.lower().replace("-", " ").split()}
    for character, known in _CHARACTER_WORDS:
        if words.intersection(known):
            assert character in BASE_WEIGHT
            return character
    return "park"


class World:
    """True state of a simulated site, moved by square time.

    Parameters
    ----------
    site
        The plan.
    seed
        Seed of visitors and sensors.
    start_s
        Square time now [s].
    initial_fill_pct
        Range of the first fill of the bins [%].
    run
        Number of this start, so that noise does not repeat after a restart.
    """

    def __init__(
        self, site: Site, *, seed: int, start_s: float, initial_fill_pct: tuple[float, float], run: int = 0
    ) -> None:
        self.site = site
        self.emptied = 0
        self._seed = (seed, run)
        specs = [
            BinSpec(b.id, *site.frame.to_m(b.lon, b.lat), capacity_l=b.volume_l) for b in site.bins if b.volume_l > 0
        ]
        self.model = SquareModel(
            specs,
            [self._zone(z) for z in site.zones],
            np.random.default_rng([seed, 0]),
            start_s=start_s,
            initial_fill_pct=initial_fill_pct,
        )

    def _zone(self, zone: Zone) -> ZoneSpec:
        corners = [self.site.frame.to_m(lon, lat) for lon, lat in zone.rings[0]]
        east, north = [c[0] for c in corners], [c[1] for c in corners]
        return ZoneSpec(zone.id, character_of(zone), min(east), min(north), max(east), max(north))

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

            def sense_bin(at_s: float) -> Reading:
                self.advance(at_s)
                true_mm = distance_mm_of(asset, self.model.fill_pct(asset.id))
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
