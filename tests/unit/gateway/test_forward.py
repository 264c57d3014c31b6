"""The forwarder keeps custody until ingest answers, and the newest readings travel first."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.errors import SpoolError, UplinkError
from gateway.forward import COPIES_KNOWN, RESEND_LONGEST_S, Forwarder
from gateway.messages import read_message
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, SITE, payload, roomy, up


class Bench:
    """A forwarder whose uplink is a list."""

    def __init__(self, spool: Spool, **options: Any) -> None:
        self.spool = spool
        self.sent: list[dict[str, Any]] = []
        self.is_down = False
        self.hears = True
        options = {"in_flight": 4, "resend_s": 30.0, "linger_s": 0.02, "copy_every_s": 2.0, **options}
        self.forwarder = Forwarder(
            spool, gateway_id="gw-utama", publish=self._publish, now_ms=lambda: NOW_MS, **options
        )

    def _publish(self, payload: bytes) -> None:
        if self.is_down:
            raise UplinkError("down")
        self.sent.append(msgspec.json.decode(payload))

    def beat(self, payload: bytes) -> bool:
        """Take a heartbeat; pass as option `beat`."""
        self._publish(payload)
        return self.hears

    def step(self, now_s: float, **options: bool) -> list[list[int]]:
        """Step once; return the row ids of the batches that were sent."""
        before = len(self.sent)
        self.forwarder.step(now_s, **options)
        return [[row["id"] for row in batch["rows"]] for batch in self.sent[before:]]

    def ack(self, batch: dict[str, Any], *, dead: tuple[int, ...] = (), **changes: Any) -> None:
        """Answer a batch as ingest does."""
        ids = [row["id"] for row in batch["rows"]]
        answer = {"v": 1, "spool": batch["spool"], "batch": batch["batch"]}
        answer |= {"stored": [i for i in ids if i not in dead], "dead": list(dead)} | changes
        self.forwarder.on_ack(msgspec.json.encode(answer))


@pytest.fixture
def bench(spool: Spool) -> Bench:
    return Bench(spool)


def fill(spool: Spool, count: int, device: str = "rsk-b001") -> None:
    for start in range(1, count + 1, 64):
        spool.put([up(device, 7, list(range(start, min(start + 64, count + 1))))])


def test_a_batch_is_what_the_protocol_says(bench: Bench) -> None:
    """Every kind of row has its fields; bodies travel as they came."""
    bench.spool.put([
        up("rsk-b001", 7, [1]),
        read_message(f"resik/{SITE}/rsk-b001/up/status", b'{"v":1,"boot":7,"up_s":5}', NOW_MS),
        read_message(f"resik/{SITE}/rsk-b001/up/will", b'{"v":1,"boot":7}', NOW_MS + 1),
        read_message(f"resik/{SITE}/rsk-b001/up/bin", b"\xff", NOW_MS),
    ])  # fmt: skip
    bench.step(0)
    (batch,) = bench.sent
    rows = {row["id"]: row for row in batch.pop("rows")}
    assert batch.pop("batch")
    assert batch == {"v": 1, "gw": "gw-utama", "spool": bench.spool.id, "sent_ms": NOW_MS}
    base = {"device": "rsk-b001", "boot": 7}
    ts_s = NOW_MS // 1000 - 999
    assert rows[1] == base | {
        "id": 1, "kind": "bin", "seq": 1, "ts_ms": ts_s * 1000 + 8, "arrived_ms": NOW_MS, "time": "device",
        "body": {"seq": 1, "ts": ts_s, "distance_mm": 701},
    }  # fmt: skip
    assert rows[2] == base | {
        "id": 2, "kind": "status", "seq": 0, "ts_ms": NOW_MS, "arrived_ms": NOW_MS, "time": "anchor",
        "body": {"v": 1, "boot": 7, "up_s": 5},
    }  # fmt: skip
    assert rows[3] == base | {
        "id": 3, "kind": "will", "seq": 0, "ts_ms": NOW_MS + 1, "arrived_ms": NOW_MS + 1, "time": "anchor",
        "body": {"v": 1, "boot": 7},
    }  # fmt: skip
    assert rows[4] == {
        "id": 4, "device": "rsk-b001", "kind": "poison", "code": "bad-json", "arrived_ms": NOW_MS, "raw": "/w==",
        "topic": f"resik/{SITE}/rsk-b001/up/bin",
    }  # fmt: skip


def test_flight_is_bounded_and_an_ack_makes_room(bench: Bench) -> None:
    """At most four un-acked batches; each answered one lets the next go."""
    bench = Bench(bench.spool, batch_rows=10)
    fill(bench.spool, 64)
    assert [len(ids) for ids in bench.step(0)] == [10, 10, 10, 10]
    assert bench.step(1) == []
    bench.ack(bench.sent[1])
    assert [len(ids) for ids in bench.step(1.1)] == [10]
    assert bench.forwarder.flying == 4


def test_the_newest_row_of_each_device_goes_first(spool: Spool) -> None:
    """After an outage the map is fresh with the first batches; the backlog follows in order, nothing twice."""
    fill(spool, 30, "rsk-b001")
    fill(spool, 30, "rsk-b002")
    bench = Bench(spool, batch_rows=6, in_flight=16)
    sent = bench.step(0)
    assert sent[0] == [30, 60, 1, 2, 3, 4]
    assert sorted(i for ids in sent for i in ids) == list(range(1, 61))


def test_an_unacked_batch_is_sent_again_and_ever_more_rarely(bench: Bench) -> None:
    """The same rows under the same name after 30 s, then 60 s, 120 s ... up to 300 s."""
    fill(bench.spool, 3)
    times = [now_s for now_s in range(1200) if bench.step(now_s)]
    assert times == [0, 30, 90, 210, 450, 750, 1050]
    assert len({batch["batch"] for batch in bench.sent}) == 1
    assert (bench.forwarder.counts.batches, bench.forwarder.counts.resent) == (1, 6)
    assert RESEND_LONGEST_S == 300


def test_any_ack_shows_that_upstream_lives(spool: Spool) -> None:
    """After a long pause the first answer brings the other batches forward to the short pause."""
    fill(spool, 20)
    bench = Bench(spool, batch_rows=10)
    for now_s in (0, 30, 90, 210):
        assert len(bench.step(now_s)) == 2
    bench.ack(bench.sent[-1])
    assert bench.step(211) == []
    assert len(bench.step(241.5)) == 1


def test_a_batch_that_others_overtake_is_sent_again_soon(spool: Spool) -> None:
    """It lies with a worker that is gone: three later answers and two seconds are enough, and once is enough."""
    bench = Bench(spool, batch_rows=10, linger_s=0.0)
    fill(spool, 640)
    bench.step(0)
    stuck = bench.sent[0]
    for number, now_s in ((1, 0.5), (2, 1.0), (3, 1.9)):
        bench.ack(bench.sent[number])
        assert [row["id"] for row in stuck["rows"]] not in bench.step(now_s)
    bench.ack(bench.sent[4])
    assert [row["id"] for row in stuck["rows"]] in bench.step(2.1)
    assert bench.forwarder.counts.resent == 1
    for number, now_s in ((5, 2.2), (6, 2.3), (7, 2.4)):  # answered meanwhile by whoever got the rest
        bench.ack(bench.sent[number])
        bench.step(now_s)
    assert bench.forwarder.counts.resent == 1


def test_an_answered_copy_frees_batches_that_nobody_answers(spool: Spool) -> None:
    """All four lie with a worker that is gone: the next copy goes to another, and its answer has them sent again."""
    bench = Bench(spool, batch_rows=10)
    fill(spool, 64)
    stuck = bench.step(0)
    assert len(stuck) == 4
    spool.put([up("rsk-b002", 7, [1])])
    bench.forwarder.notify()
    (copy,) = bench.step(2.5)
    assert bench.step(2.6) == []
    bench.ack(bench.sent[-1])
    sent = bench.step(2.7)
    assert [ids for ids in stuck if set(ids) - set(copy)] == [ids for ids in sent if ids in stuck]
    assert bench.forwarder.counts.resent == len([ids for ids in stuck if set(ids) - set(copy)])


def test_copies_that_nobody_answers_are_not_remembered_for_ever(spool: Spool) -> None:
    """The time-series store is down for a day: nothing grows, and an answer to an old copy changes nothing."""
    bench = Bench(spool, batch_rows=1, resend_s=1e6)
    fill(spool, 10)
    for number in range(40):
        spool.put([up("rsk-b002", 7, [number + 1])])
        bench.forwarder.notify()
        bench.step(3.0 * number)
    assert bench.forwarder.counts.copies > COPIES_KNOWN
    assert len(bench.forwarder._copies) == COPIES_KNOWN
    oldest = next(batch for batch in bench.sent[4:])
    bench.ack(oldest, stored=[])
    bench.step(130.0)
    assert bench.forwarder.counts.resent == 0


def test_answers_in_the_order_of_sending_repeat_nothing(spool: Spool) -> None:
    """A slow store answers late, but in order: nothing is sent twice."""
    bench = Bench(spool, batch_rows=10, linger_s=0.0)
    fill(spool, 320)
    bench.step(0)
    for number in range(20):
        bench.ack(bench.sent[number])
        bench.step(3.0 * (number + 1))
    assert bench.forwarder.counts.resent == 0


def test_three_times_as_many_go_while_answers_come_at_once(spool: Spool) -> None:
    """A quick store may gather more for one write; one batch that waits, a slow answer or a broken link ends that."""
    fill(spool, 64)
    bench = Bench(spool, batch_rows=4, in_flight=1, linger_s=0.0)

    def step(now_s: float, *answered: int, is_connected: bool = True) -> int:
        """Let batches be answered; return how many are sent then."""
        for number in answered:
            bench.ack(bench.sent[number])
        return len(bench.step(now_s, is_connected=is_connected))

    assert step(0) == 1
    assert step(0.5, 0) == 3
    assert step(1.6, 3) == 0, "1.1 s is slow"
    assert step(1.7, 1, 2) == 1
    assert step(1.8, 4) == 3
    assert step(2.0, 6, 7) == 2
    assert step(2.9, 8, 9) == 0, "quick, but one waits for longer than a second"
    assert step(3.0, 5) == 1
    assert step(3.1, 10) == 3
    assert step(3.2, 11, 12, is_connected=False) == 0
    assert step(3.3) == 0
    assert bench.forwarder.flying == 1


def test_an_overtaken_batch_needs_no_further_answer(spool: Spool) -> None:
    """Three that left later are answered within a moment, then silence: it goes again after its two seconds."""
    bench = Bench(spool, batch_rows=10, linger_s=0.0)
    fill(spool, 40)
    assert len(bench.step(0)) == 4
    for sent in bench.sent[1:]:
        bench.ack(sent)
    assert bench.step(0.1) == []
    assert bench.step(1.9) == []
    (again,) = bench.step(2.0)
    assert again == [row["id"] for row in bench.sent[0]["rows"]]


def test_rows_on_their_way_are_not_read_for_each_batch(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever flies already, a batch costs the reading of its own rows: lanes move on behind the others."""
    bench = Bench(spool, batch_rows=8, in_flight=8, linger_s=0.0, monotonic=lambda: 0.0)
    read: list[int] = []
    rows_of = spool._rows_of
    monkeypatch.setattr(spool, "_rows_of", lambda ids: read.extend(ids) or rows_of(ids))
    for number in range(5):
        spool.put([up(f"rsk-b{number}{one:02d}", 7, [1, 2]) for one in range(4)])
        bench.forwarder.notify()
        bench.step(number * 0.001)
    assert bench.forwarder.flying >= 5
    assert sorted(read) == list(range(1, 41))


