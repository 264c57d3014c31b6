"""The true state of a square: nothing lost at any step, reproducible however it is cut, saved or restarted."""

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.dropping import PARAMETERS as DROPPING
from simulators.ground import Ground
from simulators.mishaps import Mishaps
from simulators.model import SLOW_MIN, TICK_S, SquareModel
from simulators.scenario_sections import MISHAPS, MishapRates, PlannedMishap, Storm, Visits, WeatherOverrides
from simulators.visitors import Crowd
from simulators.weather import Weather
from square.geometry import distance_mm_of
from square.occasions import Occasions
from square.site import Site
from tests.unit.simulators.some_square import START_S, crowd, ground, mishaps, model, shipped, weather

BUSY = 40.0
"""Times an ordinary day: bins of the shipped square overflow within hours."""
HEAP_PCT = DROPPING["heap_pct"].value
MINUTES = st.integers(0, 90)
ACTIONS = st.tuples(MINUTES, st.sampled_from(["empty", "sweep", "save"]), st.integers(0, 47))
HAPPENING = st.tuples(MINUTES, st.sampled_from(MISHAPS), st.sampled_from(["", "bin-001", "bin-020"]))


def balance(square: SquareModel) -> int:
    return square.totals.generated_mg - sum(square.totals[1:])


def act(square: SquareModel, action: str, number: int) -> None:
    if action == "empty":
        square.empty(square.bins[number])
    elif action == "sweep":
        square.sweep(square.zones[number % len(square.zones)])
    else:
        square.restore(json.loads(json.dumps(square.snapshot())))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 3),
    fill=st.tuples(st.floats(0, 60), st.floats(60, 112)),
    actions=st.lists(ACTIONS, max_size=8),
    happening=st.lists(HAPPENING, max_size=8),
    gale=st.booleans(),
)
def test_waste_is_conserved_at_every_step(seed, fill, actions, happening, gale):
    """Generated = in bins + on ground + collected + scavenged + burned + blown away, after every tick and every act.

    Whatever happens: crowds, theft, fire, tipping, scavengers, gales, emptying, sweeping, saving. Bins stay bounded.
    """
    planned = tuple(PlannedMishap(START_S + 60 * m + 7, kind, bin_id) for m, kind, bin_id in happening)
    storm = (Storm(START_S - 3600, START_S + 3 * 3600, 0.0, 24.0),) if gale else ()
    air = WeatherOverrides(is_dry=gale, storms=storm)
    square = model(*planned, seed=seed, factor=BUSY, fill=fill, overrides=air)
    assert balance(square) == 0
    for minute in range(90):
        square.advance(START_S + (minute + 1) * TICK_S)
        assert balance(square) == 0
        for _, action, number in (one for one in actions if one[0] == minute):
            act(square, action, number)
            assert balance(square) == 0
        assert square.fill_pct.min() >= 0
        assert square.fill_pct.max() <= HEAP_PCT + 1e-6
        assert square.litter_l.min() >= 0
    assert square.totals.generated_mg > 0


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2), st.lists(st.integers(0, 6 * 3600), max_size=20), st.lists(ACTIONS, max_size=5))
def test_result_does_not_depend_on_how_calls_are_cut(seed, cuts, actions):
    """Advancing in many odd steps, with saves between, equals advancing at once; crews act at the same moments."""
    acts = sorted((60 * m, action, number) for m, action, number in actions if action != "save")
    at_once, in_steps = (model(seed=seed, fill=(20, 90)) for _ in range(2))
    for seconds, action, number in acts:
        at_once.advance(START_S + seconds)
        act(at_once, action, number)
    at_once.advance(START_S + 6 * 3600)
    for seconds, action, number in sorted([*acts, *((cut, "save", 0) for cut in cuts)], key=lambda one: one[0]):
        in_steps.advance(START_S + seconds)
        act(in_steps, action, number)
    in_steps.advance(START_S + 6 * 3600)
    assert in_steps.snapshot() == at_once.snapshot()


def test_same_seed_gives_the_same_square_and_another_does_not():
    """Two runs with one seed agree in every bit of state; another seed is another square."""
    runs = [model(seed=s, fill=(5, 75)) for s in (7, 7, 8)]
    for run in runs:
        run.advance(START_S + 1800)
    first, second, other = (run.snapshot() for run in runs)
    assert first == second
    assert first["mass_mg"] != other["mass_mg"]


