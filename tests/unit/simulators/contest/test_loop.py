"""A run in closed loop: same demand for everybody, nothing lost, nothing that depends on how it is cut."""

import json
import os
import subprocess
import sys

import pytest

from simulators.contest.fixed import Fixed
from simulators.contest.loop import Loop, Outcome
from simulators.contest.oracle import Oracle
from simulators.contest.policy import policy_maker
from simulators.contest.predictive import Predictive
from simulators.contest.threshold import Threshold
from simulators.faults import Fault
from tests.unit.simulators.contest.stages import NINE_S, bound_of, stage

BUSY = {"factor": 12.0, "fill": (40.0, 100.0)}
MINUTES = 200
"""From 09:00 over the prayer of noon and the change of shifts."""


def play(name, *, seed=1, minutes=MINUTES, each_minute=None, **options):
    played = stage(**options)
    foresight = bound_of(played, seed, minutes).foresight if name == "oracle" else None
    policy = policy_maker(name)()
    return Loop(played, policy, seed=seed, minutes=minutes, foresight=foresight, each_minute=each_minute).run()


def test_every_policy_meets_the_same_demand():
    """Waste generated in a crowded morning with mishaps is the same to the milligram, whoever decides."""
    options = {**BUSY, "is_calm": False}
    outcomes = {name: play(name, **options) for name in ("fixed", "threshold", "predictive", "oracle")}
    assert len({one.generated_mg for one in outcomes.values()}) == 1
    assert len({one.figures["emptyings"] for one in outcomes.values()}) > 1, "all policies did the same"


def test_waste_is_conserved_in_every_minute():
    """With crews that empty and sweep, scavengers, wind and fire, every milligram is somewhere."""
    collected = []

    def check(loop):
        totals = loop.model.totals
        assert totals.generated_mg == sum(totals[1:])
        collected.append(totals.collected_mg)

    play("threshold", **BUSY, is_calm=False, each_minute=check)
    assert len(collected) == MINUTES
    assert collected[-1] > collected[0]


def test_a_world_that_is_saved_and_restored_goes_on_the_same():
    """The model is thrown away every hour and made again from its JSON: figures do not move in the last digit."""

    def restart(loop):
        if loop.now_ms % 3_600_000 == 0:
            saved = json.loads(json.dumps(loop.model.snapshot()))
            loop.model = loop.stage.world(loop.seed)
            loop.model.restore(saved)

    assert play("threshold", **BUSY, each_minute=restart) == play("threshold", **BUSY)


def test_the_same_seed_gives_the_same_figures_in_another_process_with_other_arithmetic():
    """A process whose numpy uses none of the wide instructions of this processor finds the same last digit."""
    program = (
        "import json\n"
        "from tests.unit.simulators.contest.test_loop import BUSY, play\n"
        "print(json.dumps(play('predictive', **BUSY).figures))\n"
    )
    features = "SSE3 SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX"
    found = []
    for extra in ({}, {"NPY_DISABLE_CPU_FEATURES": features}):
        environment = os.environ | extra | {"PYTHONWARNINGS": "ignore"}
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
        found.append(json.loads(run.stdout))
    assert found[0] == found[1] == play("predictive", **BUSY).figures


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_undercuts_the_bound(seed):
    """Overflow and litter of every policy are at least those of crews without number, on the same seed."""
    best = bound_of(stage(**BUSY), seed, MINUTES)
    for name in ("fixed", "threshold", "predictive", "oracle"):
        figures = play(name, seed=seed, **BUSY).figures
        assert figures["overflow_bin_minutes"] >= best.overflow_bin_minutes
        assert figures["litter_hours"] >= best.litter_hours


def test_who_knows_the_future_overflows_less():
    """Over three crowded mornings the oracle has fewer overflow minutes than the threshold policy."""
    sums = {
        name: sum(play(name, seed=seed, **BUSY).figures["overflow_bin_minutes"] for seed in (1, 2, 3))
        for name in ("threshold", "oracle")
    }
    assert 0 < sums["oracle"] < sums["threshold"]


def test_an_oracle_without_foresight_is_refused():
    """A clairvoyant cannot play before the bound has been run."""
    with pytest.raises(ValueError, match="needs foresight"):
        Loop(stage(), Oracle(), seed=1, minutes=10)


def test_a_cut_uplink_makes_the_office_late_and_loses_nothing():
    """Two hours without uplink: fewer tasks meanwhile, every reading comes afterwards."""
    cut = Fault(NINE_S + 600, NINE_S + 7800, "uplink", "cut")
    seen = []

    class Watching(Threshold):
        def observe(self, observation):
            seen.append((observation.device, observation.seq, observation.arrived_ms - observation.ts_ms))
            super().observe(observation)

    outcome = Loop(stage(**BUSY, faults=(cut,)), Watching(), seed=1, minutes=MINUTES).run()
    assert len(seen) == len({key[:2] for key in seen}) == outcome.heard
    assert outcome.readings == outcome.heard + outcome.waiting
    assert outcome.late > 0
    assert max(lateness_ms for _, _, lateness_ms in seen) > 7_000_000
    whole = play("threshold", **BUSY)
    assert outcome.figures["emptyings"] < whole.figures["emptyings"]


def test_longer_runs_go_on_where_shorter_ones_end():
    """The first two hours of a run do not depend on how long it will be."""
    half = []
    loop = Loop(stage(**BUSY), Predictive(), seed=1, minutes=MINUTES)
    for minute in range(MINUTES):
        loop.minute()
        if minute == MINUTES // 2 - 1:
            half.append(loop.outcome())
    assert half == [Loop(stage(**BUSY), Predictive(), seed=1, minutes=MINUTES // 2).run()]
    assert isinstance(half[0], Outcome)


def test_fixed_rounds_do_not_care_for_readings():
    """With every node dead the fixed policy does exactly the same."""
    dead = Fault(NINE_S, NINE_S + 1e6, "node:*", "silent")
    alive, blind = (Loop(stage(**BUSY, faults=faults), Fixed(), seed=1, minutes=120).run() for faults in ((), (dead,)))
    assert alive.readings > 0 == blind.readings
    assert alive.figures == blind.figures


def test_every_reading_is_heard_or_accounted_for():
    """Radio holes, lost storage, wrong clocks and a broker that is down: made = heard + waiting + lost + refused."""
    faults = (
        Fault(NINE_S, NINE_S + 7200, "node:rsk-b00?", "radio-hole"),
        Fault(NINE_S + 5000, NINE_S + 5000, "node:rsk-b003", "lost-storage"),
        Fault(NINE_S, NINE_S + 1e5, "node:rsk-b010", "clock-off", 4000.0),
        Fault(NINE_S + 8000, NINE_S + 1e5, "broker", "down"),
    )
    outcome = Loop(stage(faults=faults), Threshold(), seed=1, minutes=MINUTES).run()
    accounted = outcome.heard + outcome.waiting + outcome.lost + outcome.refused
    assert outcome.readings == accounted
    assert min(outcome.heard, outcome.waiting, outcome.lost, outcome.refused, outcome.late) > 0
