"""The intake acknowledges after the commit, in order, or not at all."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware import wire
from gateway import acks as acks_module
from gateway import arrivals
from gateway import intake as intake_module
from gateway.disk import DiskWatch
from gateway.errors import SpoolCorrupt, SpoolError
from gateway.intake import Intake
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, SITE, FakeLink, mark_of, payload, roomy

BIN = f"resik/{SITE}/rsk-b001/up/bin"


class Bench:
    """An intake with everything around it in memory, and a log of what happened in which order."""

    def __init__(self, folder: Path, disk: DiskWatch | None = None, **options: Any) -> None:
        self.log: list[tuple[str, Any]] = []
        self.now_ms = NOW_MS
        self.link = FakeLink(self.log)
        self.spool = Spool(folder / "spool.sqlite3", now_ms=NOW_MS, disk=disk or roomy(folder))
        commit = self.spool._commit

        def logged_commit() -> None:
            commit()
            self.log.append(("commit", None))

        self.spool._commit = logged_commit  # type: ignore[method-assign]
        self.intake = Intake(
            self.link,
            self.spool,
            site=SITE,
            now_ms=lambda: self.now_ms,
            on_rows=lambda: self.log.append(("rows", None)),
            **options,
        )

    def happened(self) -> list[str]:
        """Return the kinds of what happened, in order."""
        return [kind for kind, _ in self.log]

    def app_acks(self) -> list[tuple[str, Any]]:
        """Return application acks as (topic, decoded)."""
        return [(what[0], wire.decode_ack(what[1])) for kind, what in self.log if kind == "publish"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


def test_commit_comes_before_every_ack(bench: Bench) -> None:
    """One commit for what is there, then PUBACKs in order of arrival, then one application ack per device."""
    for seq in (1, 2, 3):
        bench.link.push(BIN, payload(7, [seq]))
    bench.link.push(f"resik/{SITE}/rsk-b002/up/bin", payload(9, [1]))
    bench.intake.step(0)
    assert bench.happened() == ["commit", "puback", "puback", "puback", "puback", "publish", "publish", "rows"]
    assert [what for kind, what in bench.log if kind == "puback"] == [1, 2, 3, 4]
    assert bench.app_acks() == [
        (f"resik/{SITE}/rsk-b001/down/ack", (7, 3, [])),
        (f"resik/{SITE}/rsk-b002/down/ack", (9, 1, [])),
    ]


def test_no_ack_without_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that raises acknowledges nothing to anybody; the next try does, with nothing lost or doubled."""

    def fail() -> None:
        raise io_error()

    bench.link.push(BIN, payload(7, [1]))
    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "_commit", fail)
        bench.intake.step(0)
    assert bench.log == []
    assert bench.intake.stopped_because is not None
    bench.intake._retry_at_s = 0.0
    bench.link.push(BIN, payload(7, [2]))
    bench.intake.step(0)
    assert bench.happened() == ["commit", "puback", "puback", "publish", "rows"]
    assert bench.app_acks()[0][1] == (7, 2, [])
    assert bench.intake.stopped_because is None


def test_a_repeat_is_acked_without_a_row(bench: Bench) -> None:
    """The device whose ack was lost gets it again; the forwarder is not told of rows that do not exist."""
    bench.link.push(BIN, payload(7, [1]))
    bench.intake.step(0)
    bench.log.clear()
    bench.link.push(BIN, payload(7, [1]))
    bench.intake.step(0)
    assert bench.happened() == ["commit", "puback", "publish"]
    assert (bench.intake.counts.received, bench.intake.counts.spooled, bench.intake.counts.duplicates) == (2, 1, 1)


def test_poison_and_presence_get_a_puback_and_no_application_ack(bench: Bench) -> None:
    """They have no sequence number to promise, but must not block the broker's queue."""
    bench.link.push(BIN, b"{")
    bench.link.push(f"resik/{SITE}/rsk-b001/up/will", b'{"v":1,"boot":7}')
    bench.intake.step(0)
    assert bench.happened() == ["commit", "puback", "puback", "rows"]
    assert (bench.intake.counts.poison, bench.intake.counts.presence) == (1, 1)