def test_a_restart_with_everything_new_goes_on_exactly():
    """Saved through JSON into another process' objects (crowd, weather, mishaps built anew): the same end."""

    def fresh(fill: tuple[float, float]) -> SquareModel:
        site = shipped()
        air = Weather(3, zone=site.zone_info)
        people = Crowd(Ground.of(site), seed=3, occasions=Occasions({}), visits=Visits(BUSY), rain_mmph=air.rain_mmph)
        drawn = Mishaps(MishapRates(scavengers_per_day=200.0, tipped_per_day=100.0), seed=3, zone=site.zone_info)
        return SquareModel(Ground.of(site), people, air, drawn, seed=3, start_s=START_S, initial_fill_pct=fill)

    straight, saved = fresh((5, 75)), fresh((5, 75))
    straight.advance(START_S + 3 * 3600)
    saved.advance(START_S + 4321)
    text = json.dumps(saved.snapshot())
    resumed = fresh((0, 0))
    resumed.restore(json.loads(text))
    resumed.advance(START_S + 3 * 3600)
    assert resumed.snapshot() == straight.snapshot()
    assert resumed.totals.scavenged_mg > 0


def test_demand_does_not_depend_on_what_crews_do():
    """Common random numbers: two squares with different crews see the same waste come."""
    idle, busy = (model(factor=BUSY, fill=(50, 112)) for _ in range(2))
    for step in range(1, 13):
        for square in (idle, busy):
            square.advance(START_S + step * 600)
        busy.empty(busy.bins[step])
        busy.sweep(busy.zones[step])
    assert busy.totals.generated_mg == idle.totals.generated_mg
    assert busy.totals.collected_mg > 0
    assert idle.totals.collected_mg == 0


def test_first_fill_is_in_its_range_and_counts_as_generated():
    """Every bin begins in the range that was asked for, and what is in it was generated."""
    square = model(fill=(40, 60))
    assert square.fill_pct.min() >= 40 - 0.01
    assert square.fill_pct.max() <= 60 + 0.01
    assert np.ptp(square.fill_pct) > 5
    assert square.totals.generated_mg == square.totals.in_bins_mg > 0
    assert model().fill_pct.max() == 0


def test_emptying_gives_back_what_was_in_the_bin():
    """The litres that an emptying returns equal the fill before and what lay beside; the bin is empty after."""
    square = model(fill=(50, 50))
    assert square.empty("bin-002") == pytest.approx(shipped().bin("bin-002").volume_l / 2, abs=0.01)
    assert square.fill_of("bin-002") == 0.0
    assert square.empty("bin-002") == 0.0
    event = square.take_events()[0]
    assert (event.kind, event.target, event.at_s) == ("emptied", "bin-002", START_S)
    assert square.take_events()[1:] == []
    with pytest.raises(KeyError):
        square.empty("bin-nowhere")
    with pytest.raises(KeyError):
        square.sweep("zona-nowhere")


def test_full_bins_send_waste_to_the_ground_and_crews_take_it():
    """A crowd on piled-up bins leaves litter beside them; emptying takes what lies there, sweeping the rest."""
    square = model(factor=BUSY, fill=(112, 112))
    square.advance(START_S + 1800)
    assert square.totals.on_ground_mg > 0.5 * (square.totals.generated_mg - model(fill=(112, 112)).totals.in_bins_mg)
    littered = square.litter_l.sum()
    for asset_id in square.bins:
        square.empty(asset_id)
    assert 0 < square.litter_l.sum() < 0.6 * littered
    swept = sum(square.sweep(zone_id) for zone_id in square.zones)
    assert swept > 0
    assert square.litter_l.sum() == 0
    assert square.totals.on_ground_mg == square.totals.in_bins_mg == 0
    assert square.totals.collected_mg + square.totals.blown_away_mg == square.totals.generated_mg


def test_a_day_fills_the_square():
    """From empty bins, an ordinary day brings hundreds of litres, most of it into bins."""
    square = model()
    square.advance(START_S + 86_400)
    volumes = np.array([b.volume_l for b in ground().bins])
    in_bins_l = (square.fill_pct / 100 * volumes).sum()
    assert 300 < in_bins_l < 6000
    assert square.litter_l.sum() < 0.3 * in_bins_l


def test_waste_settles_when_nobody_comes():
    """At rest no bin rises, well filled ones sink in the first hours, and they come to rest."""
    square = model(factor=0.0, fill=(60, 110))
    fills = [square.fill_pct]
    for hour in range(1, 25):
        square.advance(START_S + hour * 3600)
        fills.append(square.fill_pct)
    assert all(np.all(later <= before + 1e-9) for before, later in itertools.pairwise(fills))
    assert np.all(fills[6] < fills[0])
    assert np.all(fills[0] - fills[24] < 0.5 * fills[0])
    assert np.all(fills[22] - fills[24] < 0.2)


