"""Missing readings are asked for by the gateway itself: once each, few at a time, and nothing that a node gave up."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import wire
from gateway import orders_schema
from gateway.downlink import Downlink
from gateway.errors import SpoolError
from gateway.gaps import LOOK_EVERY_S, ORDER_VALID_MS, UNANSWERED_AFTER_MS, Gaps
from gateway.missing import Fate, Hole
from gateway.orders import Orders
from gateway.outbox import AGAIN_S
from gateway.presence import Attendance
from gateway.resends import KEPT_MS, Resends
from gateway.spool import Spool
from square.site import load_site
from tests.unit.gateway.fakes import NOW_MS, SITE, payload, roomy, up

DEVICE = "rsk-b001"
GRACE_S = 600
PAUSE_S = 3600


class Bench:
    """A spool, a downlink that asks, a desk beside it, and a clock that stands."""

    def __init__(self, folder: Path, *, per_min: float = 30.0) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(folder))
        self.desk = Orders(folder / "orders.sqlite3")
        self.now_s = 1000.0
        self.now_ms_offset = 0
        self.sessions_lost = 0
        self.per_min = per_min
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.start()

    @property
    def now_ms(self) -> int:
        return NOW_MS + self.now_ms_offset + int((self.now_s - 1000) * 1000)

    def start(self) -> None:
        """Start a gateway, as after a kill."""
        self.attendance = Attendance(load_site("alun-alun-pasuruan"), self.now_ms)
        self.gaps = Gaps(
            holes=lambda: self.spool.holes(),  # noqa: PLW0108 - tests replace it
            fate=lambda hole: self.spool.fate(hole),  # noqa: PLW0108
            dropped_since=self.attendance.dropped_since,
            sessions_lost=lambda: self.sessions_lost,
            grace_ms=GRACE_S * 1000,
            pause_ms=PAUSE_S * 1000,
            per_min=self.per_min,
            monotonic=lambda: self.now_s,
        )
        self.downlink = Downlink(
            self.folder / "orders.sqlite3",
            site=SITE,
            publish=self.publish,
            is_listening=lambda: True,
            now_ms=lambda: self.now_ms,
            attendance=self.attendance,
            gaps=self.gaps,
            monotonic=lambda: self.now_s,
        )

    def publish(self, topic: str, message: bytes, _qos: int, *, retain: bool) -> None:
        assert not retain
        self.sent.append((wire.parse_topic(topic)[1], json.loads(message)))

    def run(self, seconds: float, step_s: float = LOOK_EVERY_S) -> list[tuple[str, dict[str, Any]]]:
        """Let time go by; return what was sent to nodes."""
        self.sent.clear()
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + step_s)
            self.downlink.step()
        return list(self.sent)

    def say(self, device: str = DEVICE, **fields: Any) -> None:
        """Let a node send a status."""
        self.downlink.hear(device, "status", wire.encode_status({"boot": 7, **fields}).encode(), self.now_ms)

    def entries(self) -> list[tuple[int, int, str | None, int]]:
        """Return (low, high, outcome, came) of what was asked for."""
        return [(entry.low, entry.high, entry.outcome, entry.came) for entry in Resends(self.desk).all()]

    def close(self) -> None:
        self.downlink.close()
        self.desk.close()
        self.spool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def resend(first: int, number: int = 1, boot: int = 7) -> dict[str, Any]:
    return {"v": 1, "id": number, "cmd": "resend", "boot": boot, "from": first}


def test_a_hole_is_asked_for_once_and_settled_when_it_closes(bench: Bench) -> None:
    """Readings 3 to 5 never came: after 10 minutes one order, from 3 on; when they come it is settled, and said so."""
    bench.spool.put([up(DEVICE, 7, [1, 2, 6, 7])])
    assert bench.run(GRACE_S - 10) == []
    assert bench.run(30) == [(DEVICE, resend(3))]
    assert (bench.gaps.asking.open_requests, bench.gaps.asking.nodes) == (1, {DEVICE: (3, 3)})
    assert bench.run(2 * PAUSE_S) == []
    bench.spool.put([up(DEVICE, 7, [4])])
    bench.run(60)
    assert bench.entries() == [(3, 5, None, 0)]
    bench.spool.put([up(DEVICE, 7, [3, 5])])
    assert bench.run(60) == []
    assert bench.entries() == [(3, 5, "came", 3)]
    counts = bench.gaps.counts
    assert (counts.requests, counts.came, counts.gone, counts.unanswered) == (1, 3, 0, 0)
    assert (bench.gaps.asking.open_requests, bench.gaps.asking.nodes) == (0, {})


def test_a_hole_that_closes_by_itself_is_never_asked_for(bench: Bench) -> None:
    """A node that sends the newest first and the rest a minute later has lost nothing."""
    for last in range(10, 200, 10):
        bench.spool.put([up(DEVICE, 7, [last])])
        assert bench.run(60) == []
        bench.spool.put([up(DEVICE, 7, list(range(last - 9, last)))])
        assert bench.run(540) == []
    assert bench.entries() == []


def test_a_new_hole_has_its_own_grace_beside_an_old_one(bench: Bench) -> None:
    """A hole that nobody can fill does not make every later one look old."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    bench.run(PAUSE_S + 2 * GRACE_S)
    bench.spool.put([up(DEVICE, 7, [5])])
    assert bench.run(GRACE_S - 20) == []
    assert bench.run(60) == [], "the node has not done the first order yet: it will send all from there on"
    bench.say(cmd=1)
    assert bench.run(60) == [(DEVICE, resend(4, 2))]


