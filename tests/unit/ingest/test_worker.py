"""The order of storing and acknowledging, with stores and a broker that do as they are told."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest.deadletter import DeadLetter
from ingest.errors import StoreRefused, StoreUnavailable
from ingest.settings import IngestSettings
from ingest.store import Rejected, Writable, WriteResult
from ingest.worker import Pending, Worker, batch_filter
from square import outage
from square.clock import FixedClock
from square.errors import BrokerUnavailable
from square.mqtt import Delivery
from square.process import EXIT_FAULT, EXIT_OK
from tests.unit.ingest.batches import BOOT, GATEWAY, NOW_S, SITE, TOPIC, batch, poison, registry, row, status

ACK_TOPIC = f"resik/{SITE}/gw/{GATEWAY}/ack"


class Broker:
    """Stands in for the MQTT connection and writes down what happened."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.inbound: list[Delivery] = []
        self.is_up = True
        self.deaf_after = 10**9
        self.waiting = self.stale_acks = self.session_lost = 0
        self.endpoint = "mqtt://nowhere"

    def deliver(self, payload: bytes, topic: str = TOPIC) -> None:
        self.inbound.append(Delivery(1, len(self.inbound) + 1, 1, topic, payload, retain=False, dup=False))

    def get(self, _timeout_s: float | None = None) -> Delivery | None:
        return self.inbound.pop(0) if self.inbound else None

    def publish(self, topic: str, payload: bytes) -> None:
        if not self.is_up:
            raise BrokerUnavailable("gone")
        self.events.append(("publish", topic, json.loads(payload)))

    def ack(self, delivery: Delivery) -> bool:
        self.events.append(("ack", delivery.mid))
        return True

    def is_healthy(self) -> bool:
        return self.is_up

    def start(self) -> None:
        pass

    stop = start

    def wait_connected(self, _timeout_s: float) -> None:
        pass

    def is_deaf(self) -> bool:
        self.deaf_after -= 1
        return self.deaf_after < 0


class Store:
    """Stands in for both stores; ``script`` says what the next calls do."""

    def __init__(self, events: list[Any], name: str) -> None:
        self.events = events
        self.name = name
        self.kept: list[DeadLetter] = []
        self.purged_before_ms: int | None = None
        self.script: list[Exception | Callable[[Sequence[Writable]], WriteResult]] = []

    def _next(self) -> Callable[[Sequence[Writable]], WriteResult] | None:
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            self.events.append((self.name, "failed"))
            raise step
        return step

    def prepare(self) -> None:
        self._next()

    def write(self, points: Sequence[Writable]) -> WriteResult:
        step = self._next()
        result = step(points) if step else WriteResult(len(points))
        self.events.append((self.name, [item.point().fields["seq"] for item in points]))
        return result

    def put(self, letters: Sequence[DeadLetter], now_ms: int) -> None:
        self._next()
        self.kept = [*self.kept, *letters]
        self.events.append((self.name, [letter.code for letter in letters], now_ms))

    def close(self) -> None:
        pass

    def purge(self, *, before_ms: int) -> int:
        self._next()
        self.purged_before_ms = before_ms
        return 1


