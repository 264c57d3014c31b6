"""What virtual nodes report about a known truth: honest errors, honest faults, and nothing of who asked when."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import wire
from firmware.core import air, bins
from simulators import pings, sensing
from simulators.bin_truth import BinTruths
from simulators.faults import Fault, FaultScript
from simulators.fields import AirTruth
from simulators.sensing import AirSensors, BinSensors
from square.geometry import fill_pct_of
from square.registry import Registry
from square.site import load_site

START_S = 1_795_453_200.0
SITE = load_site("alun-alun-pasuruan")
PLACEMENTS = Registry.from_site(SITE).placements()
BINS = SITE.bins
ALL = np.arange(len(BINS))
AIR = AirTruth(10.0, 16.0, 25.0, 30.0, 60.0, 6.0, 0.6, 101_000.0)


def truths(fill_pct=50.0, **given) -> BinTruths:
    """Return the insides of all bins: the same fill, and else what is given."""
    count = len(BINS)
    columns = dict.fromkeys(BinTruths._fields, 0.0) | {"roughness_mm": 15.0, "soft": 0.1, "inside_c": 30.0} | given
    flags = {"lid_open", "moved", "stolen", "burning"}
    arrays = {n: np.full(count, v, dtype=np.bool_ if n in flags else np.float64) for n, v in columns.items()}
    depth = np.array([b.empty_mm - b.full_mm for b in BINS])
    arrays["fill_pct"] = np.full(count, fill_pct)
    arrays["surface_mm"] = np.array([b.empty_mm for b in BINS]) - fill_pct / 100 * depth
    return BinTruths(**arrays)


def sensors(*faults: Fault, seed=1) -> BinSensors:
    """Return the sensors of the shipped square."""
    return BinSensors(PLACEMENTS, BINS, seed=seed, start_s=START_S, faults=FaultScript(faults))


def measured(square: BinSensors, inside: BinTruths, times=30):
    """Return readings of all sensors, every ten minutes."""
    return [r for i in range(times) for r in square.sense(ALL, inside, START_S + 600 * i)]


def node(kind: str, strength=1.0, target="node:*", at_s=0.0, until_s=1e12) -> Fault:
    return Fault(at_s, until_s, target, kind, strength)


def errors_mm(square: BinSensors, inside: BinTruths) -> np.ndarray:
    """Distances less the truth [mm], of all readings that have one."""
    seen = measured(square, inside)
    real = np.tile(inside.surface_mm, len(seen) // len(BINS))
    return np.array([r["distance_mm"] - t for r, t in zip(seen, real, strict=True) if r and "distance_mm" in r])


@pytest.mark.parametrize("inside_c", [22.0, 45.0])
def test_over_a_flat_floor_the_distance_is_that_of_honest_hardware(inside_c):
    """Bias below 6 mm and spread from 3 to 15 mm in cool and hot air: mounting, thermometer and echo, nothing else."""
    error = errors_mm(sensors(), truths(0.0, roughness_mm=0.0, inside_c=inside_c))
    assert abs(error.mean()) < 6
    assert 3 < error.std() < 15


def test_uneven_waste_reads_nearer_never_farther():
    """The nearest thing in the cone answers: bias grows with roughness, and is towards the sensor."""
    bias = [errors_mm(sensors(), truths(50.0, roughness_mm=rough)).mean() for rough in (0.0, 10.0, 28.0)]
    assert bias[0] > bias[1] + 5 > bias[2] + 20
    assert bias[2] > -70


def test_soft_waste_swallows_echoes():
    """The rate of no-echo rises with softness, from almost none to most; those readings have no distance."""
    rates = []
    for soft in (0.0, 0.5, 0.8, 1.0):
        states = Counter(r["state"] for r in measured(sensors(), truths(soft=soft)))
        rates.append(states["no-echo"] / states.total())
    assert rates[0] < 0.01
    assert rates == sorted(rates)
    assert 0.02 < rates[1] < 0.2
    assert rates[3] > 0.4


def test_in_the_blind_zone_a_bin_is_obstructed_and_never_empty():
    """A heap at the sensor's face gives a state and no number: 0 would read as overfull, the edge as a level."""
    for reading in measured(sensors(), truths(120.0, roughness_mm=5.0), times=5):
        assert reading["state"] == "obstructed"
        assert reading["quality"] == 1
        assert "distance_mm" not in reading


