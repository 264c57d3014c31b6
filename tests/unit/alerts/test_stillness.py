"""A sensor that stands still is noticed, and one that works is not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.estimate import BinEstimate, BinMemory, Fold, Sample, estimate, take
from alerts.domain.policy import Policy
from alerts.domain.rules import bin_verdicts
from alerts.domain.stillness import NO_RUN, STUCK_MS, Run, extended, tolerance_mm

POLICY = Policy()
EVERY_MS = 600_000
LONG = STUCK_MS // EVERY_MS + 1
"""Readings every ten minutes that last a day."""


def run_of(distances_mm: list[int], every_ms: int = EVERY_MS) -> Run:
    """Return the run after readings in a steady rhythm."""
    run = NO_RUN
    for k, distance_mm in enumerate(distances_mm):
        run = extended(run, k * every_ms, distance_mm)
    return run


def memory_of(count: int, distance_mm: int | None = 500, fill_pct: float = 90.0) -> BinMemory:
    """Return a bin of which the sensor said the same so often."""
    memory = BinMemory()
    for k in range(count):
        take(memory, Sample(k * EVERY_MS, k + 1, 7, fill_pct, "ok", distance_mm), POLICY)
    return memory


def seen(memory: BinMemory) -> BinEstimate:
    """Return what is known of a bin that has reported."""
    found = estimate(memory, POLICY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("count", "every_s", "stuck"),
    [(144, 600, False), (145, 600, True), (71, 1800, False), (72, 1800, True), (288, 300, False), (289, 300, True)],
)
def test_stuck_needs_so_many_readings_and_so_long(count: int, every_s: int, stuck: bool) -> None:
    """Neither many readings in less than a day nor 71 over a day and a half are enough."""
    assert run_of([500] * count, every_s * 1000).is_stuck == stuck


DISTANCES = st.lists(st.integers(200, 2000), max_size=40)


@given(DISTANCES, st.integers(200, 2000), st.integers(0, 200), st.integers(0, 200))
def test_longer_the_same_is_never_less_suspect(before: list[int], distance_mm: int, count: int, more: int) -> None:
    """What is stuck stays stuck while the value stands, whatever came before."""
    short = run_of([*before, *[distance_mm] * count])
    long = run_of([*before, *[distance_mm] * (count + more)])
    assert long.is_stuck >= short.is_stuck
    assert run_of([*before, *[distance_mm] * LONG]).is_stuck


@given(st.integers(200, 2000), st.integers(LONG, 300), st.integers(1, 500), st.booleans())
def test_one_different_reading_ends_it(distance_mm: int, count: int, by_mm: int, is_nearer: bool) -> None:
    """Beyond the tolerance a run of one begins, and the sensor is trusted again."""
    run = run_of([distance_mm] * count)
    away_mm = int(tolerance_mm(distance_mm)) + by_mm
    after = extended(run, count * EVERY_MS, distance_mm - away_mm if is_nearer else distance_mm + away_mm)
    assert (run.is_stuck, after.is_stuck, after.count) == (True, False, 1)


@given(st.integers(200, 2000), st.lists(st.integers(0, 1000), min_size=LONG, max_size=LONG + 60), st.integers(2, 140))
def test_no_alarm_while_the_readings_vary(distance_mm: int, by_mm: list[int], every: int) -> None:
    """A reading beyond the tolerance now and then, at least every 140th, and nobody is called stuck."""
    away_mm = int(tolerance_mm(distance_mm + 1000)) + 1
    run = NO_RUN
    for k, more_mm in enumerate(by_mm):
        moved_mm = away_mm + more_mm if k // every % 2 else 0
        run = extended(run, k * EVERY_MS, distance_mm + moved_mm)
        assert not run.is_stuck


@given(st.lists(st.integers(500, 512), max_size=40))
def test_a_run_is_never_wider_than_a_sensor_that_stands_still(distances_mm: list[int]) -> None:
    """Slow filling is no standstill: the first reading too far from any of the run ends it."""
    run = NO_RUN
    for k, distance_mm in enumerate(distances_mm):
        run = extended(run, k * EVERY_MS, distance_mm)
        assert run.low_mm <= distance_mm <= run.high_mm
        assert run.high_mm - run.low_mm <= tolerance_mm(run.low_mm)


def test_slow_filling_is_no_standstill() -> None:
    """A millimetre an hour, without any noise, for two days."""
    run = NO_RUN
    for k in range(288):
        run = extended(run, k * EVERY_MS, 900 - k // 6)
        assert not run.is_stuck


def test_a_stuck_sensor_is_a_fault_and_its_fill_is_not_believed() -> None:
    """The technician gets an incident with its reason; level, fill and forecast are gone, full is left as it is."""
    working, stuck = seen(memory_of(LONG - 1)), seen(memory_of(LONG))
    assert (working.state, working.level, working.fill_pct) == ("ok", "full", 90.0)
    assert (stuck.state, stuck.level, stuck.fill_pct, stuck.full.at_ms) == ("stuck", "unknown", None, None)
    verdicts = {one.rule: one for one in bin_verdicts(stuck, POLICY)}
    assert (verdicts["full"].holds, verdicts["fault"].holds, verdicts["fault"].severity) == (None, True, "warning")
    assert verdicts["fault"].detail == {"state": "stuck", "since_ms": 0, "owner": "teknisi"}


def test_a_stuck_sensor_that_moves_again_is_believed_at_once() -> None:
    """The first other reading closes the fault."""
    memory = memory_of(LONG)
    take(memory, Sample(LONG * EVERY_MS, LONG + 1, 7, 40.0, "ok", 900), POLICY)
    found = seen(memory)
    assert (found.state, found.fill_pct) == ("ok", 40.0)
    assert {one.rule: one.holds for one in bin_verdicts(found, POLICY)}["fault"] is False


@pytest.mark.parametrize("state", ["obstructed", "lid-open", "no-echo", "tilted"])
def test_what_the_node_says_itself_is_shown_and_the_old_fill_is_not(state: str) -> None:
    """No level is held, and no heap is made of, what a sensor said that stood still."""
    memory = memory_of(LONG)
    for k in range(LONG, LONG + 2):
        take(memory, Sample(k * EVERY_MS, k + 1, 7, None, state), POLICY)
    found = seen(memory)
    assert (found.state, found.level, found.fill_pct, found.is_heaped) == (state, "unknown", None, False)


def test_a_fill_without_a_distance_is_never_stuck() -> None:
    """Makes that give a fill in coarse steps stand still honestly."""
    assert seen(memory_of(3 * LONG, distance_mm=None)).state == "ok"
    memory = memory_of(LONG)
    take(memory, Sample(LONG * EVERY_MS, LONG + 1, 7, 90.0, "ok"), POLICY)
    assert seen(memory).state == "ok"


def test_a_run_outlives_a_restart_and_a_state_from_before_it_was_kept_is_read() -> None:
    """The run is part of the stored memory; rows of an older version lack it and begin a new one."""
    memory = memory_of(LONG)
    assert seen(msgspec.json.decode(msgspec.json.encode(memory), type=BinMemory)) == seen(memory)
    fold = msgspec.json.decode(msgspec.json.encode(memory.tip))
    assert msgspec.json.decode(msgspec.json.encode(fold[:-1]), type=Fold).still == NO_RUN
    assert msgspec.json.decode(b'[1,2,3,90.0,"ok"]', type=Sample) == Sample(1, 2, 3, 90.0, "ok")


def test_order_does_not_matter() -> None:
    """A late reading that lies elsewhere ends the run as it would have in its place."""
    memory = BinMemory()
    for k in [k for k in range(LONG) if k != LONG - 10] + [LONG - 10]:
        take(memory, Sample(k * EVERY_MS, k + 1, 7, 50.0, "ok", 700 if k == LONG - 10 else 500), POLICY)
    assert (seen(memory).state, memory.tip.still.count) == ("ok", 9)