class Rig:
    """A worker with stand-ins all around it."""

    def __init__(self, **settings: Any) -> None:
        self.events: list[Any] = []
        self.broker = Broker(self.events)
        self.store = Store(self.events, "store")
        self.letters = Store(self.events, "letters")
        self.worker = Worker(
            registry=registry(),
            store=self.store,  # type: ignore[arg-type]
            letters=self.letters,
            connection=self.broker,  # type: ignore[arg-type]
            clock=FixedClock(NOW_S),
            settings=IngestSettings(linger_ms=0, **settings),
            rng=random.Random(1),
        )

    def collect(self) -> list[Pending]:
        """Take what is there, as the worker's threads do one beside the other."""
        while self.worker._ahead.step():
            pass
        return self.worker.collect()

    def step(self) -> list[Any]:
        """Take and settle what is there; return what happened."""
        group = self.collect()
        if group:
            self.worker.settle(group)
        happened = list(self.events)
        self.events.clear()
        return happened


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Make a rig whose backoff takes no time."""
    monkeypatch.setattr(outage, "BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr(outage, "REFUSED_RETRY_S", 0.0)
    return Rig()


def test_store_then_dead_letters_then_app_ack_then_mqtt_ack(rig: Rig) -> None:
    """The one order that loses nothing, and every row of the batch is named once."""
    rig.broker.deliver(batch([row(1), poison(2, b"junk"), status(3), row(4, device="rsk-b999"), row(5)]))
    write, dead, publish, ack = rig.step()
    assert write == ("store", [1, 5])
    assert dead == ("letters", ["bad-json", "unknown-device"], NOW_S * 1000)
    assert publish[:2] == ("publish", ACK_TOPIC)
    assert publish[2] == {
        "v": 1, "spool": "9f2c4e7ab1d05836", "batch": "9f2c4e7a-000001", "stored": [1, 5, 3], "dead": [2, 4],
    }  # fmt: skip
    assert ack == ("ack", 1)


def test_several_batches_are_one_write_and_are_acked_in_order(rig: Rig) -> None:
    """What waits together is written together; each batch gets its own ack, in order of arrival."""
    for number in (1, 2, 3):
        rig.broker.deliver(batch([row(number)], number=number))
    happened = rig.step()
    assert happened[0] == ("store", [1, 2, 3])
    assert [event[1] for event in happened if event[0] == "ack"] == [1, 2, 3]
    assert [event[2]["stored"] for event in happened if event[0] == "publish"] == [[1], [2], [3]]


def test_a_write_takes_at_most_max_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are gathered until max_points are together and no longer."""
    rig = Rig(max_points=2)
    for number in (1, 2, 3):
        rig.broker.deliver(batch([row(number)], number=number))
    assert rig.step()[0] == ("store", [1, 2])
    assert rig.step()[0] == ("store", [3])


def test_nothing_is_acked_before_the_store_took_it(rig: Rig) -> None:
    """Three failures come first; the acks follow the success and nothing precedes it."""
    rig.store.script = [StoreUnavailable("down"), StoreUnavailable("down"), StoreUnavailable("down")]
    rig.broker.deliver(batch([row(1)]))
    kinds = [event[:2] for event in rig.step()]
    assert kinds[:4] == [("store", "failed")] * 3 + [("store", [1])]
    assert [kind for kind, _ in kinds[4:]] == ["publish", "ack"]


def test_a_refusal_while_running_is_retried_and_shown(rig: Rig) -> None:
    """The worker stays, says what a person must do, and goes on when it was done."""
    seen: list[tuple[bool, str]] = []

    def look(points: Sequence[Writable]) -> WriteResult:
        health = rig.worker.health()
        seen.append((health.ok, health.reason))
        return WriteResult(len(points))

    rig.store.script = [StoreRefused("401: check store_token_file"), look]
    rig.broker.deliver(batch([row(1)]))
    rig.step()
    ((ok, reason),) = seen
    assert not ok
    assert "store_token_file" in reason
    assert rig.worker.health().ok


def test_an_unexpected_exception_of_the_store_acks_nothing(rig: Rig) -> None:
    """A fault in an adapter is treated as an outage, never as success."""
    rig.store.script = [ZeroDivisionError("adapter")]
    rig.broker.deliver(batch([row(1)]))
    assert [event[0] for event in rig.step()] == ["store", "store", "publish", "ack"]


def test_no_ack_while_the_dead_letter_store_is_down(rig: Rig) -> None:
    """Poison is not settled before somebody else has it."""
    rig.letters.script = [StoreUnavailable("disk full"), StoreUnavailable("disk full")]
    rig.broker.deliver(batch([poison(1, b"junk")]))
    assert [event[:2] for event in rig.step()] == [
        ("letters", "failed"), ("letters", "failed"), ("letters", ["bad-json"]), ("publish", ACK_TOPIC), ("ack", 1),
    ]  # fmt: skip


def test_stopping_during_an_outage_acks_nothing(rig: Rig) -> None:
    """What is in hand when the process ends stays with the broker and the gateway."""

    def stop(_points: Sequence[Writable]) -> WriteResult:
        rig.worker.stop()
        raise StoreUnavailable("down")

    rig.store.script = [stop]
    rig.broker.deliver(batch([row(1)]))
    assert rig.step() == []


