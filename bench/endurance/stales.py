"""Check 14: a broker forgot everything, packet ids start again at 1, and acks of old messages are still to come.

An old acknowledgement that went out on the new connection would make the broker forget a new message that nobody has
processed. A line between broker and client counts deliveries and acknowledgements by packet id and connection.
"""

import json
import time

from bench.endurance.fleet import Fleet
from bench.endurance.gates import MqttGate
from bench.endurance.ledger import made_of
from bench.endurance.parts import Part, Trouble, start_all, wait_for
from bench.endurance.stage import Stage
from firmware import wire

HOUR_S = 3_600
IN_FLIGHT = 5_000
SECOND_GATEWAY = "gw-kedua"
BOOT = 11
RESEND_S = 2.0


def stale(stage: Stage) -> None:
    """Hold the commits of the gateway, then the writes of ingest, and let the broker die meanwhile."""
    chain = stage.chain
    count = stage.sized(1_000, 100)
    broker, port = chain.broker(in_flight=IN_FLIGHT)
    _, store_port = chain.influxd()
    edge, uplink, line = chain.mqtt_gate(port), chain.mqtt_gate(port), chain.gate(store_port)
    gateway, ingest = chain.gateway(edge.port, port), chain.ingest(uplink.port, line.port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port, devices=count // 5, resend_s=600.0)
    fleet.measure(1)
    stage.settle(fleet, gateway)
    _gateway(stage, fleet, (broker, gateway), edge, count)
    stage.settle(fleet, gateway)
    line.cut()
    batches = _ingest(stage, fleet, (broker, ingest), uplink, count)
    line.open()
    _send_until_answered(fleet, wire.topic_batch(chain.site, SECOND_GATEWAY), batches)
    wait_for(lambda: _is_done(uplink), 60, "ingest to acknowledge everything")
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    for what, gate in (("gateway", edge), ("ingest", uplink)):
        early = sum(tapped.acked_without_cause for tapped in gate.accepted)
        stage.expect(not early, f"{what}: {early} acknowledgements of an old connection went out on a new one")


def _send_until_answered(fleet: Fleet, topic: str, batches: dict[str, bytes]) -> None:
    """Send what has no answer again and again, as a gateway must: the broker forgot what was on its way."""
    answers = fleet.overheard
    deadline_s = time.monotonic() + 90
    while missing := batches.keys() - {json.loads(answer)["batch"] for answer in answers if b"batch" in answer}:
        if time.monotonic() > deadline_s:
            raise Trouble(f"{len(missing)} batches were never answered")
        for name in sorted(missing):
            fleet.publish_topic(topic, batches[name])
        time.sleep(RESEND_S)


def _is_done(gate: MqttGate) -> bool:
    newest = gate.accepted[-1]
    return newest.acked.total() >= newest.given.total()


def _gateway(stage: Stage, fleet: Fleet, parts: tuple[Part, Part], edge: MqttGate, count: int) -> None:
    """Messages of two connections wait for a commit, as the gateway's clock is an hour behind."""
    broker, gateway = parts
    chain = stage.chain
    chain.gateway_clock.set(chain.clock.now_s() - HOUR_S, 1.0)
    stage.say("messages wait for a commit")
    old = edge.accepted[-1]
    before = old.given.total()
    for _ in range(5):
        fleet.measure(1)
    wait_for(lambda: old.given.total() - before >= count, 60, "the old messages at the gateway")
    wait_for(lambda: "behind" in gateway.reason(), 30, "the gateway to hold them")
    connections = len(edge.accepted)
    broker.kill()
    broker.start()
    stage.fault()
    wait_for(
        lambda: len(edge.accepted) > connections and gateway.counts().get("edge_connected") == 1, 60, "the gateway"
    )
    fleet.wait_connected()
    new = edge.accepted[-1]
    stage.say("new messages with the same packet ids wait for a commit")
    for _ in range(5):
        fleet.measure(1)
    wait_for(lambda: new.given.total() >= count, 60, "the new messages at the gateway")
    early = new.acked.total()
    stage.expect(not early, f"gateway: {early} of {new.given.total()} new messages were acknowledged before a commit")
    stage.note(
        f"gateway: {early} of {new.given.total():,} new messages acked before their commit, {count:,} old ones waited"
    )
    chain.gateway_clock.set(chain.clock.now_s(), 1.0)
    wait_for(lambda: new.acked.total() >= new.given.total(), 60, "the gateway to acknowledge everything")
    stage.note(f"gateway dropped {int(gateway.counts().get('stale_acks', 0)):,} stale acknowledgements")


def _name(number: int) -> str:
    return f"batch-{number:06d}"


def _batch(stage: Stage, number: int) -> bytes:
    """Make a batch of one reading, as a second gateway would."""
    chain = stage.chain
    device = chain.devices[number % 100]
    now_s = int(chain.clock.now_s())
    ts_s = now_s - number // 100  # a device never makes a thousand readings in a second: points would be the same
    made = made_of(device, BOOT, number, ts_s)
    stage.ledger.enter((device, BOOT, number), made)
    row = {
        "id": number,
        "device": device,
        "kind": "bin",
        "boot": BOOT,
        "seq": number,
        "ts_ms": made.ts_ms,
        "arrived_ms": now_s * 1000,
        "time": "device",
        "body": {"seq": number, "ts": ts_s, "distance_mm": made.distance_mm},
    }
    batch = {
        "v": 1,
        "gw": SECOND_GATEWAY,
        "spool": "0123456789abcdef",
        "batch": _name(number),
        "sent_ms": now_s * 1000,
    }
    return json.dumps(batch | {"rows": [row]}).encode()


def _ingest(stage: Stage, fleet: Fleet, parts: tuple[Part, Part], uplink: MqttGate, count: int) -> dict[str, bytes]:
    """Let batches of two connections wait for a store that is away; return them by name."""
    broker, ingest = parts
    topic = wire.topic_batch(stage.chain.site, SECOND_GATEWAY)
    batches = {number: _batch(stage, number) for number in range(1, 2 * count + 1)}
    old = uplink.accepted[-1]
    before = old.given.total()
    stage.say("batches wait for the store")
    for number in range(1, count + 1):
        fleet.publish_topic(topic, batches[number])
    wait_for(lambda: old.given.total() - before >= count, 60, "the old batches at ingest")
    connections = len(uplink.accepted)
    broker.kill()
    broker.start()
    stage.fault()
    wait_for(lambda: len(uplink.accepted) > connections, 60, "ingest to connect again")
    fleet.wait_connected()
    fleet.listen(wire.topic_gw_ack(stage.chain.site, SECOND_GATEWAY))
    new = uplink.accepted[-1]
    wait_for(lambda: ingest.counts().get("session_lost", 0) > 0, 60, "ingest to be back")
    stage.say("new batches with the same packet ids wait for the store")
    for number in range(count + 1, 2 * count + 1):
        fleet.publish_topic(topic, batches[number])
    wait_for(lambda: new.given.total() >= count, 60, "the new batches at ingest")
    early = new.acked.total()
    stage.expect(
        not early, f"ingest: {early} of {new.given.total()} new batches were acknowledged before the store had them"
    )
    stage.note(
        f"ingest: {early} of {new.given.total():,} new batches acked before the store had them, "
        f"{count:,} old ones waited"
    )
    return {_name(number): batch for number, batch in batches.items()}
