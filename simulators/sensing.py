"""What the sensors of virtual nodes see of the truth: level, battery and air, with the faults of honest hardware.

Pure and deterministic: a reading is a function of seed, device and moment, whatever was asked before and with whom.
What a node makes of its pings is in `simulators.pings`; what a fault script does to nodes in `simulators.node_faults`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from simulators import noise, pings
from simulators.bin_truth import BinTruths
from simulators.faults import FaultScript
from simulators.fields import AirTruth
from simulators.node_faults import NodeFaults, Struck
from simulators.noise import Floats
from simulators.parameters import Parameter
from square.registry import Placement
from square.site import Bin

DAY_S = 86_400
Fields = dict[str, int | str]
"""Wire fields of a reading, without seq and time."""
Which = npt.NDArray[np.int64]

PARAMETERS: Mapping[str, Parameter] = {
    "lies_mm": Parameter(60, "mm", "assumed: when the level changes by so much, other things lie on top"),
    "mounting_mm": Parameter(6, "mm", "assumed standard deviation of how a sensor was measured in when it was mounted"),
    "ageing_mm": Parameter(2, "mm/30 d", "assumed standard deviation of the drift of a unit"),
    "probe_unit_c": Parameter(0.5, "C", "assumed standard deviation of the error of a unit's thermometer"),
    "probe_noise_c": Parameter(0.2, "C", "assumed standard deviation between two readings"),
    "tilted_deg": Parameter(30, "degree", "the tilt switch of the node; beyond it the sensor looks at the wall"),
    "battery_full_mv": Parameter(4150, "mV", "assumed full lithium cell"),
    "battery_low_mv": Parameter(3300, "mV", "assumed end of a lithium cell"),
    "battery_life_d": Parameter(158, "d", "3,000 mAh cell at a 30 min interval, by the battery model of the node"),
    "battery_age_share": Parameter(0.7, "1", "assumed: at the start no cell is older than this share of its life"),
    "battery_noise_mv": Parameter(6, "mV", "assumed"),
    "rssi_low_dbm": Parameter(-82, "dBm", "assumed worst mean signal of a node"),
    "rssi_high_dbm": Parameter(-55, "dBm", "assumed best mean signal of a node"),
    "rssi_noise_db": Parameter(3, "dB", "assumed"),
    "pm_unit_share": Parameter(0.1, "1", "assumed: units read up to so much too high or too low"),
    "pm_drift": Parameter(0.1, "1", "assumed standard deviation of the slow noise of a particle sensor"),
    "pm_growth": Parameter(0.18, "1", "assumed strength of the rise in humid air (optical sensors overshoot)"),
    "rh_noise_pct": Parameter(1.5, "%", "SHT31: 2 % at 25 C; assumed standard deviation"),
    "voc_clean": Parameter(30_000, "1", "assumed raw value of a SGP40 in clean air; falls with gas"),
    "voc_per_ppb": Parameter(40, "1", "assumed fall of the raw value for a ppb of ammonia"),
    "nh3_zero_mv": Parameter(420, "mV", "assumed baseline of an ammonia cell"),
    "nh3_mv_per_ppb": Parameter(0.4, "mV/ppb", "assumed"),
    "h2s_zero_mv": Parameter(400, "mV", "assumed baseline of a hydrogen sulphide cell"),
    "h2s_mv_per_ppb": Parameter(2, "mV/ppb", "assumed"),
}
HUMID_CPCT = 7_000
"""Above it the node doubts its particle values: droplets count as particles."""
PM_MAX_NGM3 = 1_000_000
_SATURATED_CPCT = 9_990
_COLDEST_CDEG, _HOTTEST_CDEG = -4_000, 12_500


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


class _Nodes:
    """What bin and air nodes have in common: names, faults, cell and radio.

    Parameters
    ----------
    names
        Device ids.
    stream
        Name of their random streams.
    seed
        Of the square.
    start_s
        When the simulation started: decides how old the cells are [s since 1970 UTC].
    faults
        What breaks; may grow meanwhile.
    """

    def __init__(
        self, names: Sequence[str], stream: str, *, seed: int, start_s: float, faults: FaultScript | None
    ) -> None:
        self.names = tuple(names)
        self.index: Mapping[str, int] = {name: i for i, name in enumerate(self.names)}
        self.faults = FaultScript() if faults is None else faults
        self._acting = NodeFaults(self.names, self.faults)
        self._start_s = start_s
        self._key = noise.keys(seed, stream, self.names)
        age = noise.uniform(noise.keys(seed, f"{stream} cell", self.names)) * value("battery_age_share")
        self._mean = np.stack((age, rssi_of(self.names, seed)), axis=1)
        self._spread = np.array([value("battery_noise_mv"), value("rssi_noise_db")])
        self._full_mv = value("battery_full_mv")
        self._swing_mv = self._full_mv - value("battery_low_mv")
        self._use_ps = 1.0 / (value("battery_life_d") * DAY_S)
        self._probe_c = self._unit(seed, f"{stream} probe") * value("probe_unit_c")

    def _unit(self, seed: int, stream: str) -> Floats:
        return noise.normal(noise.keys(seed, stream, self.names))

    def _power(self, which: Which, at_s: float, normal: Floats, struck: Struck | None) -> list[list[int]]:
        """Return voltage [mV] and signal strength [dBm] of each; `normal` (n, 2). Empty cells are replaced."""
        mean = self._mean[which]
        used = (mean[:, 0] + (at_s - self._start_s) * self._use_ps) % 1.0
        mean[:, 0] = self._full_mv - self._swing_mv * used
        if struck is not None:
            weak = struck.cell_mv[which]
            mean[:, 0] = np.where(np.isnan(weak), mean[:, 0], weak)
        measured: list[list[int]] = np.rint(mean + normal * self._spread).astype(np.int64).tolist()
        return measured


def rssi_of(names: Sequence[str], seed: int) -> Floats:
    """Return the mean signal of nodes [dBm]: where they hang decides it."""
    low, high = value("rssi_low_dbm"), value("rssi_high_dbm")
    mean: Floats = low + (high - low) * noise.uniform(noise.keys(seed, "rssi", names))
    return mean


class BinSensors(_Nodes):
    """The level sensors of a site.

    Parameters
    ----------
    placements
        Devices; those on bins of `bins` are taken, in their order. `which` counts in this order, see `names`.
    bins
        In the order of the truths (`simulators.ground.Ground.bins`).
    seed, start_s, faults
        See `simulators.sensing._Nodes`: seed of the square, start of the simulation [s], what breaks.
    """

    _PINGS = int(pings.value("pings"))
    _DRAWS = 2 * _PINGS + 4
    _COUNTERS = np.arange(_DRAWS, dtype=np.uint64) * noise.GOLDEN

    def __init__(
        self,
        placements: Sequence[Placement],
        bins: Sequence[Bin],
        *,
        seed: int,
        start_s: float,
        faults: FaultScript | None = None,
    ) -> None:
        place = {b.id: i for i, b in enumerate(bins)}
        taken = [p for p in placements if p.kind == "bin" and p.asset.id in place]
        super().__init__([p.device.id for p in taken], "bin", seed=seed, start_s=start_s, faults=faults)
        self.bin_of = np.array([place[p.asset.id] for p in taken], dtype=np.int64)
        """Which bin each sensor looks into: index into `bins`."""
        here = [bins[i] for i in self.bin_of]
        self._empty_mm = np.array([b.empty_mm for b in here], dtype=float)
        depth_mm = self._empty_mm - np.array([b.full_mm for b in here], dtype=float)
        self._depth_mm = depth_mm
        self._opening_mm2 = np.array([b.volume_l for b in here], dtype=float) * 1e6 / depth_mm
        self._offset_mm = self._unit(seed, "mounting") * value("mounting_mm")
        self._ageing_mmps = self._unit(seed, "ageing") * (value("ageing_mm") / (30.0 * DAY_S))
        self._per_lie = 1.0 / value("lies_mm")
        self._lying_key = noise.keys(seed, "lying", self.names)

    def sense(self, which: Which, truths: BinTruths, at_s: float) -> list[Fields | None]:
        """Measure with some sensors at one moment.

        Parameters
        ----------
        which
            Which sensors, (n,).
        truths
            Of all bins, in the order of `bins`.
        at_s
            When [s since 1970 UTC].

        Returns
        -------
        list[dict | None]
            For each the wire fields, or None where nothing is measured: stolen, silent, or starting again.
        """
        struck = self._acting.at(at_s)
        there = self.bin_of[which]
        surface, rough = self._surface(which, there, truths)
        steps, share = noise.steps(self._lying_key[which], surface * self._per_lie)
        own = (self._key[which] + noise.place_of(at_s))[:, None] + self._COUNTERS
        words = noise.mixed(np.concatenate((own, steps), axis=1))  # at once: a call of numpy costs more than a number
        many = self._PINGS
        parts = noise.quarters(words)
        chances, normal = parts[:, many:], noise.normal_of(parts)
        inside_c = truths.inside_c[there]
        temp_c = inside_c + self._probe_c[which] + normal[:, 2 * many] * value("probe_noise_c")
        tilted_deg, blinded = truths.tilted_deg[there], truths.lid_open[there].astype(np.int64)
        lost = pings.value("no_echo_share") + pings.value("soft_loss") * truths.soft[there]
        lying = noise.between(normal[:, self._DRAWS :], share)
        nearest = pings.nearest_mm(surface, rough, self._opening_mm2[which], lying)
        nearest += self._offset_mm[which] + self._ageing_mmps[which] * (at_s - self._start_s)
        wild = np.full(len(which), pings.value("wild_ping_share"))
        near = np.zeros(len(which))
        gone = truths.stolen[there]
        if struck is not None:
            tilted_deg = np.maximum(tilted_deg, struck.askew_deg[which])
            lost, wild = np.maximum(lost, struck.lost[which]), np.maximum(wild, struck.wild[which])
            near = struck.near[which]
            nearest = nearest + struck.drift_mm(at_s)[which]
            gone = gone | struck.silent[which] | (chances[:, many + 3, 0] < struck.reboots[which])
        nearest = self._aside(which, nearest, tilted_deg)
        jitter = normal[:, :many]
        if struck is not None:
            stuck = struck.stuck_pct[which]
            is_stuck = ~np.isnan(stuck)
            nearest = np.where(is_stuck, self._stuck_mm(which, stuck), nearest)
            jitter = np.where(is_stuck[:, None], 0.0, jitter)
            lost, wild = np.where(is_stuck, 0.0, lost), np.where(is_stuck, 0.0, wild)
        echoes = pings.echoes_us(nearest, inside_c, jitter, chances[:, :many], lost=lost, wild=wild, near=near)
        cdeg = np.minimum(np.maximum(np.rint(temp_c * 100.0), _COLDEST_CDEG), _HOTTEST_CDEG).astype(np.int64)
        power = self._power(which, at_s, normal[:, 2 * many + 1 : 2 * many + 3], struck)
        blinded[tilted_deg > value("tilted_deg")] = 2
        if struck is not None:
            blinded[struck.water[which]] = 3
        return [
            None if is_gone else bin_fields(us, temp, blind, *cell)
            for is_gone, us, temp, blind, cell in zip(
                gone.tolist(), echoes.tolist(), cdeg.tolist(), blinded.tolist(), power, strict=True
            )
        ]

    def _surface(self, which: Which, there: Which, truths: BinTruths) -> tuple[Floats, Floats]:
        """Return distance and roughness of what lies in the bins [mm]: of the water, where that stands higher."""
        surface, rough = truths.surface_mm[there], truths.roughness_mm[there]
        flooded = self._empty_mm[which] - truths.water_mm[there]
        rough[flooded < surface] = 0.0
        return np.minimum(surface, flooded), rough

    def _aside(self, which: Which, nearest: Floats, tilted_deg: Floats) -> Floats:
        """Return what a sensor sees that looks aside [mm]: a longer way to the waste, or the wall."""
        if not tilted_deg.any():
            return nearest
        angle = np.radians(np.minimum(tilted_deg, 80.0))
        wall = np.sqrt(self._opening_mm2[which] / np.pi) / np.maximum(np.sin(angle), 1e-3)
        seen: Floats = np.minimum(nearest / np.cos(angle), wall)
        return seen

    def _stuck_mm(self, which: Which, stuck_pct: Floats) -> Floats:
        by_chance = 10.0 + 70.0 * noise.uniform(noise.mixed(self._key[which]))
        pct = np.where(stuck_pct > 0.0, stuck_pct, by_chance)
        stuck: Floats = self._empty_mm[which] - pct / 100.0 * self._depth_mm[which]
        return stuck


_BLINDED = ("", "lid-open", "tilted", "water")
"""States in which the sensor does not look at the waste, weakest first: they win over what the pings say."""


def bin_fields(echo_us: list[int], temp_cdeg: int, blinded: int, battery_mv: int, rssi_dbm: int) -> Fields:
    """Return what a bin node sends; `blinded` counts in lid, tilt, water (0: it looks at the waste)."""
    fields: Fields = {"temp_cdeg": temp_cdeg, "battery_mv": battery_mv, "rssi_dbm": rssi_dbm}
    if blinded:
        fields["quality"] = 1
        fields["state"] = _BLINDED[blinded]
        return fields
    distance_mm, quality, state = pings.summarise(echo_us, temp_cdeg, _BLIND_MM, _REACH_MM)
    if distance_mm is not None:
        fields["distance_mm"] = distance_mm
    fields["quality"] = quality
    fields["state"] = state
    return fields


_BLIND_MM = int(pings.value("blind_zone_mm"))
_REACH_MM = int(pings.value("reach_mm"))


class AirSensors(_Nodes):
    """The air stations of a site.

    Parameters
    ----------
    placements
        Devices; those on air stations are taken, in their order.
    seed, start_s, faults
        As of `BinSensors`.
    """

    _DRAWS = 10

    def __init__(
        self, placements: Sequence[Placement], *, seed: int, start_s: float, faults: FaultScript | None = None
    ) -> None:
        taken = [p for p in placements if p.kind == "air"]
        super().__init__([p.device.id for p in taken], "air", seed=seed, start_s=start_s, faults=faults)
        spread = 2.0 * noise.uniform(noise.keys(seed, "pm unit", self.names)) - 1.0
        self._gain = 1.0 + value("pm_unit_share") * spread
        self._slow_key = noise.keys(seed, "pm slow", self.names)

    def sense(self, which: Which, truths: Sequence[AirTruth], at_s: float) -> list[Fields | None]:
        """Measure with some stations at one moment.

        Parameters
        ----------
        which
            Which stations, (n,).
        truths
            The air at each of them, (n,).
        at_s
            When [s since 1970 UTC].

        Returns
        -------
        list[dict | None]
            For each the wire fields, or None where nothing is measured.
        """
        struck = self._acting.at(at_s)
        truth = AirTruth(*np.array(truths, dtype=float).reshape(-1, len(AirTruth._fields)).T)
        words = noise.draws(self._key[which], noise.place_of(at_s), self._DRAWS)
        normal, chance = noise.normal(words), noise.uniform(words[:, -1])
        rh = np.minimum(np.maximum(truth.rh_pct + normal[:, 0] * value("rh_noise_pct"), 1.0), 99.5)
        ratio = np.minimum(truth.rh_pct / 100.0, 0.97)
        factor = self._gain[which] * (1.0 + value("pm_growth") * ratio * ratio / (1.0 - ratio))
        factor = factor * (
            1.0 + value("pm_drift") * noise.smooth(self._slow_key[which], np.full(len(which), at_s / 3600))
        )
        gone = np.zeros(len(which), dtype=np.bool_)
        dusty, stuck = ~gone, gone
        if struck is not None:
            factor = factor * np.maximum(1.0 + struck.drift_mm(at_s)[which] / 100.0, 0.0)
            factor = np.where(chance < struck.wild[which], factor * (1.0 + 20.0 * np.abs(normal[:, 1])), factor)
            gone = struck.silent[which] | (chance < struck.reboots[which])
            dusty = chance >= struck.lost[which]
            stuck = ~np.isnan(struck.stuck_pct[which])
        dust = np.rint(np.stack((truth.pm1_ugm3, truth.pm25_ugm3, truth.pm10_ugm3), axis=1) * factor[:, None] * 1000.0)
        dust = np.where(stuck[:, None], np.array([3000.0, 5000.0, 7000.0]), dust).astype(np.int64)
        temp = np.rint((truth.temp_c + self._probe_c[which] + normal[:, 2] * value("probe_noise_c")) * 100.0)
        gases = (
            value("voc_clean") - value("voc_per_ppb") * truth.nh3_ppb + 150.0 * normal[:, 3],
            value("nh3_zero_mv") + value("nh3_mv_per_ppb") * truth.nh3_ppb + 2.0 * normal[:, 4],
            value("h2s_zero_mv") + value("h2s_mv_per_ppb") * truth.h2s_ppb + 2.0 * normal[:, 5],
        )
        columns = np.stack((temp, np.rint(rh * 100.0), np.rint(truth.pressure_pa), *map(np.rint, gases)), axis=1)
        columns[:, 1] = np.where(stuck, _SATURATED_CPCT, columns[:, 1])
        power = self._power(which, at_s, normal[:, 6:8], struck)
        highest = np.array([_HOTTEST_CDEG, 10_000, 120_000, 65_535, 5_000, 5_000], dtype=float)
        rows = np.minimum(np.maximum(columns, (_COLDEST_CDEG, 0, 30_000, 0, 0, 0)), highest).astype(np.int64)
        return [
            None if is_gone else air_fields(triple if is_dusty else None, row, *cell)
            for is_gone, is_dusty, triple, row, cell in zip(
                gone.tolist(), dusty.tolist(), dust.tolist(), rows.tolist(), power, strict=True
            )
        ]


def air_fields(dust: list[int] | None, row: list[int], battery_mv: int, rssi_dbm: int) -> Fields:
    """Return what an air node sends: `dust` PM1, PM2.5, PM10 [ng/m3], None where the fan is dead; `row` the others."""
    fields: Fields = dict(zip(_AIR_NAMES, row, strict=True))
    fields["battery_mv"] = battery_mv
    fields["rssi_dbm"] = rssi_dbm
    is_dusty = dust is not None and dust[2] <= PM_MAX_NGM3
    if dust is not None and is_dusty:
        fields["pm1_ngm3"], fields["pm25_ngm3"], fields["pm10_ngm3"] = dust
    is_damp = row[1] > HUMID_CPCT and dust is not None
    fields["quality"] = 3 if is_damp or not is_dusty or row[1] >= _SATURATED_CPCT else 4
    fields["state"] = "ok"
    return fields


_AIR_NAMES = ("temp_cdeg", "rh_cpct", "pressure_pa", "voc_raw", "nh3_mv", "h2s_mv")