def test_a_full_bin_is_pressed_only_where_somebody_comes():
    """Nobody there: a heap above the rim sinks like one below it, by its weight alone. A crowd presses it down."""
    quiet = [model(factor=0.0, fill=(fill, fill)) for fill in (95, 108)]
    before = [square.fill_pct for square in quiet]
    for square in quiet:
        square.advance(START_S + 3600)
    below, above = (square.fill_pct / was for square, was in zip(quiet, before, strict=True))
    assert np.all(above < below + 1e-9)
    assert np.all(above > below - 0.005)
    crowded = model(factor=BUSY, fill=(108, 108))
    crowded.advance(START_S + 3600)
    visited = np.unique(ground().near[crowd(5, BUSY).drops(int(START_S // 60)).point, 0])
    ratio = [np.array(square.snapshot()["ratio_ppb"])[visited] / 1e9 for square in (crowded, quiet[1])]
    assert np.median(ratio[1] - ratio[0]) > 0.02


def test_no_rain_falls_into_a_bin_that_is_away():
    """After a storm a stolen bin and one that lay on its side are dry when they come back; the others are wet."""
    storm = WeatherOverrides(is_dry=True, storms=(Storm(START_S, START_S + 3600, 80.0, 2.0),))
    planned = (PlannedMishap(START_S, "bin-theft", "bin-001"), PlannedMishap(START_S, "tipped", "bin-002"))
    square = model(*planned, factor=0.0, overrides=storm)
    square.advance(START_S + 3600)
    water_mm = square.bin_truths().water_mm
    assert water_mm[0] == water_mm[1] == 0
    assert water_mm[2:].min() > 0.5


def test_water_leaks_away_at_night():
    """Rain that stands on a floor is less an hour later, without sun; never below nothing."""
    evening_s = START_S + 6 * 3600
    storm = WeatherOverrides(is_dry=True, storms=(Storm(evening_s, evening_s + 3600, 120.0, 2.0),))
    square = model(factor=0.0, start_s=evening_s, overrides=storm)
    square.advance(evening_s + 3600)
    wet = square.bin_truths().water_mm
    square.advance(evening_s + 2 * 3600)
    assert np.all(square.bin_truths().water_mm < 0.5 * wet)
    assert square.bin_truths().water_mm.min() >= 0


def test_a_bin_without_blind_zone_heaped_to_the_sensor():
    """The format allows a sensor at the rim: waste above it is at the sensor, not behind it."""
    site = shipped()
    low = on(replace(site, bins=(replace(site.bins[0], full_mm=0, empty_mm=500),)), fill=(110, 110))
    assert low.fill_pct[0] > 109
    assert low.bin_truths().surface_mm[0] == 0


def test_what_rots_gives_off_little_whatever_burns():
    """Fire makes no ammonia: a burning bin smells no more than before, and no container smells less than nothing."""
    for volume_l in (240.0, 20_000.0):  # in two days the larger one has more mg squared times minutes than 64 bits hold
        site = shipped()
        bins = tuple(replace(b, volume_l=volume_l) for b in site.bins[:2])
        fire = PlannedMishap(START_S + 2 * 86_400, "fire", "bin-001")
        quiet = Visits(per_day_factor=0.0)
        square = on(replace(site, bins=bins), fire, visits=quiet, fill=(100, 100))
        square.advance(START_S + 2 * 86_400)
        before = square.bin_truth(0).odour
        square.advance(START_S + 2 * 86_400 + 600)
        assert square.bin_truth(0).burning
        assert 0 < square.bin_truth(0).odour < before
        assert square.air_truth(*bins[0].lonlat, square.at_s).nh3_ppb > 0


def test_rain_wets_waste_and_stands_in_empty_bins():
    """In a storm bins get wet: heaps sink faster, empty bins show water, most with the lid up; waste is the same."""
    storm = WeatherOverrides(is_dry=True, storms=(Storm(START_S, START_S + 4 * 3600, 80.0, 2.0),))
    lid = PlannedMishap(START_S + 3600, "lid-open", "bin-006")
    wet, dry = (model(lid, factor=0.0, fill=(60, 60), overrides=w) for w in (storm, WeatherOverrides(is_dry=True)))
    for square in (wet, dry):
        square.empty("bin-005")
        square.empty("bin-006")
        square.advance(START_S + 3 * 3600)
    closed, open_ = (wet.bin_truth(wet.index[name]) for name in ("bin-005", "bin-006"))
    assert not closed.lid_open
    assert open_.lid_open
    assert 1.0 < closed.water_mm < open_.water_mm / 2
    assert dry.bin_truths().water_mm.max() == 0.0
    soaked = [i for i in range(len(wet.bins)) if wet.bins[i] not in {"bin-005", "bin-006"}]
    assert np.all(wet.fill_pct[soaked] < dry.fill_pct[soaked])
    assert wet.totals == dry.totals


def test_time_of_overflow_and_dirt_is_counted():
    """A bin at its rim counts 60 s a minute, one below none; full_since is when it came to full; a sweep ends dirt."""
    square = model(factor=BUSY, fill=(112, 112))
    square.advance(START_S + 60)
    assert np.all(square.overflow_s == 60)
    assert np.all(square.full_since_s == START_S + 60)
    square.empty("bin-001")
    square.advance(START_S + 120)
    assert square.overflow_s[square.index["bin-001"]] == 60
    assert np.isnan(square.full_since_s[square.index["bin-001"]])
    assert square.full_since_s[square.index["bin-002"]] == START_S + 60
    square.advance(START_S + 7200)
    dirty = int((square.litter_l / square.dirty_l).argmax())
    assert 0 < square.dirty_zone_s[dirty] < 7200
    before = square.dirty_zone_s[dirty]
    square.sweep(square.zones[dirty])
    square.advance(START_S + 7260)
    assert square.dirty_zone_s[dirty] == before


def test_a_bin_that_settles_below_full_is_not_full_any_more():
    """Full since is told for as long as it is full: a heap that sinks below it by itself ends it, without a crew."""
    square = model(factor=0.0, fill=(86, 86))
    square.advance(START_S + 60)
    assert np.all(square.full_since_s == START_S + 60)
    square.advance(START_S + 12 * 3600)
    assert np.all(square.fill_pct < 85)
    assert np.all(np.isnan(square.full_since_s))


def test_rebase_moves_time_without_waste():
    """Setting the clock changes the moment and what is due at one, and nothing else."""
    square = model(PlannedMishap(START_S + 1, "tipped", "bin-001"), fill=(10, 20))
    square.advance(START_S + 60)
    before, due = square.totals, square.snapshot()["tipped_min"][0]
    square.rebase(START_S - 1e6)
    assert square.totals == before
    assert square.at_s == START_S - 1e6
    assert square.snapshot()["tipped_min"][0] == due - round((1e6 + 60) / 60)
    full = model(factor=0.0, fill=(110, 110))
    full.advance(START_S + 60)
    full.rebase(START_S + 86_400)
    assert np.all(full.full_since_s == START_S + 86_400)


def test_the_past_changes_nothing():
    """Advancing to a moment before, or less than a tick ahead, is nothing."""
    square = model(fill=(10, 20))
    before = square.snapshot()
    square.advance(START_S - 5000)
    square.advance(START_S + TICK_S - 0.001)
    assert square.snapshot() == before


def test_restore_survives_a_changed_site():
    """A bin that vanished from the site leaves the balance intact, a new one keeps its first fill."""
    before = model(fill=(40, 60))
    before.advance(START_S + 600)
    site = shipped()
    bins = (*site.bins[1:], replace(site.bins[0], id="bin-new"))
    zones = (*site.zones, replace(site.zones[0], id="zona-new"))
    changed = on(replace(site, bins=bins, zones=zones))
    changed.restore(before.snapshot())
    assert balance(changed) == 0
    assert changed.fill_of("bin-002") == before.fill_of("bin-002")
    assert changed.fill_of("bin-new") == 0.0
    changed.advance(START_S + 1200)
    assert balance(changed) == 0


def on(
    site: Site, *planned: PlannedMishap, visits: Visits | None = None, fill: tuple[float, float] = (0.0, 0.0)
) -> SquareModel:
    here = Ground.of(site)
    air = weather(5)
    people = Crowd(here, seed=5, occasions=Occasions({}), visits=visits or Visits(), rain_mmph=air.rain_mmph)
    return SquareModel(here, people, air, mishaps(*planned), seed=5, start_s=START_S, initial_fill_pct=fill)


def test_no_bins_means_everything_on_the_ground():
    """A site without bins is legal: all waste is on the ground, and nothing else fails."""
    square = on(replace(shipped(), bins=()))
    square.advance(START_S + 3600)
    totals = square.totals
    assert totals.generated_mg == totals.on_ground_mg + totals.blown_away_mg > 0
    assert square.bin_truths().fill_pct.size == 0
    assert square.air_truth(*shipped().centre, START_S).pm25_ugm3 > 0


@pytest.mark.parametrize("damage", ["kinds", "mass_mg", "at_s", "smokes"])
def test_a_damaged_snapshot_is_refused_and_leaves_the_square_alone(damage):
    """A missing or wrong part raises one of the documented errors; the state stays what it was."""
    square = model(fill=(10, 20))
    before = square.snapshot()
    for wrong in ({damage: "x"}, None):
        broken = dict(before) | (wrong or {})
        if wrong is None:
            del broken[damage]
        with pytest.raises((KeyError, TypeError, ValueError)):
            square.restore(broken)
        assert square.snapshot() == before


def test_sensors_find_the_truth():
    """Distances follow the fill, an empty bin is smooth and hard, old waste in the heat smells, fire is hot."""
    square = model(PlannedMishap(START_S + 30 * 60, "fire", "bin-003"), factor=0.0, fill=(60, 60))
    square.empty("bin-001")
    square.advance(START_S + SLOW_MIN * 60)
    truths = square.bin_truths()
    for i, asset in enumerate(ground().bins):
        assert truths.surface_mm[i] == pytest.approx(distance_mm_of(asset, truths.fill_pct[i]))
        assert square.bin_truth(i).surface_mm == truths.surface_mm[i]
    assert truths.surface_mm[0] == shipped().bin("bin-001").empty_mm
    assert truths.roughness_mm[0] < truths.roughness_mm[1]
    assert truths.soft[0] < truths.soft[1] < 1
    assert truths.odour[0] == 0 < truths.odour[1]
    square.advance(START_S + 40 * 60)
    burning = square.bin_truth(square.index["bin-003"])
    assert burning.burning
    assert burning.inside_c > square.bin_truth(0).inside_c + 100
    assert square.bin_truth(0).odour == 0
    assert square.bin_truth(1).odour > truths.odour[1]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("tipped", "tilted_deg", 90),
        ("moved", "moved", True),
        ("lid-open", "lid_open", True),
        ("sensor-theft", "stolen", True),
    ],
)
def test_sensors_find_mishaps_until_somebody_came(kind, field, value):
    """Each mishap shows in its field of its bin, and after an emptying it is as it should be; theft lasts."""
    square = model(PlannedMishap(START_S + 10, kind, "bin-009"), fill=(30, 30))
    square.advance(START_S + 120)
    i = square.index["bin-009"]
    assert getattr(square.bin_truth(i), field) == value
    assert not getattr(square.bin_truth(i + 1), field)
    square.empty("bin-009")
    assert bool(getattr(square.bin_truth(i), field)) == (kind == "sensor-theft")


def test_smoke_reaches_stations_down_the_wind():
    """With a bin on fire some station sees more fine dust than without, and none sees less."""
    burning = model(PlannedMishap(START_S + 10, "fire", "bin-020"), fill=(80, 80))
    calm = model(fill=(80, 80))
    for square in (burning, calm):
        square.advance(START_S + 300)
    places = [(b.lon, b.lat) for b in ground().bins]
    more = [
        burning.air_truth(*place, START_S + 300).pm25_ugm3 - calm.air_truth(*place, START_S + 300).pm25_ugm3
        for place in places
    ]
    assert min(more) >= 0
    assert max(more) > 5


def eventful_digest() -> str:
    """Return a digest of a square after six eventful hours: crowd, storm, gale, every kind of mishap, crews."""
    everything = tuple(
        PlannedMishap(START_S + 600 * i + 5, kind, f"bin-{i + 1:03d}") for i, kind in enumerate((*MISHAPS, *MISHAPS))
    )
    storms = (
        Storm(START_S + 3600, START_S + 7200, 60.0, 9.0),
        Storm(START_S + 9000, START_S + 18_000, 0.0, 20.0),
    )
    square = model(*everything, factor=BUSY, fill=(5, 75), overrides=WeatherOverrides(storms=storms))
    for hour in range(1, 7):
        square.advance(START_S + hour * 3600)
        square.empty(square.bins[hour])
        square.sweep(square.zones[hour])
    seen = [
        [round(number, 6) for number in square.air_truth(*place.lonlat, square.at_s)] for place in ground().bins[:5]
    ]
    assert all((square.totals.scavenged_mg, square.totals.burned_mg, square.totals.blown_away_mg))
    return hashlib.sha256(json.dumps([square.snapshot(), seen]).encode()).hexdigest()


def test_the_arithmetic_of_another_processor_gives_the_same_square():
    """Without the vector units that numpy chooses by processor, the state is the same to the last digit."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as units

    program = "from tests.unit.simulators.test_model import eventful_digest; print(eventful_digest())"
    plain = subprocess.run(
        [sys.executable, "-c", program],
        env={"NPY_DISABLE_CPU_FEATURES": " ".join(units), "PYTHONPATH": ":".join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert plain.strip() == eventful_digest()
