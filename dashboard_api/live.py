"""The loop that keeps board and streams up to date: one query of the change log for all clients."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from alerts.desk import ChangePage, Desk, Snapshot
from alerts.errors import DatabaseError
from dashboard_api.board import Board, Json
from dashboard_api.events import PING_S, Client, Event, Hub, frame
from dashboard_api.health import POLL_S, Answer, HealthWatch
from square.clock import Clock, now_ms

_log = logging.getLogger(__name__)

TAIL_S: Final = 0.25
CLOCK_S: Final = 10.0
CREWS_S: Final = 5.0
PAGE: Final = 500
SEED: Final = 5000
"""Changes before the start that can still be resumed from after a restart."""
_JUMP_S: Final = 2.0
_RETRY_MAX_S: Final = 5.0

T = TypeVar("T")


def clock_view(clock: Clock, *, simulated: bool) -> Json:
    """Return the ``clock`` object of the API."""
    return {"now_ms": now_ms(clock), "speed": clock.speed(), "simulated": simulated}


class Live:
    """Follows the change log, the clock and the health of the parts.

    Parameters
    ----------
    desk, board, hub, watch
        What is followed and who is told.
    clock : Clock
        Square time.
    simulated : bool
        Whether square time is not wall time.
    """

    def __init__(
        self,
        desk: Desk,
        board: Board,
        hub: Hub,
        watch: HealthWatch,
        clock: Clock,
        *,
        simulated: bool,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._board = board
        self._hub = hub
        self._watch = watch
        self._clock = clock
        self._simulated = simulated
        self._monotonic_s = monotonic_s
        self._last_id = 0
        self._loaded = False
        self._told_clock: tuple[float, float, float] | None = None  # (monotonic, square, speed)
        self._crews_due_s = 0.0
        self._wakeup = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # An own thread, so that a slow chart query never delays the map.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tail")

    def clock(self) -> Json:
        """Return the clock as the API shows it."""
        return clock_view(self._clock, simulated=self._simulated)

    async def start(self) -> None:
        """Load the board once, if the store answers, and start the loops."""
        self._loop = asyncio.get_running_loop()
        await self._guarded_catch_up()
        self._board.set_health(self._watch.report())  # every part is named, also before the first round
        self._tasks = [
            asyncio.create_task(self._run_tail(), name="tail"),
            asyncio.create_task(self._run_health(), name="health"),
            asyncio.create_task(self._run_pings(), name="pings"),
        ]

    async def stop(self) -> None:
        """End streams and loops."""
        self._hub.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._watch.close()

    def nudge(self) -> None:
        """Look at the change log now: called from any thread after a write."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wakeup.set)

    def greet(self, client: Client, *, with_health: bool = True) -> None:
        """Tell a new client the clock and the health, which otherwise come only when due."""
        client.offer(("clock", ""), frame("clock", self.clock()))
        if with_health:
            client.offer(("health", ""), frame("health", self._board.health))

    @property
    def is_loaded(self) -> bool:
        """Whether the board holds the state of the store."""
        return self._loaded

    async def catch_up(self) -> None:
        """Take over everything that changed since the last call.

        Raises
        ------
        DatabaseError
            When the store does not answer.
        """
        if not self._loaded:
            await self._load()
            # Lines that failed in the middle are in the state and in no stream: who listens looks again.
            self._hub.reset_all("reloaded")
        crews_changed = False
        while True:
            page: ChangePage = await self._call(lambda: self._desk.changes_since(self._last_id, limit=PAGE))
            if page.reset:
                before_id = self._last_id
                await self._load()
                if self._last_id != before_id:  # a log that was emptied is no news the second time
                    self._hub.reset_all("changes-lost")
                break
            at_ms = now_ms(self._clock)
            for number, change in enumerate(page.changes, 1):
                before = self._board.get(change.kind, change.entity_id) if change.kind == "task" else None
                item = self._board.apply(change.id, change.kind, change.entity_id, change.payload, at_ms)
                if item is not None:
                    self._hub.publish(Event(change.id, change.kind, change.entity_id, dict(item), before))
                crews_changed = crews_changed or change.kind in ("task", "crew")
                self._last_id = change.id
                if number % 50 == 0:
                    await asyncio.sleep(0)  # a burst must not fill the queues of clients that do read
            if len(page.changes) < PAGE:
                break
        if crews_changed or self._monotonic_s() >= self._crews_due_s:
            await self._refresh_crews()

    def tick(self) -> None:
        """Judge every age by square time, and tell the clock when it is due."""
        for kind, ident in self._board.judge(now_ms(self._clock)):
            item = self._board.get(kind, ident)
            if item is not None:
                self._hub.publish(Event(None, kind, ident, dict(item)))
        now_s, speed, at_s = self._clock.now_s(), self._clock.speed(), self._monotonic_s()
        if self._told_clock is not None:
            told_at_s, told_s, told_speed = self._told_clock
            expected_s = told_s + (at_s - told_at_s) * told_speed
            jumped = abs(now_s - expected_s) > _JUMP_S * max(1.0, speed)
            if speed == told_speed and not jumped and at_s - told_at_s < CLOCK_S:
                return
        self._told_clock = (at_s, now_s, speed)
        self._hub.announce("clock", self.clock())

    async def _load(self) -> None:
        snapshot: Snapshot = await self._call(lambda: self._desk.snapshot(now_ms(self._clock)))
        oldest = max(0, snapshot.event_id - SEED)
        seed: list[tuple[int | None, str, str, Json]] = []
        page = await self._call(lambda: self._desk.changes_since(oldest, limit=SEED))
        if page.reset:
            oldest = snapshot.event_id
        else:
            seed = [
                (change.id, change.kind, change.entity_id, change.payload)
                for change in page.changes
                if change.id <= snapshot.event_id
            ]
        self._board.load(
            {
                "event_id": snapshot.event_id,
                "bins": snapshot.bins,
                "air": snapshot.air,
                "incidents": snapshot.incidents,
                "tasks": snapshot.tasks,
                "crews": snapshot.crews,
            },
            now_ms(self._clock),
        )
        # A value may have aged while this server was down: who resumes is told every stale value again.
        aged: list[tuple[int | None, str, str, Json]] = [
            (None, kind, ident, self._board.get(kind, ident) or {}) for kind, ident in self._board.stale_keys()
        ]
        self._hub.start_from(oldest, [*seed, *aged])
        self._watch.note_heartbeats(snapshot.heartbeats)
        self._last_id = snapshot.event_id
        self._loaded = True

    async def _refresh_crews(self) -> None:
        """Shifts begin and end and tasks are handed out without a line about the crew: compare and tell."""
        at_ms = now_ms(self._clock)
        crews = await self._call(lambda: self._desk.crews(at_ms))
        if self._board.retain("crew", {crew["id"] for crew in crews}):
            self._hub.reset_all("crew-left")
        for crew in crews:
            if crew != self._board.get("crew", crew["id"]):
                self._board.apply(self._board.event_id, "crew", crew["id"], crew, at_ms)
                self._hub.publish(Event(None, "crew", crew["id"], crew))
        self._crews_due_s = self._monotonic_s() + CREWS_S

    async def _guarded_catch_up(self) -> bool:
        try:
            await self.catch_up()
        except DatabaseError as error:
            self._watch.note_relational(Answer(ok=False, reason=str(error)))
            return False
        self._watch.note_relational(Answer(ok=True, reason=""))
        return True

    async def _run_tail(self) -> None:
        wait_s = TAIL_S
        while True:
            try:
                answered = await self._guarded_catch_up()
                self.tick()
            except Exception:  # noqa: BLE001 - the top loop of a worker
                # The map must not freeze silently: say so, load everything again, go on.
                _log.exception("the live loop failed; the state is loaded again")
                self._watch.note_relational(
                    Answer(ok=False, reason="kesalahan pada aliran langsung (live loop failed)")
                )
                self._loaded = False
                answered = False
            wait_s = TAIL_S if answered else min(_RETRY_MAX_S, wait_s * 2)
            self._wakeup.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wakeup.wait()

    async def _run_health(self) -> None:
        told: Json | None = None
        while True:
            try:
                told = await self._tell_health(told)
            except Exception:  # noqa: BLE001 - the top loop of a worker
                # A frozen report would call a dead part well for ever.
                _log.exception("the health loop failed; it goes on")
            await asyncio.sleep(POLL_S)

    async def _tell_health(self, told: Json | None) -> Json:
        """Ask every part, tell the report when it differs from the one told before, and return it."""
        await asyncio.to_thread(self._watch.poll)
        if self._watch.relational.ok:
            try:
                self._watch.note_heartbeats(await self._call(self._desk.heartbeats))
            except DatabaseError as error:
                self._watch.note_relational(Answer(ok=False, reason=str(error)))
        report = self._watch.report()
        if report != told:
            self._board.set_health(report)
            self._hub.announce("health", report)
        return report

    async def _run_pings(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            self._hub.ping()
            self._hub.check_stalled()

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