def test_a_full_disk_stops_acks(tmp_path: Path) -> None:
    """While full: no row, no ack, no PUBACK. With space everything follows."""
    free = [1]
    bench = Bench(tmp_path, DiskWatch(tmp_path, measure=lambda _folder: (10**9, free[0])))
    bench.link.push(BIN, payload(7, [1]))
    bench.intake.step(0)
    bench.link.push(BIN, payload(7, [2]))
    bench.intake.step(0)
    assert bench.log == []
    assert "free" in (bench.intake.stopped_because or "")
    free[0] = 10**9
    bench.spool.check_space()
    bench.intake._retry_at_s = 0.0
    bench.intake.step(0)
    assert bench.happened() == ["commit", *["puback"] * 2, "publish", "rows"]
    assert bench.app_acks()[0][1] == (7, 2, [])


def test_one_commit_takes_at_most_its_share(tmp_path: Path) -> None:
    """A flood is committed in groups, each acknowledged before the next is taken."""
    bench = Bench(tmp_path, batch_messages=3)
    for seq in range(1, 8):
        bench.link.push(BIN, payload(7, [seq]))
    for _ in range(3):
        bench.intake.step(0)
    assert [acks[1][1] for acks in bench.app_acks()] == [3, 6, 7]


def test_a_device_side_that_is_gone_costs_only_the_ack(bench: Bench) -> None:
    """Without a connection the rows stay, the ack is counted as unsent, and the device will ask again."""
    bench.link.push(BIN, payload(7, [1]))
    bench.link.is_down = True
    bench.intake.step(0)
    assert (bench.intake.counts.acks_unsent, bench.intake.counts.acked_to_device) == (1, 0)
    assert bench.spool.backlog().waiting == 1


