"""How many crews, how many bins: ranges, squares of another size, answers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.contest.errors import SweepError
from simulators.contest.stage import Stage
from simulators.contest.sweep import MOST_VALUES, bins_by_use, parse_plan, play_sweep
from simulators.contest.variants import side_by_side, with_bins, with_crews
from tests.unit.simulators.contest.stages import stage

DAYS = 3 / 24


def test_ranges_are_read():
    """All values of a short range, ends included; a step is kept; a number alone is one value."""
    assert parse_plan("crews=6..14 bins=48") == {"crews": [6, 7, 8, 9, 10, 11, 12, 13, 14], "bins": [48]}
    assert parse_plan("bins=40..70..15,crews=6..7") == {"bins": [40, 55, 70], "crews": [6, 7]}


@given(st.integers(1, 500), st.integers(0, 500))
def test_a_long_range_is_thinned_and_keeps_its_ends(low, width):
    """Never more than nine values, rising, first and last as written."""
    values = parse_plan(f"bins={low}..{low + width}")["bins"]
    assert len(values) <= MOST_VALUES
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (low, low + width)


@pytest.mark.parametrize(
    "text", ["", "crew=6..8", "crews=8..6", "crews=0..3", "crews=6..8..0", "crews=1 crews=2", "6..14"]
)
def test_other_words_are_refused(text):
    """Each with what is wrong."""
    with pytest.raises(SweepError):
        parse_plan(text)


def test_crews_are_spread_over_shifts_and_keep_their_names():
    """Six are those of the plan; the seventh comes in the evening; fewer than the plan takes the last ones away."""
    site = stage().site
    assert with_crews(site, 6).crews == site.crews
    assert Counter(crew.shift for crew in with_crews(site, 8).crews) == {"pagi": 2, "siang": 3, "malam": 3}
    assert set(site.crews) < set(with_crews(site, 7).crews)
    assert [crew.id for crew in with_crews(site, 3).crews] == ["pagi-1", "siang-1", "malam-1"]


def test_bins_are_taken_where_they_are_used_least_and_added_where_most():
    """The least used go with their devices; twins stand beside the most used, with a node of their own."""
    base = stage()
    by_use = bins_by_use(base, 1, DAYS)
    assert sorted(by_use) == sorted(base.square.volumes_l)
    fewer = Stage.of(base.scenario, with_bins(base.site, 40, by_use))
    assert set(fewer.square.volumes_l) == set(by_use[:40])
    assert {d.asset for d in fewer.site.devices if d.kind == "bin"} - {None} == set(by_use[:40])
    more = Stage.of(base.scenario, with_bins(base.site, 50, by_use))
    twin = f"{by_use[0]}-plus-1"
    assert set(more.square.volumes_l) - set(base.square.volumes_l) == {twin, f"{by_use[1]}-plus-1"}
    assert more.square.asset(twin).device_id is not None
    assert more.site.frame.distance_m(more.site.bin(twin).lonlat, base.site.bin(by_use[0]).lonlat) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="at least one"):
        with_bins(base.site, 0, by_use)


def test_the_answer_is_the_smallest_number_that_keeps_the_aim():
    """More crews overflow less; the answer follows the aim; None when nothing tried is enough."""
    scenario = stage(factor=20.0, fill=(60.0, 100.0)).scenario
    options = {"seeds": [1], "days": DAYS}
    sweep = play_sweep(scenario, ["threshold"], {"crews": [3, 9]}, **options, aim=1e9)
    low, high = (cell.policies["threshold"]["overflow_bin_minutes"].mean for cell in sweep.cells)
    assert low > high > 0
    assert sweep.answers == [{"policy": "threshold", "bins": 48, "crews": 3}]
    between = play_sweep(scenario, ["threshold"], {"crews": [3, 9]}, **options, aim=(low + high) / 2)
    assert between.answers[0]["crews"] == 9
    never = play_sweep(scenario, ["threshold"], {"crews": [3, 9]}, **options, aim=0.0)
    assert never.answers[0]["crews"] is None
    assert never.as_json()["cells"][0]["policies"]["threshold"]["overflow_bin_minutes"]["mean"] == pytest.approx(low)


def test_an_unknown_figure_is_refused():
    """Names of figures are checked before anything runs."""
    with pytest.raises(SweepError, match="happiness"):
        play_sweep(stage().scenario, ["threshold"], {"crews": [6]}, seeds=[1], days=1, figure="happiness")


def test_squares_side_by_side_are_independent_squares():
    """Four copies: four times of everything, each crew at its own post, each bin nearest to its own square."""
    base = stage()
    wide = side_by_side(base.site, 4)
    played = Stage.of(base.scenario, wide.site, homes=wide.homes, unload_places=wide.unload_places)
    assert len(played.square.volumes_l) == 4 * len(base.square.volumes_l)
    assert len(played.registry) == len([d for d in wide.site.devices if d.kind == "bin"])
    assert len(set(played.square.homes.values())) == 4
    view = played.square
    inside_m = view.walks.distance_m(view.homes["pagi-1-3"], view.asset("bin-007-3").place)
    assert inside_m == pytest.approx(
        base.square.walks.distance_m(base.square.homes["pagi-1"], base.square.asset("bin-007").place), abs=0.5
    )
    assert view.walks.distance_m(view.homes["pagi-1-0"], view.asset("bin-007-3").place) > 400
