"""Simulated crews, and what crews do to the world.

Crews use the crew app's own HTTP interface and nothing else. A bin of the simulated square is emptied when a crew
*claims* a task done, whoever made the claim: a simulated crew or a person with a phone.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from simulators import habits
from simulators.errors import CrewApiError, TaskTaken
from simulators.parameters import Parameter
from square.clock import Clock
from square.geometry import LonLat
from square.site import Site

_log = logging.getLogger(__name__)

PARAMETERS: Mapping[str, Parameter] = {
    "walk_detour": Parameter(1.3, "1", "assumed detour over the straight line where no path joins two points"),
}

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
            metres = self._site.frame.distance_m(a, b) * PARAMETERS["walk_detour"].value
        return metres / self._site.rules.walk_speed_mps


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
    """What is known of one crew: its secret link, where it stands, its last page."""

    crew_id: str
    token: str
    position: LonLat
    page: dict[str, Any] | None = None
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0


class Crews:
    """Polls the pages of all crews, empties bins for claims, and works as the crews when asked to.

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
        Of human delays.
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
        poll_s: float = POLL_S,
    ) -> None:
        self._api = api
        self._clock = clock
        self._walker = Walker(site)
        self._empty_s = float(site.rules.empty_bin_s)
        self._claims = claims
        self._working = working
        self._poll_s = poll_s
        self._random = random.Random(seed)  # noqa: S311 - reproducible delays, not a secret
        self._crews = [CrewState(crew_id, token, self._walker.depot) for crew_id, token in links.items()]

    async def run(self) -> None:
        """Watch and work for ever; cancel to stop. An office that is down only makes it wait."""
        async with asyncio.TaskGroup() as group:
            for crew in self._crews:
                group.create_task(self._watch(crew), name=f"watch {crew.crew_id}")
                if self._working:
                    group.create_task(self._work(crew), name=f"crew {crew.crew_id}")

    async def _watch(self, crew: CrewState) -> None:
        while True:
            try:
                crew.page = await self._api.page(crew.token)
                self._claims.take(crew.page["tasks"])
            except (CrewApiError, KeyError, TypeError) as error:
                self._failed(crew, error)
            else:
                crew.failures = 0
                crew.fresh.set()
            await asyncio.sleep(min(RETRY_MAX_S, self._poll_s * 2 ** min(crew.failures, 5)))

    def _failed(self, crew: CrewState, error: Exception) -> None:
        crew.failures += 1
        level = logging.WARNING if crew.failures in {3, 30} else logging.DEBUG
        _log.log(level, "crew %s: %s (try %d)", crew.crew_id, error, crew.failures)

    async def _work(self, crew: CrewState) -> None:
        while True:
            await crew.fresh.wait()
            crew.fresh.clear()
            try:
                await self._one_round(crew)
            except TaskTaken:
                continue  # the next page tells how things stand
            except (CrewApiError, KeyError, TypeError) as error:
                self._failed(crew, error)

    async def _one_round(self, crew: CrewState) -> None:
        """Accept what is new, then do the first accepted task, as its page lists them."""
        page = crew.page or {"tasks": []}
        tasks: list[Task] = page["tasks"]
        if page.get("crew", {}).get("on_shift", True):
            for new in [t for t in tasks if t["state"] == "assigned"]:
                await square_sleep(self._clock, self._human_s("accept_median_s", "accept_spread"))
                new.update(await self._api.move(crew.token, new["id"], "accept"))
        accepted = [t for t in tasks if t["state"] == "accepted"]
        if not accepted:
            return
        task = accepted[0]
        asset = task["asset"]
        where = (float(asset["lon"]), float(asset["lat"]))
        await square_sleep(self._clock, self._walker.walk_s(crew.position, where))
        crew.position = where
        spread = habits.PARAMETERS["empty_spread"].value
        await square_sleep(self._clock, self._empty_s * self._random.lognormvariate(0.0, spread))
        done = await self._api.move(crew.token, task["id"], "done")
        self._claims.take([task | done])
        crew.fresh.clear()  # the page in hand is from before this work

    def _human_s(self, median: str, spread: str) -> float:
        return habits.PARAMETERS[median].value * self._random.lognormvariate(0.0, habits.PARAMETERS[spread].value)