def test_points_that_the_store_rejects_become_dead_letters(rig: Rig) -> None:
    """Only the refused rows of both batches move from stored to dead."""
    rig.store.script = [
        lambda points: WriteResult(len(points) - 2, (Rejected(1, "retention", "too old"), Rejected(2, "type", "no")))
    ]
    rig.broker.deliver(batch([row(1), row(2)], number=1))
    rig.broker.deliver(batch([row(3), row(4)], number=2))
    happened = rig.step()
    assert happened[1][1] == ["store-rejected", "store-rejected"]
    acks = [event[2] for event in happened if event[0] == "publish"]
    assert [(ack["stored"], ack["dead"]) for ack in acks] == [([1], [2]), ([4], [3])]
    assert (rig.worker.rows, rig.worker.stored, rig.worker.dead_lettered) == (4, 2, 2)


@pytest.mark.parametrize(
    ("payload", "topic", "code"),
    [
        (batch([row(1)], v=2), TOPIC, "bad-version"),
        (b"\xff\x00", TOPIC, "bad-batch"),
        (batch([row(1)]), TOPIC.replace(GATEWAY, "gw-lain"), "bad-batch"),
        (batch([row(1)]), "resik/x/y", "bad-batch"),
    ],
)
def test_an_unreadable_batch_is_recorded_and_its_rows_stay_with_the_gateway(
    rig: Rig, payload: bytes, topic: str, code: str
) -> None:
    """It is one dead letter, the broker may forget it, and no application ack frees any row."""
    rig.broker.deliver(payload, topic)
    rig.broker.deliver(batch([row(9)]))
    happened = rig.step()
    assert happened[0] == ("store", [9])
    assert happened[1][1] == [code]
    assert happened[2] == ("ack", 1)
    assert len([event for event in happened if event[0] == "publish"]) == 1
    assert (rig.worker.bad_batches, rig.worker.dead_lettered, rig.worker.rows) == (1, 0, 1)


def test_a_batch_of_status_alone_needs_no_store(rig: Rig) -> None:
    """Status rows are acknowledged as stored, counted apart, and written nowhere."""
    rig.broker.deliver(batch([status(1), status(2)]))
    (publish, ack) = rig.step()
    assert publish[2]["stored"] == [1, 2]
    assert ack == ("ack", 1)
    counts = rig.worker.health().counts
    assert (counts["rows"], counts["stored"], counts["status_rows"]) == (2, 0, 2)


def test_a_heartbeat_is_taken_quietly(rig: Rig) -> None:
    """A batch without rows is acknowledged to the broker and to nobody else, stored nowhere, and counted apart."""
    rig.broker.deliver(batch([]))
    assert rig.step() == [("ack", 1)]
    rig.broker.deliver(batch([]))
    rig.broker.deliver(batch([row(1)], number=2))
    assert [event[0] for event in rig.step()] == ["store", "ack", "publish", "ack"]
    counts = rig.worker.health().counts
    assert (counts["heartbeats"], counts["batches"], counts["rows"]) == (2, 1, 1)


def test_a_deaf_connection_ends_the_process(rig: Rig) -> None:
    """Exit code 1 for the supervisor, after what had arrived was settled; asked to stop is 0."""
    rig.broker.deaf_after = 1
    rig.broker.deliver(batch([row(1)]))
    assert rig.worker.serve() == EXIT_FAULT
    assert ("ack", 1) in rig.events
    rig.worker.stop()
    assert rig.worker.serve() == EXIT_OK


def test_a_lost_connection_at_the_ack_loses_nothing(rig: Rig) -> None:
    """Stored is stored: the ack that could not be sent is counted and the worker goes on."""
    rig.broker.is_up = False
    rig.broker.deliver(batch([row(1)]))
    assert [event[0] for event in rig.step()] == ["store", "ack"]
    assert rig.worker.health().counts["acks_unsent"] == 1


def test_every_row_is_counted_once(rig: Rig) -> None:
    """The sum holds whatever the mixture: rows = stored + dead_lettered + status_rows."""
    rig.broker.deliver(batch([row(1), poison(2, b"x"), status(3), {"id": 4}, row(5, device="rsk-a001")]))
    rig.broker.deliver(batch([row(6)], number=2))
    rig.step()
    counts = rig.worker.health().counts
    assert counts["batches"] == 2
    assert (counts["stored"], counts["dead_lettered"], counts["status_rows"]) == (2, 3, 1)
    assert counts["rows"] == 6


