"""The loop between desk and streams, with a desk that fails on command."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from alerts.desk import Change, ChangePage, Snapshot
from alerts.errors import DatabaseUnavailable
from dashboard_api.board import Board
from dashboard_api.events import Hub
from dashboard_api.health import Answer, HealthWatch
from dashboard_api.live import Live
from square.clock import FixedClock
from tests.unit.dashboard_api.test_events import parse
from tests.unit.dashboard_api.test_health import FakeStore

START_S = 1_795_489_200.0


class FakeDesk:
    """A change log in memory."""

    def __init__(self) -> None:
        self.lines: list[Change] = []
        self.pruned_id = 0
        self.crew_list: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def add(self, ident: str = "bin-001", fill_pct: float = 1.0) -> None:
        number = self.lines[-1].id + 1 if self.lines else self.pruned_id + 1
        item = {"asset_id": ident, "ts_ms": int(START_S * 1000), "fill_pct": fill_pct, "stale": False}
        self.lines.append(Change(number, 0, "bin", ident, item))

    def prune_all(self) -> None:
        self.pruned_id = self.lines[-1].id
        self.lines = []

    def snapshot(self, _now_ms: int) -> Snapshot:
        newest = {line.entity_id: line.payload for line in self.lines}
        return Snapshot(self._last_id(), list(newest.values()), [], [], [], self.crew_list, [])

    def changes_since(self, event_id: int, *, limit: int = 500) -> ChangePage:
        if self.error:
            raise self.error
        if event_id > self._last_id() or event_id < self.pruned_id:
            return ChangePage(reset=True, last_id=self._last_id(), changes=[])
        lines = [line for line in self.lines if line.id > event_id][:limit]
        return ChangePage(reset=False, last_id=lines[-1].id if lines else event_id, changes=lines)

    def crews(self, _now_ms: int) -> list[dict[str, Any]]:
        return self.crew_list

    def _last_id(self) -> int:
        return self.lines[-1].id if self.lines else 0


class Stage:
    """A live loop that the test turns by hand."""

    def __init__(self) -> None:
        self.desk = FakeDesk()
        self.clock = FixedClock(START_S, speed=1.0)
        self.now_s = 0.0
        self.board = Board({})
        self.hub = Hub(self.board)
        self.watch = HealthWatch({}, FakeStore(), "site")  # type: ignore[arg-type]
        self.live = Live(
            self.desk,  # type: ignore[arg-type]
            self.board,
            self.hub,
            self.watch,
            self.clock,
            simulated=True,
            monotonic_s=lambda: self.now_s,
        )

    def pass_time(self, wall_s: float, square_s: float) -> None:
        self.now_s += wall_s
        self.clock.advance(square_s)
        self.live.tick()


@pytest.fixture
async def stage() -> Any:
    """Return a stage whose loop has loaded once, closed after the test."""
    made = Stage()
    await made.live.catch_up()
    yield made
    await made.live.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a second at most."""
    async with asyncio.timeout(1):
        while not condition():  # noqa: ASYNC110 - the loop under test has no event for it
            await asyncio.sleep(0.001)


async def names(client: Any) -> list[str]:
    """Return the names of the events that wait for a client."""
    client.offer(("end", ""), b"event: end\ndata: 0\n\n")
    chunk = await asyncio.wait_for(client.next_chunk(), 1)
    return [name for name, _, _ in parse(chunk)][:-1]


@pytest.mark.anyio
async def test_changes_reach_board_and_stream(stage: Stage) -> None:
    """One pass takes every line over, in order, once."""
    client = stage.hub.connect("a")
    for number in range(1, 1201):  # more than two pages
        stage.desk.add(f"bin-{number % 40:03d}", float(number))
    await stage.live.catch_up()
    assert stage.board.event_id == 1200
    assert len(await names(client)) == 40
    await stage.live.catch_up()
    assert await names(client) == []


@pytest.mark.anyio
async def test_lost_lines_reload_and_reset(stage: Stage) -> None:
    """When lines were pruned before they were read, the state is loaded anew and every client told."""
    client = stage.hub.connect("a")
    stage.desk.add("bin-001")
    stage.desk.add("bin-002")
    stage.desk.pruned_id = 1
    stage.desk.lines = stage.desk.lines[1:]
    await stage.live.catch_up()
    assert await names(client) == ["reset"]
    assert stage.board.event_id == 2
    assert stage.board.get("bin", "bin-002") is not None


@pytest.mark.anyio
async def test_emptied_log_resets_once(stage: Stage) -> None:
    """A log of which nothing is left is no reason to tell the clients again and again; news still arrive."""
    client = stage.hub.connect("a")
    stage.desk.add()
    await stage.live.catch_up()
    await names(client)
    stage.desk.prune_all()
    for _ in range(3):
        await stage.live.catch_up()
    assert await names(client) == ["reset"]
    await stage.live.catch_up()
    assert await names(client) == []
    stage.desk.add(fill_pct=55.0)
    await stage.live.catch_up()
    item = stage.board.get("bin", "bin-001")
    assert item is not None
    assert item["fill_pct"] == 55.0