def test_a_damaged_spool_ends_the_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waiting does not heal must not be retried for ever."""

    def damaged(_messages: object) -> None:
        raise SpoolCorrupt("x")

    monkeypatch.setattr(bench.spool, "put", damaged)
    bench.link.push(BIN, payload(7, [1]))
    with pytest.raises(SpoolCorrupt):
        bench.intake.run(threading.Event())
    assert bench.log == []


def test_held_messages_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit nothing more is taken, and what a dead connection brought is let go: it comes again."""
    monkeypatch.setattr(intake_module, "HELD_LIMIT", 4)

    def full(_messages: object) -> None:
        raise SpoolError("full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "put", full)
        for seq in (1, 2):
            bench.link.push(BIN, payload(7, [seq]), epoch=1)
        for seq in (1, 2, 3, 4):
            bench.link.push(BIN, payload(7, [seq]), epoch=3)
        bench.intake.step(0)  # takes all six at once
        bench.intake.step(0)
        assert [held.epoch for held in bench.intake._held] == [3, 3, 3, 3]
        bench.link.push(BIN, payload(7, [5]), epoch=3)
        bench.intake.step(0)
        assert len(bench.link.inbound) == 1
    bench.intake._retry_at_s = 0.0
    bench.intake.step(0)
    bench.intake.step(0)
    assert mark_of(bench.spool, "rsk-b001", 7) == (5, [])


@pytest.mark.parametrize("order", [lambda keys: keys, lambda keys: keys[::-1]])
def test_every_reading_is_acked_whatever_the_order(bench: Bench, order: Callable[[list[int]], list[int]]) -> None:
    """After all arrived, the last ack covers everything, holes or not on the way."""
    for seq in order(list(range(1, 30))):
        bench.link.push(BIN, payload(7, [seq]))
        bench.intake.step(0)
    assert bench.app_acks()[-1][1] == (7, 29, [])


def timed(bench: Bench, device: str, seq: int, ahead_s: int) -> None:
    """Let a reading arrive whose device is so far ahead of NOW_MS."""
    readings = [{"seq": seq, "ts": NOW_MS // 1000 + ahead_s, "distance_mm": 700}]
    bench.link.push(f"resik/{SITE}/{device}/up/bin", wire.encode_up(7, readings).encode())


def test_a_clock_behind_most_devices_holds_everything(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """No commit and no ack while three of four devices are ahead; set right, arrivals are stamped anew."""
    for number, ahead_s in enumerate((3600, 3601, 3602, 0)):
        timed(bench, f"rsk-b00{number}", 1, ahead_s)
    bench.intake.step(0)
    bench.intake.step(0)
    assert bench.log == []
    assert "3601 s behind that of 3 of 4 devices" in (bench.intake.stopped_because or "")
    assert caplog.text.count("intake stops") == 1
    bench.now_ms += 3_600_000
    bench.intake.step(0)
    assert bench.happened() == ["commit", *["puback"] * 4, *["publish"] * 4, "rows"]
    assert bench.intake.stopped_because is None
    assert [row.arrived_ms for row in bench.spool.take_backlog(0, 10, 10**6, ())] == [NOW_MS + 3_600_000] * 4


def test_a_clock_that_steps_back_is_seen_before_the_next_commit(bench: Bench) -> None:
    """What devices said before the step counts at once: not even the first reading after it gets a wrong arrival."""
    for number in range(4):
        timed(bench, f"rsk-b00{number}", 1, 0)
    bench.intake.step(0)
    bench.log.clear()
    bench.now_ms -= 3_600_000
    timed(bench, "rsk-b000", 2, 1)
    bench.intake.step(0)
    assert bench.log == []
    assert "behind that of 4 of 4 devices" in (bench.intake.stopped_because or "")
    bench.now_ms += 3_600_000
    bench.intake.step(0)
    assert [row.arrived_ms for row in bench.spool.take_backlog(0, 10, 10**6, ())] == [NOW_MS] * 5


def test_a_clock_that_was_ahead_and_is_set_right_holds_nothing(bench: Bench) -> None:
    """A step back onto the devices' time is a cure: they agree with it."""
    bench.now_ms += 86_400_000
    for number in range(4):
        timed(bench, f"rsk-b00{number}", 1, 0)
    bench.intake.step(0)
    bench.now_ms -= 86_400_000
    timed(bench, "rsk-b000", 2, 1)
    bench.intake.step(0)
    assert bench.happened().count("puback") == 5


def test_a_minority_or_two_devices_ahead_hold_nothing(tmp_path: Path) -> None:
    """Devices with a wrong clock are theirs to mend: their readings go on, and are counted for health."""
    bench = Bench(tmp_path)
    for number, ahead_s in enumerate((3600, 3600, 3600, 0, 0, 0)):
        timed(bench, f"rsk-b00{number}", 1, ahead_s)
    bench.intake.step(0)
    assert bench.happened().count("puback") == 6
    assert (bench.intake.ahead.devices, bench.intake.ahead.heard) == (3, 6)
    other = Bench(tmp_path / "two")
    for number in range(2):
        timed(other, f"rsk-b00{number}", 1, 3600)
    other.intake.step(0)
    assert other.happened().count("puback") == 2


def test_120_seconds_are_allowed_and_old_readings_are_no_evidence(tmp_path: Path) -> None:
    """The limit is ingest's; a device that is ahead stays so though it also sends old readings again."""
    bench = Bench(tmp_path)
    for number in range(3):
        timed(bench, f"rsk-b00{number}", 1, 120)
    bench.intake.step(0)
    assert bench.happened().count("puback") == 3
    other = Bench(tmp_path / "other")
    for ahead_s in (121, -5000):
        for number in range(3):
            timed(other, f"rsk-b00{number}", ahead_s + 9000, ahead_s)
    other.intake.step(0)
    assert other.log == []


def test_poison_beyond_a_devices_share_is_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that floods: its burst is kept, then one a minute; all get a PUBACK, neighbours are not hit."""
    monkeypatch.setattr(arrivals, "POISON_BURST", 60)
    for number in range(75):
        bench.link.push(BIN, b"{%d" % number)
    bench.link.push(f"resik/{SITE}/rsk-b002/up/bin", b"{")
    bench.intake.step(0)
    counts = bench.intake.counts
    assert (counts.poison, counts.poison_let_go, counts.spooled) == (61, 15, 61)
    assert bench.happened().count("puback") == 76
    bench.now_ms += 2 * 60_000
    for number in range(5):
        bench.link.push(BIN, b"{%d two minutes later" % number)
    bench.intake.step(0)
    assert (counts.poison, counts.poison_let_go) == (63, 18)
    bench.now_ms -= 10 * 60_000
    bench.link.push(BIN, b"{a clock that went back")
    bench.intake.step(0)
    assert (counts.poison, counts.poison_let_go) == (63, 19)


def test_repeats_of_known_poison_use_up_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same message again and again is a duplicate: it leaves the share for news."""
    monkeypatch.setattr(arrivals, "POISON_BURST", 2)
    for payload_ in (b"{", b"{", b"{", b"{", b"news"):
        bench.link.push(BIN, payload_)
    bench.intake.step(0)
    assert (bench.intake.counts.poison, bench.intake.counts.duplicates) == (2, 3)


def test_poison_that_could_not_be_committed_does_not_use_up_the_share(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries against a full disk leave no trace: the poison is kept when space returns."""

    def fail() -> None:
        raise io_error()

    monkeypatch.setattr(arrivals, "POISON_BURST", 2)
    bench.link.push(BIN, b"{")
    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "_commit", fail)
        for _ in range(10):
            bench.intake._retry_at_s = 0.0
            bench.intake.step(0)
    bench.intake._retry_at_s = 0.0
    bench.intake.step(0)
    assert (bench.intake.counts.poison, bench.intake.counts.poison_let_go) == (1, 0)


def test_an_errand_is_acknowledged_in_its_turn_and_never_stored(bench: Bench) -> None:
    """A request on up/ota reaches the downlink at once, is no poison and no row, and its PUBACK keeps the order."""
    heard: list[tuple[str, str, bytes]] = []
    bench.intake._on_heard = lambda device, kind, payload, _at_ms: heard.append((device, kind, payload))
    committed: list[str] = []
    bench.intake._on_committed = lambda messages: committed.extend(type(message).__name__ for message in messages)
    bench.link.push(BIN, payload(7, [1]))
    bench.link.push(f"resik/{SITE}/rsk-b001/up/ota", b"nonsense too")
    bench.link.push(BIN, payload(7, [2]))
    bench.intake.step(0)
    assert [what for kind, what in bench.log if kind == "puback"] == [1, 2, 3]
    assert [(device, kind) for device, kind, _payload in heard] == [("rsk-b001", "ota")]
    assert committed == ["Readings", "Errand", "Readings"]
    assert (bench.spool.waiting, bench.intake.counts.poison) == (2, 0)


def test_errands_alone_are_acknowledged_too(bench: Bench) -> None:
    """A node that loads an update and says nothing else leaves no message un-acked."""
    bench.link.push(f"resik/{SITE}/rsk-b001/up/ota", b"{}")
    bench.intake.step(0)
    assert [what for kind, what in bench.log if kind == "puback"] == [1]
    assert bench.spool.waiting == 0


def test_poison_tells_the_downlink_nothing(bench: Bench) -> None:
    """What cannot be read is no sign of life of a node whose name it carries."""
    heard: list[str] = []
    bench.intake._on_heard = lambda device, *_rest: heard.append(device)
    bench.link.push(BIN, b"junk")
    bench.intake.step(0)
    assert heard == []


def test_acks_of_a_flood_wait_for_each_other_and_never_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PUBACKs go after each commit; who sends on hears once of several commits, at the latest after a second."""
    monkeypatch.setattr(intake_module, "FLOOD_FROM", 3)
    now_s = [1000.0]
    monkeypatch.setattr(intake_module.time, "monotonic", lambda: now_s[0])
    bench = Bench(tmp_path, batch_messages=3)
    for seq in range(1, 16):
        bench.link.push(BIN, payload(7, [seq]))
    bench.intake.step(0)
    bench.intake.step(0)
    assert bench.happened() == ["commit", *["puback"] * 3, "rows"] * 2
    assert bench.app_acks() == []
    now_s[0] += acks_module.ACKS_LONGEST_S
    bench.intake.step(0)
    assert [ack for _, ack in bench.app_acks()] == [(7, 9, [])]
    bench.intake.step(0)
    bench.intake.step(0)
    assert len(bench.app_acks()) == 1
    bench.intake.step(0)  # nothing came any more: nobody needs to wait
    assert [ack for _, ack in bench.app_acks()] == [(7, 9, []), (7, 15, [])]


def test_in_a_flood_who_waits_for_its_ack_gets_it_before_those_who_send_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that sent once hears after a quarter of a second; one that sends on when it ends, or after a second."""
    monkeypatch.setattr(intake_module, "FLOOD_FROM", 2)
    now_s = [1000.0]
    monkeypatch.setattr(intake_module.time, "monotonic", lambda: now_s[0])
    bench = Bench(tmp_path, batch_messages=2)

    def flood(*messages: tuple[int, int]) -> list[tuple[int, int]]:
        """Let one commit of messages arrive, a quarter of a second after the last; return who is acked how far."""
        before = len(bench.app_acks())
        for device, seq in messages:
            bench.link.push(f"resik/{SITE}/rsk-b00{device}/up/bin", payload(7, [seq]))
        bench.intake.step(0)
        now_s[0] += acks_module.ACKS_WITHIN_S
        return [(int(topic.split("/")[2][-1]), ack[1]) for topic, ack in bench.app_acks()[before:]]

    assert flood((1, 1), (2, 1)) == []
    assert flood((1, 2), (3, 1)) == [(2, 1), (3, 1)], "these two wait, the first has sent on"
    assert flood((1, 3), (4, 1)) == [(4, 1)]
    assert flood((5, 1), (6, 1)) == [(1, 3), (5, 1), (6, 1)], "it has stopped"
    for seq in (1, 2, 3, 4):
        assert flood((7, seq), (8, seq)) == []
    assert flood((7, 5), (8, 5)) == [(7, 5), (8, 5)], "a second is enough"


def test_acks_of_a_flood_are_sent_when_the_intake_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is stopped in a flood has answered for everything that it committed."""
    monkeypatch.setattr(intake_module, "FLOOD_FROM", 1)
    bench = Bench(tmp_path, batch_messages=2)
    stop = threading.Event()
    bench.intake._on_rows = stop.set
    for seq in range(1, 5):
        bench.link.push(BIN, payload(7, [seq]))
    bench.intake.run(stop)
    assert bench.happened() == ["commit", "puback", "puback", "publish"]
    assert [ack for _, ack in bench.app_acks()] == [(7, 2, [])]


def test_acks_of_a_flood_do_not_wait_for_a_spool_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed is answered at once when the next commit fails, however many messages still come."""
    monkeypatch.setattr(intake_module, "FLOOD_FROM", 1)
    bench = Bench(tmp_path)
    bench.link.push(BIN, payload(7, [1]))
    bench.intake.step(0)
    assert bench.app_acks() == []

    def fail() -> None:
        raise io_error()

    monkeypatch.setattr(bench.spool, "_commit", fail)
    for seq in (2, 3):
        bench.link.push(BIN, payload(7, [seq]))
        bench.intake.step(0)
    assert bench.happened() == ["commit", "puback", "rows", "publish"]
    assert [ack for _, ack in bench.app_acks()] == [(7, 1, [])]


def test_an_ack_with_many_ranges_is_not_replaced_unsent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later ack of a boot full of holes may have no room for what the earlier one brought: both are sent."""
    monkeypatch.setattr(intake_module, "FLOOD_FROM", 1)
    monkeypatch.setattr(acks_module, "ACK_RANGES_KEPT", 2)
    bench = Bench(tmp_path, batch_messages=1)
    bench.link.push(BIN, payload(7, [1, 3, 5, 7]))
    bench.link.push(BIN, payload(7, [9]))
    bench.intake.step(0)
    bench.intake.step(0)
    assert [ack[2] for _, ack in bench.app_acks()] == [[(3, 3), (5, 5), (7, 7)]]
