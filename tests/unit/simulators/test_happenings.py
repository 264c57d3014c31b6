"""What mishaps, fire and wind do: each moves waste where it says, and loses none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.bin_truth import Shapes
from simulators.happenings import Event, Happenings, burnable_mg, keep_age, rotting_mg
from simulators.mishaps import PARAMETERS, Mishap
from simulators.scenario_sections import MISHAPS
from simulators.state import NEVER, State
from simulators.waste import KIND_INDEX, NL_PER_L, first_masses_mg
from simulators.weather import Air
from tests.unit.simulators.some_square import ground

SHAPES = Shapes.of(ground())
AT_S = 1_795_500_000.0
MINUTE = int(AT_S // 60)
BOTTLE, FOOD, WRAP = (KIND_INDEX[name] for name in ("bottle", "food", "wrap"))


def filled() -> State:
    """Return a square with 50 l of usual waste in each bin, 1 l beside each, 5 l in each zone."""
    state = State.clean(AT_S, len(ground().bins), len(ground().site.zones))
    state.mass_mg[:] = first_masses_mg(np.array([50 * NL_PER_L]))
    state.beside_mg[:] = first_masses_mg(np.array([NL_PER_L]))
    state.ground_mg[:] = first_masses_mg(np.array([5 * NL_PER_L]))
    state.started_mg = sum(state.totals[1:])
    return state


def balance(state: State) -> int:
    return state.totals.generated_mg - sum(state.totals[1:])


HAPPENINGS = Happenings(ground(), SHAPES)
AIR = Air(28.0, 70.0, 2.0, 90.0, 0.0, 0.5)  # wind from the east


def happen(state: State, kind: str, bin_id: str = "", chooses: float = 0.5, *, is_planned: bool = False) -> list[Event]:
    return HAPPENINGS.apply(state, [Mishap(AT_S, kind, bin_id, chooses, is_planned)], AIR)


ALL_BINS = [b.id for b in ground().bins]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(MISHAPS), st.sampled_from(["", *ALL_BINS]), st.floats(0, 0.999)), max_size=12),
    st.lists(st.tuples(st.floats(0.2, 25), st.floats(0, 359), st.sampled_from([0.0, 0.0, 9.0])), max_size=12),
)
def test_nothing_that_happens_loses_waste(happening, winds):
    """After any mishaps, fires and winds the balance is exact, kind by kind no mass is negative."""
    state = filled()
    for kind, bin_id, chooses in happening:
        happen(state, kind, bin_id, chooses)
        assert balance(state) == 0
    for i, (wind, wind_from, rain) in enumerate(winds):
        HAPPENINGS.burn(state, MINUTE + i, rain)
        assert balance(state) == 0
        HAPPENINGS.blow(state, Air(28, 70, wind, wind_from, rain, 0.5))
        assert balance(state) == 0
    HAPPENINGS.recover(state, MINUTE + 100_000)
    for masses in (state.mass_mg, state.beside_mg, state.ground_mg):
        assert masses.min() >= 0
    assert not state.smokes
    assert (state.stolen_min == NEVER).all()
    assert (state.tipped_min == NEVER).all()


def test_a_waste_picker_takes_what_can_be_sold_and_nothing_else():
    """Bottles leave about nine bins, the nearest to the first; leftovers stay; what was taken is told in litres."""
    state = filled()
    (event,) = happen(state, "scavenged", "bin-010")
    touched = np.flatnonzero(state.mass_mg[:, BOTTLE] < filled().mass_mg[0, BOTTLE])
    assert touched.size == PARAMETERS["bins_searched"].value
    assert 9 in touched
    assert np.array_equal(state.mass_mg[:, FOOD], filled().mass_mg[:, FOOD])
    assert state.scavenged_mg == sum(filled().totals[1:3]) - sum(state.totals[1:3])
    # Bottles, cans and cups are half of the usual volume, most of which goes: some 15 to 25 of each 51 l.
    assert 9 * 15 < event.amount_l < 9 * 25


def test_a_tipped_bin_lies_beside_its_waste_until_somebody_stands_it_up():
    """What was in it is beside it, it takes nothing meanwhile, and after its time it stands again."""
    state = filled()
    (event,) = happen(state, "tipped", "bin-004")
    assert state.mass_mg[3].sum() == 0
    assert state.beside_mg[3].sum() == filled().mass_mg[3].sum() + filled().beside_mg[3].sum()
    assert event.amount_l == pytest.approx(50, abs=0.01)
    until = MINUTE + round(PARAMETERS["tipped_h"].value * 60)
    assert HAPPENINGS.recover(state, until - 1) == []
    assert state.tipped_min[3] == until
    (back,) = HAPPENINGS.recover(state, until)
    assert (back.kind, back.target) == ("returned", "bin-004")
    assert state.tipped_min[3] == NEVER


def test_a_stolen_bin_is_away_and_cannot_be_stolen_again():
    """Its waste lies on the ground; the next mishap that names it is nothing, and a drawn one finds another bin."""
    state = filled()
    happen(state, "bin-theft", "bin-001")
    assert state.mass_mg[0].sum() == 0
    assert happen(state, "tipped", "bin-001") == []
    (event,) = happen(state, "moved", chooses=0.0)
    assert event.target == "bin-002"
    assert happen(state, "tipped", "bin-nowhere") == []


def test_a_fire_takes_what_burns_and_rain_puts_it_out():
    """Minute by minute less can burn and more is burnt; leftovers hardly change; rain or time ends it."""
    state = filled()
    happen(state, "fire", "bin-002")
    before = burnable_mg(state.mass_mg)[1]
    for i in range(10):
        assert HAPPENINGS.burn(state, MINUTE + i, 0.0) == []
    after = burnable_mg(state.mass_mg)[1]
    assert 0.25 < after / before < 0.55  # 0.91^10 = 0.39 where all of a kind burns
    assert state.burned_mg > 0
    assert state.mass_mg[1, FOOD] > 0.8 * filled().mass_mg[1, FOOD]
    (event,) = HAPPENINGS.burn(state, MINUTE + 10, 20.0)
    assert (event.kind, event.target) == ("fire-out", "bin-002")
    assert HAPPENINGS.burn(state, MINUTE + 11, 0.0) == []
    happen(state, "fire", "bin-003")
    ends = [i for i in range(60) if HAPPENINGS.burn(state, MINUTE + i, 0.0)]
    assert ends == [round(PARAMETERS["fire_min"].value)]


def test_what_is_taken_was_as_old_as_what_stays():
    """Waste pickers and fires take of what rots without making the rest older."""
    state = filled()
    state.mass_mg[:, FOOD] = 0
    state.ripe_mg_min[:] = rotting_mg(state.mass_mg) * 600
    happen(state, "fire", "bin-010")
    for i in range(5):
        happen(state, "scavenged", "bin-010")
        HAPPENINGS.burn(state, MINUTE + i, 0.0)
    age_min = state.ripe_mg_min / rotting_mg(state.mass_mg)
    assert (rotting_mg(state.mass_mg) < rotting_mg(filled().mass_mg) * 0.9).sum() >= 9
    assert age_min == pytest.approx(np.full(len(age_min), 600.0), rel=1e-3)


def test_a_fire_needs_fuel():
    """In a square of empty bins none begins."""
    state = State.clean(AT_S, len(ground().bins), len(ground().site.zones))
    assert happen(state, "fire") == []


def test_wind_moves_light_litter_down_the_wind_and_off_the_square():
    """A gale moves wraps more than bottles and no leftovers; some leaves the square; a breeze or rain moves none."""
    for quiet in (Air(28, 70, 3.0, 0, 0.0, 0.5), Air(28, 70, 20.0, 0, 5.0, 0.5)):
        state = filled()
        HAPPENINGS.blow(state, quiet)
        assert state.snapshot([], []) == filled().snapshot([], [])
    state = filled()
    (event,) = HAPPENINGS.blow(state, Air(28, 70, 15.0, 180.0, 0.0, 0.5))
    assert (event.kind, state.blown_away_mg > 0) == ("blown-away", True)
    began, left = (s.ground_mg.sum(axis=0) + s.beside_mg.sum(axis=0) for s in (filled(), state))
    assert left[FOOD] == began[FOOD]
    assert left[WRAP] / began[WRAP] < left[BOTTLE] / began[BOTTLE] < 1
    ids = [zone.id for zone in ground().site.zones]
    north, south = ids.index("zona-granit-utara"), ids.index("zona-selatan")
    assert state.ground_mg[north, WRAP] > filled().ground_mg[north, WRAP]  # comes from the zones south of it
    assert state.ground_mg[south, WRAP] < filled().ground_mg[south, WRAP]  # nothing lies south of the street


def test_smoke_near_by_ends_with_its_time():
    """Open burning lies at its distance, in the direction of its number, for its time."""
    state = filled()
    happen(state, "burning", chooses=0.25)
    (smoke,) = state.smokes
    assert (smoke.x_m, smoke.y_m) == (round(PARAMETERS["burning_distance_m"].value), 0)
    HAPPENINGS.recover(state, smoke.until_min - 1)
    assert state.smokes == [smoke]
    HAPPENINGS.recover(state, smoke.until_min)
    assert state.smokes == []


def test_an_ordered_fire_near_by_lies_up_the_wind():
    """With wind from the east it lies in the east, a little aside, whatever its number."""
    state = filled()
    for chooses in (0.0, 0.3, 0.999):
        happen(state, "burning", chooses=chooses, is_planned=True)
    far, aside = PARAMETERS["burning_distance_m"].value, np.radians(PARAMETERS["burning_aside_deg"].value)
    assert all(smoke.x_m >= far * np.cos(aside) - 1 for smoke in state.smokes)
    assert state.smokes[0].y_m > 0 > state.smokes[2].y_m


def test_what_rots_is_leftovers_first():
    """A kilogram of leftovers rots as a kilogram, of bottles as nothing."""
    masses = np.zeros((2, len(KIND_INDEX)), dtype=np.int64)
    masses[0, FOOD] = masses[1, BOTTLE] = 10**6
    assert rotting_mg(masses).tolist() == [10**6, 0]


@given(st.integers(1, 8 * 10**9), st.integers(0, 8 * 10**9), st.integers(0, 400 * 1440))
def test_what_is_left_keeps_its_age(before_mg, after_mg, age_min):
    """Whatever is taken from bins up to 20,000 l that have lain up to 400 days, the rest is as old as it was."""
    after_mg = min(after_mg, before_mg)
    state = filled()
    state.mass_mg[0] = 0
    state.mass_mg[0, FOOD] = after_mg
    state.ripe_mg_min[0] = before_mg * age_min
    keep_age(state, 0, before_mg)
    assert int(state.ripe_mg_min[0]) == before_mg * age_min * after_mg // before_mg == age_min * after_mg