def test_the_order_is_given_again_until_the_node_did_it(bench: Bench) -> None:
    """It goes through the file of orders: a node that slept gets it when it speaks."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    assert bench.run(GRACE_S + 20) == [(DEVICE, resend(2))]
    bench.now_s += AGAIN_S
    bench.say(cmd=0)
    assert bench.run(10) == [(DEVICE, resend(2))]
    bench.now_s += AGAIN_S
    bench.say(cmd=1)
    assert bench.run(10) == []


def test_what_the_node_no_longer_holds_is_never_asked_for(bench: Bench) -> None:
    """`oldest_seq` above the hole before it is due: it is lost, and that is that."""
    bench.spool.put([up(DEVICE, 7, [1, 6])])
    bench.run(60)
    bench.spool.put([up(DEVICE, 7, [7], oldest=5)])
    assert bench.run(2 * GRACE_S) == [(DEVICE, resend(5))], "5 is held, says the node; 2 to 4 are not"
    assert bench.spool.backlog().lost == 3


def test_what_the_node_says_to_be_gone_after_it_was_asked_settles_the_request(bench: Bench) -> None:
    """One came, two are gone: partly, and the log says how many."""
    bench.spool.put([up(DEVICE, 7, [1, 5])])
    bench.run(GRACE_S + 20)
    bench.spool.put([up(DEVICE, 7, [4], oldest=4)])
    bench.run(20)
    assert bench.entries() == [(2, 4, "partly", 1)]
    assert (bench.gaps.counts.came, bench.gaps.counts.gone) == (1, 2)


def test_a_node_that_counts_its_losses_is_not_asked_for_them(bench: Bench) -> None:
    """It says no `oldest_seq`, but that it gave up as many readings as are missing."""
    bench.say(dropped=4)
    bench.run(10)
    bench.spool.put([up(DEVICE, 7, [1, 5])])
    bench.say(dropped=7, up_s=5)
    assert bench.run(2 * GRACE_S) == []
    bench.spool.put([up(DEVICE, 7, [9])])
    assert bench.run(2 * GRACE_S) == [(DEVICE, resend(6))], "these three it did not give up"


def test_a_count_of_losses_settles_what_was_asked_for(bench: Bench) -> None:
    """The answer to the order is that they are gone."""
    bench.say(dropped=0)
    bench.spool.put([up(DEVICE, 7, [1, 4])])
    bench.run(GRACE_S + 20)
    bench.say(dropped=2, cmd=1, up_s=9)
    bench.run(20)
    assert bench.entries() == [(2, 3, "gone", 0)]


def test_what_never_comes_is_settled_as_unanswered_and_not_asked_for_again(bench: Bench) -> None:
    """The node did as it was told and nothing came within a day; a node that never takes the order, within a week."""
    bench.spool.put([up(DEVICE, 7, [1, 3]), up("rsk-b002", 7, [1, 3])])
    bench.run(GRACE_S + 20)
    bench.say(cmd=1)
    bench.run(20)
    step_s = 1000.0
    assert bench.run(UNANSWERED_AFTER_MS / 1000 - 60, step_s) == []
    assert [entry[2] for entry in bench.entries()] == [None, None]
    bench.run(3 * step_s, step_s)
    assert [entry[2] for entry in bench.entries()] == ["unanswered", None]
    bench.run(ORDER_VALID_MS / 1000, step_s)
    assert [entry[2] for entry in bench.entries()] == ["unanswered", "unanswered"]
    assert bench.run(KEPT_MS / 1000 * 2, 20_000) == []
    assert len(bench.entries()) == 2, "what never came is remembered, so that it is not asked for again"
    assert bench.gaps.counts.unanswered == 2


def test_a_restart_neither_forgets_nor_repeats_a_request(bench: Bench) -> None:
    """Killed between order and answer: the same entry is open, nothing is ordered again, the answer counts."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    bench.run(GRACE_S + 20)
    bench.downlink.close()
    bench.start()
    sent = bench.run(2 * PAUSE_S)
    assert sent == [(DEVICE, resend(2))], "the open order, once; the node may not have heard it"
    assert bench.gaps.asking.open_requests == 1
    bench.spool.put([up(DEVICE, 7, [2])])
    bench.run(20)
    assert bench.entries() == [(2, 2, "came", 1)]
    assert len(bench.desk.commands(DEVICE)) == 1


