"""A load is honest: each reading decodes and is accounted for, whatever the broker does, and waiting is not hidden."""

import asyncio
import json
import random
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from firmware import wire
from simulators import load
from simulators.errors import FewDescriptors, LinkError
from simulators.load import Load, LoadPlan, first_devices, raise_descriptor_limit
from square.endpoint import MqttEndpoint
from square.mqtt_packets import PacketCutter, packet_id_of, publish_packet

DEVICES = {"rsk-b0001": "bin", "rsk-b0002": "bin", "rsk-a0003": "air"}


class Gateway(asyncio.Protocol):
    """Broker and gateway in one: takes readings and acknowledges them as it was told to."""

    def __init__(self, owner):
        self.owner = owner
        self.cutter = PacketCutter()

    def connection_made(self, transport):
        self.transport = transport
        self.owner.connects += 1

    def data_received(self, data):
        self.cutter.feed(data)
        for first, body in self.cutter.cut(10_000):
            kind = first & 0xF0
            if kind == 0x10:
                self.device = body[12 : 12 + (body[10] << 8 | body[11])].decode()
                self.transport.write(bytes([0x20, 2, 0, self.owner.refuse.get(self.device, 0)]))
            elif kind == 0x80:
                self.transport.write(b"\x90\x03" + body[:2] + b"\x01")
            elif kind == 0x30:
                self.published(body)

    def published(self, body):
        at = 2 + (body[0] << 8 | body[1])
        topic, packet_id = body[2:at].decode(), packet_id_of(body[at:])
        self.transport.write(b"\x40\x02" + body[at : at + 2])
        message = wire.decode_envelope(body[at + 2 :])
        site, device, _, kind = wire.parse_topic(topic)
        assert (site, device, packet_id > 0) == ("alun-alun", self.device, True)
        readings = [wire.decode_reading(kind, reading) for reading in message["readings"]]
        self.owner.messages.append((device, readings))
        number = len(self.owner.messages)
        if number in self.owner.swallow:
            return
        if number in self.owner.hang_up_at:
            self.transport.abort()
            return
        ack = wire.encode_ack(message["boot"], max(reading["seq"] for reading in readings)).encode()
        packet = publish_packet(wire.topic_down(site, device, "ack"), ack, 1, number)
        asyncio.get_running_loop().call_later(self.owner.delay_s, self.transport.write, packet)

    def connection_lost(self, exc):
        pass