def test_no_echo_reading_is_news_without_a_distance():
    """With all pings lost the reading has the state, quality 0 and the other fields."""
    reading = sensors(node("no-echo")).sense(ALL, truths(), START_S)[0]
    assert (reading["state"], reading["quality"]) == ("no-echo", 0)
    assert "distance_mm" not in reading
    assert 2900 < reading["temp_cdeg"] < 3100


@settings(max_examples=30)
@given(st.floats(0, 120), st.floats(0, 40), st.floats(0, 1), st.floats(-10, 120), st.floats(0, 90))
def test_every_reading_passes_the_wire_check(fill_pct, rough, soft, inside_c, tilted):
    """Whatever lies in the bins and whatever breaks, readings are valid on the wire."""
    script = (node("wild", 0.6, "node:*1"), node("drift", -400, "node:*2"), node("tilted", 20, "node:*3"))
    square = sensors(*script, node("battery-low", 3000, "node:*4"), node("blocked", 0.5, "node:*5"))
    inside = truths(fill_pct, roughness_mm=rough, soft=soft, inside_c=inside_c, tilted_deg=tilted)
    for reading in square.sense(ALL, inside, START_S + 86_400):
        wire.decode_reading("bin", {"seq": 1, "ts": 1, **reading})


@settings(max_examples=30)
@given(st.lists(st.integers(0, len(BINS) - 1), min_size=1, max_size=12), st.integers(0, 10**7))
def test_a_reading_is_a_function_of_device_and_moment(which, after_s):
    """One at a time, all at once, in any order, by another object: the same readings."""
    script = (node("stuck", 0, "node:*7"), node("wild", 0.3, "node:*8"))
    inside, at_s = truths(), START_S + after_s
    together = sensors(*script).sense(np.array(which), inside, at_s)
    square = sensors(*script)
    square.sense(ALL, inside, at_s - 500)
    assert together == [square.sense(np.array([i]), inside, at_s)[0] for i in which]


def test_another_seed_and_another_moment_are_other_noise():
    """Readings of one surface differ by seed and by moment."""
    inside = truths()
    one, later, other = (
        [r.get("distance_mm") for r in square.sense(ALL, inside, at_s)]
        for square, at_s in ((sensors(), START_S), (sensors(), START_S + 600), (sensors(seed=2), START_S))
    )
    assert sum(a == b for a, b in zip(one, later, strict=True)) < 20
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 20


def test_a_stuck_sensor_says_the_same_whatever_the_bin_does():
    """Stuck at 40 percent it reads so, full or empty, without noise; by chance it has a level of its own."""
    square = sensors(node("stuck", 40.0))
    for fill_pct in (0.0, 95.0):
        for b, reading in zip(BINS, square.sense(ALL, truths(fill_pct), START_S + 600), strict=True):
            # only the whole degrees of the temperature move it: 1 degree of 348 m/s is 0.2 percent
            assert fill_pct_of(b, reading["distance_mm"]) == pytest.approx(40, abs=1.5)
    by_chance = sensors(node("stuck", 0.0)).sense(ALL, truths(), START_S)
    levels = [fill_pct_of(b, r["distance_mm"]) for b, r in zip(BINS, by_chance, strict=True)]
    assert max(levels) - min(levels) > 40


def test_drift_grows_with_time():
    """40 mm a day are 40 mm after a day and 120 after three, beside an undisturbed sensor."""
    sound, drifting = sensors(), sensors(node("drift", 40.0, at_s=START_S))
    inside = truths(20.0, roughness_mm=0.0)
    for days in (1, 3):
        at_s = START_S + days * 86_400
        pairs = zip(sound.sense(ALL, inside, at_s), drifting.sense(ALL, inside, at_s), strict=True)
        away = [b["distance_mm"] - a["distance_mm"] for a, b in pairs if "distance_mm" in a and "distance_mm" in b]
        assert np.median(away) == pytest.approx(40 * days, abs=2)


