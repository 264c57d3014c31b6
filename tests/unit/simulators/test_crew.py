"""Crews use the crew interface, and a claim empties a bin once, whoever made it."""

import asyncio
import json
from contextlib import suppress

import httpx
import pytest

from simulators.broom import Broom
from simulators.crew import Claims, CrewApi, Crews, Walker, square_sleep
from simulators.errors import CrewApiError, TaskTaken
from simulators.faults import Fault, FaultScript
from simulators.habits import Habits
from square.clock import FixedClock
from square.site import load_site

SITE = load_site("alun-alun-pasuruan")
BIN = SITE.bins[3]
NOON_S = 1_795_496_400.0
"""2026-11-24 12:00 at the square."""


class FastClock(FixedClock):
    """Square time that jumps a little at each look, so that square sleeps take no wall time."""

    step_s = 20.0

    def now_s(self):
        self.advance(self.step_s)
        return super().now_s()

    def speed(self):
        return 1e9


class Office:
    """The crew interface as a function: one crew, tasks by id, states as the contract says."""

    def __init__(self, *tasks, on_shift=True):
        self.tasks = {task["id"]: task for task in tasks}
        self.calls = []
        self.keys = []
        self.down = 0
        self.refused = 0
        self.on_shift = on_shift

    def __call__(self, request):
        self.calls.append((request.method, request.url.path))
        if self.down > 0:
            self.down -= 1
            self.refused += 1
            return httpx.Response(503, text="starting")
        parts = request.url.path.split("/")
        if parts[4] != "secret-1":
            self.refused += 1
            return httpx.Response(404, json={})
        if request.method == "GET":
            crew = {"id": "pagi-1", "on_shift": self.on_shift}
            return httpx.Response(200, json={"crew": crew, "tasks": list(self.tasks.values())})
        self.keys.append(request.headers["Idempotency-Key"])
        task, action = self.tasks[int(parts[6])], parts[7]
        allowed = {"accept": ("assigned", "accepted"), "done": ("accepted", "claimed")}[action]
        if task["state"] != allowed[0]:
            return httpx.Response(409, json={"error": {}})
        task["state"] = allowed[1]
        if action == "done":
            task["claimed_ms"] = 5_000
        return httpx.Response(200, json={k: v for k, v in task.items() if k != "asset"})


def task(number, state="assigned", **changes):
    asset = {"lon": BIN.lon, "lat": BIN.lat, "zone": BIN.zone}
    return {"id": number, "asset_id": BIN.id, "state": state, "claimed_ms": None, "asset": asset} | changes


def run_crews(office, until, *, working=True, claims=None, links=None, clock=None, **behaviour):
    emptied = []
    claims = claims or Claims(emptied.append)

    async def scenario():
        client = httpx.AsyncClient(transport=httpx.MockTransport(office), base_url="http://office")
        crews = Crews(
            CrewApi(client),
            clock or FastClock(1e9),
            SITE,
            links or {"pagi-1": "secret-1"},
            claims,
            working=working,
            poll_s=0.01,
            **behaviour,
        )
        running = asyncio.create_task(crews.run())
        for _ in range(500):
            await asyncio.sleep(0.01)
            if running.done() or until(emptied):
                break
        finished = running.done()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.aclose()
        assert not finished, "crews must never end by themselves"

    asyncio.run(scenario())
    return emptied


def test_a_crew_accepts_walks_and_claims():
    """An assigned task is accepted, then claimed; the bin is emptied exactly once although the page is polled on."""
    office = Office(task(1))
    emptied = run_crews(office, lambda e: len(e) >= 1 and len(office.calls) > 12)
    assert emptied == [BIN.id]
    assert office.tasks[1]["state"] == "claimed"
    posts = [path.rsplit("/", 1)[1] for method, path in office.calls if method == "POST"]
    assert posts == ["accept", "done"]
    assert office.keys == ["sim-1-accept", "sim-1-done"]


def test_a_person_with_the_crew_page_empties_the_bin_too():
    """With working=False nobody accepts anything, but a claim that appears on the page empties the bin once."""
    office = Office(task(1, "claimed", claimed_ms=7_000), task(2))
    emptied = run_crews(office, lambda _e: len(office.calls) > 10, working=False)
    assert emptied == [BIN.id]
    assert office.tasks[2]["state"] == "assigned"
    assert all(method == "GET" for method, _ in office.calls)


def test_an_office_that_is_down_only_delays():
    """Errors are counted and retried; the work is done once the office answers."""
    office = Office(task(1))
    office.down = 3
    emptied = run_crews(office, lambda e: len(e) >= 1)
    assert emptied == [BIN.id]
    assert office.refused == 3


