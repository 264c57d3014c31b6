"""The test of the test: a perfect judge is perfect, and each planted fault is bad in its own figure."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.contest.policy import Belief
from simulators.contest.score import score
from simulators.contest.truth import BeliefLog, believed
from tests.unit.simulators.contest.logs import ASSETS, MOMENTS, STEP_MS, belief_log, head, perfect, truth


def scored(moments):
    return score(truth(), belief_log(moments))


def changed(change):
    """Score the perfect judge with every belief put through `change(step, belief)`."""
    return scored([[change(step, one) for one in row] for step, row in enumerate(perfect())])


def test_a_perfect_judge_is_perfect():
    """Every figure of who knows the truth at once is at its best."""
    found = scored(perfect())
    assert found["fill"] | {"by_level": {}, "count": 0} == {
        "count": 0, "mae_pct": 0.0, "p95_pct": 0.0, "bias_pct": 0.0, "by_level": {},
        "share_known": pytest.approx(1 - (30 + 40) / (MOMENTS * len(ASSETS)), abs=1e-6),
    }  # fmt: skip
    assert found["full"]["episodes"] > 10
    assert (found["full"]["precision"], found["full"]["recall"]) == (1.0, 1.0)
    assert found["full"]["delay_p90_s"] <= STEP_MS / 1000, "told at the next sample"
    forecast = found["forecast"]
    assert (forecast["mae_h"], forecast["pinball_p10_h"], forecast["pinball_p90_h"]) == (0.0, 0.0, 0.0)
    assert (forecast["coverage_p10_p90"], forecast["missing"]) == (1.0, 0)
    assert (found["emptied"]["precision"], found["emptied"]["recall"]) == (1.0, 1.0)
    assert found["emptied"]["delay_p90_s"] == 0.0
    assert (found["fault"]["recall"], found["fault"]["false_alarms"], found["fault"]["delay_p90_s"]) == (1.0, 0, 0.0)
    assert (found["silence"]["recall"], found["silence"]["delay_p90_s"]) == (1.0, 0.0)
    assert found["silence"]["false_alarms"] == 0
    assert found["stale"]["stale_as_current"] == 0


@pytest.mark.parametrize("bias_pct", [-12.0, 7.0])
def test_a_biased_level_shows_as_bias_and_nowhere_else(bias_pct):
    """A fill that is off by so much is wrong by so much; forecasts and emptyings stay perfect."""
    found = changed(lambda _, one: one._replace(fill_pct=one.fill_pct + bias_pct))
    fill = found["fill"]
    assert (fill["bias_pct"], fill["mae_pct"], fill["p95_pct"]) == (bias_pct, abs(bias_pct), abs(bias_pct))
    assert {level: one["bias_pct"] for level, one in fill["by_level"].items() if one["count"]}.keys() >= {
        "empty",
        "full",
    }
    assert {**found, "fill": None} == {**scored(perfect()), "fill": None}


def test_crying_wolf_costs_precision_only():
    """Who also calls a bin full while it is between 30 and 40 % finds all full bins, and is wrong about that one."""
    alarm = changed(lambda _, one: one._replace(level="full") if 30 < one.fill_pct < 40 else one)["full"]
    assert alarm["recall"] == 1.0
    assert alarm["precision"] < 1.0


def test_a_judge_that_never_says_full_has_no_recall():
    """No alarm is no wrong alarm: precision cannot be judged, recall is 0."""
    found = changed(lambda _, one: one._replace(level="half"))["full"]
    assert (found["recall"], found["precision"], found["believed"]) == (0.0, None, 0)


def test_a_slow_judge_is_late():
    """Everything said two steps later: alarms, emptyings and faults come 20 minutes later."""
    moments = perfect()
    late = scored([moments[max(0, step - 2)] for step in range(MOMENTS)])
    prompt = scored(moments)
    for about in ("emptied", "fault", "silence"):
        assert late[about]["delay_median_s"] == prompt[about]["delay_median_s"] + 2 * STEP_MS / 1000
    assert late["full"]["delay_median_s"] > prompt["full"]["delay_median_s"]
    assert late["fill"]["bias_pct"] != 0.0


def test_a_forecast_that_is_always_late_shows_in_the_early_quantile():
    """Three hours too late: error 3 h, p10 lost most, nothing inside."""
    hours = 3
    late_ms = hours * 3_600_000

    def change(_, one):
        if one.p50_ms is None:
            return one
        return one._replace(p10_ms=one.p10_ms + late_ms, p50_ms=one.p50_ms + late_ms, p90_ms=one.p90_ms + late_ms)

    found = changed(change)["forecast"]
    assert found["mae_h"] == pytest.approx(hours)
    assert found["pinball_p10_h"] == pytest.approx(0.9 * hours)
    assert found["pinball_p90_h"] == pytest.approx(0.1 * hours)
    assert found["coverage_p10_p90"] == 0.0


def test_a_wide_forecast_covers_and_pays_for_it():
    """Six hours to both sides: everything is inside, and both outer quantiles cost a tenth of it."""
    wide_ms = 6 * 3_600_000

    def change(_, one):
        return one if one.p50_ms is None else one._replace(p10_ms=one.p50_ms - wide_ms, p90_ms=one.p50_ms + wide_ms)

    found = changed(change)["forecast"]
    assert (found["coverage_p10_p90"], found["mae_h"]) == (1.0, 0.0)
    assert found["pinball_p10_h"] == found["pinball_p90_h"] == pytest.approx(0.6)


def test_no_forecast_is_counted_as_missing():
    """Where a bin was to be full within two days and nothing was said, that is counted."""
    found = changed(lambda _, one: one._replace(p10_ms=None, p50_ms=None, p90_ms=None))["forecast"]
    assert (found["judged"], found["mae_h"]) == (0, None)
    assert found["missing"] == scored(perfect())["forecast"]["judged"]


def test_an_emptying_that_never_was_costs_precision():
    """One invented emptying among the true ones."""
    true = scored(perfect())["emptied"]["believed"]
    found = changed(
        lambda step, one: (
            one._replace(emptied_ms=one.as_of_ms - 3_600_000) if (step, one.asset) == (30, "bin-c") else one
        )
    )["emptied"]
    assert found["recall"] == 1.0
    assert found["precision"] == pytest.approx(true / (true + 1), abs=1e-6)


def test_emptyings_that_are_not_noticed_cost_recall():
    """Who never notices one has no recall."""
    found = changed(lambda _, one: one._replace(emptied_ms=None))["emptied"]
    assert (found["recall"], found["precision"]) == (0.0, None)


def test_a_blind_judge_of_sensors_misses_faults_and_a_nervous_one_invents_them():
    """No flag: recall 0. A flag on a sound sensor for an hour: one false alarm."""
    blind = changed(lambda _, one: one._replace(is_silent=False, is_faulty=False))
    assert (blind["fault"]["recall"], blind["silence"]["recall"]) == (0.0, 0.0)
    assert blind["fault"]["recall_by_kind"] == {"stuck": 0.0}
    nervous = changed(
        lambda step, one: one._replace(is_faulty=one.is_faulty or (one.asset == "bin-c" and 10 <= step < 16))
    )["fault"]
    assert (nervous["recall"], nervous["false_alarms"]) == (1.0, 1)
    assert nervous["false_alarms_per_1000_device_days"] == pytest.approx(1000 / (len(ASSETS) * (MOMENTS - 1) / 144))


def test_old_values_shown_as_current_are_counted():
    """A value of an hour ago that is not called stale is one; called stale it is none."""
    hour_ms = 3_600_000

    def old(step, one):
        return one._replace(as_of_ms=one.as_of_ms - hour_ms) if (step, one.asset) == (20, "bin-a") else one

    assert changed(old)["stale"]["stale_as_current"] == 1
    assert changed(lambda s, one: old(s, one)._replace(is_stale=s == 20))["stale"]["stale_as_current"] == 0


def test_a_judge_that_says_nothing_scores_nothing():
    """Unknown everywhere: no error, no share known, and the result is still JSON without NaN."""
    found = scored([[Belief(asset, None, "unknown") for asset in ASSETS] for _ in range(MOMENTS)])
    assert (found["fill"]["mae_pct"], found["fill"]["share_known"]) == (None, 0.0)
    json.dumps(found, allow_nan=False)


def test_bins_that_the_belief_leaves_out_are_named():
    """Logs of two squares are not compared."""
    short = BeliefLog(msgspec.structs.replace(head(), assets=["bin-a"]), [])
    with pytest.raises(ValueError, match="nothing of bin-b, bin-c"):
        score(truth(), short)


def test_logs_of_two_times_are_not_compared():
    """A belief of another day, or one that has nothing but its head, is no estimate of this truth."""
    line = believed(10**12, ASSETS, [])
    for beliefs in ([], [line]):
        with pytest.raises(ValueError, match="no moment of the belief"):
            score(truth(), BeliefLog(head(), beliefs))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9))
def test_figures_follow_the_errors_that_were_planted(errors):
    """For any errors: mean size, bias and 95 % point are those planted where a value counts as current."""
    plain = perfect()
    moved = [
        [one._replace(fill_pct=one.fill_pct + errors[step % len(errors)]) for one in row]
        for step, row in enumerate(plain)
    ]
    fill = scored(moved)["fill"]
    planted = [
        round(one.fill_pct + errors[step % len(errors)], 2) - one.fill_pct
        for step, row in enumerate(plain)
        for one in row
        if not (one.is_silent or one.is_faulty)
    ]
    assert fill["mae_pct"] == pytest.approx(math.fsum(map(abs, planted)) / len(planted), abs=1e-5)
    assert fill["bias_pct"] == pytest.approx(math.fsum(planted) / len(planted), abs=1e-5)
    assert fill["p95_pct"] == pytest.approx(np.quantile(np.abs(planted), 0.95), abs=1e-5)
