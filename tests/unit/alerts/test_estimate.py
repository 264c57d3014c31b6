"""State of a bin from readings that come twice, late and in any order."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.estimate import (
    WINDOW,
    BinEstimate,
    BinMemory,
    Sample,
    doubt,
    estimate,
    is_heaped,
    level_after,
    level_of,
    take,
)
from alerts.domain.model import LEVELS
from alerts.domain.policy import Policy

POLICY = Policy()
MINUTE_MS = 60_000


def sample(minute: int, fill_pct: float | None, state: str = "ok") -> Sample:
    return Sample(minute * MINUTE_MS, minute + 1, 7, fill_pct, state)


def seen(*samples: Sample) -> BinEstimate:
    memory = BinMemory()
    for one in samples:
        take(memory, one, POLICY)
    found = estimate(memory, POLICY)
    assert found is not None
    return found


SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.one_of(st.none(), st.floats(0, 120, allow_nan=False)),
        st.sampled_from(["ok", "ok", "ok", "ok", "obstructed", "lid-open", "no-echo"]),
    ),
    min_size=1,
    max_size=WINDOW,
    unique_by=lambda triple: triple[0],
).map(lambda triples: [sample(*triple) for triple in triples])


@settings(deadline=None)
@given(SAMPLES, st.randoms(use_true_random=False), st.data())
def test_order_and_repetition_do_not_matter(samples: list[Sample], rng: object, data: st.DataObject) -> None:
    """Shuffled and repeated readings give the state that the sorted ones give."""
    repeated = samples + data.draw(st.lists(st.sampled_from(samples), max_size=20))
    rng.shuffle(repeated)  # type: ignore[attr-defined]
    assert seen(*repeated) == seen(*sorted(samples, key=lambda one: one.key))


@settings(deadline=None)
@given(SAMPLES)
def test_the_newest_reading_decides(samples: list[Sample]) -> None:
    """Whatever came last over the air, the reading of highest (ts, seq) is the current one."""
    assert seen(*samples).newest == max(samples, key=lambda one: one.key)


@settings(deadline=None)
@given(st.lists(st.floats(0, 120, allow_nan=False), min_size=WINDOW + 1, max_size=3 * WINDOW), st.integers(1, 20))
def test_moderate_lateness_does_not_matter_in_a_long_history(fills: list[float], delay: int) -> None:
    """In a history longer than the window, readings up to 20 places late give the state of sorted ones."""
    ordered = [sample(10 * k, fill) for k, fill in enumerate(fills)]
    late = ordered[::delay]
    arrived = sorted(ordered, key=lambda one: one.ts_ms + (delay * 10 * MINUTE_MS if one in late else 0))
    assert seen(*arrived) == seen(*ordered)


def test_a_reading_older_than_a_full_window_is_counted_and_changes_nothing() -> None:
    """What cannot be put in its place any more is told, not guessed."""
    memory = BinMemory()
    for k in range(WINDOW + 10):
        take(memory, sample(10 * (k + 1), 40.0), POLICY)
    before = estimate(memory, POLICY)
    assert take(memory, sample(1, 99.0), POLICY) is False
    assert (memory.too_late, estimate(memory, POLICY)) == (1, before)


@pytest.mark.parametrize(
    ("fill", "level"),
    [
        (0.0, "empty"),
        (49.9, "empty"),
        (50.0, "half"),
        (69.9, "half"),
        (70.0, "filling"),
        (84.9, "filling"),
        (85.0, "full"),
        (99.9, "full"),
        (100.0, "overflow"),
        (120.0, "overflow"),
    ],
)
def test_levels_without_history(fill: float, level: str) -> None:
    """Zero, each threshold, the value just below it, and the maximum."""
    assert level_of(fill, POLICY) == level


def test_a_level_falls_only_below_the_hysteresis() -> None:
    """84 after 85 is still full, 79.9 is filling: 85 - 5 is where full ends."""
    assert [seen(sample(0, 85.0), sample(10, fill)).level for fill in (84.0, 80.0, 79.9)] == ["full", "full", "filling"]


@settings(deadline=None)
@given(st.lists(st.floats(82.6, 87.4, allow_nan=False), min_size=2, max_size=40))
def test_noise_around_a_threshold_does_not_flap(fills: list[float]) -> None:
    """Noise narrower than the hysteresis changes the level at most once, upwards."""
    level, levels = "unknown", []
    for fill in fills:
        level = level_after(level, fill, POLICY)  # type: ignore[arg-type]
        levels.append(level)
    changes = [(old, new) for old, new in pairwise(levels) if old != new]
    assert len(changes) <= 1
    assert all(LEVELS.index(new) > LEVELS.index(old) for old, new in changes)


@pytest.mark.parametrize("state", ["obstructed", "tilted", "water", "sensor-fault"])
def test_a_faulty_reading_never_counts_as_full(state: str) -> None:
    """The level becomes unknown and the state is shown, however full the echo looks."""
    found = seen(sample(0, 40.0), sample(10, 100.0, state))
    assert (found.level, found.fill_pct, found.state) == ("unknown", None, state)


def test_a_heap_in_the_blind_zone_is_an_overflow_without_a_number() -> None:
    """Obstructed twice after 70 % or more; once, after less, or during a fall it is only obstructed."""
    obstructed = [sample(10, None, "obstructed"), sample(20, None, "obstructed")]
    heaped = seen(sample(0, POLICY.filling_pct), *obstructed)
    assert (heaped.level, heaped.fill_pct, heaped.is_heaped) == ("overflow", None, True)
    for readings in (
        [sample(0, POLICY.filling_pct), obstructed[0]],
        [sample(0, POLICY.filling_pct - 0.1), *obstructed],
        [sample(0, 92.0), sample(5, 71.0), *obstructed],
        [sample(0, 92.0), *obstructed, sample(30, None, "tilted")],
        obstructed,
    ):
        found = seen(*readings)
        assert (found.level, found.is_heaped) == ("unknown", False)


def test_two_claims_unmask_a_heap_until_the_sensor_was_free_again() -> None:
    """Doubts belong to one run of faulty readings: the next run is believed again, and an old claim says nothing."""
    memory = BinMemory()
    for one in (sample(0, 80.0), sample(10, None, "obstructed"), sample(20, None, "obstructed")):
        take(memory, one, POLICY)
    doubt(memory, 5 * MINUTE_MS)
    doubt(memory, 25 * MINUTE_MS)
    assert is_heaped(memory, POLICY)
    doubt(memory, 55 * MINUTE_MS)
    assert not is_heaped(memory, POLICY)
    take(memory, sample(56, None, "obstructed"), POLICY)
    assert not is_heaped(memory, POLICY)
    for one in (sample(60, 82.0), sample(70, None, "obstructed"), sample(80, None, "obstructed")):
        take(memory, one, POLICY)
    assert is_heaped(memory, POLICY)
    doubt(memory, 85 * MINUTE_MS)
    assert is_heaped(memory, POLICY)


@pytest.mark.parametrize(("doubts", "hours"), [(2, 2), (3, 4), (4, 8)])
def test_a_doubt_expires_and_each_further_one_lasts_twice_as_long(doubts: int, hours: int) -> None:
    """A bin that is heaped anew before its next reading is work again, but not every half hour for a leaf."""
    memory = BinMemory()
    for one in (sample(0, 80.0), sample(10, None, "obstructed"), sample(20, None, "obstructed")):
        take(memory, one, POLICY)
    for _ in range(doubts):
        doubt(memory, 30 * MINUTE_MS)
    take(memory, sample(30 + 60 * hours - 1, None, "obstructed"), POLICY)
    assert not is_heaped(memory, POLICY)
    take(memory, sample(30 + 60 * hours, None, "obstructed"), POLICY)
    assert is_heaped(memory, POLICY)


def test_a_bin_that_jumps_into_the_blind_zone_is_heaped() -> None:
    """15 then 50 % ten minutes apart, then obstructed twice: 120 % by now. At 50 % for an hour: a leaf."""
    obstructed = [sample(20, None, "obstructed"), sample(30, None, "obstructed")]
    assert seen(sample(0, 15.0), sample(10, 50.0), *obstructed).is_heaped
    assert not seen(sample(0, 50.0), sample(10, 50.0), *obstructed).is_heaped
    assert not seen(sample(0, 60.0), sample(10, 50.0), *obstructed).is_heaped


@pytest.mark.parametrize("state", ["lid-open", "no-echo"])
def test_a_passing_state_keeps_the_level_for_a_while(state: str) -> None:
    """Within half an hour of a good reading the last level stays, then it is unknown."""
    kept = seen(sample(0, 90.0), sample(30, None, state))
    assert (kept.level, kept.fill_pct, kept.state) == ("full", 90.0, state)
    assert seen(sample(0, 90.0), sample(31, None, state)).level == "unknown"


def test_after_boot_without_a_measurement_nothing_is_known() -> None:
    """A first reading without a fill gives level unknown, not empty."""
    found = seen(sample(0, None))
    assert (found.level, found.fill_pct, found.rate) == ("unknown", None, None)
    assert estimate(BinMemory(), POLICY) is None


def test_an_emptying_needs_two_readings_and_is_dated_by_the_first() -> None:
    """90 -> 8 is a suspicion, 90 -> 8 -> 9 an emptying at the time of the 8."""
    first = seen(sample(0, 90.0), sample(10, 8.0))
    assert (first.emptied_ms, first.is_dropping) == (None, True)
    second = seen(sample(0, 90.0), sample(10, 8.0), sample(20, 9.0))
    assert (second.emptied_ms, second.emptied_before_pct, second.is_dropping) == (10 * MINUTE_MS, 90.0, False)


def test_a_hand_in_the_beam_is_no_emptying() -> None:
    """90 -> 30 -> 90 leaves nothing behind."""
    found = seen(sample(0, 90.0), sample(10, 30.0), sample(20, 90.0), sample(30, 91.0))
    assert (found.emptied_ms, found.is_dropping, found.level) == (None, False, "full")


def test_faulty_readings_take_no_part_in_an_emptying() -> None:
    """Lid-open zeros between two full readings are not two low readings."""
    found = seen(sample(0, 90.0), sample(5, 0.0, "lid-open"), sample(10, 0.0, "lid-open"), sample(20, 91.0))
    assert (found.emptied_ms, found.is_dropping) == (None, False)


def test_scavenging_and_settling_are_no_emptying() -> None:
    """A fall of less than 20 points does not reset the bin."""
    assert seen(sample(0, 60.0), sample(10, 45.0), sample(20, 46.0)).emptied_ms is None


def test_the_rate_starts_anew_after_an_emptying() -> None:
    """20 points an hour before, 6 after: the rate is the new one."""
    before = [sample(10 * k, 20.0 + 20 * k / 6) for k in range(12)]
    after = [sample(120 + 10 * k, 5.0 + k) for k in range(10)]
    found = seen(*before, *after)
    assert found.rate is not None
    assert found.rate.pct_h == pytest.approx(6.0)
    assert found.full.at_ms is not None


def test_a_full_bin_has_no_time_to_full() -> None:
    """The forecast ends when it has come true."""
    rising = [sample(10 * k, 60.0 + 4 * k) for k in range(8)]
    assert seen(*rising[:5]).full.at_ms is not None
    assert seen(*rising).full.at_ms is None