def test_a_request_follows_its_command_when_numbers_are_lifted(bench: Bench) -> None:
    """After the file of orders was restored the node knows higher ids: the entry still finds its command."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    bench.run(GRACE_S + 20)
    bench.say(cmd=40)
    bench.run(40)
    bench.say(cmd=41, up_s=9)
    bench.run(20)
    (command,) = bench.desk.commands(DEVICE)
    assert (command.id, command.done_ms is not None) == (41, True)
    assert Resends(bench.desk).all()[0].command_id == 41


def test_a_person_who_ordered_the_same_is_not_repeated(bench: Bench) -> None:
    """While an order by hand that covers the hole is open, the gateway adds none."""
    bench.spool.put([up(DEVICE, 7, [1, 4])])
    bench.desk.add_command(
        DEVICE, {"cmd": "resend", "boot": 7, "from": 2}, bench.now_ms, bench.now_ms + 10 * PAUSE_S * 1000
    )
    bench.run(2 * GRACE_S)
    assert len(bench.desk.commands(DEVICE)) == 1


def test_holes_of_one_boot_are_one_order_and_two_boots_wait_for_each_other(bench: Bench) -> None:
    """`resend` covers all that follows; to one node at most one order an hour."""
    bench.spool.put([up(DEVICE, 7, [2, 4, 6]), up(DEVICE, 8, [2])])
    assert bench.run(GRACE_S + 60) == [(DEVICE, resend(1))]
    assert (bench.gaps.asking.open_requests, bench.gaps.asking.waiting) == (3, 1)
    assert bench.run(PAUSE_S - 200) == []
    assert bench.run(400) == [(DEVICE, resend(1, 2, 8))]


def test_a_clock_that_is_set_back_holds_up_no_request(bench: Bench) -> None:
    """Asked while the clock was ten days ahead: the next hole waits for its grace, not for ten days."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    bench.now_ms_offset = 10 * 86_400_000
    bench.run(GRACE_S + 20)
    bench.say(cmd=1)
    bench.run(20)
    bench.now_ms_offset = 0
    bench.spool.put([up(DEVICE, 7, [5])])
    assert bench.run(GRACE_S + 30) == [(DEVICE, resend(4, 2))]


def test_all_nodes_together_are_asked_no_faster_than_the_limit(tmp_path: Path) -> None:
    """Sixty nodes with a hole each at six a minute: one every ten seconds, each once."""
    bench = Bench(tmp_path, per_min=6.0)
    devices = [f"rsk-b{number:03d}" for number in range(1, 61)]
    bench.spool.put([up(device, 7, [1, 3]) for device in devices])
    bench.run(GRACE_S)
    times = []
    for _ in range(70):
        times += [(bench.now_s, device) for device, _message in bench.run(10)]
    assert Counter(device for _at_s, device in times) == Counter(devices)
    for at_s, _device in times:
        assert sum(at_s - 60 < sent_s <= at_s for sent_s, _ in times) <= 7
    bench.close()


def test_a_broker_that_forgot_us_shortens_the_grace(bench: Bench) -> None:
    """A hole that shows up within an hour of it is asked for after a minute; one from before keeps its grace."""
    bench.spool.put([up("rsk-b002", 7, [1, 3])])
    bench.run(20)
    bench.sessions_lost = 1
    bench.run(10)
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    assert bench.run(50) == []
    assert bench.run(40) == [(DEVICE, resend(2))]
    assert bench.gaps.asking.suspected_ms is not None
    bench.run(PAUSE_S)
    bench.spool.put([up("rsk-b003", 7, [1, 3])])
    assert bench.run(GRACE_S - 20) == []


