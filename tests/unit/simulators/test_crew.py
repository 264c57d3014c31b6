"""Crews use the crew interface, and a claim empties a bin once, whoever made it."""

import asyncio
import json
from contextlib import suppress

import httpx
import pytest

from simulators.crew import Claims, CrewApi, Crews, Walker, square_sleep
from simulators.errors import CrewApiError, TaskTaken
from square.clock import FixedClock
from square.site import load_site

SITE = load_site("alun-alun-pasuruan")
BIN = SITE.bins[3]


class FastClock(FixedClock):
    """Square time that jumps a little at each look, so that square sleeps take no wall time."""

    def now_s(self):
        self.advance(20.0)
        return super().now_s()

    def speed(self):
        return 1_000_000.0


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


def run_crews(office, until, *, working=True, claims=None, links=None):
    emptied = []
    claims = claims or Claims(emptied.append)

    async def scenario():
        client = httpx.AsyncClient(transport=httpx.MockTransport(office), base_url="http://office")
        crews = Crews(
            CrewApi(client), FastClock(1e9), SITE, links or {"pagi-1": "secret-1"}, claims, working=working, poll_s=0.01
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