def test_the_state_tells_why_the_sensor_does_not_look_at_the_waste():
    """Lid, tilt and water win over the pings, water over tilt over lid; a small tilt is not noticed and reads wrong."""
    assert {r["state"] for r in sensors().sense(ALL, truths(lid_open=True), START_S)} == {"lid-open"}
    assert {r["state"] for r in sensors().sense(ALL, truths(lid_open=True, tilted_deg=70.0), START_S)} == {"tilted"}
    assert {r["state"] for r in sensors(node("water")).sense(ALL, truths(tilted_deg=70.0), START_S)} == {"water"}
    assert {r["state"] for r in sensors(node("tilted", 55)).sense(ALL, truths(), START_S)} == {"tilted"}
    empty = truths(0.0, roughness_mm=0.0)
    askew = errors_mm(sensors(node("tilted", 25)), empty)
    assert np.median(askew) < -100  # it sees the wall: sqrt(0.16 m2 / pi) / sin 25 = 0.53 m instead of 0.98


def test_a_blocked_sensor_is_obstructed_and_a_wild_one_loses_quality():
    """Something before the sensor is an obstruction; half of the pings from anywhere make distances rare or wrong."""
    assert {r["state"] for r in sensors(node("blocked")).sense(ALL, truths(), START_S)} == {"obstructed"}
    sound = Counter(r["quality"] for r in measured(sensors(), truths()))
    wild = Counter(r["quality"] for r in measured(sensors(node("wild", 0.5)), truths()))
    assert sound[4] > 0.6 * sound.total()
    assert wild[4] < 0.1 * wild.total()


def test_who_is_gone_says_nothing():
    """Stolen and silent nodes measure nothing; one that starts again and again now and then; windows end."""
    assert set(sensors().sense(ALL, truths(stolen=True), START_S)) == {None}
    square = sensors(node("silent", at_s=START_S, until_s=START_S + 600))
    assert square.sense(ALL, truths(), START_S)[0] is None
    assert square.sense(ALL, truths(), START_S + 600)[0] is not None
    looping = measured(sensors(node("reboot-loop", 0.5)), truths())
    assert 0.4 < sum(r is None for r in looping) / len(looping) < 0.6


def test_a_fault_added_meanwhile_acts_at_once():
    """One key in the terminal: the script grows and the next reading shows it."""
    square = sensors()
    assert square.sense(ALL, truths(), START_S)[0]["state"] == "ok"
    square.faults.add(node("water", target=f"node:{square.names[0]}"))
    states = [r["state"] for r in square.sense(ALL, truths(), START_S)]
    assert states[0] == "water"
    assert "water" not in states[1:]


def test_water_on_the_floor_is_seen_as_level():
    """100 mm of water in an empty bin read as a surface 100 mm above the floor."""
    dry, wet = (np.median(errors_mm(sensors(), truths(0.0, water_mm=mm, roughness_mm=2.0))) for mm in (0.0, 100.0))
    assert wet - dry == pytest.approx(-100, abs=8)


def test_a_fire_shows_as_heat_without_believing_the_distance():
    """At 90 C the thermometer says so; the speed of sound is beyond its formula, so quality is 3."""
    seen = sensors().sense(ALL, truths(inside_c=90.0), START_S)
    assert all(8_800 < r["temp_cdeg"] < 9_200 for r in seen)
    assert 4 not in {r["quality"] for r in seen}


def test_cells_fall_and_are_replaced():
    """A cell loses its swing over its life and a full one follows; battery-low overrides it."""
    life_s = sensing.value("battery_life_d") * 86_400
    square, inside = sensors(), truths()
    levels = [[r["battery_mv"] for r in square.sense(ALL, inside, START_S + life_s * k / 20)] for k in range(21)]
    assert min(map(min, levels)) < 3_400
    assert max(map(max, levels)) > 4_100
    assert max(levels[0]) > 4_100
    assert min(levels[0]) > 3_500  # no cell older than 0.7 of its life at the start: 4150 - 0.7 * 850 = 3555
    weak = sensors(node("battery-low", 3_100)).sense(ALL, inside, START_S)
    assert all(3_070 < r["battery_mv"] < 3_130 for r in weak)


def stations(*faults: Fault) -> AirSensors:
    return AirSensors(PLACEMENTS, seed=1, start_s=START_S, faults=FaultScript(faults))


def breathed(square: AirSensors, air: AirTruth, times=100):
    which = np.arange(len(square.names))
    return [r for i in range(times) for r in square.sense(which, [air] * len(which), START_S + 300 * i)]