def test_sensors_of_other_makes_are_never_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the spool says: nobody there would understand."""
    monkeypatch.setattr(bench.spool, "holes", lambda: [Hole("@70b3d57ed0001234", 7, 2, 2)])
    assert bench.run(2 * GRACE_S) == []
    assert bench.entries() == []


def test_a_spool_that_is_busy_is_looked_at_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a slow one holds up neither orders nor readings."""
    bench.spool.put([up(DEVICE, 7, [1, 3])])
    bench.run(GRACE_S - 20)

    def full() -> list[Hole]:
        raise SpoolError("full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "holes", full)
        assert bench.run(60) == []
    assert bench.downlink.trouble is None
    assert bench.run(20) == [(DEVICE, resend(2))]


def test_resent_readings_are_acked_and_stored_once(bench: Bench) -> None:
    """A node that sends again all that it has, most of it below the mark: every ack covers it, no row is doubled."""
    bench.spool.put([up(DEVICE, 7, list(range(1, 41))), up(DEVICE, 7, list(range(44, 65)))])
    bench.spool.settle(range(1, 100), [], NOW_MS)
    bench.spool.prune(NOW_MS + 3 * 86_400_000)
    for low in range(1, 65, 6):
        seqs = list(range(low, min(low + 6, 65)))
        put = bench.spool.put([up(DEVICE, 7, seqs, oldest=1)])
        (ack,) = put.acks
        assert all(seq <= ack.upto or any(low <= seq <= high for low, high in ack.also) for seq in seqs)
    assert (put.acks[0].upto, put.acks[0].also) == (64, [])
    assert bench.spool.totals.spooled == 64
    assert bench.spool.waiting == 3
    assert bench.spool.fate(Hole(DEVICE, 7, 30, 70)) == Fate(came=35, gone=0, missing=6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("asdlto"), st.integers(1, 30)), max_size=25))
def test_no_reading_is_asked_for_twice_whatever_arrives_in_which_order(events: list[tuple[str, int]]) -> None:
    """Arrivals, losses, statuses, restarts and time in any order.

    No two orders of the gateway were made for the same missing reading, none for a reading that was there or given up
    at that moment, and an entry that is settled as come has come.
    """
    with TemporaryDirectory() as name:
        bench = Bench(Path(name))
        try:
            for what, number in events:
                if what == "a":
                    bench.spool.put([up(DEVICE, 7, [number])])
                elif what == "o":
                    bench.spool.put([up(DEVICE, 7, [number], oldest=number)])
                elif what == "s":
                    commands = bench.desk.commands(DEVICE)
                    bench.say(cmd=commands[-1].id if commands else 0, up_s=number)
                elif what == "l":
                    bench.sessions_lost += 1
                elif what == "t":
                    bench.downlink.close()
                    bench.start()
                before = {entry[:2] for entry in bench.entries()}
                held = {seq for seq in range(1, 31) if bench.spool.fate(Hole(DEVICE, 7, seq, seq)).missing}
                bench.run(150 if what == "d" else 750, 150)
                for low, high in {entry[:2] for entry in bench.entries()} - before:
                    assert set(range(low, high + 1)) <= held
            entries = bench.entries()
            asked = [seq for low, high, _outcome, _came in entries for seq in range(low, high + 1)]
            assert len(asked) == len(set(asked))
            for low, high, outcome, came in entries:
                fate = bench.spool.fate(Hole(DEVICE, 7, low, high))
                assert (outcome is None) == bool(fate.missing)
                if outcome == "came":
                    assert (came, fate.came) == (high - low + 1, high - low + 1)
        finally:
            bench.close()


def test_a_file_of_orders_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    """What was ordered before is there, and requests can be written down."""
    path = tmp_path / "orders.sqlite3"
    connection = sqlite3.connect(path)
    for statement in orders_schema.MIGRATIONS[0].split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
    connection.execute("""INSERT INTO commands VALUES ('rsk-b001', 4, '{"cmd":"reboot"}', 1, 2, NULL, NULL)""")
    connection.commit()
    connection.close()
    orders = Orders(path)
    assert Resends(orders).ask([Hole("rsk-b001", 7, 2, 3)], NOW_MS, NOW_MS + 1000) == 5
    assert [command.id for command in orders.commands("rsk-b001")] == [5], "the old one is long over"
    assert orders.read("SELECT value FROM meta WHERE key = 'schema_version'") == [("2",)]
    orders.close()


def test_payload_of_the_fakes_is_a_real_one() -> None:
    """The messages of these tests are what a node sends."""
    assert wire.decode_envelope(payload(7, [1, 3]))["readings"][1]["seq"] == 3
