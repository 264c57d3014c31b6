"""A virtual node numbers, keeps, sends and forgets readings as the protocol asks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from simulators.node import Ledger, NodeIdentity, NodeQueue, VirtualNode, checksum
from tests.fakes.ledger import read_ledger

NOW_S = 1_795_500_000.0
IDENTITY = NodeIdentity("alun-alun", "rsk-b001", "bin", 600)


def node(**options) -> VirtualNode:
    options = {"boot": 7, "started_s": NOW_S} | options
    return VirtualNode(IDENTITY, lambda at_s: {"distance_mm": int(at_s) % 1000}, **options)


def test_first_message_is_valid_on_the_wire():
    """A measured reading leaves as a message that the shared wire module accepts in full."""
    device = node()
    device.measure(NOW_S + 5.9)
    payload, keys, new = device.next_message(NOW_S + 6)
    envelope = wire.decode_envelope(payload)
    assert envelope["boot"] == 7
    assert envelope["oldest_seq"] == 1
    assert keys == [(7, 1)]
    assert [r["seq"] for r in new] == [1]
    assert wire.decode_reading("bin", envelope["readings"][0]) == {
        "seq": 1,
        "ts": 1_795_500_005,
        "distance_mm": 5,
        "state": "ok",
    }


def test_only_an_application_ack_frees_a_reading():
    """The same window comes again and again until the ack covers it; a repeat is not new for the ledger."""
    device = node()
    for i in range(3):
        device.measure(NOW_S + i)
    first = device.next_message(NOW_S)
    second = device.next_message(NOW_S)
    assert first[1] == second[1] == [(7, 1), (7, 2), (7, 3)]
    assert len(first[2]) == 3
    assert second[2] == []
    assert device.repeated == 3
    assert device.on_ack(wire.encode_ack(7, 3).encode()) == 3
    assert device.next_message(NOW_S) is None
    assert (device.made, device.acked, len(device.queue)) == (3, 3, 0)


def test_sparse_ack_leaves_the_gap():
    """`also` frees what it names; the reading in the gap stays the oldest and is sent again."""
    device = node()
    for i in range(5):
        device.measure(NOW_S + i)
    assert device.on_ack(wire.encode_ack(7, 1, [(3, 4)]).encode()) == 3
    assert device.next_message(NOW_S)[1] == [(7, 2), (7, 5)]
    assert wire.decode_envelope(device.next_message(NOW_S)[0])["oldest_seq"] == 2


def test_ack_of_another_boot_frees_nothing():
    """An ack that belongs to an earlier start of the device leaves this start's readings alone."""
    device = node()
    device.measure(NOW_S)
    assert device.on_ack(wire.encode_ack(8, 100).encode()) == 0
    assert len(device.queue) == 1


def test_unreadable_ack_is_an_error_and_frees_nothing():
    """Garbage on the ack topic raises WireError and changes nothing."""
    device = node()
    device.measure(NOW_S)
    with pytest.raises(wire.WireError):
        device.on_ack(b'{"v":1,"boot":7}')
    assert len(device.queue) == 1


def test_full_queue_drops_the_oldest_and_says_so():
    """Beyond its limit the queue drops the oldest, counts it, and the envelope tells the lowest seq still held."""
    device = node(queue_limit=10)
    for i in range(13):
        device.measure(NOW_S + i)
    assert device.queue.dropped == 3
    assert wire.decode_envelope(device.next_message(NOW_S)[0])["oldest_seq"] == 4
    assert json.loads(device.status(NOW_S + 20))["dropped"] == 3


def test_old_boot_goes_first_and_alone():
    """Readings of an earlier start are sent before, and never in one message with, those of this start."""
    old = node(boot=1)
    old.measure(NOW_S - 900)
    device = node(boot=2)
    device.queue.load(old.queue.save())
    device.measure(NOW_S)
    assert device.next_message(NOW_S)[1] == [(1, 1)]
    device.on_ack(wire.encode_ack(1, 1).encode())
    assert device.next_message(NOW_S)[1] == [(2, 1)]


