"""What waited for long goes up at its pace, and what is new never waits behind it."""

import doctest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import pace as pace_module
from gateway.batches import encode_row, wire_bytes
from gateway.forward import Forwarder
from gateway.lanes import OLD_AFTER_S
from gateway.messages import read_message
from gateway.pace import WINDOW_S, Pace
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, SITE, roomy, up

STEP_S = 0.05


class Bench:
    """A forwarder with a limit, an ingest that answers when told, and a clock that only steps move."""

    def __init__(self, spool: Spool, rows_per_s: int, bytes_per_s: int = 0, **options: Any) -> None:
        self.spool = spool
        self.now_s = 100.0
        self.answers = True
        self.is_connected = True
        self.sent: list[tuple[float, dict[str, Any], int]] = []
        self.forwarder = Forwarder(
            spool,
            gateway_id="gw-utama",
            publish=self._publish,
            now_ms=lambda: NOW_MS,
            pace=Pace(rows_per_s, bytes_per_s),
            monotonic=lambda: self.now_s,
            **{"linger_s": 0.0, **options},
        )

    def _publish(self, payload: bytes) -> None:
        batch = msgspec.json.decode(payload)
        self.sent.append((self.now_s, batch, len(payload)))
        if self.answers:
            ids = [row["id"] for row in batch["rows"]]
            self.forwarder.on_ack(
                msgspec.json.encode({"v": 1, "spool": batch["spool"], "batch": batch["batch"], "stored": ids})
            )

    def run(self, seconds: float) -> None:
        """Let time go by in steps."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.forwarder.step(self.now_s, is_connected=self.is_connected)

    def ids(self, since: int = 0) -> list[list[int]]:
        """Return the row ids of the batches sent."""
        return [[row["id"] for row in batch["rows"]] for _at_s, batch, _size in self.sent[since:]]

    def arrive(self, device: str, seqs: list[int]) -> None:
        for start in range(0, len(seqs), 64):
            self.spool.put([up(device, 7, seqs[start : start + 64])])
        self.forwarder.notify()


def test_the_newest_leads_and_the_backlog_follows_at_its_pace(spool: Spool) -> None:
    """After a restart with 1,000 rows: the newest at once, then 100 a second in order of arrival, nothing twice."""
    for start in range(1, 1001, 50):
        spool.put([up("rsk-b001", 7, list(range(start, start + 50)))])
    bench = Bench(spool, 100)
    bench.run(0.1)
    assert bench.ids()[0] == [1000]
    bench.run(4.9)
    sent = [row_id for ids in bench.ids() for row_id in ids]
    assert sent == [1000, *range(1, 501)]
    assert bench.forwarder.is_draining
    bench.run(6)
    assert spool.waiting == 0
    assert not bench.forwarder.is_draining
    assert sorted(row_id for ids in bench.ids() for row_id in ids) == list(range(1, 1001))


def test_rows_that_leave_in_time_have_no_limit(spool: Spool) -> None:
    """A limit below the rate of the devices never holds up what is new: the queue does not grow without end."""
    bench = Bench(spool, 1)
    for second in range(30):
        bench.arrive("rsk-b001", list(range(1 + 50 * second, 51 + 50 * second)))
        bench.run(1)
    assert spool.waiting == 0
    assert sum(map(len, bench.ids())) == 1500


def test_what_an_outage_held_up_is_backlog_and_what_comes_after_it_is_not(spool: Spool) -> None:
    """Without an uplink for a minute: those rows go at their pace, new ones beside them at once."""
    bench = Bench(spool, 20)
    bench.is_connected = False
    bench.arrive("rsk-b001", list(range(1, 201)))
    bench.run(60)
    bench.is_connected = True
    bench.run(0.1)
    bench.arrive("rsk-b002", [1, 2, 3])
    before = len(bench.sent)
    bench.run(0.05)
    assert bench.ids(before)[0] == [201, 202, 203] or bench.ids(before)[0] == [203, 201, 202]
    bench.run(5)
    assert 80 <= 203 - spool.waiting <= 130
    bench.run(6)
    assert spool.waiting == 0


def test_a_store_that_is_down_makes_a_backlog_too(spool: Spool) -> None:
    """Batches that nobody answers fill the places; what waits behind them for long comes at its pace afterwards."""
    bench = Bench(spool, 50, batch_rows=10, in_flight=2, resend_s=1000.0)
    bench.answers = False
    bench.arrive("rsk-b001", list(range(1, 321)))
    bench.run(OLD_AFTER_S + 3)
    bench.answers = True
    for _at_s, batch, _size in bench.sent[:]:
        bench._publish(msgspec.json.encode(batch))
    at = len(bench.sent)
    bench.run(2)
    rows = sum(map(len, bench.ids(at)))
    assert 90 <= rows <= 160
    bench.run(8)
    assert spool.waiting == 0


def test_the_backlog_never_takes_the_last_place(spool: Spool) -> None:
    """With every batch of the backlog unanswered a new reading still finds a place of its own."""
    for start in range(1, 201, 50):
        spool.put([up("rsk-b001", 7, list(range(start, start + 50)))])
    bench = Bench(spool, 10_000, batch_rows=10, in_flight=4)
    bench.answers = False
    bench.run(1)
    assert bench.forwarder.flying == 3
    bench.arrive("rsk-b002", [1])
    bench.run(0.05)
    assert bench.ids()[-1] == [201]
    assert bench.forwarder.counts.copies == 0


def test_one_place_is_shared(spool: Spool) -> None:
    """With a single place backlog and news take turns: neither is shut out."""
    for start in range(1, 101, 50):
        spool.put([up("rsk-b001", 7, list(range(start, start + 50)))])
    bench = Bench(spool, 1000, batch_rows=10, in_flight=1)
    bench.run(5)
    assert spool.waiting == 0


def test_a_row_is_never_larger_on_the_wire_than_it_is_counted(spool: Spool) -> None:
    """The limit in bytes counts what really goes up, for every kind of row at its largest."""
    device = "x" * 32
    reading = b'{"seq":4294967295,"ts":4294967295,"distance_mm":10000,"x":"' + b"y" * 7000 + b'"}'
    topic = f"resik/{SITE}/{device}/up"
    boot = 4294967295
    spool.put([
        read_message(f"{topic}/bin", b'{"v":1,"boot":%d,"r":[%s]}' % (boot, reading), NOW_MS),
        read_message(f"{topic}/status", b'{"v":1,"boot":%d,"up_s":4294967295}' % boot, NOW_MS),
        read_message(f"{topic}/will", b'{"v":1,"boot":%d}' % boot, NOW_MS),
        read_message(f"{topic}/bin", b"\xff" * 8000, NOW_MS),
        read_message("resik/" + "\x01" * 190, b"\xff", NOW_MS),
    ])  # fmt: skip
    rows = spool.take_backlog(0, 10, 10**9, ())
    assert len(rows) == 5
    for row in (msgspec.structs.replace(row, id=2**63 - 1) for row in rows):
        assert len(msgspec.json.encode(encode_row(row))) < wire_bytes(row) <= 12_000


@pytest.mark.parametrize("limit", [12_000, 30_000])
def test_a_thin_uplink_gets_so_many_bytes_a_second(spool: Spool, limit: int) -> None:
    """Bodies of different sizes, the largest among them: within any second never more, and all arrive."""
    for number in range(60):
        size = (number * 977) % 7000
        raw = b'{"v":1,"boot":7,"r":[{"seq":%d,"ts":5,"x":"%s"}]}' % (number + 1, b"y" * size)
        spool.put([read_message(f"resik/{SITE}/rsk-b001/up/bin", raw, NOW_MS)])
    bench = Bench(spool, 10**6, limit)
    bench.run(60)
    assert spool.waiting == 0
    backlog = [(at_s, size) for at_s, batch, size in bench.sent if batch["rows"][0]["id"] != 60]
    for at_s, _size in backlog:
        window = [size - 120 for sent_s, size in backlog if at_s - WINDOW_S < sent_s <= at_s]  # 120: the batch's frame
        assert sum(window) <= limit


ARRIVALS = st.lists(
    st.tuples(
        st.floats(0.01, 4.0),
        st.integers(1, 3),
        st.integers(1, 60),
        st.sampled_from(["up", "up", "down", "mute"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(waiting=st.integers(0, 300), rows_per_s=st.integers(1, 200), batch_rows=st.integers(1, 40), then=ARRIVALS)
def test_whatever_happens_the_backlog_keeps_its_pace_and_the_live_lane_its_precedence(
    waiting: int, rows_per_s: int, batch_rows: int, then: list[tuple[float, int, int, str]]
) -> None:
    """Outages, a mute ingest and bursts in any order.

    No second sees more rows of the backlog than the limit; a row that is the newest of its device is never sent behind
    more than one batch of the backlog; in the end every row was taken over exactly once, however old it was.
    """
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "s.sqlite3", now_ms=NOW_MS, disk=roomy(Path(folder)))
        for start in range(1, waiting + 1, 60):
            spool.put([up("rsk-b000", 7, list(range(start, min(start + 60, waiting + 1))))])
        bench = Bench(spool, rows_per_s, batch_rows=batch_rows, in_flight=3, resend_s=1000.0)
        backlog: list[tuple[float, int]] = []
        take = bench.forwarder._lanes.take_backlog

        def noting(now_s: float, flying: set[int]) -> Any:
            rows = take(now_s, flying)
            if rows:
                assert not spool.has_live(), "a live row stood behind a batch of the backlog"
                backlog.append((now_s, len(rows)))
            return rows

        bench.forwarder._lanes.take_backlog = noting  # type: ignore[method-assign]
        next_seq = dict.fromkeys(range(4), 1) | {0: waiting + 1}
        for seconds, device, count, state in then:
            bench.is_connected, bench.answers = state != "down", state != "mute"
            bench.arrive(f"rsk-b00{device}", list(range(next_seq[device], next_seq[device] + count)))
            next_seq[device] += count
            bench.run(seconds)
        bench.is_connected = bench.answers = True
        bench.forwarder.on_reconnect()
        bench.run(3 + OLD_AFTER_S + spool.waiting / min(rows_per_s, 3 * batch_rows))
        assert spool.waiting == 0
        for at_s, _rows in backlog:
            assert sum(rows for sent_s, rows in backlog if at_s - WINDOW_S < sent_s <= at_s) <= rows_per_s
        assert spool.totals.stored == spool.totals.spooled == sum(next_seq.values()) - 4
        spool.close()


def test_examples_in_docstrings_are_true() -> None:
    """The worked example gives what it says."""
    result = doctest.testmod(pace_module)
    assert (result.attempted, result.failed) == (3, 0)
