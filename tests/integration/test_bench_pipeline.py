"""The instrument that compares the pipeline with others: it counts right, and a loss cannot hide in it."""

import json
from pathlib import Path

import pytest

from bench.pipeline import fleet, hop, packets, receivers, runs
from bench.pipeline.conservation import Conservation, reconcile
from bench.pipeline.contestants import OURS, PEERS
from bench.pipeline.report import Entry, Report
from bench.pipeline.runs import Latency, Plan, Rate
from bench.pipeline.stage import Stage
from square.registry import Registry
from tests.services import require

COUNT = 2_000


@pytest.mark.service
def test_what_is_sent_is_stored_once_and_a_planted_fault_is_seen(tmp_path: Path) -> None:
    """Gateway and ingest store and ack 2,000 readings once each; three taken out and one doubled are found."""
    require("mosquitto")
    require("influxd")
    before: list[Conservation] = []

    def plant(stage: Stage) -> None:
        sent = map(fleet.identity, range(runs.WARM_UP + COUNT))
        before.append(reconcile(sent, stage.store.identities()))
        stage.store.query("DELETE FROM bin WHERE device = 'rsk-b0007'")
        stage.store.write("bin,device=rsk-b0008 seq=2i 1000")

    rate = runs.sustained(tmp_path, OURS, Plan(COUNT), lambda _: None, tamper=plant)
    assert before == [Conservation(sent=3_000, stored=3_000, lost=0, duplicated=0, foreign=0)]
    assert rate.acked == COUNT
    assert rate.per_s > 0
    assert rate.cpu_us["gateway"] > 0
    # three readings of the device: one of the warm-up and two of the run
    assert rate.conservation == Conservation(sent=3_000, stored=2_997, lost=3, duplicated=1, foreign=0)


def a_rate(per_s: float, conservation: Conservation | None = None) -> Rate:
    """Return a run of ours at this speed."""
    return Rate(per_s, per_s, {"gateway": 20.0, "ingest": 5.0, "node-red": 40.0}, {}, conservation)


def test_one_line_says_what_others_read() -> None:
    """Ours, the best peer, their ratio, the limit and the latencies stand in the JSON under their names."""
    ours = Entry.of(OURS, 100)
    ours.rates = [a_rate(30.0), a_rate(10.0), a_rate(20.0)]
    ours.latency = Latency(1.0, 2.0, 3.0, 4.0, 0)
    slow, fast = Entry.of(PEERS[1], 100), Entry.of(PEERS[0], 100)
    slow.rates, fast.rates = [a_rate(4.0)], [a_rate(8.0)]
    values = json.loads(json.dumps(Report(ours=ours, peers=[slow, fast]).json()))
    assert values["readings_per_s"] == 20.0, "the median of three"
    assert (values["peer_best"], values["peer_best_name"]) == (8.0, PEERS[0].name)
    assert values["ratio"] == 2.5
    assert (values["latency_p50_ms"], values["latency_p99_ms"]) == (1.0, 2.0)
    assert values["limit"] is None, "it was not measured"
    assert values["cpu_us"] == {"gateway": 20.0, "ingest": 5.0}
    assert values["faults"] == []


@pytest.mark.parametrize(
    "fault",
    [
        Conservation(sent=3, stored=2, lost=1, duplicated=0, foreign=0),
        Conservation(sent=3, stored=3, lost=0, duplicated=1, foreign=0),
        Conservation(sent=3, stored=4, lost=0, duplicated=0, foreign=1),
    ],
)
def test_a_fault_of_one_run_is_a_fault_of_the_report(fault: Conservation) -> None:
    """Whichever run lost, doubled or invented a reading, the report says so."""
    ours = Entry.of(OURS, 3)
    ours.rates = [a_rate(1.0, Conservation(3, 3, 0, 0, 0)), a_rate(1.0, fault)]
    assert len(Report(ours=ours).faults) == 1


def test_a_peer_that_cannot_be_had_stands_in_the_table() -> None:
    """Its row names the reason; it counts for nothing else."""
    peer = Entry.of(PEERS[0], 100)
    peer.reason = "not installable here: npm is not installed"
    report = Report(peers=[peer])
    assert report.rows()[0][:3] == (PEERS[0].name, "", peer.reason)
    assert peer.reason in report.markdown("it")
    assert report.best_peer is None


def test_both_payloads_are_of_one_size() -> None:
    """Ours and the flat JSON of the peers have the same bytes to carry, and the flat one has twelve keys."""
    for number in (0, 999, 12_345, 299_999):
        wire, flat = fleet.wire_payload(number, 1_795_488_752), fleet.flat_payload(number, 1_795_488_752)
        # our wire says seq twice
        assert len(wire) == len(flat) + len(str(fleet.identity(number)[1])) - 2, number
        assert len(json.loads(flat)) == 12


def test_devices_of_the_load_are_on_the_plan(tmp_path: Path) -> None:
    """Every reading comes from a device that the site knows, on a second of its own."""
    fleet.build_site(tmp_path)
    registry = Registry.load(tmp_path)
    identities = [fleet.identity(number) for number in range(2_500)]
    assert len(set(identities)) == 2_500
    assert all(registry.placement(device) is not None for device, _ in identities)


def test_a_stream_cut_anywhere_is_read_the_same() -> None:
    """The splitter gives the same packets wherever the stream is cut, for lengths of one, two and three bytes."""
    sizes = (3, 200, 20_000)
    whole = b"".join(packets.publish("a/b", bytes([65 + n]) * size, n + 1) for n, size in enumerate(sizes))
    for cut in (*range(1, 300), 10_000, len(whole) - 1):
        splitter = packets.Splitter()
        got = splitter.feed(whole[:cut]) + splitter.feed(whole[cut:])
        assert [packets.published(body)[0] for _, body in got] == [b"\0\1", b"\0\2", b"\0\3"], cut
        assert [len(packets.published(body)[1]) for _, body in got] == list(sizes), cut


def test_the_hop_maps_precision_and_nothing_else() -> None:
    """Microseconds are `u` in 1.x, where `us` would be taken for nanoseconds; other requests pass as they are."""
    assert hop.to_v1("/api/v2/write?org=o&bucket=b&precision=us") == "/write?db=b&precision=u"
    assert hop.to_v1("/api/v2/write?bucket=b") == "/write?db=b&precision=n"
    assert hop.to_v1("/write?db=b&precision=s") == "/write?db=b&precision=s"


def test_the_tap_reads_lines_of_all() -> None:
    """Device and number are found in our lines and in those of the peers."""
    ours = b'bin,asset=bin-0001,device=rsk-b0001,site=s,zone=z battery_mv=1,boot=1i,seq=42i,state="ok" 1'
    theirs = receivers.line_of(receivers.Flat("rsk-b0002", 1, 43, 1, 1, 1, 1, 1, 1, 1, "ok")).encode()
    assert list(hop.points_of(ours + b"\n" + theirs)) == [(b"rsk-b0001", b"42"), (b"rsk-b0002", b"43")]