def test_the_trace_names_each_stored_reading_after_the_store_accepted(tmp_path: Path) -> None:
    """One line for each stored row and none for a rejected one."""
    rig = Rig(trace_file=tmp_path / "trace" / "t.csv")
    rig.store.script = [lambda _points: WriteResult(1, (Rejected(0, "x", "y"),))]
    rig.broker.deliver(batch([row(1), row(2)]))
    rig.step()
    device, boot, seq, wall_ns = (tmp_path / "trace" / "t.csv").read_text().strip().split(",")
    assert (device, boot, seq) == ("rsk-b001", "305419896", "2")
    assert int(wall_ns) > 1_600_000_000 * 10**9


def test_prepare_waits_for_a_store_that_is_down_and_refuses_a_wrong_setting(rig: Rig) -> None:
    """Down at the start is waited for; refused at the start is for the operator at once."""
    rig.store.script = [StoreUnavailable("starting")]
    assert rig.worker.prepare()
    rig.store.script = [StoreRefused("404: database missing")]
    with pytest.raises(StoreRefused, match="404"):
        rig.worker.prepare()


def test_every_dead_reading_keeps_its_identity(rig: Rig) -> None:
    """Refused by ingest, by the store or for its shape: who counts readings finds each by name; poison has none."""
    rig.store.script = [lambda points: WriteResult(len(points) - 1, (Rejected(1, "retention", "too old"),))]
    misshapen = row(3) | {"ts_ms": "late"}
    rig.broker.deliver(batch([row(1), row(2), misshapen, row(4, device="rsk-b999"), status(5) | {"arrived_ms": -1}]))
    rig.broker.deliver(batch([poison(6, b"junk"), {"id": 7}, row(8) | {"boot": -1}], number=2))
    rig.step()
    found = {(letter.device, letter.boot, letter.seq) for letter in rig.letters.kept if letter.seq is not None}
    assert found == {("rsk-b001", BOOT, 2), ("rsk-b001", BOOT, 3), ("rsk-b999", BOOT, 4)}
    assert len(rig.letters.kept) == 7
    assert all(letter.boot is None for letter in rig.letters.kept if letter.seq is None)


def test_old_letters_are_deleted_by_whatever_store_there_is(rig: Rig) -> None:
    """The age limit is that of the settings, and a store that cannot delete now does not stop the work."""
    rig.worker._purge()
    assert rig.letters.purged_before_ms == NOW_S * 1000 - 90 * 86_400_000
    failing = Rig()
    failing.letters.script = [StoreUnavailable("locked")]
    failing.worker._purge()
    assert failing.letters.purged_before_ms is None


def test_the_backoff_stays_inside_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full jitter: never more than 0.2 * 2^n and never more than 30 s, at least what the server asked for."""
    rig = Rig()
    waits: list[float] = []
    monkeypatch.setattr(rig.worker._stopping, "wait", lambda s: waits.append(s) or False)
    rig.store.script = [StoreUnavailable("down") for _ in range(20)] + [StoreUnavailable("busy", retry_after_s=7.0)]
    rig.broker.deliver(batch([row(1)]))
    rig.step()
    assert len(waits) == 21
    assert all(0 <= wait <= min(30.0, 0.2 * 2**n) for n, wait in enumerate(waits[:20]))
    assert max(waits[:20]) > 10
    assert waits[20] >= 7.0


def test_the_filter_is_shared_or_plain() -> None:
    """The only worker asks for everything, one of several for its share."""
    assert batch_filter("abc", "ingest-x") == "$share/ingest-x/resik/abc/gw/+/batch"
    assert batch_filter("abc") == "resik/abc/gw/+/batch"


def test_roll_ups_begin_when_the_store_is_ready_and_end_before_it_is_closed() -> None:
    """The job never meets a store that is not prepared or is closed, and health shows how far it is."""
    rig = Rig()
    happened: list[str] = []

    class Task:
        def start(self) -> None:
            happened.append("start")

        def stop(self) -> None:
            happened.append("stop")

        def health(self) -> dict[str, int | float]:
            return {"rollup_ok": 1}

    rig.worker._rollups = Task()  # type: ignore[assignment]
    for name in ("prepare", "close"):
        before = getattr(rig.store, name)
        setattr(rig.store, name, lambda name=name, before=before: (happened.append(name), before())[1])
    rig.broker.deaf_after = 0
    assert rig.worker.health().counts["rollup_ok"] == 1
    assert rig.worker.serve() == EXIT_FAULT
    assert happened == ["prepare", "start", "stop", "close"]