@pytest.mark.anyio
async def test_database_trouble_is_reported_and_passes(stage: Stage) -> None:
    """While the store is away the health says so and the board stays; afterwards nothing was missed."""
    stage.desk.error = DatabaseUnavailable("connection refused")
    assert await stage.live._guarded_catch_up() is False
    assert stage.watch.relational == (False, "connection refused")
    stage.desk.add(fill_pct=7.0)
    stage.desk.error = None
    assert await stage.live._guarded_catch_up() is True
    assert stage.watch.relational.ok
    item = stage.board.get("bin", "bin-001")
    assert item is not None
    assert item["fill_pct"] == 7.0


@pytest.mark.anyio
async def test_unforeseen_failure_resets_the_clients(stage: Stage) -> None:
    """An error that is no outage drops a page in the middle: the state is loaded anew, and who listens is told."""
    client = stage.hub.connect("a")
    stage.desk.add("bin-001", 7.0)
    stage.desk.error = RuntimeError("a bug")
    tail = asyncio.create_task(stage.live._run_tail())
    await until(lambda: not stage.live.is_loaded)
    stage.desk.error = None
    stage.live._wakeup.set()
    await until(lambda: stage.live.is_loaded)
    tail.cancel()
    item = stage.board.get("bin", "bin-001")
    assert item is not None
    assert item["fill_pct"] == 7.0
    assert [name for name in await names(client) if name != "clock"] == ["reset"]


@pytest.mark.anyio
async def test_health_outlives_an_unforeseen_failure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in one round of questions does not freeze the report: the next round tells what is so."""
    client = stage.hub.connect("a")
    rounds: list[str] = []

    def poll() -> None:
        rounds.append("asked")
        if len(rounds) == 1:
            raise RuntimeError("a bug")
        stage.watch.note_relational(Answer(ok=False, reason="gone"))

    monkeypatch.setattr(stage.watch, "poll", poll)
    monkeypatch.setattr("dashboard_api.live.POLL_S", 0.001)
    health = asyncio.create_task(stage.live._run_health())
    await until(lambda: "gone" in str(stage.board.health))
    health.cancel()
    assert await names(client) == ["health"]


@pytest.mark.anyio
async def test_clock_is_told_when_due_or_moved(stage: Stage) -> None:
    """Every 10 s, at a change of speed, at a jump of more than 2 s; not otherwise."""
    client = stage.hub.connect("a")
    stage.pass_time(0, 0)
    assert await names(client) == ["clock"]
    stage.pass_time(9.9, 9.9)
    assert await names(client) == []
    stage.pass_time(0.1, 0.1)
    assert await names(client) == ["clock"]
    stage.pass_time(1, 3600)  # somebody stepped the square an hour on
    assert await names(client) == ["clock"]
    stage.clock._speed = 30.0
    stage.pass_time(0.25, 0)
    assert await names(client) == ["clock"]
    stage.pass_time(1, 30)  # as expected at speed 30
    assert await names(client) == []


@pytest.mark.anyio
async def test_ageing_is_told_without_a_change(stage: Stage) -> None:
    """Nothing happens in the store, yet the tick at which a value grows stale sends the bin."""
    stage.desk.add()
    await stage.live.catch_up()
    stage.pass_time(0, 0)
    client = stage.hub.connect("a")
    stage.pass_time(1, 1200)
    assert await names(client) == ["clock"]
    stage.pass_time(1, 1)
    assert await names(client) == ["bin"]


@pytest.mark.anyio
async def test_crews_are_compared(stage: Stage) -> None:
    """A shift that ends changes no row; the comparison every 5 s finds it and tells it once."""
    client = stage.hub.connect("a")
    stage.desk.crew_list = [{"id": "pagi-1", "on_shift": True, "open_tasks": 0}]
    stage.now_s = 6.0
    await stage.live.catch_up()
    assert await names(client) == ["crew"]
    stage.now_s = 12.0
    await stage.live.catch_up()
    assert await names(client) == []
    assert json.loads(stage.board.state_bytes({}))["crews"] == stage.desk.crew_list


@pytest.mark.anyio
async def test_crew_that_left_is_forgotten(stage: Stage) -> None:
    """A crew that is no longer active leaves the state, and the clients are told to look again."""
    client = stage.hub.connect("a")
    stage.desk.crew_list = [{"id": "pagi-1"}, {"id": "pagi-2"}]
    stage.now_s = 6.0
    await stage.live.catch_up()
    await names(client)
    stage.desk.crew_list = [{"id": "pagi-2"}]
    stage.now_s = 12.0
    await stage.live.catch_up()
    assert await names(client) == ["reset"]
    assert json.loads(stage.board.state_bytes({}))["crews"] == [{"id": "pagi-2"}]