def test_of_many_that_nobody_answers_the_four_oldest_are_sent_again_and_again(spool: Spool) -> None:
    """First all of them; then four, until an answer shows that upstream lives; a reconnect sends all."""
    fill(spool, 64)
    bench = Bench(spool, batch_rows=8, in_flight=8)
    assert len(bench.step(0)) == 8
    assert len(bench.step(30)) == 8
    oldest = [batch["batch"] for batch in bench.sent[:4]]
    for now_s in (90, 210, 450):
        bench.step(now_s)
        assert [batch["batch"] for batch in bench.sent[-4:]] == oldest
        assert bench.step(now_s + 1) == []
    bench.ack(bench.sent[0])
    bench.step(451)
    assert len(bench.step(481)) == 7
    bench.forwarder.on_reconnect()
    assert len(bench.step(482)) == 7


def test_reconnecting_sends_unacked_batches_at_once(bench: Bench) -> None:
    """What may have been lost with the connection does not wait for its pause."""
    fill(bench.spool, 3)
    bench.step(0)
    bench.forwarder.on_reconnect()
    assert [sorted(ids) for ids in bench.step(0.5)] == [[1, 2, 3]]
    assert bench.step(1) == []


def test_a_far_end_that_comes_back_later_is_not_waited_for_a_minute(bench: Bench) -> None:
    """A broker that lost its sessions drops what comes too early: once more after 5 s, then 30, then 60."""
    fill(bench.spool, 3)
    bench.step(0)
    bench.step(30)
    bench.forwarder.on_reconnect()
    sent_at_s = [now_s for now_s in range(31, 200) if bench.step(now_s)]
    assert sent_at_s == [31, 36, 66, 126]


