"""The whole chain with the production broker: what arrives, what comes twice, what is broken."""

import random
import time
from collections import Counter

import pytest

from tests.e2e.square import running_square
from tests.services import require, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.service]

BIN = "rsk-b001"


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a square without a simulator, on mosquitto with its access list."""
    require("mosquitto")
    with running_square(tmp_path_factory.mktemp("chain"), broker="mosquitto") as running:
        yield running


def asset_of(square, device_id):
    return square.stack.registry.device(device_id).asset


def test_a_reading_reaches_the_map(square):
    """One published reading is acknowledged to the device, stored once, and shown with its level."""
    device = square.device(BIN, boot=100)
    device.send({"seq": 1, "ts": square.now_s(), "fill_pct": 42, "battery_mv": 3700, "quality": 4})
    wait_until(lambda: device.upto == 1, 10, "the application ack")
    wait_until(lambda: square.bin_state(asset_of(square, BIN))["fill_pct"] == 42, 10, "the map")
    assert square.stored().count((BIN, 100, 1)) == 1
    device.close()


def test_a_full_bin_becomes_a_task(square):
    """A full bin opens one incident and one task, which goes to a crew on shift or says why it waits."""
    device = square.device("rsk-b002", boot=101)
    asset = asset_of(square, "rsk-b002")
    for seq in range(1, 4):
        device.send({"seq": seq, "ts": square.now_s() - 30 + seq, "fill_pct": 92, "quality": 4})

    def task():
        tasks = [item for item in square.get("/api/v1/state")["tasks"] if item["asset_id"] == asset]
        return tasks[0] if tasks else None

    wait_until(lambda: task() is not None, 15, "the task")
    wait_until(lambda: task()["crew_id"] or task()["waiting_reason"], 10, "an owner or a reason")
    incidents = [item for item in square.get("/api/v1/state")["incidents"] if item["asset_id"] == asset]
    assert [item["rule"] for item in incidents].count("full") == 1
    device.close()


def test_duplicates_and_disorder_change_nothing(square):
    """Each reading sent three times in random order is stored once, and the newest is the one shown."""
    device = square.device("rsk-b003", boot=102)
    start = square.now_s() - 600
    readings = [{"seq": seq, "ts": start + seq, "fill_pct": seq} for seq in range(1, 61)]
    sent = readings * 3
    random.Random(5).shuffle(sent)
    for at in range(0, len(sent), 10):
        device.send(*sent[at : at + 10])
    wait_until(lambda: device.upto == 60, 15, "the application ack of all sixty")
    square.settled()
    counts = Counter(identity for identity in square.stored() if identity[:2] == ("rsk-b003", 102))
    assert set(counts) == {("rsk-b003", 102, seq) for seq in range(1, 61)}
    assert set(counts.values()) == {1}
    wait_until(lambda: square.bin_state(asset_of(square, "rsk-b003"))["fill_pct"] == 60, 10, "the newest value")
    device.close()


def malformed(number, ts, rng):
    """Return one of many ways to be wrong, each distinct."""
    seq = number
    ways = [
        f'{{"v":1,"boot":103,"r":[{{"seq":{seq},"ts":{ts},"fill_pct":',
        f'{{"v":9,"boot":103,"r":[{{"seq":{seq},"ts":{ts},"fill_pct":5}}]}}',
        f'{{"v":1,"boot":103,"r":[{{"seq":{seq},"ts":{ts},"fill_pct":NaN}}]}}',
        f'{{"v":1,"boot":-{seq},"r":[{{"seq":1,"ts":{ts},"fill_pct":5}}]}}',
        f'{{"v":1,"boot":103,"r":[{{"seq":0,"ts":{ts},"n":{seq}}}]}}',
        f'{{"v":1,"boot":9{seq},"r":[{{"seq":{seq},"ts":{ts},"fill_pct":900}}]}}',
        f'{{"v":1,"boot":9{seq},"r":[{{"seq":{seq},"ts":{ts},"fill_pct":"full"}}]}}',
        f'{{"v":1,"boot":9{seq},"r":[{{"seq":{seq},"ts":{ts}}}]}}',
        f'{{"v":1,"boot":9{seq},"r":[{{"seq":{seq},"ts":{ts},"fill_pct":5,"state":"sad"}}]}}',
        f'{{"v":1,"boot":9{seq},"r":[{{"seq":{seq},"ts":{1_000_000_000 + seq},"fill_pct":5}}]}}',
        b"\xff\xfe" + str(seq).encode(),
        "[" * 2000 + str(seq),
        "",
    ]
    return ways[number % (len(ways) - 1)] if number else rng.choice(ways[-1:])


def test_poison_blocks_nothing(square):
    """1,000 malformed payloads among 1,000 good ones: 1,000 stored, 1,000 dead letters, nothing stops."""
    device = square.device("rsk-b004", boot=103)
    dead_before = sum(square.dead().values())
    rng = random.Random(11)
    order = [("good", n) for n in range(1, 1001)] + [("bad", n) for n in range(1000)]
    rng.shuffle(order)
    start = square.now_s() - 3000
    pids = [child.pid for child in square.stack.children]
    for quality, number in order:
        if quality == "good":
            device.send({"seq": number, "ts": start + number, "fill_pct": number % 80})
        else:
            device.send_raw(malformed(number, start, rng))
    wait_until(lambda: device.upto == 1000, 60, "the application ack of all good ones")
    square.settled(60)
    stored = [identity for identity in square.stored() if identity[:2] == ("rsk-b004", 103)]
    assert sorted(stored) == [("rsk-b004", 103, seq) for seq in range(1, 1001)]
    assert sum(square.dead().values()) - dead_before == 1000
    assert pids == [child.pid for child in square.stack.children]
    device.close()


def test_broker_killed_in_mid_flow(square):
    """The broker dies without a word while devices report: all that was made is stored once after its restart."""
    device = square.device("rsk-b005", boot=104)
    start = square.now_s() - 1000
    made = 0
    for made in range(1, 201):
        device.send({"seq": made, "ts": start + made, "fill_pct": made % 80})
    broker = square.stack.child("broker")
    broker._process.kill()
    wait_until(lambda: broker.restarts >= 1 and broker.pid is not None, 20, "the broker to be restarted")
    # a device keeps what was not acknowledged and sends it again, oldest first
    deadline = time.monotonic() + 40
    while device.upto < 300 and time.monotonic() < deadline:
        for first in range(device.upto + 1, 301, 50):
            device.send(*({"seq": s, "ts": start + s, "fill_pct": s % 80} for s in range(first, min(first + 50, 301))))
        time.sleep(0.5)
    assert device.upto == 300
    square.settled(60)
    counts = Counter(identity for identity in square.stored() if identity[:2] == ("rsk-b005", 104))
    assert counts == {("rsk-b005", 104, seq): 1 for seq in range(1, 301)}
    device.close()


def test_ingest_killed_in_mid_flow(square):
    """Kill -9 of ingest loses nothing and stores nothing twice."""
    device = square.device("rsk-b006", boot=105)
    start = square.now_s() - 1000
    ingest = square.stack.child("ingest")
    for seq in range(1, 401):
        device.send({"seq": seq, "ts": start + seq, "fill_pct": seq % 80})
        if seq == 150:
            restarts = ingest.restarts
            ingest._process.kill()
    wait_until(lambda: ingest.restarts > restarts and ingest.pid is not None, 20, "ingest to be restarted")
    wait_until(lambda: device.upto == 400, 30, "the application acks")
    square.settled(60)
    counts = Counter(identity for identity in square.stored() if identity[:2] == ("rsk-b006", 105))
    assert counts == {("rsk-b006", 105, seq): 1 for seq in range(1, 401)}
    device.close()


def test_a_device_cannot_speak_for_another(square):
    """A reading published under another device's topic goes nowhere, and the other device is not disturbed."""
    device = square.device("rsk-b007", boot=106)
    from firmware import wire

    payload = wire.encode_up(106, [{"seq": 1, "ts": square.now_s(), "fill_pct": 99}])
    device._client.publish(wire.topic_up(square.site, "rsk-b008", "bin"), payload, 1).wait_for_publish(10)
    device.send({"seq": 1, "ts": square.now_s(), "fill_pct": 10})
    wait_until(lambda: device.upto == 1, 10, "the device's own reading")
    square.settled()
    assert not [identity for identity in square.stored() if identity[:2] == ("rsk-b008", 106)]
    device.close()
