"""The hub: newest event of each entity, nobody waits for anybody, whoever resumes misses nothing."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_api.board import Board
from dashboard_api.errors import TooManyError, UnavailableError
from dashboard_api.events import RING_SIZE, Client, Event, Hub, View, frame, see_all, see_own_tasks

NOW_MS = 1_795_489_200_000


def bin_item(ident: str, number: int) -> dict[str, Any]:
    return {"asset_id": ident, "ts_ms": NOW_MS, "fill_pct": number, "stale": False}


def task_item(ident: str, crew_id: str | None) -> dict[str, Any]:
    return {"id": int(ident), "crew_id": crew_id, "closed_ms": None, "state": "assigned"}


class Square:
    """A board and a hub that follow the same changes."""

    def __init__(self, **limits: Any) -> None:
        self.now_s = 0.0
        self.board = Board({})
        self.hub = Hub(self.board, monotonic_s=lambda: self.now_s, **limits)

    def change(self, event_id: int, ident: str, *, kind: str = "bin", item: dict[str, Any] | None = None) -> None:
        before = self.board.get(kind, ident)
        applied = self.board.apply(event_id, kind, ident, item or bin_item(ident, event_id), NOW_MS)
        assert applied is not None
        self.hub.publish(Event(event_id, kind, ident, applied, before))


def parse(chunk: bytes) -> list[tuple[str, int | None, Any]]:
    """Return ``(name, id, data)`` of every event in a piece of a stream."""
    events: list[tuple[str, int | None, Any]] = []
    for block in chunk.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            ident = int(fields["id"]) if "id" in fields else None
            events.append((fields["event"], ident, json.loads(fields["data"])))
    return events


def last_id(chunk: bytes) -> int | None:
    """Return the last event id of a browser after these bytes: a block counts at its end, also one without data."""
    known: int | None = None
    for block in chunk.decode().split("\n\n")[:-1]:
        for line in block.splitlines():
            if line.startswith("id: "):
                known = int(line.removeprefix("id: "))
    return known


async def read(client: Client) -> list[tuple[str, int | None, Any]]:
    chunk = await asyncio.wait_for(client.next_chunk(), 1)
    return [] if chunk is None else parse(chunk)


def test_frame_is_one_event() -> None:
    """A text with line ends stays inside one data line: nobody can smuggle an event in."""
    raw = frame("bin", {"name": "a\n\nevent: reset\ndata: {}"}, 5)
    assert raw.startswith(b"event: bin\nid: 5\ndata: {")
    assert raw.count(b"\n\n") == 1


@pytest.mark.anyio
async def test_queue_keeps_the_newest_of_each_entity() -> None:
    """A late client gets the newest value of each bin, in the order of the ids."""
    square = Square()
    client = square.hub.connect("a")
    for event_id, ident in enumerate(["x", "y", "x", "z", "x"], 1):
        square.change(event_id, ident)
    assert [(ident, data["fill_pct"]) for _, ident, data in await read(client)] == [(2, 2), (4, 4), (5, 5)]


@pytest.mark.anyio
async def test_slow_client_is_dropped_and_others_are_not() -> None:
    """The client that does not read is dropped at entity 101; the one beside it has seen everything."""
    square = Square()
    slow, quick = square.hub.connect("a"), square.hub.connect("b")
    await quick.next_chunk()  # the greeting
    await slow.next_chunk()
    seen = []
    for event_id in range(1, 102):
        square.change(event_id, f"b{event_id}")
        seen += await read(quick)
        assert slow.dropped is None or event_id == 101
    assert slow.dropped == "queue full"
    assert await slow.next_chunk() is None
    assert len(seen) == 101
    square.hub.disconnect(slow)
    assert (square.hub.clients, square.hub.counts["clients_dropped"]) == (1, 1)


@pytest.mark.anyio
async def test_stuck_client_with_few_events_is_dropped_by_time() -> None:
    """One waiting event is enough: after 30 s without reading the client is dropped, a reading one never."""
    square = Square()
    stuck, idle = square.hub.connect("a"), square.hub.connect("b")
    for client in (stuck, idle):
        await client.next_chunk()
    idle_wait = asyncio.create_task(idle.next_chunk())
    await asyncio.sleep(0)
    square.now_s = 31.0
    square.hub.check_stalled()
    assert stuck.dropped == "not reading"  # it never came back for the next chunk
    assert idle.dropped is None
    square.hub.ping()
    assert await idle_wait == b": ping\n\n"


@pytest.mark.anyio
async def test_resume_continues_after_the_id() -> None:
    """A client that saw id 2 gets 3 and 4; one that is up to date gets nothing but the greeting."""
    square = Square()
    for event_id, ident in enumerate(["w", "x", "y", "z"], 1):
        square.change(event_id, ident)
    assert [ident for _, ident, _ in await read(square.hub.connect("a", after_id=2))] == [3, 4]
    assert await read(square.hub.connect("a", after_id=4)) == []


@pytest.mark.anyio
@pytest.mark.parametrize("view", [see_all, see_own_tasks("pagi-1")], ids=["office", "crew"])
async def test_cut_before_the_first_event_loses_nothing(view: View) -> None:
    """The greeting alone tells the browser where to resume: what changed while it was away comes."""
    square = Square()
    square.change(1, "x")
    greeting = await square.hub.connect("a", view).next_chunk()
    assert greeting is not None
    square.change(2, "8", kind="task", item=task_item("8", "pagi-1"))
    resumed = square.hub.connect("a", view, after_id=last_id(greeting))
    assert [(name, ident) for name, ident, _ in await read(resumed)] == [("task", 2)]


@pytest.mark.anyio
async def test_resume_after_an_id_without_event() -> None:
    """Ids of which no event was sent (a device's line) are resumed from as well, ageing included."""
    square = Square()
    square.change(1, "x")
    square.board.apply(2, "device", "rsk-b001", {}, NOW_MS)
    square.hub.publish(Event(None, "bin", "x", bin_item("x", 1)))
    events = await read(square.hub.connect("a", after_id=2))
    assert [(name, ident) for name, ident, _ in events] == [("bin", None)]


@pytest.mark.anyio
async def test_resume_looks_at_each_entity_once() -> None:
    """However many events were missed, what is prepared for one client is one event of each entity."""
    square = Square()
    for event_id in range(1, 2001):
        square.change(event_id, f"b{event_id % 7}")
    looked: list[int | None] = []

    def view(event: Event, full: bytes) -> bytes:
        looked.append(event.event_id)
        return full

    events = await read(square.hub.connect("a", view, after_id=0))
    assert [ident for _, ident, _ in events] == looked == list(range(1994, 2001))


@pytest.mark.anyio
@pytest.mark.parametrize("after_id", [-1, 3, 11])
async def test_resume_from_unknown_id_resets(after_id: int) -> None:
    """Older than what is kept, or from another database: the client is told to load everything."""
    square = Square()
    square.hub.start_from(4)
    square.change(10, "x")
    chunk = await square.hub.connect("a", after_id=after_id).next_chunk()
    assert chunk is not None
    assert [(name, ident) for name, ident, _ in parse(chunk)] == [("reset", 10)]
    assert last_id(chunk[: chunk.index(b"event: reset")]) is None  # cut before the reset, it comes again


@pytest.mark.anyio
async def test_resume_after_the_ring_ran_over_resets() -> None:
    """When more changed than is kept, resuming from before says reset, from inside it works."""
    square = Square()
    for event_id in range(1, RING_SIZE + 11):
        square.change(event_id, f"b{event_id % 50}")
    assert (await read(square.hub.connect("a", after_id=5)))[0][0] == "reset"
    assert [event[0] for event in await read(square.hub.connect("a", after_id=RING_SIZE + 9))] == ["bin"]


@pytest.mark.anyio
async def test_aged_values_are_resumed_too() -> None:
    """A value that grew stale while the client was away is told, though the change log has no line about it."""
    square = Square()
    square.change(1, "x")
    item = square.board.get("bin", "x")
    assert item is not None
    item["stale"] = True
    square.hub.publish(Event(None, "bin", "x", dict(item)))
    events = await read(square.hub.connect("a", after_id=1))
    assert [(ident, data["stale"]) for _, ident, data in events] == [(None, True)]


@given(
    entities=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
    cuts=st.lists(st.integers(min_value=1, max_value=60), max_size=8),
    reads=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_resume_misses_nothing(entities: list[str], cuts: list[int], reads: list[bool]) -> None:
    """However often a client is cut off, and whatever it had in its queue then, it ends with the true picture."""

    async def scenario() -> None:
        square = Square()
        client = square.hub.connect("a", after_id=0)
        picture: dict[str, Any] = {}
        last_id = 0

        async def take() -> None:
            nonlocal last_id
            for name, ident, data in await read(client):
                assert name == "bin"
                assert ident is not None
                assert ident > last_id
                last_id = ident
                picture[data["asset_id"]] = data["fill_pct"]

        for event_id, entity in enumerate(entities, 1):
            square.change(event_id, entity)
            if reads[event_id - 1]:
                await take()
            if event_id in cuts:
                square.hub.disconnect(client)
                client = square.hub.connect("a", after_id=last_id)
        square.change(len(entities) + 1, "end")
        await take()
        bins = json.loads(square.board.state_bytes({}))["bins"]
        truth = {item["asset_id"]: item["fill_pct"] for item in bins}
        assert picture == truth

    asyncio.run(scenario())


@pytest.mark.anyio
async def test_crew_sees_its_own_tasks_only() -> None:
    """Of all events a crew gets its tasks; a task taken from it is a reset that says nothing about the task."""
    square = Square()
    own, office = square.hub.connect("a", see_own_tasks("pagi-1")), square.hub.connect("b", see_all)
    square.change(1, "x")
    square.change(2, "7", kind="task", item=task_item("7", "pagi-2"))
    square.change(3, "8", kind="task", item=task_item("8", "pagi-1"))
    assert [(name, data["id"]) for name, _, data in await read(own)] == [("task", 8)]
    square.change(4, "8", kind="task", item=task_item("8", "pagi-2"))
    assert await read(own) == [("reset", 4, {"reason": "reassigned"})]
    square.change(5, "8", kind="task", item=task_item("8", "pagi-2") | {"state": "accepted"})
    square.change(6, "9", kind="task", item=task_item("9", "pagi-1"))
    assert [data["id"] for _, _, data in await read(own)] == [9]
    assert [ident for _, ident, _ in await read(office)] == [1, 2, 5, 6]


@pytest.mark.anyio
async def test_caps_on_streams() -> None:
    """Two per address, three in all; a stream that ends makes room."""
    square = Square(max_clients=3, max_per_address=2)
    first = square.hub.connect("a")
    square.hub.connect("a")
    with pytest.raises(TooManyError):
        square.hub.connect("a")
    square.hub.connect("b")
    with pytest.raises(UnavailableError):
        square.hub.connect("c")
    square.hub.disconnect(first)
    square.hub.disconnect(first)  # twice is harmless
    square.hub.connect("c")


@pytest.mark.anyio
async def test_close_ends_every_stream() -> None:
    """At shutdown each client gets what is queued, then the end."""
    square = Square()
    client = square.hub.connect("a")
    square.change(1, "x")
    square.hub.close()
    assert [ident for _, ident, _ in await read(client)] == [1]
    assert await client.next_chunk() is None
