"""Checks of content: readings that come thrice and late, that cannot be stored, that are none; lost acks."""

import json
import time
from collections.abc import Iterator

from bench.endurance import checker
from bench.endurance.ledger import Identity, Made, made_of
from bench.endurance.parts import start_all, wait_for
from bench.endurance.planted import write_line
from bench.endurance.stage import Stage
from firmware import wire

BOOT = 7
IN_MESSAGE = 8
PROBE_LIMIT_S = 30.0
LETTER_LIMIT_BYTES = 4_096


def shuffled(stage: Stage) -> None:
    """Check 10: every reading three times in random order, one in twenty an hour late; one point each."""
    chain = stage.chain
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port)
    devices, each = chain.devices[:200], stage.sized(100, 10)
    now_s = int(chain.clock.now_s())
    readings = {
        (device, BOOT, seq): made_of(device, BOOT, seq, now_s - 600 + seq * 600 // each)
        for device in devices
        for seq in range(1, each + 1)
    }
    for identity, made in readings.items():
        stage.ledger.enter(identity, made)
    late = set(stage.random.sample(sorted(readings), len(readings) // 20))
    stage.say("sending everything three times in random order")
    fleet.publish_all(list(_messages(stage, [i for i in readings if i not in late], readings)))
    stage.settle(None, gateway)
    chain.set_time(now_s + 3_600, 1.0)
    stage.say("an hour later: the rest, and some of the others again")
    fleet.publish_all(
        list(_messages(stage, [*late, *stage.random.sample(sorted(readings), len(readings) // 20)], readings))
    )
    wait_for(lambda: gateway.counts().get("received", 0) >= 3 * len(readings), 60, "all of it at the gateway")
    stage.settle(None, gateway)
    stage.fault(2 * len(readings) + len(late))
    stage.reconcile(store_port)
    wanted = {device: max(made.ts_ms for i, made in readings.items() if i[0] == device) for device in devices}
    found = {
        row["device"]: int(row["time"])
        for row in checker.query(store_port, "SELECT last(seq), device FROM bin GROUP BY asset")
    }
    stage.expect(found == wanted, "the newest point of a device is not the newest that it made")
    duplicates = int(gateway.counts().get("duplicates", 0))
    stage.note(
        f"{duplicates:,} repeats recognised; {len(late):,} readings an hour late; "
        f"newest value right on {len(found)} bins"
    )


def _messages(stage: Stage, chosen: list[Identity], readings: dict[Identity, Made]) -> Iterator[tuple[str, str, bytes]]:
    """Yield each chosen reading in three messages, everything in random order."""
    of_device: dict[str, list[Identity]] = {}
    for identity in chosen * 3:
        of_device.setdefault(identity[0], []).append(identity)
    messages = []
    for device, identities in of_device.items():
        stage.random.shuffle(identities)
        for at in range(0, len(identities), IN_MESSAGE):
            body = [
                {"seq": i[2], "ts": readings[i].ts_ms // 1000, "distance_mm": readings[i].distance_mm}
                for i in identities[at : at + IN_MESSAGE]
            ]
            messages.append((device, "bin", wire.encode_up(BOOT, body).encode()))
    stage.random.shuffle(messages)
    yield from messages


def mixed(stage: Stage) -> None:
    """Check 8: in a thousand readings one is beyond retention, one of a wrong type in the store, one unreadable."""
    chain = stage.chain
    _, port = chain.broker()
    _, store_port = chain.influxd()
    uplink = chain.gate(port)
    checker.query(
        store_port, f"CREATE DATABASE {checker.DATABASE} WITH DURATION 3d REPLICATION 1 SHARD DURATION 1h", post=True
    )
    now_s = int(chain.clock.now_s())
    write_line(store_port, f'bin,site=elsewhere,asset=a,device=d weight_kg="heavy" {now_s * 1000}')
    checker.query(store_port, "DELETE FROM bin WHERE site = 'elsewhere'", post=True)
    gateway, ingest = chain.gateway(port, uplink.port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    uplink.cut()
    fleet = stage.fleet(port)
    device = chain.devices[0]
    readings = []
    shard_s = now_s // 3_600 * 3_600
    for seq in range(1, 1_001):
        made = made_of(device, BOOT, seq, now_s - seq % min(300, max(1, now_s - shard_s)))
        if seq == 300:
            made = made_of(device, BOOT, seq, now_s - 5 * 86_400)
        reading: dict[str, object] = {"seq": seq, "ts": made.ts_ms // 1000, "distance_mm": made.distance_mm}
        reading |= {600: {"weight_g": 5_000}, 900: {"state": "sad"}}.get(seq, {})
        stage.ledger.enter((device, BOOT, seq), made)
        readings.append(reading)
    for at in range(0, 1_000, 40):
        fleet.publish(device, "bin", wire.encode_up(BOOT, readings[at : at + 40]).encode())
    wait_for(lambda: gateway.counts().get("waiting") == 1_000, 30, "a thousand rows in the spool")
    stage.fault(3)
    uplink.open()
    wait_for(lambda: bool(gateway.counts().get("uplink_connected")), 60, "the uplink")
    moved_s = wait_for(lambda: gateway.counts().get("waiting") == 0, 60, "the spool to be empty")
    verdict = stage.reconcile(store_port)
    letters = {letter.identity[2]: letter.code for letter in checker.read_letters(chain.letters) if letter.identity}
    stage.expect(verdict.stored == 997, f"{verdict.stored} of 997 good readings are stored")
    wanted = {300: "store-rejected", 600: "store-rejected", 900: "bad-value"}
    stage.expect(letters == wanted, f"dead letters are {letters}, not {wanted}")
    stage.expect(moved_s <= 2.0, f"the spool took {moved_s:.1f} s to empty")
    stage.note(
        f"997 stored, 3 dead letters with their reasons; "
        f"spool empty {moved_s:.1f} s after the link was back (limit 2 s)"
    )


def _poison(stage: Stage, number: int, ts_s: int) -> bytes:
    """Return one of many ways to be wrong, each different from all others."""
    chance = stage.random
    ways: list[bytes] = [
        b'{"v":1,"boot":7,"r":[{"seq":%d,"ts":%d,"distance_mm":' % (number, ts_s),
        b'{"v":9,"boot":7,"r":[{"seq":%d,"ts":%d,"distance_mm":5}]}' % (number, ts_s),
        b'{"v":1,"boot":7,"r":[{"seq":%d,"ts":%d,"distance_mm":NaN}]}' % (number, ts_s),
        b'{"v":1,"boot":7,"r":[{"seq":%d,"ts":%d,"distance_mm":Infinity}]}' % (number, ts_s),
        b'{"v":1,"boot":-%d,"r":[{"seq":1,"ts":%d,"distance_mm":5}]}' % (number, ts_s),
        b'{"v":1,"boot":7,"r":[{"seq":0,"ts":%d,"n":%d}]}' % (ts_s, number),
        b'{"v":1,"boot":7,"r":[{"seq":%d%s,"ts":%d,"distance_mm":5}]}' % (number, b"0" * 40, ts_s),
        b'{"v":1,"boot":7,"r":[{"seq":%d,"ts":%d,"distance_mm":"\\u0000"}]}' % (number, ts_s),
        b"\xff\xfe\x00" + str(number).encode(),
        b"[" * 3_000 + str(number).encode(),
        b'{"a":' * 1_500 + str(number).encode() + b"}" * 1_500,
        json.dumps({"v": 1, "boot": 7, "r": [{"seq": number, "ts": ts_s, "x": [1]}]}).encode(),
        bytes(chance.randrange(256) for _ in range(40)) + str(number).encode(),
        b'{"v":1,"boot":7,"n":%d,"r":[]}' % number,
    ]
    if number % 1_000 == 999:
        return str(number).encode() + b"x" * 1_000_000
    return ways[number % len(ways)]


def poison(stage: Stage) -> None:
    """Check 12: ten thousand payloads that are no readings among ten thousand that are."""
    chain = stage.chain
    count = stage.sized(10_000, 400)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port)
    devices = chain.devices[:200]
    pids = (gateway.pid, ingest.pid)
    deaf = looks = 0
    ts_s = int(chain.clock.now_s())
    for number in range(0, count, 200):
        stage.say(f"{number:,} of {count:,} pieces of poison")
        fleet.measure(1)
        fleet.publish_all(
            [
                (devices[n % len(devices)], "bin", _poison(stage, n, ts_s))
                for n in range(number, min(count, number + 200))
            ]
        )
        counts = gateway.counts()
        looks += 1
        deaf += not (counts.get("edge_connected") and counts.get("uplink_connected"))
    stage.fault(count)
    stage.settle(fleet, gateway)

    def accounted() -> int:
        kept = sum(letter.count for letter in checker.read_letters(chain.letters))
        return kept + int(gateway.counts().get("poison_let_go", 0))

    wait_for(lambda: accounted() >= count, 60, f"an account of each piece of poison ({accounted():,} of {count:,})")
    stage.settle(fleet, gateway)
    verdict = stage.reconcile(store_port)
    stage.expect(accounted() == count, f"{accounted():,} pieces of poison are accounted for, {count:,} were sent")
    letters = checker.read_letters(chain.letters)
    largest = max((letter.raw_bytes for letter in letters), default=0)
    stage.expect(verdict.stored == verdict.made, f"{verdict.made - verdict.stored} good readings are not stored")
    stage.expect(pids == (gateway.pid, ingest.pid) and gateway.is_running and ingest.is_running, "a process ended")
    stage.expect(not deaf, f"a probe was older than {PROBE_LIMIT_S:g} s at {deaf} of {looks} looks")
    stage.expect(largest <= LETTER_LIMIT_BYTES, f"a dead letter has {largest:,} bytes")
    codes = sorted({letter.code for letter in letters})
    stage.note(
        f"{count:,} pieces of poison: {sum(letter.count for letter in letters):,} dead letters ({', '.join(codes)}), "
        f"{int(gateway.counts().get('poison_let_go', 0)):,} beyond a device's share counted; "
        f"largest letter {largest:,} B (limit 4,096); probe younger than 30 s at all {looks} looks; no process ended"
    )


def acks(stage: Stage) -> None:
    """Lose a third of the application acks to devices and to the gateway, and double some."""
    chain = stage.chain
    wanted = stage.sized(20_000, 1_000)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    uplink = chain.mqtt_gate(port, seed=stage.seed)
    gateway, ingest = chain.gateway(port, uplink.port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    uplink.lose, uplink.double = 0.33, 0.33
    fleet = stage.fleet(port, resend_s=1.0)
    fleet.lose_acks = 0.33
    fleet.flow(1_000, 4)
    started_s = time.monotonic()
    while stage.ledger.count < wanted and time.monotonic() - started_s < 120:
        stage.say(f"{stage.ledger.count:,} readings made, {fleet.acks_lost + uplink.lost:,} acks lost")
        time.sleep(0.2)
    fleet.flow(0)
    wait_for(lambda: not fleet.held, 60, "the devices to hear enough acks")
    uplink.lose = 0.0
    stage.settle(fleet, gateway)
    stage.fault(fleet.acks_lost + uplink.lost + uplink.doubled)
    stage.reconcile(store_port)
    stage.note(
        f"{fleet.acks_lost:,} acks to devices lost; of ingest's acks to the gateway {uplink.lost:,} lost, "
        f"{uplink.doubled:,} doubled; {fleet.resent:,} readings and "
        f"{int(gateway.counts().get('batches_resent', 0)):,} batches sent again"
    )
    stage.expect(fleet.acks_lost > 0 and uplink.lost > 0 and uplink.doubled > 0, "not every kind of fault fired")