def test_after_a_reconnect_only_the_oldest_go_early(spool: Spool) -> None:
    """A thin uplink is not filled twice with everything; the others follow after the usual pause."""
    fill(spool, 64)
    bench = Bench(spool, batch_rows=8, in_flight=8)
    bench.step(0)
    bench.forwarder.on_reconnect()
    assert len(bench.step(1)) == 8
    assert [batch["batch"] for batch in bench.sent[-8:]] == [batch["batch"] for batch in bench.sent[:8]]
    assert len(bench.step(6)) == 4


def test_an_ingest_that_is_away_for_weeks_breaks_no_number(bench: Bench) -> None:
    """Five thousand repeats at the longest pause: 2**1024 is no float."""
    fill(bench.spool, 3)
    assert len(bench.step(0)) == 1
    for now_s in (30, 90, 210, *range(450, 450 + 5_000 * 300, 300)):
        assert bench.step(now_s - 1) == []
        assert len(bench.step(now_s)) == 1


def test_what_a_new_connection_carries_first_is_not_sent_twice(bench: Bench) -> None:
    """Rows that waited for the link go once; only what was un-acked before is sent again."""
    fill(bench.spool, 3)
    bench.forwarder.on_reconnect()
    assert len(bench.step(0)) == 1
    bench.spool.put([up("rsk-b002", 7, [1])])
    bench.forwarder.notify()
    bench.forwarder._more_since_s = 0.0
    bench.forwarder.on_reconnect()
    assert [sorted(ids) for ids in bench.step(1)] == [[4], [1, 2, 3]]


