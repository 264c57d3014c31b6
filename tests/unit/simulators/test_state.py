"""The state of a square as JSON: the same back, and a damaged one is refused with one of the documented errors."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.heap import RATIO_UNIT
from simulators.state import NEVER, Smoke, State
from simulators.waste import KINDS

BINS, ZONES = ("bin-1", "bin-2", "bin-3"), ("zona-1", "zona-2")
WRONG = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.lists(st.integers(-5, 5), max_size=4),
    st.lists(st.lists(st.integers(-5, 10**20), max_size=9), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def lived(seed: int = 1) -> State:
    """Return a state in which every number is another one."""
    rng = np.random.default_rng(seed)
    state = State.clean(1_795_500_000.0, len(BINS), len(ZONES))
    for masses in (state.mass_mg, state.beside_mg, state.ground_mg):
        masses[:] = rng.integers(0, 10**7, masses.shape)
    for amounts in (state.water_mg, state.ripe_mg_min, state.overflow_s, state.dirty_s):
        amounts[:] = rng.integers(0, 10**9, amounts.shape)
    state.ratio_ppb[:] = rng.integers(3 * 10**8, 10**9, len(BINS))
    for until in (state.stolen_min, state.moved_min, state.fire_min, state.full_since_min):
        until[:] = rng.choice([NEVER, 29_925_000], len(BINS))
    state.smokes = [Smoke(29_925_010, 12, -170, 15_000)]
    state.collected_mg, state.scavenged_mg, state.burned_mg, state.blown_away_mg = (
        int(number) for number in rng.integers(0, 10**9, 4)
    )
    state.dropped_mg = 10**8
    state.started_mg = sum(state.totals[1:]) - state.dropped_mg
    return state


@given(st.integers(0, 1000))
def test_what_is_saved_comes_back(seed):
    """Through JSON text, every number is the same."""
    snapshot = lived(seed).snapshot(BINS, ZONES)
    fresh = State.clean(0.0, len(BINS), len(ZONES))
    again = State.restored(json.loads(json.dumps(snapshot)), BINS, ZONES, fresh)
    assert again.snapshot(BINS, ZONES) == snapshot
    assert again.totals == lived(seed).totals


def test_what_an_earlier_version_kept_more_is_let_go():
    """A file of one that counted something else, too, is still a square."""
    snapshot = lived().snapshot(BINS, ZONES)
    earlier = snapshot | {"litter_ml_s": [7, 8]}
    again = State.restored(earlier, BINS, ZONES, State.clean(0.0, len(BINS), len(ZONES)))
    assert again.snapshot(BINS, ZONES) == snapshot


@settings(max_examples=400)
@given(st.sampled_from(sorted(lived().snapshot(BINS, ZONES))), WRONG, st.booleans())
def test_a_damaged_snapshot_is_refused_or_balances(name, wrong, is_missing):
    """Whatever stands in one place of the file: one of the three documented errors, or a state that is sound."""
    snapshot = lived().snapshot(BINS, ZONES) | {name: wrong}
    if is_missing:
        del snapshot[name]
    try:
        state = State.restored(snapshot, BINS, ZONES, State.clean(0.0, len(BINS), len(ZONES)))
    except (KeyError, TypeError, ValueError):
        return
    assert state.totals.generated_mg == sum(state.totals[1:])
    assert min(state.mass_mg.min(), state.beside_mg.min(), state.ground_mg.min(), state.water_mg.min()) >= 0
    assert np.isfinite(state.at_s)
    assert 0 < state.ratio_ppb.min() <= state.ratio_ppb.max() <= RATIO_UNIT


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mass_mg", [[-1] * len(KINDS)] * 3),
        ("mass_mg", [[10**30] * len(KINDS)] * 3),
        ("mass_mg", [[0.5] * len(KINDS)] * 3),
        ("water_mg", [1, 2]),
        ("at_s", float("nan")),
        ("collected_mg", float("inf")),
        ("burned_mg", "7"),
        ("smokes", [[1, 2]]),
        ("smokes", [[float("inf"), 1, 2, 3]]),
        ("kinds", []),
        ("bins", ["bin-1"]),
        ("bins", ["bin-1", "bin-1", "bin-3"]),
        ("ratio_ppb", [0, 10**9, 10**9]),
        ("ratio_ppb", [10**9, 10**12, 10**9]),
    ],
)
def test_damage_that_would_live_on_is_refused(name, wrong):
    """Negative, huge, broken, short: never taken over."""
    snapshot = lived().snapshot(BINS, ZONES) | {name: wrong}
    with pytest.raises((KeyError, TypeError, ValueError)):
        State.restored(snapshot, BINS, ZONES, State.clean(0.0, len(BINS), len(ZONES)))


def test_another_plan_takes_what_it_knows():
    """A bin that is gone takes its waste along, a new one is as it was fresh, order does not matter; it balances."""
    snapshot = lived().snapshot(BINS, ZONES)
    bins, zones = ("bin-new", "bin-3", "bin-1"), ("zona-2",)
    fresh = State.clean(0.0, 3, 1)
    fresh.mass_mg[0] = 7
    state = State.restored(snapshot, bins, zones, fresh)
    assert state.mass_mg.tolist() == [[7] * len(KINDS), snapshot["mass_mg"][2], snapshot["mass_mg"][0]]
    assert state.ground_mg.tolist() == [snapshot["ground_mg"][1]]
    assert state.totals.generated_mg == sum(state.totals[1:])