class Owner:
    def __init__(self, *, swallow=(), hang_up_at=(), refuse=None, delay_s=0.0):
        self.swallow, self.hang_up_at, self.refuse, self.delay_s = set(swallow), set(hang_up_at), refuse or {}, delay_s
        self.messages = []
        self.connects = 0

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.get_running_loop().create_server(lambda: Gateway(self), "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    def identities(self):
        return Counter((device, reading["seq"]) for device, readings in self.messages for reading in readings)


def run_load(owner, *, rate=300.0, seconds=0.3, devices=DEVICES, drain_s=5.0, **more):
    async def scenario():
        async with owner.serving() as port:
            plan = LoadPlan(
                "alun-alun", devices, {}, MqttEndpoint("127.0.0.1", port), rate, seconds, drain_s=drain_s, **more
            )
            one = Load(plan)
            return one, await one.run()

    return asyncio.run(scenario())


def test_every_reading_decodes_and_is_acknowledged_once():
    """300 a second for 0.3 s are 90 readings: each arrives once, decodes in full, and has a second of its own."""
    owner = Owner()
    one, report = run_load(owner)
    assert (report.made, report.acked, report.unacked, report.resent) == (90, 90, 0, 0)
    assert set(owner.identities().values()) == {1}
    assert {identity[::2] for identity, _ in one.published()} == set(owner.identities())
    seconds = Counter((device, r["ts"]) for device, readings in owner.messages for r in readings)
    assert len(seconds) == 90
    assert report.connected == owner.connects == 3
    assert 0 < report.ack_p50_ms <= report.ack_p99_ms <= report.ack_max_ms < 5000


@pytest.mark.parametrize(("rate", "seconds"), [(1.0, 0.0001), (0.0, 0.0001)])
def test_the_shortest_load_is_a_load(rate, seconds):
    """A blink makes one reading at a rate, and at most a windowful without; nothing is divided by it."""
    _, report = run_load(Owner(), rate=rate, seconds=seconds)
    assert report.made == report.acked
    assert report.made == 1 if rate else report.made <= 3


def test_waiting_is_not_hidden():
    """Acks that take 0.1 s delay what was due meanwhile: the slowest waited for more than one; it went out together."""
    owner = Owner(delay_s=0.1)
    _, report = run_load(owner)
    assert report.acked == 90
    assert report.ack_max_ms > 150
    assert len(owner.messages) < 45
    assert max(len(readings) for _, readings in owner.messages) > 3


def test_as_fast_as_it_goes_in_turn():
    """With rate 0 every device gets its turn and not more messages are on their way than the window has."""
    owner = Owner(delay_s=0.005)
    _, report = run_load(owner, rate=0.0, seconds=0.3, window=2)
    counts = Counter(device for device, _ in owner.messages)
    assert report.acked == report.made == sum(counts.values()) > 6
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_reading_without_an_ack_goes_out_again(monkeypatch):
    """An ack that never comes costs a second message, not a reading."""
    monkeypatch.setattr(load, "RESEND_AFTER_S", 0.05)
    monkeypatch.setattr(load, "SWEEP_S", 0.05)
    owner = Owner(swallow={2, 5})
    _, report = run_load(owner)
    assert (report.acked, report.unacked) == (90, 0)
    assert report.resent >= 2


def test_a_lost_connection_is_made_again(monkeypatch):
    """A broker that hangs up gets the same readings over a new connection."""
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 0.01)
    owner = Owner(hang_up_at={2, 5})
    _, report = run_load(owner)
    assert (report.acked, report.unacked) == (90, 0)
    assert report.reconnects == 2
    assert owner.connects == 5


def test_a_refused_device_is_left_out_and_counted():
    """Wrong credentials are tried once; its readings stay without an ack and are told."""
    owner = Owner(refuse={"rsk-b0002": 5})
    _, report = run_load(owner, drain_s=0.1)
    assert (report.connected, report.refused, owner.connects) == (2, 1, 3)
    assert (report.made, report.acked, report.unacked) == (90, 60, 30)


def test_nobody_connected_is_an_error_with_the_brokers_words(caplog):
    """When all are refused there is nothing to measure; the reason is logged once, not for each."""
    owner = Owner(refuse=dict.fromkeys(DEVICES, 5))
    with pytest.raises(LinkError, match=r"none of 3 devices could connect .*Not authorized"):
        run_load(owner)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_too_few_descriptors_are_told_with_the_remedy():
    """A limit that no machine grants is refused with both numbers and what to do; a small one is granted."""
    raise_descriptor_limit(64)
    with pytest.raises(FewDescriptors, match=r"1000000000 open files.*ulimit -Hn"):
        raise_descriptor_limit(10**9)


def test_more_devices_than_the_site_has_are_refused():
    """All devices unless a number is given; more than there are is an error with both numbers."""
    devices = [("a", "bin"), ("b", "air")]
    assert first_devices(devices, None) == {"a": "bin", "b": "air"}
    assert first_devices(devices, 1) == {"a": "bin"}
    with pytest.raises(ValueError, match=r"3 devices.*has 2"):
        first_devices(devices, 3)


def test_a_long_window_fits_the_wire():
    """A device that gathered hundreds of readings sends as many as a message may hold, oldest first."""
    device = load.LoadDevice(1, "rsk-b0001", "bin", 7, "t", 1_700_000_000)
    device.due_s = dict.fromkeys(range(1, 500), 0.0)
    payload, last = device.message()
    readings = wire.decode_envelope(payload)["readings"]
    assert [reading["seq"] for reading in readings] == list(range(1, last + 1))
    assert len(payload) <= wire.MAX_PAYLOAD_BYTES
    assert json.loads(payload)["oldest_seq"] == 1