def test_nothing_is_sent_without_a_connection(bench: Bench) -> None:
    """Rows stay untouched while the link is down, and no batch is formed that would go stale."""
    fill(bench.spool, 3)
    assert bench.step(0, is_connected=False) == []
    assert bench.forwarder.flying == 0
    assert len(bench.step(1)) == 1


def test_a_publish_that_fails_keeps_the_rows(bench: Bench) -> None:
    """The batch is tried again; it is counted once."""
    fill(bench.spool, 3)
    bench.is_down = True
    bench.step(0)
    bench.step(1)
    bench.is_down = False
    assert len(bench.step(2)) == 1
    assert (bench.forwarder.counts.failures, bench.forwarder.counts.forwarded) == (2, 3)
    bench.ack(bench.sent[0])
    bench.step(3)
    assert bench.spool.backlog().waiting == 0


def test_stored_and_dead_rows_settle_together_and_are_never_sent_again(bench: Bench) -> None:
    """Ingest's answer ends custody of both; nothing that settled is forwarded again, resend or not."""
    fill(bench.spool, 4)
    bench.step(0)
    bench.ack(bench.sent[0], dead=(2,))
    assert bench.step(0.1) == []
    counts = bench.forwarder.counts
    assert (counts.settled_stored, counts.settled_dead, bench.forwarder.flying) == (3, 1, 0)
    assert bench.step(100) == []
    kept = [row[0] for row in bench.spool._connection.execute("SELECT id FROM rows ORDER BY id")]
    assert kept == [1, 3, 4], "what the dead-letter store has is not kept twice"
    assert bench.spool.waiting == 0