def test_particles_are_near_the_truth_in_dry_air_and_overshoot_in_damp():
    """At 40 percent humidity the mean is within 15 percent; at 95 it is more than doubled and doubted."""
    dry, damp = (breathed(stations(), AIR._replace(rh_pct=rh)) for rh in (40.0, 95.0))
    mean = [np.mean([r["pm25_ngm3"] for r in seen]) / 16_000 for seen in (dry, damp)]
    assert mean[0] == pytest.approx(1.0, abs=0.15)
    assert mean[1] > 2
    assert {r["quality"] for r in dry} == {4}
    assert {r["quality"] for r in damp} == {3}


@settings(max_examples=20)
@given(st.floats(0, 3000), st.floats(-5, 110), st.floats(0, 100), st.floats(0, 5e4))
def test_every_air_reading_passes_the_wire_check(pm25, temp_c, rh_pct, nh3_ppb):
    """In clean air, in smoke and beside rotting waste readings are valid; finer dust is part of coarser."""
    air = AirTruth(pm25 * 0.6, pm25, pm25 * 1.5, temp_c, rh_pct, nh3_ppb, nh3_ppb * 0.06, 101_000.0)
    for reading in breathed(stations(node("wild", 0.5)), air, times=3):
        wire.decode_reading("air", {"seq": 1, "ts": 1, **reading})
        if "pm1_ngm3" in reading:
            assert reading["pm1_ngm3"] <= reading["pm25_ngm3"] <= reading["pm10_ngm3"] <= 1_000_000


def test_faults_of_air_stations_are_visible():
    """Stuck is saturated and constant, drift grows in percent, a dead fan leaves the particles out."""
    stuck = breathed(stations(node("stuck", 0)), AIR, times=5)
    assert {(r["pm25_ngm3"], r["rh_cpct"], r["quality"]) for r in stuck} == {(5_000, 9_990, 3)}
    assert all("pm25_ngm3" not in r and r["quality"] == 3 for r in breathed(stations(node("no-echo")), AIR, times=5))
    assert breathed(stations(node("silent")), AIR, times=1)[0] is None
    sound, drifted = (
        breathed(s, AIR, times=1) for s in (stations(), stations(node("drift", 50, at_s=START_S - 86_400)))
    )
    assert drifted[0]["pm25_ngm3"] / sound[0]["pm25_ngm3"] == pytest.approx(1.5, abs=0.01)


def test_smell_reaches_the_gas_channels():
    """Fifty times the gases raise the voltages of their cells and lower the raw VOC value."""
    clean, foul = (
        breathed(stations(), AIR._replace(nh3_ppb=ppb, h2s_ppb=ppb / 10), times=5)[0] for ppb in (6.0, 300.0)
    )
    assert foul["nh3_mv"] - clean["nh3_mv"] == pytest.approx(294 * sensing.value("nh3_mv_per_ppb"), abs=15)
    assert foul["h2s_mv"] - clean["h2s_mv"] == pytest.approx(29.4 * sensing.value("h2s_mv_per_ppb"), abs=15)
    assert foul["voc_raw"] < clean["voc_raw"] - 5_000


def test_the_climate_of_a_station_is_that_of_its_place():
    """Temperature, humidity and pressure are the truth within the errors of the parts."""
    for reading in breathed(stations(), AIR._replace(temp_c=27.0, rh_pct=62.0, pressure_pa=100_800.0), times=10):
        assert reading["temp_cdeg"] == pytest.approx(2_700, abs=220)  # a unit's 0.5 C and a reading's 0.2 C, 3.5 times
        assert reading["rh_cpct"] == pytest.approx(6_200, abs=525)
        assert reading["pressure_pa"] == 100_800


PARTS = {
    "distance": {"type": "jsn-sr04t", "blind_mm": 200, "max_mm": 4500},
    **{role: {} for role in ("temp", "lid", "tilt", "water", "battery")},
}
ECHOES_US = st.one_of(st.just(pings.LOST), st.integers(0, 30_000), st.integers(3_000, 3_300))


@given(
    st.lists(ECHOES_US, min_size=1, max_size=9),
    st.integers(-4_000, 12_500),
    st.integers(0, 3),
    st.integers(2_000, 5_000),
)
def test_a_bin_reading_is_the_one_of_the_firmware(echoes_us, temp_cdeg, blinded, battery_mv):
    """From the same echoes, temperature, switches and cell the firmware's judge makes the same reading."""
    values = {
        "distance": ["no-echo" if us == pings.LOST else us for us in echoes_us],
        "temp": temp_cdeg,
        "battery": battery_mv,
        "lid": blinded == 1,
        "tilt": blinded == 2,
        "water": blinded == 3,
    }
    expected, held_back_mm = bins.judge(PARTS, values, (), 0)
    assert held_back_mm is None
    assert sensing.bin_fields(echoes_us, temp_cdeg, blinded, battery_mv, -60) == expected | {"rssi_dbm": -60}


