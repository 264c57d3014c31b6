"""Where dropped items end up: the nearest bin that takes them, and nothing is lost on the way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.bin_truth import Shapes
from simulators.dropping import PARAMETERS, Dropping, Filled
from simulators.heap import volume_l
from simulators.state import NEVER, State
from simulators.visitors import Drops
from simulators.waste import KIND_INDEX, KINDS, NL_PER_L, loose_nl
from tests.unit.simulators.some_square import ground

SHAPES = Shapes.of(ground())
ITEMS = st.lists(
    st.tuples(
        st.integers(0, len(ground().points_m) - 1),
        st.integers(0, len(KINDS) - 1),
        st.one_of(st.integers(1, 400_000), st.integers(1_000_000, 4_000_000)),
    ),
    min_size=1,
    max_size=60,
)


def drops(items) -> Drops:
    point, kind, mass = zip(*items, strict=True)
    return Drops(np.array(point, np.int32), np.array(kind, np.int8), np.array(mass, np.int64))


def clean() -> State:
    return State.clean(0.0, len(ground().bins), len(ground().site.zones))


def dropped(state: State, what: Drops, *, is_dirty: bool = False) -> None:
    loose = loose_nl(state.mass_mg)
    filled = Filled(loose, volume_l(state.ratio_ppb, loose))
    Dropping(ground(), SHAPES).drop(state, what, filled, np.full(len(ground().site.zones), is_dirty))


def fill_l(state: State) -> np.ndarray:
    return volume_l(state.ratio_ppb, loose_nl(state.mass_mg))


def heaped(state: State, *spared: int) -> None:
    """Fill all bins to the top but those that are spared."""
    full = np.rint(Dropping(ground(), SHAPES).heap_l * NL_PER_L).astype(np.int64)
    full[list(spared)] = 0
    state.mass_mg[:, KIND_INDEX["residual"]] = full // 10_000  # 100 g/l: 10,000 nl a milligram


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=4), st.sets(st.integers(0, 47)), st.booleans())
def test_every_item_is_somewhere_once_and_no_bin_overflows_its_heap(minutes, shut, is_full):
    """Whatever comes, each milligram lies in a bin, beside one or on the ground; heaps keep their bound."""
    state = clean()
    state.stolen_min[list(shut)] = 10
    if is_full:
        heaped(state, 3, 7)
    began = state.mass_mg.copy()
    for items in minutes:
        dropped(state, drops(items))
    now = state.mass_mg.sum(axis=0) + state.beside_mg.sum(axis=0) + state.ground_mg.sum(axis=0)
    came = began.sum(axis=0)
    for items in minutes:
        for _, kind, mass in items:
            came[kind] += mass
    assert np.array_equal(now, came)
    assert state.dropped_mg == int(came.sum() - began.sum())
    assert np.all(fill_l(state) <= Dropping(ground(), SHAPES).heap_l + 1e-6)
    assert np.all(state.mass_mg[list(shut)] == began[list(shut)])


def test_an_item_goes_to_the_nearest_bin_or_that_of_its_stream():
    """Each of many items lies in the nearest bin, in one of its stream at most a detour away, or on the ground."""
    rng = np.random.default_rng(2)
    detour_mm = PARAMETERS["sorting_m"].value * 1000
    places = {"nearest": 0, "stream": 0, "ground": 0}
    for _ in range(400):
        point, kind = int(rng.integers(len(ground().points_m))), int(rng.integers(len(KINDS)))
        if ground().near[point, 0] == NEVER:
            continue
        state = clean()
        dropped(state, drops([(point, kind, int(rng.integers(1000, 200_000)))]))
        (into,) = np.nonzero(state.mass_mg.any(axis=1))
        if not into.size:
            places["ground"] += 1
            assert state.ground_mg[ground().zone_of_point[point]].any()
            continue
        seat = int(np.flatnonzero(ground().near[point] == into[0])[0])
        far_mm = int(ground().near_mm[point, seat]) - int(ground().near_mm[point, 0])
        if seat == 0:
            places["nearest"] += 1
        else:
            places["stream"] += 1
            assert ground().bins[into[0]].waste_kind in {KINDS[kind].stream, "mixed"}
            assert far_mm <= detour_mm
    assert places["nearest"] > places["stream"] + places["ground"]
    assert min(places.values()) > 0


def test_the_first_to_come_put_theirs_in():
    """Three bottles and room for two: the first two are in, the third lies beside the nearest bin, none is split."""
    state = clean()
    heaped(state)
    point = int(np.flatnonzero(ground().near[:, 0] != NEVER)[0])
    nearest = int(ground().near[point, 0])
    bottle = (point, KIND_INDEX["residual"], 40_017)  # an item that is neither careless nor sorted by its hash
    assert 160 <= (40_017 * 2_654_435_761 >> 16) % 1000 < 650
    state.mass_mg[nearest, KIND_INDEX["residual"]] -= 2 * 40_017 + 500
    dropped(state, drops([bottle] * 3))
    assert state.beside_mg[nearest, KIND_INDEX["residual"]] == 40_017
    assert state.ground_mg.sum() == 0
    room_l = Dropping(ground(), SHAPES).heap_l[nearest] - fill_l(state)[nearest]
    assert room_l == pytest.approx(500 * 10_000 / NL_PER_L, abs=1e-4)


@pytest.mark.parametrize(("is_dirty", "factor"), [(False, 1.0), (True, PARAMETERS["dirty_careless_factor"].value)])
def test_free_bins_keep_the_ground_clean_but_for_the_careless(is_dirty, factor):
    """With room everywhere the share of the careless lies on the ground, and more where it is dirty already."""
    rng = np.random.default_rng(1)
    reachable = np.flatnonzero(ground().near[:, 0] != NEVER)
    state = clean()
    items = [(int(rng.choice(reachable)), 5, int(mass)) for mass in rng.integers(1000, 50_000, 3000)]
    for i in range(0, 3000, 50):
        dropped(state, drops(items[i : i + 50]), is_dirty=is_dirty)
    assert state.beside_mg.sum() == 0
    share = state.ground_mg.sum() / state.dropped_mg
    assert share == pytest.approx(PARAMETERS["careless_share"].value * factor, abs=0.02)


def test_out_of_reach_of_every_bin_it_stays_where_it_fell():
    """When all bins in reach are gone, the item lies beside the nearest; where none ever was, on the ground."""
    state = clean()
    state.stolen_min[:] = 10
    point = int(np.flatnonzero(ground().near[:, 0] != NEVER)[0])
    dropped(state, drops([(point, 5, 40_017)]))
    assert state.mass_mg.sum() == 0
    assert state.beside_mg[ground().near[point, 0], 5] == 40_017
    far = np.flatnonzero(ground().near[:, 0] == NEVER)
    for spot in far[:5].tolist():
        dropped(state, drops([(spot, 5, 40_017)]))
        assert state.ground_mg[ground().zone_of_point[spot], 5] >= 40_017