def test_a_partial_ack_leaves_the_rest_in_flight(bench: Bench) -> None:
    """Rows that were not named are sent again, and only they."""
    fill(bench.spool, 4)
    bench.step(0)
    bench.ack(bench.sent[0], stored=[1, 3])
    assert bench.step(0.1) == []
    assert [sorted(ids) for ids in bench.step(31)] == [[2, 4]]


@pytest.mark.parametrize(
    ("payload", "counter"),
    [
        (b"{", "acks_bad"),
        (b"\xff", "acks_bad"),
        (b'{"v":1}', "acks_bad"),
        (b'{"v":2,"spool":"SPOOL","batch":"b","stored":[1]}', "acks_bad"),
        (b'{"v":1,"spool":"SPOOL","batch":"b","stored":["1"]}', "acks_bad"),
        (b'{"v":1,"spool":"another","batch":"b","stored":[1]}', "acks_foreign"),
        (b'{"v":1,"spool":"SPOOL","batch":"b","stored":[77,99999999999999999999]}', "acks_stale"),
        (b'{"v":1,"spool":"SPOOL","batch":"b","stored":[77,-5,18446744073709551615]}', "acks_stale"),
    ],
)
def test_an_ack_that_is_not_ours_settles_nothing(bench: Bench, payload: bytes, counter: str) -> None:
    """Unreadable, of another file, of unknown rows: counted, ignored, never an exception."""
    fill(bench.spool, 1)
    bench.step(0)
    bench.forwarder.on_ack(payload.replace(b"SPOOL", bench.spool.id.encode()))
    bench.step(0.1)
    assert getattr(bench.forwarder.counts, counter) == 1
    assert bench.spool.backlog().waiting == 1


def test_an_ack_for_a_batch_of_an_earlier_run_still_settles(tmp_path: Path) -> None:
    """After a restart the batch name is unknown but the rows are not: late answers count."""
    spool = Spool(tmp_path / "s.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    fill(spool, 2)
    before = Bench(spool)
    before.step(0)
    spool.close()
    spool = Spool(tmp_path / "s.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    after = Bench(spool)
    after.step(0)
    after.ack(before.sent[0])
    assert after.step(40) == []
    assert after.forwarder.counts.settled_stored == 2
    spool.close()


def test_copies_keep_the_map_alive_while_nothing_is_acked(spool: Spool) -> None:
    """With all places taken new readings still go up, once, at most every 2 s, and stay in custody."""
    bench = Bench(spool, batch_rows=10, in_flight=2)
    fill(spool, 20)
    bench.step(0)
    spool.put([up("rsk-b002", 7, [1])])
    bench.forwarder.notify()
    assert bench.step(0.1) == []
    assert bench.step(2.1) == [[21]]
    assert bench.step(4.5) == []
    assert bench.forwarder.counts.copies == 1
    assert spool.backlog().waiting == 21
    for batch in bench.sent[:2]:
        bench.ack(batch)
    assert bench.step(5) == [[21]], "the regular batch carries it again: a copy gives up no custody"


def test_an_ack_of_a_copy_settles_its_rows(spool: Spool) -> None:
    """A copy that ingest did store is not sent a second time."""
    bench = Bench(spool, batch_rows=10, in_flight=2)
    fill(spool, 20)
    bench.step(0)
    spool.put([up("rsk-b002", 7, [1])])
    bench.forwarder.notify()
    bench.step(2.1)
    for batch in bench.sent:
        bench.ack(batch)
    assert bench.step(2.2) == []
    assert spool.backlog().waiting == 0


def test_a_lone_reading_leaves_at_once_and_company_waits_20_ms(bench: Bench) -> None:
    """With nothing in flight there is no reason to wait; behind a batch rows gather for the linger."""
    fill(bench.spool, 1)
    assert len(bench.step(100.0)) == 1
    bench.spool.put([up("rsk-b002", 7, [1])])
    bench.forwarder._more, bench.forwarder._more_since_s = True, 100.001
    assert bench.step(100.01) == []
    assert len(bench.step(100.03)) == 1


def test_settling_on_a_full_disk_is_tried_again_by_the_resend(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ack that cannot be noted now is no loss and no crash: the rows go up again and are acked again."""
    fill(bench.spool, 1)
    bench.step(0)

    def full(*_arguments: object) -> None:
        raise SpoolError("full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "settle", full)
        bench.ack(bench.sent[0])
        assert bench.step(1) == []
    assert len(bench.step(31)) == 1
    bench.ack(bench.sent[1])
    bench.step(32)
    assert bench.spool.backlog().waiting == 0


def test_big_bodies_make_small_batches(spool: Spool) -> None:
    """The byte limit keeps a batch below the broker's message limit."""
    raw = b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"x":"' + b"y" * 7000 + b'"}]}'
    spool.put([read_message(f"resik/{SITE}/rsk-b{n:03d}/up/bin", raw, NOW_MS) for n in range(20)])
    bench = Bench(spool, batch_bytes=30_000, in_flight=16)
    assert [len(ids) for ids in bench.step(0)] == [4, 4, 4, 4, 4]
    assert payload(7, [1])  # the usual size, for comparison, is far below it