@given(
    st.one_of(st.none(), st.lists(st.integers(0, 1_100_000), min_size=3, max_size=3).map(sorted)),
    st.tuples(st.integers(-4_000, 12_500), st.integers(0, 10_000), st.integers(30_000, 120_000)),
    st.tuples(st.integers(0, 65_535), st.integers(0, 5_000), st.integers(0, 5_000)),
)
def test_an_air_reading_is_the_one_of_the_firmware(dust, climate, gases):
    """From the same values of the parts, a silent or absurd particle sensor included, the firmware makes the same."""
    values = {"climate": climate, "battery": 4_000, **dict(zip(("voc", "nh3", "h2s"), gases, strict=True))}
    if dust is not None:
        values["pm"] = tuple(dust)
    expected = air.judge({role: {} for role in ("pm", "climate", "voc", "nh3", "h2s")}, values)
    assert sensing.air_fields(dust, [*climate, *gases], 4_000, -60) == expected | {"rssi_dbm": -60}


def test_units_differ_in_mounting_and_age_by_the_parameters():
    """Over one flat floor: mean errors of units spread by the mounting; a year later they moved by the ageing."""
    square, inside = sensors(), truths(0.0, roughness_mm=0.0, soft=0.0)

    def unit_errors_mm(from_s):
        seen = [square.sense(ALL, inside, from_s + 600 * i) for i in range(40)]
        pairs = [[r.get("distance_mm", np.nan) for r in one] for one in seen]
        return np.nanmean(pairs, axis=0) - inside.surface_mm

    new, year = unit_errors_mm(START_S), unit_errors_mm(START_S + 365 * 86_400)
    # mounting 6 mm, beside it 0.5 C of the thermometer at about 0.9 m: 0.9 * 0.6 / 348 * 0.5 = 0.8 mm
    assert new.std() == pytest.approx(sensing.value("mounting_mm"), rel=0.35)
    # 2 mm in 30 days are 24 mm in a year
    assert (year - new).std() == pytest.approx(sensing.value("ageing_mm") * 365 / 30, rel=0.35)


def test_thermometers_of_units_differ():
    """The mean temperature of units spreads by half a degree around the truth."""
    seen = [[r["temp_cdeg"] / 100 for r in sensors().sense(ALL, truths(), START_S + 600 * i)] for i in range(20)]
    means = np.mean(seen, axis=0)
    assert means.std() == pytest.approx(sensing.value("probe_unit_c"), rel=0.4)
    assert means.mean() == pytest.approx(30, abs=0.3)
    assert np.std(seen, axis=0).mean() == pytest.approx(sensing.value("probe_noise_c"), rel=0.3)


def test_signal_stays_around_the_mean_of_the_place():
    """Each node has its own mean between the two ends, and the noise of a reading around it."""
    seen = np.array([[r["rssi_dbm"] for r in sensors().sense(ALL, truths(), START_S + 600 * i)] for i in range(40)])
    assert np.abs(seen.mean(axis=0) - sensing.rssi_of(sensors().names, 1)).max() < 2
    assert seen.mean(axis=0).max() - seen.mean(axis=0).min() > 20
    assert seen.std(axis=0).mean() == pytest.approx(sensing.value("rssi_noise_db"), rel=0.2)


def test_air_stations_have_gains_of_their_own_and_slow_noise():
    """In dry air the means of units differ by up to a tenth; a unit moves slowly: neighbours in time are alike."""
    rows = np.array([[r["pm25_ngm3"] for r in breathed(stations(), AIR._replace(rh_pct=1.0), times=400)]]).reshape(
        400, -1
    )
    means = rows.mean(axis=0) / 16_000
    assert 0.02 < means.std() < 0.1
    assert np.abs(means - 1).max() < 0.2
    relative = rows[:, 0] / rows[:, 0].mean()
    assert relative.std() == pytest.approx(sensing.value("pm_drift"), rel=0.5)
    assert np.corrcoef(relative[1:], relative[:-1])[0, 1] > 0.9