def test_off_shift_crews_accept_nothing():
    """A crew that is off shift leaves new tasks alone."""
    office = Office(task(1), on_shift=False)
    run_crews(office, lambda _e: len(office.calls) > 8)
    assert office.tasks[1]["state"] == "assigned"


def test_a_stranger_link_is_survived():
    """An unknown link gives errors, never an end, and the other crew works on."""
    office = Office(task(1))
    emptied = run_crews(office, lambda e: len(e) >= 1, links={"x": "wrong", "pagi-1": "secret-1"})
    assert emptied == [BIN.id]
    assert office.refused >= 1


def test_a_crew_that_refuses_lets_the_task_lie():
    """Nothing is accepted, nothing is emptied, and the page is watched on."""
    office = Office(task(1))
    emptied = run_crews(office, lambda _e: len(office.calls) > 15, habits=Habits(refuse_share=1.0))
    assert emptied == []
    assert office.tasks[1]["state"] == "assigned"
    assert all(method == "GET" for method, _ in office.calls)


def test_a_crew_that_lies_claims_and_empties_nothing():
    """The claim reaches the office; the bin stays full, however often the claim is seen on the page afterwards."""
    office = Office(task(1))
    after = []

    def until(_emptied):
        if office.tasks[1]["state"] == "claimed":
            after.append(1)
        return len(after) > 10

    emptied = run_crews(office, until, habits=Habits(lie_share=1.0))
    assert office.tasks[1]["state"] == "claimed"
    assert emptied == []


def test_a_claim_of_a_crew_without_network_comes_after_the_work():
    """The bin is empty while the office still waits; then the claim comes, and empties nothing again."""
    office, clock = Office(task(1)), FastClock(1e9)
    emptied_s, claimed_s = [], []
    claims = Claims(lambda _bin: emptied_s.append(FixedClock.now_s(clock)))

    def until(_emptied):
        if office.tasks[1]["state"] == "claimed":
            claimed_s.append(FixedClock.now_s(clock))
        return len(claimed_s) > 10

    run_crews(office, until, claims=claims, clock=clock, habits=Habits(offline_share=1.0, offline_median_s=50_000.0))
    assert len(emptied_s) == 1
    assert claimed_s[0] > emptied_s[0] + 8_000


@pytest.mark.parametrize(
    ("habits", "kind", "slower_s"),
    [(Habits(late_share=1.0, late_median_s=50_000.0), "accept", 8_000),
     (Habits(breakdown_share=1.0, breakdown_median_s=50_000.0), "done", 8_000),
     (Habits(walk_factor=1000.0), "done", 4_000)],
)  # fmt: skip
def test_crews_that_are_late_or_broken_down_take_longer(habits, kind, slower_s):
    """Square time until a task is accepted or claimed grows with the trouble; the work is done all the same.

    The smallest factor of a lognormal time with sigma 0.6 is e^-1.8 at three sigma: 50,000 s become 8,000 at least.
    """

    def duration_s(habits):
        office, clock = Office(task(1)), FastClock(1e9)
        clock.step_s = 500.0
        moments = {}

        def until(_emptied):
            for path in [path for method, path in office.calls if method == "POST"]:
                moments.setdefault(path.rsplit("/", 1)[1], FixedClock.now_s(clock))
            return "done" in moments

        assert run_crews(office, until, clock=clock, habits=habits) == [BIN.id]
        return moments["accept"] - 1e9 if kind == "accept" else moments["done"] - moments["accept"]

    assert duration_s(habits) > duration_s(Habits()) + slower_s


def test_faults_strike_crews_while_they_last():
    """Away: nothing happens. Offline: nothing is heard. Lying: claims without work. Sound again: work as ever."""
    script = FaultScript([Fault(0, 1e9 + 3000, "crew:pagi-*", "away"), Fault(0, 2e9, "crew:malam-1", "away")])
    office, clock = Office(task(1)), FastClock(1e9)
    accepted_s = []

    def until(emptied):
        if any(method == "POST" for method, _ in office.calls):
            accepted_s.append(FixedClock.now_s(clock))
        return len(emptied) > 0

    assert run_crews(office, until, clock=clock, faults=script) == [BIN.id]
    assert accepted_s[0] >= 1e9 + 3000
    silent = Office(task(1), task(2, "accepted"))
    offline = FaultScript([Fault(0, 2e9, "crew:pagi-1", "offline")])
    assert run_crews(silent, lambda _e: len(silent.calls) > 15, faults=offline) == []
    assert all(method == "GET" for method, _ in silent.calls)
    lying = Office(task(1))
    liars = FaultScript([Fault(0, 2e9, "crew:*", "lying")])
    assert run_crews(lying, lambda _e: lying.tasks[1]["state"] == "claimed", faults=liars) == []


