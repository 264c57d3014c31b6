"""Who goes where: nearest crew, worst bin first, never more than a crew can carry."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.dispatch import Plan, Work, Worker, due_ms, plan, rank
from alerts.domain.policy import Policy

POLICY = Policy(max_open_tasks=2)
MINUTE_MS = 60_000


def work(
    task_id: int,
    x: float = 0.0,
    *,
    over: bool = False,
    hours: float | None = None,
    allowed: bool = True,
    created_ms: int = 0,
) -> Work:
    return Work(task_id, f"bin-{task_id:03}", (x, 0.0), over, hours, allowed, created_ms)


def walk(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.dist(a, b)


def planned(works: list[Work], workers: list[Worker]) -> Plan:
    return plan(works, workers, walk=walk, centre=(0.0, 0.0), now_ms=0, policy=POLICY)


def pairs(found: Plan) -> list[tuple[int, str]]:
    return [(assignment.task_id, assignment.crew_id) for assignment in found.assignments]


def test_the_nearest_crew_goes() -> None:
    """A bin at 9 goes to the crew at 10, not to the one at 0."""
    assert pairs(planned([work(1, 9.0)], [Worker("a", (0.0, 0.0), 0), Worker("b", (10.0, 0.0), 0)])) == [(1, "b")]


def test_who_let_it_lie_comes_last() -> None:
    """The far crew goes before the near one that let it lie; of two that did, the one that did so longer ago."""
    workers = [Worker("a", (0.0, 0.0), 0), Worker("b", (9.0, 0.0), 0)]
    task = work(1, 9.0)
    for passed_over, crew_id in [((), "b"), (("b",), "a"), (("b", "a"), "b"), (("a", "b"), "a"), (("gone",), "b")]:
        assert pairs(planned([msgspec.structs.replace(task, passed_over=passed_over)], workers)) == [(1, crew_id)]
    busy = [Worker("a", (0.0, 0.0), 2), Worker("b", (9.0, 0.0), 0)]
    assert pairs(planned([msgspec.structs.replace(task, passed_over=("b",))], busy)) == [(1, "b")]


def test_a_crew_is_next_where_its_work_is() -> None:
    """After the bin at 9 crew b stands at 9, so it also gets the bin at 6, though crew a started nearer to it."""
    workers = [Worker("a", (1.0, 0.0), 0), Worker("b", (10.0, 0.0), 0)]
    assert pairs(planned([work(1, 9.0), work(2, 6.0)], workers)) == [(1, "b"), (2, "b")]


def test_the_worst_comes_first() -> None:
    """Overflowing, then soonest to overflow, then without a forecast, then oldest."""
    order = [
        work(4, over=True, created_ms=5),
        work(3, hours=0.5),
        work(2, hours=3.0),
        work(5, created_ms=1),
        work(1, created_ms=2),
    ]
    for start in range(len(order)):
        assert sorted([*order[start:], *order[:start]], key=rank) == order


def test_a_busy_crew_gets_nothing() -> None:
    """One place left among two crews: the worst bin takes it, the other waits and says why."""
    found = planned([work(1), work(2, over=True)], [Worker("a", None, 1), Worker("b", None, 2)])
    assert pairs(found) == [(2, "a")]
    assert found.waiting == {1: "crews-busy"}


def test_nobody_on_shift() -> None:
    """At night every task waits for the morning, whatever the hours of its bin."""
    assert planned([work(1), work(2, allowed=False)], []).waiting == {1: "no-crew-on-shift", 2: "no-crew-on-shift"}


def test_outside_its_hours_a_bin_waits_and_the_crew_stays_free() -> None:
    """Prayer time closes one bin; the next bin gets the crew."""
    found = planned([work(1, over=True, allowed=False), work(2)], [Worker("a", None, 1)])
    assert (pairs(found), found.waiting) == ([(2, "a")], {1: "outside-service-hours"})


def test_ties_are_decided_by_load_then_id() -> None:
    """Two crews at one place: the less loaded one, then the lower id."""
    assert pairs(planned([work(1)], [Worker("a", None, 1), Worker("b", None, 0)])) == [(1, "b")]
    assert pairs(planned([work(1)], [Worker("b", None, 0), Worker("a", None, 0)])) == [(1, "a")]


@pytest.mark.parametrize(
    ("one", "minutes"),
    [
        (work(1, over=True), 30),
        (work(1), 60),
        (work(1, hours=0.5), 30),
        (work(1, hours=0.0), 15),
        (work(1, hours=9.0), 60),
    ],
)
def test_due_times(one: Work, minutes: int) -> None:
    """Half an hour for an overflow, an hour for a full bin, sooner when it will overflow, never under 15 min."""
    assert due_ms(one, 0, POLICY) == minutes * MINUTE_MS


WORKS = st.lists(
    st.builds(
        work,
        st.integers(1, 500),
        st.floats(-500, 500),
        over=st.booleans(),
        hours=st.one_of(st.none(), st.floats(0, 48)),
        allowed=st.booleans(),
        created_ms=st.integers(0, 10**6),
    ),
    max_size=30,
    unique_by=lambda one: one.task_id,
)
WORKERS = st.lists(
    st.builds(
        Worker,
        st.sampled_from([f"crew-{k}" for k in range(6)]),
        st.one_of(st.none(), st.tuples(st.floats(-500, 500), st.just(0.0))),
        st.integers(0, 4),
    ),
    max_size=6,
    unique_by=lambda worker: worker.crew_id,
)


@settings(deadline=None)
@given(WORKS, WORKERS, st.randoms(use_true_random=False))
def test_capacity_is_never_exceeded_and_nothing_is_lost(works: list[Work], workers: list[Worker], rng: object) -> None:
    """No crew gets past its limit; every task is assigned once or waits with a reason; order of input is no matter."""
    found = planned(works, workers)
    for worker in workers:
        given_now = sum(crew_id == worker.crew_id for _, crew_id in pairs(found))
        assert given_now <= max(0, POLICY.max_open_tasks - worker.load)
    assigned = [task_id for task_id, _ in pairs(found)]
    assert sorted([*assigned, *found.waiting]) == sorted(one.task_id for one in works)
    shuffled_works, shuffled_workers = list(works), list(workers)
    rng.shuffle(shuffled_works)  # type: ignore[attr-defined]
    rng.shuffle(shuffled_workers)  # type: ignore[attr-defined]
    assert planned(shuffled_works, shuffled_workers) == found


@settings(deadline=None)
@given(WORKS, WORKERS)
def test_nobody_waits_for_a_crew_that_is_free(works: list[Work], workers: list[Worker]) -> None:
    """Crews-busy is said only when every crew is at its limit."""
    found = planned(works, workers)
    if "crews-busy" in found.waiting.values():
        loads = {worker.crew_id: worker.load for worker in workers}
        for _, crew_id in pairs(found):
            loads[crew_id] += 1
        assert all(load >= POLICY.max_open_tasks for load in loads.values())
