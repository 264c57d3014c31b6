"""A claim is believed when the sensor agrees."""

import pytest

from alerts.domain.model import Task
from alerts.domain.policy import Policy
from alerts.domain.verification import outcome

POLICY = Policy(verify_within_s=900)
MINUTE_MS = 60_000


def said(
    state: str = "claimed",
    *,
    now: int,
    good: int | None = None,
    fill: float | None = None,
    emptied: int | None = None,
    interval_s: int = 300,
    before: float | None = 92.0,
    expected_from: int = 0,
) -> str | None:
    """Outcome for a task made at minute 10 and claimed at minute 30."""
    task = Task("bin-1", "empty", state, created_ms=10 * MINUTE_MS, fill_before_pct=before)
    if state == "claimed":
        task.claimed_ms = 30 * MINUTE_MS
    return outcome(
        task,
        good_ms=None if good is None else good * MINUTE_MS,
        fill_pct=fill,
        emptied_ms=None if emptied is None else emptied * MINUTE_MS,
        interval_s=interval_s,
        now_ms=now * MINUTE_MS,
        policy=POLICY,
        expected_from_ms=expected_from * MINUTE_MS,
    )


@pytest.mark.parametrize(("fill", "result"), [(92.0, None), (72.1, None), (72.0, "verified"), (0.0, "verified")])
def test_a_claim_needs_the_drop(fill: float, result: str | None) -> None:
    """92 - 20 = 72: at 72 the claim is verified, at 72.1 not yet."""
    assert said(now=35, good=35, fill=fill) == result


def test_a_bin_that_is_nearly_empty_was_emptied() -> None:
    """30 % counts as emptied even if the fill before was not known to be high."""
    assert said(now=35, good=35, fill=30.0, before=45.0) == "verified"
    assert said(now=35, good=35, fill=31.0, before=45.0) is None


def test_the_drop_may_come_before_the_tap() -> None:
    """Emptied at 25, tapped at 30: the reading of minute 26 is enough."""
    assert said(now=30, good=26, fill=4.0) == "verified"


def test_a_reading_from_before_the_task_proves_nothing() -> None:
    """A low value of minute 5 does not verify a task made at minute 10."""
    assert said(now=35, good=5, fill=4.0) is None


@pytest.mark.parametrize(("now", "result"), [(45, None), (46, "unverified")])
def test_after_fifteen_minutes_the_claim_is_unverified(now: int, result: str | None) -> None:
    """The sensor spoke at 35 and saw a full bin: the claim fails after minute 45."""
    assert said(now=now, good=35, fill=91.0) == result


@pytest.mark.parametrize(("now", "result"), [(46, None), (90, None), (91, "unverified")])
def test_a_slow_sensor_is_waited_for(now: int, result: str | None) -> None:
    """With a report every 30 min and none since the claim, two intervals pass before the claim fails."""
    assert said(now=now, good=20, fill=91.0, interval_s=1800) == result


@pytest.mark.parametrize("state", ["open", "assigned", "accepted", "claimed"])
def test_an_emptying_that_the_sensor_is_sure_of_closes_any_task(state: str) -> None:
    """No claim is needed when two readings saw the emptying after the task was made."""
    assert said(state, now=35, good=35, fill=4.0, emptied=20) == "verified"
    assert said(state, now=35, good=35, fill=91.0, emptied=9) is None


def test_without_a_claim_nothing_times_out() -> None:
    """An accepted task may take long: only a claim can be unverified."""
    assert said("accepted", now=600, good=599, fill=95.0) is None


def test_after_an_outage_a_claim_has_its_whole_window() -> None:
    """Readings could come again from minute 60: the claim of minute 30 is given up 15 min after that and not before."""
    assert said(now=75, good=20, fill=92.0, expected_from=60) is None
    assert said(now=76, good=20, fill=92.0, expected_from=60) == "unverified"
