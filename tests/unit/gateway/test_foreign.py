"""Sensors of other makes at the gateway: kept before it is acknowledged, once each, none taken for another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from firmware import wire
from gateway.disk import DiskWatch
from gateway.foreign import Source, Sources, matches
from gateway.forward import Forwarder
from gateway.intake import Intake
from gateway.messages import Poison, Uplinks
from gateway.spool import Spool
from ingest.decode import Batch, decode_batch
from square.mqtt import Delivery
from tests.unit.gateway.fakes import FakeLink, payload, roomy
from tests.unit.ingest.test_uplinks import mixed
from tests.unit.square.foreign_messages import AT_S, EUI, chirpstack, senml, ttn

CHIRPSTACK = f"application/17c82e96/device/{EUI}/event/up"
TTN = "v3/resik@ttn/devices/tong-7/up"
AIRGRADIENT = "airgradient/readings/84fce612f5b8"
SOURCES = Sources([
    Source("chirpstack", "application/+/device/+/event/up"),
    Source("ttn", "v3/+/devices/+/up"),
    Source("airgradient", "airgradient/readings/+"),
    Source("senml", "senml/#"),
])  # fmt: skip
NOW_MS = AT_S * 1000 + 2_250
PACK = senml({"bn": "dev-8:", "bt": AT_S, "n": "a", "v": 1})


class Bench:
    """An intake with topics of other makes; a restart is a new one on the same spool file."""

    def __init__(self, folder: Path, disk: DiskWatch | None = None) -> None:
        self.folder = folder
        self.now_ms = NOW_MS
        self.log: list[tuple[str, Any]] = []
        self.link = FakeLink(self.log)
        self.disk = disk or roomy(folder)
        self.heard: list[str] = []
        self.start()

    def start(self) -> None:
        self.spool = Spool(self.folder / "spool.sqlite3", now_ms=self.now_ms, disk=self.disk)
        commit = self.spool._commit

        def logged_commit() -> None:
            commit()
            self.log.append(("commit", None))

        self.spool._commit = logged_commit  # type: ignore[method-assign]
        self.intake = Intake(
            self.link,
            self.spool,
            site="alun-alun-uji",
            now_ms=lambda: self.now_ms,
            on_rows=lambda: None,
            on_heard=lambda device, *_: self.heard.append(device),
            sources=SOURCES,
        )

    def restart(self) -> None:
        self.spool.close()
        self.start()

    def take(
        self, topic: str, payload: bytes, *, after_s: float = 0.0, dup: bool = False, retain: bool = False
    ) -> tuple[float, float]:
        """Let a message arrive; return rows spooled and duplicates, both of this message alone."""
        self.now_ms += int(after_s * 1000)
        counts = self.intake.counts
        before = counts.spooled, counts.duplicates
        self.link.inbound.append(Delivery(1, len(self.log) + 1, 1, topic, payload, retain=retain, dup=dup))
        self.intake.step(0.0)
        return counts.spooled - before[0], counts.duplicates - before[1]

    def batch(self) -> Batch:
        """Forward what waits and read it as ingest does."""
        sent: list[bytes] = []
        Forwarder(self.spool, gateway_id="gw-utama", publish=sent.append, now_ms=lambda: self.now_ms).step(0)
        return decode_batch(sent[0], mixed())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


NEW, KNOWN = (1, 0), (0, 1)


def test_a_frame_is_committed_then_acknowledged_to_the_broker_and_to_nobody_else(bench: Bench) -> None:
    """Commit, then PUBACK; no application ack, as no such sensor waits for one, and no errand of the downlink."""
    assert bench.take(CHIRPSTACK, chirpstack()) == NEW
    assert [kind for kind, _ in bench.log] == ["commit", "puback"]
    assert bench.heard == []


def test_a_full_disk_holds_the_acknowledgement_back(tmp_path: Path) -> None:
    """Nothing is kept, so the broker is told nothing: it has the message still."""
    bench = Bench(tmp_path, DiskWatch(tmp_path, measure=lambda _folder: (10**9, 10)))
    assert bench.take(CHIRPSTACK, chirpstack()) == (0, 0)
    assert bench.log == []


@pytest.mark.parametrize(
    ("topic", "message", "device", "asset"),
    [
        (CHIRPSTACK, chirpstack(), "tong-7", "bin-001"),
        (TTN, ttn(), "tong-7", "bin-001"),
        (AIRGRADIENT, b'{"serialno":"84fce612f5b8","pm02":34.5}', "udara-1", "air-001"),
        ("senml/x", senml({"bn": "dev-8:", "n": "distance", "u": "m", "v": 0.5}), "tong-8", "bin-002"),
    ],
)
def test_what_the_gateway_sends_of_it_is_what_ingest_reads(
    bench: Bench, topic: str, message: bytes, device: str, asset: str
) -> None:
    """The real encoder against the real decoder, for each format: a reading of the registered device."""
    assert bench.take(topic, message) == NEW
    found = bench.batch()
    assert not found.dead
    ((row_id, reading),) = found.readings
    assert (row_id, reading.device, reading.asset) == (1, device, asset)
    assert reading.seq in {AT_S, AT_S + 2}
    assert reading.ts_ms == wire.point_ms(reading.seq, reading.boot, reading.seq)


@pytest.mark.parametrize(
    ("topic", "first", "second", "after_s"),
    [
        (CHIRPSTACK, chirpstack(), chirpstack(), 0),
        (CHIRPSTACK, chirpstack(), chirpstack(), 3600),  # the network server delivers again an hour later
        (CHIRPSTACK, chirpstack(), chirpstack(time="2026-11-24T03:33:02Z", rxInfo=[], deduplicationId="b"), 30),
        (TTN, ttn(), ttn(), 3600),
        (AIRGRADIENT, b'{"pm02":34}', b'{"pm02":34}', 2),
        ("senml/x", PACK, PACK, 3600),
    ],
)  # fmt: skip
def test_a_repeat_is_known_also_after_a_restart(
    bench: Bench, topic: str, first: bytes, second: bytes, after_s: float
) -> None:
    """Redelivered, published again, or a late copy of another receiver: acknowledged, and no second row."""
    assert bench.take(topic, first) == NEW
    bench.restart()
    assert bench.take(topic, second, after_s=after_s) == KNOWN
    assert [kind for kind, _ in bench.log].count("puback") == 2


@pytest.mark.parametrize(
    ("topic", "first", "second"),
    [
        (CHIRPSTACK, chirpstack(), chirpstack(devAddr="00189441")),  # joined again
        (CHIRPSTACK, chirpstack(), chirpstack(time="2026-11-24T04:32:32Z")),  # fixed keys, lost power
        (CHIRPSTACK, chirpstack(), chirpstack(fCnt=5)),
        (TTN, ttn(), ttn(session_key_id="another")),
        (TTN, ttn(), ttn(received_at="2026-11-24T04:32:32Z")),
        (CHIRPSTACK, chirpstack(), chirpstack(deviceInfo={"devEui": "70b3d57ed0001235"})),
        ("senml/x", PACK, senml({"bn": "dev-8:", "bt": AT_S + 1, "n": "a", "v": 1})),
    ],
)  # fmt: skip
def test_a_counter_that_starts_again_is_no_repeat(bench: Bench, topic: str, first: bytes, second: bytes) -> None:
    """The same counter and payload in another session or at another time has an identity of its own."""
    assert bench.take(topic, first) == NEW
    assert bench.take(topic, second) == NEW
    rows = bench.spool.take_backlog(0, 10, 100_000, set())
    assert len({(row.device, row.boot, row.seq) for row in rows}) == 2


def test_an_unchanged_document_without_a_time_is_a_new_reading_each_interval(bench: Bench) -> None:
    """A bin that stays as it is must not fall silent: 10 s, the shortest interval, is another reading."""
    assert bench.take(AIRGRADIENT, b'{"pm02":34}') == NEW
    assert bench.take(AIRGRADIENT, b'{"pm02":34}', after_s=10) == NEW
    assert bench.take(AIRGRADIENT, b'{"pm02":34}', after_s=600) == NEW


def test_an_undated_document_that_the_broker_sends_again_is_known(bench: Bench) -> None:
    """Killed between commit and PUBACK, back an hour later: the broker says that it is a repeat, and it is one."""
    assert bench.take(AIRGRADIENT, b'{"pm02":34}') == NEW
    bench.restart()
    assert bench.take(AIRGRADIENT, b'{"pm02":34}', after_s=3600, dup=True) == KNOWN
    assert bench.take(AIRGRADIENT, b'{"pm02":35}', dup=True) == NEW


def test_a_retained_message_is_read_only_when_it_says_when_it_was_measured(bench: Bench) -> None:
    """The broker shows it at each connect: undated, nobody knows how old it is; dated, it is a reading like others."""
    assert bench.take(AIRGRADIENT, b'{"pm02":34}', retain=True) == (0, 0)
    assert bench.take(CHIRPSTACK, chirpstack(), retain=True) == NEW
    assert bench.take(CHIRPSTACK, chirpstack(), retain=True) == KNOWN
    assert [kind for kind, _ in bench.log].count("puback") == 3


def test_frames_that_are_lost_on_the_air_leave_no_holes(bench: Bench) -> None:
    """A counter with 5,000 gaps: no gap is reported, no message becomes poison, no range grows."""
    for f_cnt in range(0, 50_000, 5_000):
        assert bench.take(CHIRPSTACK, chirpstack(fCnt=f_cnt)) == NEW
    assert (bench.spool.backlog().gaps, bench.intake.counts.poison) == (0, 0)
    assert bench.spool._connection.execute("SELECT count(*) FROM watermarks").fetchone() == (0,)


def test_a_pack_of_several_times_is_as_many_rows(bench: Bench) -> None:
    """Three times, three readings, each with its own point; the pack again adds none."""
    records = [
        {"bn": "dev-8:", "bt": AT_S, "n": "distance", "u": "m", "t": -600 * n, "v": 0.5 + n / 10} for n in range(3)
    ]
    assert bench.take("senml/x", senml(*records)) == (3, 0)
    assert bench.take("senml/x", senml(*records)) == (0, 3)
    readings = sorted((placed.reading.seq, placed.reading.values["distance_mm"]) for placed in bench.batch().readings)
    assert readings == [(AT_S - 1200, 700.0), (AT_S - 600, 600.0), (AT_S, 500.0)]


def test_an_unknown_sensor_is_kept_and_named(bench: Bench) -> None:
    """A DevEUI that is not registered goes upstream all the same, under the name that its maker gave it."""
    bench.take(CHIRPSTACK, chirpstack(deviceInfo={"devEui": "70B3D57ED000FFFF"}))
    (dead,) = bench.batch().dead
    assert (dead.device, dead.code) == ("@70b3d57ed000ffff", "unknown-device")


def test_a_message_that_cannot_be_read_is_poison(bench: Bench) -> None:
    """Kept with code, topic and bytes; named after nobody, also where the topic looks like one of ours."""
    assert bench.take(TTN, b'{"end_device_ids":') == NEW
    (dead,) = bench.batch().dead
    assert (dead.device, dead.code, dead.topic, dead.raw) == ("unknown", "bad-uplink", TTN, b'{"end_device_ids":')


def test_other_makes_cannot_push_out_what_our_nodes_send(bench: Bench) -> None:
    """A pack that calls itself a node of ours has a name of its own in the spool: no reading is taken for a repeat."""
    bench.take("senml/x", senml({"bn": "rsk-b001", "n": "distance", "u": "m", "v": 0.5}))
    (row,) = bench.spool.take_backlog(0, 10, 100_000, set())
    assert row.device == "@rsk-b001"
    assert bench.take("resik/alun-alun-uji/rsk-b001/up/bin", payload(row.boot, [row.seq])) == NEW


def test_our_own_topics_are_read_as_ever(bench: Bench) -> None:
    """A topic that no source names is ours."""
    assert SOURCES.read("resik/a/rsk-b001/up/bin", b"{}", NOW_MS, is_again=False, is_retained=False) is None
    assert bench.take("resik/alun-alun-uji/rsk-b001/up/bin", payload(1, [1])) == NEW
    assert bench.take("resik/alun-alun-uji/rsk-b001/up/status", b'{"v":1,"boot":1,"up_s":5}') == NEW
    assert bench.heard == ["rsk-b001"]


@given(st.sampled_from([CHIRPSTACK, TTN, AIRGRADIENT, "senml/x"]), st.binary(max_size=60), st.booleans())
def test_no_payload_makes_the_reader_raise(topic: str, raw: bytes, is_again: bool) -> None:
    """Whatever the bytes are: uplinks or poison."""
    assert isinstance(SOURCES.read(topic, raw, NOW_MS, is_again=is_again, is_retained=False), Uplinks | Poison)


_levels = st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4)


@given(pattern=_levels, ends=st.booleans(), levels=st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4))
def test_filters_match_as_the_client_library_says(pattern: Sequence[str], ends: bool, levels: Sequence[str]) -> None:
    """Our matching of topic filters agrees with paho's on every filter and topic."""
    pattern = [*pattern, "#"] if ends else pattern
    assert matches(pattern, levels) == topic_matches_sub("/".join(pattern), "/".join(levels))


def test_the_row_of_an_uplink_is_small(bench: Bench) -> None:
    """What wraps the frame stays behind: of 1.2 KB of a network server less than a quarter goes upstream."""
    bench.take(CHIRPSTACK, chirpstack())
    (row,) = bench.spool.take_backlog(0, 10, 100_000, set())
    assert json.loads(row.body) == {"port": 2, "data": "DhwLBQA=", "fcnt": 4, "rssi_dbm": -64}
    assert len(row.body) < len(chirpstack()) / 4
