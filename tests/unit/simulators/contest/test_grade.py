"""The contest: paired differences, the same result on any number of processes, and what nobody can do."""

import json
from dataclasses import replace

import pytest

from simulators.contest.errors import UnknownPolicy
from simulators.contest.grade import SeedResult, play, play_seed, summary, unserved
from simulators.contest.measures import FIGURES
from simulators.contest.stage import Stage
from simulators.contest.variants import with_crews
from square.calendar import ServiceHours, Window
from tests.unit.simulators.contest.stages import stage

AGREED = ("overflow_bin_minutes", "litter_hours", "crew_minutes", "distance_m", "wasted_visits", "lateness_p90_s")
DAYS = 1 / 24


def test_the_agreed_keys_come_first_each_with_mean_low_high():
    """The JSON has the names that others read, for every policy."""
    grade = play(stage(), ["fixed", "threshold"], seeds=[1, 2], days=DAYS).as_json()
    assert list(grade["policies"]) == ["fixed", "threshold"]
    for figures in grade["policies"].values():
        assert tuple(figures)[: len(AGREED)] == AGREED
        assert all(list(one) == ["mean", "low", "high"] for one in figures.values())
        assert all(one["low"] <= one["mean"] <= one["high"] for one in figures.values())
    assert list(grade["bound"]) == ["overflow_bin_minutes", "litter_hours", "emptyings"]
    json.dumps(grade, allow_nan=False)


def test_differences_are_taken_seed_by_seed():
    """Seeds that differ by hundreds and policies that always differ by one: the difference is known exactly."""

    def result(seed, more):
        row = dict.fromkeys(FIGURES, 100.0 * seed)
        bound = dict.fromkeys(("overflow_bin_minutes", "litter_hours", "emptyings"), 0.0)
        return SeedResult(seed, {"a": row, "b": {name: value + more for name, value in row.items()}}, bound, 1)

    grade = summary(stage(), ["a", "b"], 1.0, [result(seed, 1.0) for seed in (1, 2, 3)])
    assert grade.differences["b"]["distance_m"] == (1.0, 1.0, 1.0)
    assert grade.policies["b"]["distance_m"].high - grade.policies["b"]["distance_m"].low > 100
    assert "a" not in grade.differences


def test_two_processes_find_what_one_finds():
    """Results do not depend on who computes them, nor on who is done first."""
    seeds = [1, 2, 3]
    one = play(stage(), ["threshold"], seeds=seeds, days=DAYS)
    done = []
    two = play(stage(), ["threshold"], seeds=seeds, days=DAYS, jobs=2, done=lambda: done.append(1))
    assert one == two
    assert len(done) == 3


def test_an_unknown_policy_is_refused_before_anything_runs():
    """A typing error costs no hour."""
    with pytest.raises(UnknownPolicy, match="treshold"):
        play(stage(), ["fixed", "treshold"], seeds=[1], days=1000)


def test_what_nobody_can_do_is_listed():
    """No crew in a shift, a bin that is open only at night, a bin larger than the cart: told, not failed."""
    base = stage()
    assert unserved(base) == []
    night = replace(base.site.bins[0], hours=ServiceHours((Window.parse("01:00-03:00"),)))
    large = replace(base.site.bins[1], volume_l=900.0)
    site = replace(with_crews(base.site, 2), bins=(night, large, *base.site.bins[2:]))
    played = Stage.of(base.scenario, site)
    assert unserved(played) == [
        "shift pagi has no crew",
        "bin-001 is never open while a crew is there",
        "bin-002 holds more (900 l) than a cart (600 l)",
    ]
    assert play_seed(played, ["threshold"], seed=1, days=DAYS).figures["threshold"]["emptyings"] == 0
    assert unserved(Stage.of(base.scenario, with_crews(base.site, 0))) == ["there is no crew: nothing is ever emptied"]


def test_demand_that_no_crew_can_carry_is_listed():
    """One crew and forty times the visitors: the list says how much comes, and how much the crew has time for."""
    scenario = stage(factor=60.0, fill=(60.0, 100.0)).scenario
    played = Stage.of(scenario, with_crews(stage().site, 1))
    grade = play(played, ["threshold"], seeds=[1], days=2.5 / 24)
    (words,) = [one for one in grade.unserved if "more comes" in one]
    needed = grade.bound["emptyings"].mean
    assert needed > 0
    assert f"at least {needed:.0f}" in words
    assert "at most 0 without" in words, "the one crew works in the evening, the run ends before"
    assert not any("more comes" in one for one in play(stage(), ["fixed"], seeds=[1], days=DAYS).unserved)