def test_an_office_that_is_down_does_not_make_a_crew_walk_twice():
    """Work that is done is claimed when the office answers again, without a second walk."""
    office = Office(task(1, "accepted"))

    def until(emptied):
        if len(emptied) == 1 and not office.refused:
            office.down = 4
        return office.tasks[1]["state"] == "claimed"

    emptied = run_crews(office, until)
    assert emptied == [BIN.id]
    assert office.tasks[1]["state"] == "claimed"


class Sweeping(Broom):
    """A broom that writes down what was swept."""

    def __init__(self):
        self.swept = []
        super().__init__(SITE, self.swept.append, lambda _zone: 5.0)


def test_an_idle_crew_sweeps_and_a_task_calls_it_away():
    """Without a task zones are swept; a crew that is off shift, or away, or has a task sweeps none."""
    idle = Sweeping()
    run_crews(Office(), lambda _e: len(idle.swept) > 2, broom=idle, clock=FastClock(NOON_S))
    assert len(set(idle.swept)) >= 3
    for office, faults in (
        (Office(on_shift=False), None),
        (Office(), FaultScript([Fault(0, 9e9, "crew:*", "away")])),
    ):
        broom = Sweeping()
        run_crews(office, lambda _e, office=office: len(office.calls) > 12, broom=broom, faults=faults)
        assert broom.swept == []


def test_a_task_that_comes_while_a_crew_sweeps_is_done_first():
    """The zone in hand is left as it is and swept later."""
    office, broom, clock = Office(), Sweeping(), FastClock(NOON_S)
    clock.step_s = 0.0001  # sweeping would take for ever
    swept_before = []
    claims = Claims(lambda _bin: swept_before.append(list(broom.swept)))

    def until(_emptied):
        if len(office.calls) > 5 and not office.tasks:
            office.tasks[1] = task(1)
            clock.step_s = 20.0
        return len(swept_before) > 0

    clock.speed = lambda: 1000.0
    run_crews(office, until, broom=broom, clock=clock, claims=claims)
    assert swept_before == [[]]


def test_claims_are_settled_once_over_restarts():
    """A claim that an earlier run settled is not settled again; one made while nobody looked is."""
    emptied = []
    first = Claims(emptied.append)
    first.take([task(1, "claimed", claimed_ms=10)])
    second = Claims(emptied.append, json.loads(json.dumps(sorted(first.seen))))
    assert second.take([task(1, "verified", claimed_ms=10), task(2, "claimed", claimed_ms=20)]) == 1
    assert emptied == [BIN.id, BIN.id]


def test_a_new_world_ignores_claims_of_an_old_one():
    """Claims from before the world began change nothing in it."""
    emptied = []
    claims = Claims(emptied.append, ignore_before_ms=100)
    assert claims.take([task(1, "verified", claimed_ms=99), task(2, "claimed", claimed_ms=100)]) == 1
    assert len(emptied) == 1


def test_errors_do_not_name_the_secret():
    """The text of an error has no token in it: a link is a key."""

    async def scenario():
        client = httpx.AsyncClient(
            transport=httpx.MockTransport(lambda _r: httpx.Response(404)), base_url="http://office"
        )
        async with client:
            await CrewApi(client).page("very-secret")

    with pytest.raises(CrewApiError) as caught:
        asyncio.run(scenario())
    assert "very-secret" not in str(caught.value)
    assert "404" in str(caught.value)
    assert not isinstance(caught.value, TaskTaken)


def test_walking_takes_longer_than_the_straight_line():
    """Walking time follows the paths: at least the straight line at walking speed, and finite between all bins."""
    walker = Walker(SITE)
    for a in SITE.bins[:6]:
        for b in SITE.bins[6:12]:
            straight_s = SITE.frame.distance_m(a.lonlat, b.lonlat) / SITE.rules.walk_speed_mps
            assert straight_s - 1e-6 <= walker.walk_s(a.lonlat, b.lonlat) < 3600


def test_square_sleep_follows_the_square_and_not_the_wall():
    """Sleeping 30 square minutes at a fast clock takes almost no wall time; a clock set back does not trap it."""

    async def scenario(clock):
        async with asyncio.timeout(2.0):
            await square_sleep(clock, 1800.0)

    asyncio.run(scenario(FastClock(1e9)))

    class SetBack(FixedClock):
        looks = 0

        def now_s(self):
            self.looks += 1
            return 1e9 if self.looks == 1 else 1e9 - 1e6

    asyncio.run(scenario(SetBack(1e9, 1.0)))
