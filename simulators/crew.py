"""Simulated crews, and what crews do to the world.

Crews use the crew app's own HTTP interface and nothing else. They obey, refuse, are late, lie, break down or lose the
network, as `simulators.habits` says. When a *person* with a phone claims a task done, the bin of the simulated square
is emptied at that moment; a simulated crew empties it when it is there, and claims it afterwards.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from simulators.broom import Broom
from simulators.contest.square_view import PARAMETERS as SQUARE_PARAMETERS
from simulators.errors import CrewApiError, TaskTaken
from simulators.faults import Fault, FaultScript, chance_of
from simulators.habits import Habits, Temper
from square.clock import Clock
from square.geometry import LonLat
from square.site import Site

_log = logging.getLogger(__name__)

POLL_S = 2.0  # wall
RETRY_MAX_S = 30.0
REQUEST_TIMEOUT_S = 10.0
_CONFLICT = 409
Task = dict[str, Any]


class CrewApi:
    """The part of the HTTP interface that the crew app uses.

    Parameters
    ----------
    client
        Its base URL is where the office serves, for example "http://127.0.0.1:8000"; the caller closes it.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def page(self, token: str) -> dict[str, Any]:
        """Fetch what the crew's page shows: crew, tasks, clock, shift.

        Raises
        ------
        CrewApiError
            No answer, or not the agreed one.
        """
        return await self._call("GET", f"/api/v1/crew/{token}")

    async def move(self, token: str, task_id: int | str, action: str) -> Task:
        """Accept a task or claim it done (`action` is "accept" or "done"); safe to repeat.

        Raises
        ------
        TaskTaken
            The task is in a state that does not allow this.
        CrewApiError
            No answer, or not the agreed one.
        """
        key = f"sim-{task_id}-{action}"
        return await self._call("POST", f"/api/v1/crew/{token}/tasks/{task_id}/{action}", key)

    async def _call(self, method: str, path: str, idempotency_key: str | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            reply = await self._client.request(method, path, headers=headers)
            if reply.status_code == _CONFLICT:
                raise TaskTaken(reply.text[:200])
            reply.raise_for_status()
            body = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise CrewApiError(f"{method} of the crew interface: {_without_token(error)}") from error
        if not isinstance(body, dict):
            raise CrewApiError(f"{method} of the crew interface answered something other than an object")
        return cast("dict[str, Any]", body)


def _without_token(error: Exception) -> str:
    """Name an error without the URL: the link of a crew is its key and does not belong in a log."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    return type(error).__name__


class Claims:
    """Empties a bin once for each task that was claimed done.

    Parameters
    ----------
    empty
        Empties the bin of an asset id.
    seen
        Ids of tasks that were dealt with in an earlier run.
    ignore_before_ms
        Claims older than this [square ms] changed a world that no longer exists; None for a world that goes on.
    """

    def __init__(
        self, empty: Callable[[str], None], seen: Iterable[str] = (), ignore_before_ms: int | None = None
    ) -> None:
        self.seen = set(seen)
        self._empty = empty
        self._ignore_before_ms = ignore_before_ms

    def did(self, task: Task) -> None:
        """Empty the bin of a task now; its claim, which comes later, changes nothing any more."""
        key = str(task["id"])
        if key not in self.seen:
            self.seen.add(key)
            self._empty(task["asset_id"])

    def ignore(self, task: Task) -> None:
        """Let a claim that is to come be a lie: the bin stays as it is."""
        self.seen.add(str(task["id"]))

    def take(self, tasks: Iterable[Task]) -> int:
        """Look at tasks and return how many bins were emptied for claims not seen before."""
        emptied = 0
        for task in tasks:
            claimed_ms = task.get("claimed_ms")
            key = str(task["id"])
            if claimed_ms is None or key in self.seen:
                continue
            self.seen.add(key)
            if self._ignore_before_ms is not None and claimed_ms < self._ignore_before_ms:
                continue
            self._empty(task["asset_id"])
            emptied += 1
        return emptied


class Walker:
    """Walking times on a site.

    Parameters
    ----------
    site
        Its paths, its depot and its rules.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.depot = site.depot.lonlat

    def walk_s(self, a: LonLat, b: LonLat) -> float:
        """Return the time to walk from a to b [s of the square]; straight with a detour where no path joins them."""
        try:
            metres = self._site.walking.distance_m(a, b)
        except ValueError:  # a plan without paths
            metres = math.inf
        if not math.isfinite(metres):
            metres = self._site.frame.distance_m(a, b) * SQUARE_PARAMETERS["detour"].value
        return metres / self._site.rules.walk_speed_mps


def _has_work(page: Mapping[str, Any]) -> bool:
    """Whether a page has a task that is not done yet."""
    return any(task["state"] in {"assigned", "accepted"} for task in page.get("tasks", ()))


async def square_sleep(clock: Clock, seconds: float) -> None:
    """Sleep in square time; a paused clock sleeps on, a clock that jumps ahead wakes at once."""
    until_s = clock.now_s() + seconds
    while (left_s := until_s - clock.now_s()) > 0:
        if left_s > 2 * seconds + 60:  # the clock was set back: what is left can never be more than was asked
            return
        speed = clock.speed()
        await asyncio.sleep(min(0.5, left_s / speed) if speed > 0 else 0.5)


@dataclass
class CrewState:
    """What is known of one crew.

    Attributes
    ----------
    crew_id, token, temper
        Who it is, its secret link, its mood.
    position
        Where it stands.
    page, fresh
        Its last page, and whether nobody has worked with that yet.
    seen_s
        When it first saw each task that it has not accepted, by task id [s of the square].
    outbox
        When the claim of each task that it has dealt with shall go out, by task id [s of the square].
    """

    crew_id: str
    token: str
    temper: Temper
    position: LonLat
    page: dict[str, Any] | None = None
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    seen_s: dict[str, float] = field(default_factory=dict)
    outbox: dict[str, float] = field(default_factory=dict)


class Crews:
    """Polls the pages of all crews, empties bins for claims, and works as the crews when asked to.

    A crew does its work when it does it, and the office hears of it when it hears of it: a claim is a message of its
    own, sent again until it is taken, and later than the work by as long as the crew is without network.

    Parameters
    ----------
    api, clock, site
        Interface of the office, square time, the plan.
    links
        Secret token by crew id.
    claims
        What a claim does to the world.
    working
        False only watches: people do the work with the crew page.
    seed
        Of the moods.
    habits
        How crews behave; by default they do as they are told.
    faults
        What strikes crews; it may grow.
    broom
        What crews sweep while they have no task; None for nothing.
    poll_s
        Pause between two looks at a page [wall s].
    """

    def __init__(
        self,
        api: CrewApi,
        clock: Clock,
        site: Site,
        links: Mapping[str, str],
        claims: Claims,
        *,
        working: bool = True,
        seed: int = 0,
        habits: Habits | None = None,
        faults: FaultScript | None = None,
        broom: Broom | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._api = api
        self._clock = clock
        self._walker = Walker(site)
        self._empty_s = float(site.rules.empty_bin_s)
        self._claims = claims
        self._working = working
        self._faults = faults if faults is not None else FaultScript()
        self._broom = broom
        self._poll_s = poll_s
        self._crews = [
            CrewState(crew_id, token, Temper(habits or Habits(), seed, crew_id), self._walker.depot)
            for crew_id, token in links.items()
        ]

    async def run(self) -> None:
        """Watch and work for ever; cancel to stop. An office that is down only makes it wait."""
        async with asyncio.TaskGroup() as group:
            for crew in self._crews:
                group.create_task(self._watch(crew), name=f"watch {crew.crew_id}")
                if self._working:
                    group.create_task(self._work(crew), name=f"crew {crew.crew_id}")

    def _struck(self, crew: CrewState, kind: str) -> Fault | None:
        return self._faults.find("crew", crew.crew_id, kind, self._clock.now_s())

    async def _watch(self, crew: CrewState) -> None:
        while True:
            try:
                page = await self._api.page(crew.token)
                self._claims.take(page["tasks"])
            except (CrewApiError, KeyError, TypeError) as error:
                self._failed(crew, error)
            else:
                crew.failures = 0
                if not self._struck(crew, "offline"):
                    crew.page = page
                    crew.fresh.set()
            await asyncio.sleep(min(RETRY_MAX_S, self._poll_s * 2 ** min(crew.failures, 5)))

    def _failed(self, crew: CrewState, error: Exception) -> None:
        crew.failures += 1
        level = logging.WARNING if crew.failures in {3, 30} else logging.DEBUG
        _log.log(level, "crew %s: %s (try %d)", crew.crew_id, error, crew.failures)

    async def _work(self, crew: CrewState) -> None:
        while True:
            await self._news(crew)
            crew.fresh.clear()
            if self._struck(crew, "away"):
                continue
            try:
                await self._one_round(crew)
            except TaskTaken:
                continue  # the next page tells how things stand
            except (CrewApiError, KeyError, TypeError) as error:
                self._failed(crew, error)

    async def _news(self, crew: CrewState) -> None:
        """Wait for a new page, or for the moment at which a task is to be accepted or a claim to go out."""
        moments = [*crew.outbox.values()]
        moments += [seen_s + crew.temper.answer(int(key)).accept_after_s for key, seen_s in crew.seen_s.items()]
        wait_s = min(moments, default=math.inf) - self._clock.now_s()
        speed = self._clock.speed()
        if not 0 < wait_s < math.inf or not speed:
            await crew.fresh.wait()  # what is overdue already waits for an office that answers
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(crew.fresh.wait(), wait_s / speed)

    async def _one_round(self, crew: CrewState) -> None:
        """Send claims that are due, accept what is new, then do the first accepted task, as its page lists them."""
        await self._send_claims(crew)
        page = crew.page or {"tasks": []}
        tasks: list[Task] = page["tasks"]
        if page.get("crew", {}).get("on_shift", True):
            await self._accept(crew, [task for task in tasks if task["state"] == "assigned"])
        for task in tasks:
            if task["state"] == "accepted" and str(task["id"]) not in crew.outbox:
                await self._do(crew, task)
                await self._send_claims(crew)
                crew.fresh.clear()  # the page in hand is from before this work
                return
        if page.get("crew", {}).get("on_shift", False) and not _has_work(page):
            await self._sweep(crew)

    async def _accept(self, crew: CrewState, tasks: list[Task]) -> None:
        """Accept tasks that the crew has seen for long enough; some it lets lie."""
        new = {str(task["id"]) for task in tasks}
        crew.seen_s = {key: seen_s for key, seen_s in crew.seen_s.items() if key in new}
        for task in tasks:
            answer, key = crew.temper.answer(int(task["id"])), str(task["id"])
            if answer.refuses:
                continue
            now_s = self._clock.now_s()
            seen_s = min(now_s, crew.seen_s.setdefault(key, now_s))  # not later, if the clock was set back
            if now_s >= seen_s + answer.accept_after_s:
                crew.seen_s.pop(key)
                task.update(await self._api.move(crew.token, task["id"], "accept"))

    async def _do(self, crew: CrewState, task: Task) -> None:
        """Walk, empty, and put the claim into the outbox; a crew that lies does the last alone."""
        answer, key = crew.temper.answer(int(task["id"])), str(task["id"])
        work_s = self._empty_s * answer.empty_factor
        fault = self._struck(crew, "lying")
        if answer.lies or (fault is not None and chance_of(f"{crew.crew_id} {key}") < fault.strength):
            await square_sleep(self._clock, work_s)
            self._claims.ignore(task)
            _log.info("crew %s claims task %s and did nothing", crew.crew_id, key)
        else:
            asset = task["asset"]
            where = (float(asset["lon"]), float(asset["lat"]))
            walk_s = self._walker.walk_s(crew.position, where) * answer.walk_factor
            await square_sleep(self._clock, walk_s + answer.breaks_down_s)
            crew.position = where
            await square_sleep(self._clock, work_s)
            self._claims.did(task)
        crew.outbox[key] = self._clock.now_s() + answer.offline_s

    async def _sweep(self, crew: CrewState) -> None:
        """Sweep the zone that waits longest, unless a task comes meanwhile."""
        zone = self._broom.take(self._clock.now_s()) if self._broom is not None else None
        if self._broom is None or zone is None:
            return
        try:
            where = self._broom.place(zone)
            takes_s = self._walker.walk_s(crew.position, where) + self._broom.work_s(zone)
            until_s = self._clock.now_s() + takes_s
            while 0 < (left_s := until_s - self._clock.now_s()) <= takes_s:  # more is left when the clock was set back
                speed = self._clock.speed()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(crew.fresh.wait(), min(0.5, left_s / speed) if speed > 0 else 0.5)
                if crew.fresh.is_set() and _has_work(crew.page or {}):
                    return  # it stays where it was: a zone is as near to the next bin as to any
                crew.fresh.clear()
            crew.position = where
            litres = self._broom.done(zone, self._clock.now_s())
            _log.debug("crew %s swept %s: %.0f l", crew.crew_id, zone, litres)
        finally:
            self._broom.leave(zone)

    async def _send_claims(self, crew: CrewState) -> None:
        """Tell the office what is done, if it can be told."""
        if self._struck(crew, "offline"):
            return
        for key in [key for key, due_s in crew.outbox.items() if due_s <= self._clock.now_s()]:
            with contextlib.suppress(TaskTaken):  # somebody else has closed it: nothing to tell any more
                await self._api.move(crew.token, key, "done")
            del crew.outbox[key]