def test_an_empty_batch_goes_up_when_nothing_else_does(spool: Spool) -> None:
    """Every 10 s, at once after the start, never beside a batch with rows, and never without an uplink."""
    bench = Bench(spool)
    bench.forwarder._beat = bench.beat
    assert bench.step(0) == [[]]
    assert bench.step(9.9) == []
    assert bench.step(10) == [[]]
    heartbeat = bench.sent[-1]
    assert {**heartbeat, "batch": ""} == {
        "v": 1, "gw": "gw-utama", "spool": spool.id, "batch": "", "sent_ms": NOW_MS, "rows": [],
    }  # fmt: skip
    fill(spool, 1)
    bench.forwarder.notify()
    assert bench.step(15) == [[1]]
    assert bench.step(20) == []
    assert bench.step(25) == [[]]
    assert bench.step(40, is_connected=False) == []
    assert bench.forwarder.counts.heartbeats == 3
    assert bench.forwarder.flying == 1, "nobody has to acknowledge a heartbeat"


def test_a_heartbeat_that_was_held_back_is_due_again_soon(spool: Spool) -> None:
    """While devices cannot be heard none is counted; the first chance afterwards is taken."""
    bench = Bench(spool)
    bench.forwarder._beat = bench.beat
    bench.hears = False
    assert bench.forwarder.step(0) <= 1.0
    assert bench.forwarder.counts.heartbeats == 0
    bench.hears = True
    bench.step(1.0)
    assert bench.forwarder.counts.heartbeats == 1


def test_rows_are_not_forgotten_when_the_spool_could_not_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error while taking rows: the next step takes them, without anybody saying again that they wait."""
    fill(bench.spool, 3)

    def fail(*_arguments: object, **_more: object) -> list[Any]:
        raise SpoolError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "take_backlog", fail)
        assert bench.step(0) == []
    assert [sorted(ids) for ids in bench.step(1.0)] == [[1, 2, 3]]


def test_acks_that_came_together_share_a_commit(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit waits for the disk: several answers cost one wait, and each lands its own batch."""
    bench = Bench(spool, batch_rows=10)
    fill(spool, 30)
    bench.step(0)
    assert len(bench.sent) == 3
    commits: list[None] = []
    commit = spool._commit
    monkeypatch.setattr(spool, "_commit", lambda: (commits.append(None), commit()))
    first, second, third = bench.sent
    bench.ack(first)
    bench.ack(second, dead=(second["rows"][0]["id"],))
    bench.step(1)
    assert len(commits) == 1
    assert (bench.forwarder.counts.settled_stored, bench.forwarder.counts.settled_dead) == (19, 1)
    assert (bench.forwarder.flying, spool.waiting) == (1, 10)
    bench.ack(third)
    bench.step(2)
    assert (bench.forwarder.flying, spool.waiting) == (0, 0)