def test_node_without_clock_sends_uptimes():
    """Without a clock the reading has its uptime and the message the uptime at sending, both square seconds."""
    device = node(has_clock=False)
    device.measure(NOW_S + 100)
    envelope = wire.decode_envelope(device.next_message(NOW_S + 130)[0])
    assert envelope["up_s"] == 130
    assert envelope["readings"][0]["up_s"] == 100
    assert "ts" not in envelope["readings"][0]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["distance_mm", "temp_cdeg", "battery_mv", "rssi_dbm", "quality", "weight_g", "tilt_deg"]),
            st.integers(-(10**6), 10**6),
            max_size=7,
        ),
        min_size=1,
        max_size=200,
    )
)
def test_any_backlog_leaves_in_valid_messages(backlog):
    """Whatever is queued leaves in order in messages within the limits, each reading exactly once when acked."""
    device = node()
    for i, fields in enumerate(backlog):
        device.record(int(NOW_S) + i, fields)
    sent = []
    while (message := device.next_message(NOW_S)) is not None:
        envelope = wire.decode_envelope(message[0])
        sent += [r["seq"] for r in envelope["readings"]]
        device.on_ack(wire.encode_ack(7, sent[-1]).encode())
    assert sent == list(range(1, len(backlog) + 1))


@given(st.data())
def test_queue_matches_a_plain_set(data):
    """Model check: after any puts and acks the queue holds exactly what no ack covered."""
    queue, model = NodeQueue(), set()
    next_seq = {1: 1, 2: 1}
    for _ in range(data.draw(st.integers(1, 30))):
        boot = data.draw(st.sampled_from([1, 2]))
        if data.draw(st.booleans()):
            queue.put(boot, {"seq": next_seq[boot], "ts": 1})
            model.add((boot, next_seq[boot]))
            next_seq[boot] += 1
        else:
            upto = data.draw(st.integers(0, 10))
            low = data.draw(st.integers(1, 20))
            freed = set(queue.ack(boot, upto, [(low, low + 2)]))
            expected = {(b, s) for b, s in model if b == boot and (s <= upto or low <= s <= low + 2)}
            assert {(boot, s) for s in freed} == expected
            model -= expected
    assert {(boot, r["seq"]) for boot, r in queue.save()} == model


def test_checksum_speaks_of_values_only():
    """Time and identity do not change the checksum, any value does, absent equals null, zero is not absent."""
    base = checksum({"seq": 1, "ts": 5, "distance_mm": 700})
    assert base == checksum({"seq": 2, "ts": 9, "distance_mm": 700, "temp_cdeg": None})
    assert base != checksum({"seq": 1, "ts": 5, "distance_mm": 701})
    assert base != checksum({"seq": 1, "ts": 5, "distance_mm": 700, "temp_cdeg": 0})


def test_ledger_keeps_each_reading_and_survives_a_torn_line(tmp_path):
    """Lines come back as written; a half-written last line (kill -9) is left out, not an error."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.published("rsk-b001", "bin", 7, [{"seq": 1, "ts": 10, "distance_mm": 5}])
    assert len(read_ledger(path)) == 1  # without close: the line is on its way to the disk before the packet leaves
    ledger.close()
    with path.open("a") as file:
        file.write("rsk-b001,7,")
    entries = read_ledger(path)
    assert [(e.device, e.boot, e.seq, e.kind, e.ts) for e in entries] == [("rsk-b001", 7, 1, "bin", 10)]
    assert entries[0].values == checksum({"distance_mm": 5})
    assert entries[0].published_ns > 1e18


def test_will_and_status_have_the_shape_of_the_protocol():
    """The will names the boot; the status carries interval, queue and the last battery value."""
    device = node()
    device.record(int(NOW_S), {"distance_mm": 4, "battery_mv": 3700})
    topic, payload = device.will()
    assert topic == "resik/alun-alun/rsk-b001/up/will"
    assert json.loads(payload) == {"v": 1, "boot": 7}
    status = json.loads(device.status(NOW_S + 60))
    assert status == {
        "v": 1,
        "boot": 7,
        "up_s": 60,
        "fw": "sim-1",
        "interval_s": 600,
        "queue": 1,
        "dropped": 0,
        "battery_mv": 3700,
    }
