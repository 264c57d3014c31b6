"""Who goes where: full bins to crews on shift, worst first, never more than a crew can carry.

Capacity-honest: what nobody can do now stays open with the reason, and is not sent to anybody.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from alerts.domain.estimate import BinEstimate
from alerts.domain.model import HOUR_MS, TASK_STEPS, Task, WaitingReason, check_step
from alerts.domain.policy import Policy

LonLat = tuple[float, float]
Walk = Callable[[LonLat, LonLat], float]
"""Walking distance [m] between two positions (lon, lat)."""

MIN_DUE_S: Final = 900


class Work(msgspec.Struct, frozen=True):
    """A task that waits for a crew.

    Attributes
    ----------
    task_id : int
        The task.
    asset_id : str
        The bin.
    place : tuple[float, float]
        Longitude and latitude of the bin.
    is_overflow : bool
        Whether it overflows already.
    hours_to_overflow : float | None
        Forecast [h], None without one.
    is_serviceable : bool
        Whether work at this bin is allowed now.
    created_ms : int
        When the task was made.
    passed_over : tuple[str, ...]
        Crew members who let it lie, the latest last: they get it only when nobody else has room.
    """

    task_id: int
    asset_id: str
    place: LonLat
    is_overflow: bool
    hours_to_overflow: float | None
    is_serviceable: bool
    created_ms: int
    passed_over: tuple[str, ...] = ()


class Worker(msgspec.Struct, frozen=True):
    """A crew member on shift: where, and how many tasks are in hand. ``place`` None = at the centre."""

    crew_id: str
    place: LonLat | None
    load: int


class Assignment(msgspec.Struct, frozen=True):
    """Task to crew, with the distance to walk [m] and when it is due [ms]."""

    task_id: int
    crew_id: str
    due_ms: int
    distance_m: float


class Plan(msgspec.Struct, frozen=True):
    """Assignments in order of rank, and the reason of every task that waits."""

    assignments: list[Assignment]
    waiting: dict[int, WaitingReason]


def may_send(
    found: BinEstimate,
    *,
    newest_ms: int,
    is_late: bool,
    interval_s: int,
    now_ms: int,
    policy: Policy,
    is_early: bool = False,
) -> bool:
    """Whether what is known of a bin is sure and fresh enough to send somebody there.

    Parameters
    ----------
    found : BinEstimate
        What is known.
    newest_ms, is_late : int, bool
        Time of the newest reading [ms], and whether it was old already when it came.
    interval_s : int
        Report interval [s].
    now_ms : int
        Square time [ms].
    policy : Policy
        What counts as full and as fresh.
    is_early : bool
        Somebody wants it emptied before it is full: its fill is not asked for.
    """
    if found.is_dropping:
        return False
    if not is_early and not found.is_heaped and (found.fill_pct is None or found.fill_pct <= policy.full_clear_pct):
        return False
    limit_s = policy.late_s + policy.silent_factor * interval_s
    return not is_late and now_ms - newest_ms <= limit_s * 1000


def work_of(task: Task, found: BinEstimate | None, *, place: LonLat, is_serviceable: bool, policy: Policy) -> Work:
    """Return a task of the store as it is ranked and given out, by what is known of its bin: None is nothing."""
    assert task.id is not None
    hours: float | None = None
    if found is not None and found.rate is not None and found.rate.pct_h > 0 and found.fill_pct is not None:
        hours = max(0.0, (policy.overflow_pct - found.fill_pct) / found.rate.pct_h)
    return Work(
        task_id=task.id,
        asset_id=task.asset_id,
        place=place,
        is_overflow=found is not None and found.level == "overflow",
        hours_to_overflow=hours,
        is_serviceable=is_serviceable,
        created_ms=task.created_ms,
        passed_over=tuple(task.passed_over),
    )


def rank(work: Work) -> tuple[int, float, int, str]:
    """Sort key of a task: overflowing first, then by time to overflow, then by age, then by id.

    A full bin without a forecast comes after those that have one.
    """
    hours = math.inf if work.hours_to_overflow is None else work.hours_to_overflow
    return (0 if work.is_overflow else 1, 0.0 if work.is_overflow else hours, work.created_ms, work.asset_id)


def plan(
    works: Sequence[Work], workers: Sequence[Worker], *, walk: Walk, centre: LonLat, now_ms: int, policy: Policy
) -> Plan:
    """Give waiting tasks to crews on shift.

    Tasks are taken in order of :func:`rank`; each goes to the nearest crew that has room, measured from where the
    crew will be after the work given to it here. Who let the task lie comes after everybody else. Equal
    distances go to the less loaded, then to the lower id, so the same input always gives the same plan.

    Parameters
    ----------
    works : Sequence[Work]
        Tasks without a crew.
    workers : Sequence[Worker]
        Crew members on shift.
    walk : Callable[[LonLat, LonLat], float]
        Walking distance [m]; infinite where no path leads.
    centre : tuple[float, float]
        Where a crew is taken to be whose position is not known.
    now_ms : int
        Square time [ms].
    policy : Policy
        ``max_open_tasks`` and due times.
    """
    loads = {worker.crew_id: worker.load for worker in workers}
    places = {worker.crew_id: worker.place or centre for worker in workers}
    assignments: list[Assignment] = []
    waiting: dict[int, WaitingReason] = {}
    for work in sorted(works, key=rank):
        if not loads:
            waiting[work.task_id] = "no-crew-on-shift"
            continue
        if not work.is_serviceable:
            waiting[work.task_id] = "outside-service-hours"
            continue
        free = [crew_id for crew_id, load in loads.items() if load < policy.max_open_tasks]
        if not free:
            waiting[work.task_id] = "crews-busy"
            continue
        distances_m = {crew_id: walk(places[crew_id], work.place) for crew_id in free}
        turns = {crew_id: k for k, crew_id in enumerate(work.passed_over, 1)}
        crew_id = min(free, key=lambda crew: (turns.get(crew, 0), distances_m[crew], loads[crew], crew))
        assignments.append(Assignment(work.task_id, crew_id, due_ms(work, now_ms, policy), distances_m[crew_id]))
        loads[crew_id] += 1
        places[crew_id] = work.place
    return Plan(assignments, waiting)


def due_ms(work: Work, now_ms: int, policy: Policy) -> int:
    """Return when a task is due: before the bin overflows, yet never sooner than a crew can be there.

    Examples
    --------
    >>> full = Work(1, "b", (0.0, 0.0), False, 0.5, True, 0)
    >>> due_ms(full, 0, Policy()) // 60_000
    30
    """
    limit_s = policy.due_overflow_s if work.is_overflow else policy.due_full_s
    due = now_ms + limit_s * 1000
    if work.hours_to_overflow is not None and not work.is_overflow:
        due = min(due, now_ms + round(work.hours_to_overflow * HOUR_MS))
    return max(due, now_ms + MIN_DUE_S * 1000)


def give(task: Task, assignment: Assignment, now_ms: int) -> None:
    """Give an open task to the crew that the plan has chosen."""
    task.state = check_step(TASK_STEPS, task.state, "assigned")
    task.crew_id, task.assigned_ms, task.due_ms = assignment.crew_id, now_ms, assignment.due_ms
    task.waiting_reason = None


def take_back(task: Task, now_ms: int, policy: Policy) -> str | None:
    """Open a task again that its crew did not accept in time, so that somebody else can do it.

    Returns
    -------
    str | None
        Who let it lie; None when nobody did, and the task is as it was.
    """
    crew_id = task.crew_id
    if task.state != "assigned" or crew_id is None or task.assigned_ms is None:
        return None
    until_ms = task.assigned_ms + policy.accept_within_s * 1000
    if now_ms < (until_ms if task.due_ms is None else min(until_ms, task.due_ms)):
        return None
    task.state = check_step(TASK_STEPS, task.state, "open")
    task.passed_over = [*(other for other in task.passed_over if other != crew_id), crew_id]
    task.crew_id = task.assigned_ms = task.due_ms = task.waiting_reason = None
    return crew_id
