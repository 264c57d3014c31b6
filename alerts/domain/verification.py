"""A task is done when the sensor agrees.

A crew's "done" is a claim. It is verified when a good reading of the bin, taken since the task was made,
shows a fall of ``min_drop_pct`` or a fill at or below ``emptied_below_pct``. One reading suffices, because two
witnesses agree; without a claim the sensor needs ``emptied_readings`` of its own.
"""

from typing import Literal

from alerts.domain.model import Task
from alerts.domain.policy import Policy

Outcome = Literal["verified", "unverified"]


def outcome(
    task: Task,
    *,
    good_ms: int | None,
    fill_pct: float | None,
    emptied_ms: int | None,
    interval_s: int,
    now_ms: int,
    policy: Policy,
    expected_from_ms: int = 0,
) -> Outcome | None:
    """Return what the sensor says of a task, None while it has not spoken.

    Parameters
    ----------
    task : Task
        In an active state.
    good_ms, fill_pct : int | None, float | None
        Time [ms] and fill [%] of the newest good reading.
    emptied_ms : int | None
        Last emptying that the sensor alone is sure of [ms].
    interval_s : int
        Report interval [s]. A bin that reports less often than every ``verify_within_s`` gets two intervals to
        speak: a sensor that was not asked has not disagreed.
    now_ms : int
        The instant up to which readings would have arrived [ms].
    policy : Policy
        Windows and drops.
    expected_from_ms : int
        From when readings could arrive again [ms], after an outage that was not the sensor's: a claim waits its
        whole window from then on.
    """
    if emptied_ms is not None and emptied_ms >= task.created_ms:
        return "verified"
    if task.state != "claimed" or task.claimed_ms is None:
        return None
    if good_ms is not None and good_ms >= task.created_ms and fill_pct is not None:
        before_pct = task.fill_before_pct if task.fill_before_pct is not None else policy.full_pct
        if fill_pct <= before_pct - policy.min_drop_pct or fill_pct <= policy.emptied_below_pct:
            return "verified"
    waited_ms = now_ms - max(task.claimed_ms, expected_from_ms)
    has_spoken = good_ms is not None and good_ms > task.claimed_ms
    window_ms = policy.verify_within_s * 1000
    if not has_spoken:
        window_ms = max(window_ms, 2 * interval_s * 1000)
    return "unverified" if waited_ms > window_ms else None
