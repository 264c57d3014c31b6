"""Orders reach nodes: at once, again when they got lost, and never what a node is not meant to have."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import wire
from gateway import downlink as downlink_module
from gateway.blocks import BlockQueue, Request
from gateway.downlink import Downlink
from gateway.orders import Orders, Release
from gateway.outbox import AGAIN_S
from gateway.rollout import Plan
from square.errors import BrokerUnavailable
from tests.unit.gateway.fakes import NOW_MS, SITE

DEVICE = "rsk-b001"
OTHER = "rsk-b002"
BUNDLE = bytes(range(256)) * 20
VERSION = 10_400


class Bench:
    """A downlink with a broker in memory, clocks that stand, and a desk that writes orders."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "orders.sqlite3"
        self.desk = Orders(self.path)
        self.now_s = 1000.0
        self.now_ms = NOW_MS
        self.sent: list[tuple[str, str, dict[str, Any], bool]] = []
        self.is_down = False
        self.is_listening = True
        self.downlink = self.start()

    def start(self) -> Downlink:
        """Start a gateway's downlink on the same file, as after a kill."""
        self.downlink = Downlink(
            self.path,
            site=SITE,
            publish=self.publish,
            is_listening=lambda: self.is_listening,
            now_ms=lambda: self.now_ms,
            blocks_per_s=20.0,
            node_blocks_per_s=5.0,
            monotonic=lambda: self.now_s,
        )
        return self.downlink

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        if self.is_down:
            raise BrokerUnavailable("down")
        _site, device, _direction, kind = wire.parse_topic(topic)
        message = json.loads(payload)
        assert qos == (0 if "data" in message else 1), (
            "a block that the broker kept would meet the node at every connect"
        )
        self.sent.append((device, kind, message, retain))

    def say(self, device: str = DEVICE, **fields: Any) -> list[tuple[str, str, dict[str, Any], bool]]:
        """Let a node send a status, work it off, and return what was sent."""
        self.downlink.hear(device, "status", wire.encode_status({"boot": 7, **fields}).encode(), self.now_ms)
        return self.work()

    def ask(self, at: int, size: int = 1024, device: str = DEVICE, version: int = VERSION) -> list[dict[str, Any]]:
        """Let a node ask for a block; return what comes down."""
        self.downlink.hear(device, "ota", wire.encode_ota_up(7, version, at, size).encode(), self.now_ms)
        return [message for _device, _kind, message, _retain in self.work(1.0)]

    def work(self, seconds: float = 2.0) -> list[tuple[str, str, dict[str, Any], bool]]:
        self.now_s += seconds
        self.now_ms += int(seconds * 1000)
        self.sent.clear()
        self.downlink.step()
        return list(self.sent)

    def roll_out(self, *nodes: str, version: int = VERSION, **changes: Any) -> None:
        release = Release(version=version, node_class="bin", type="app", size=len(BUNDLE), sha256="0" * 64)
        made = Plan(version=version, node_class="bin", nodes=nodes or (DEVICE, OTHER), **changes)
        self.desk.publish(release, BUNDLE, made, self.now_ms)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.downlink.close()
    made.desk.close()


OFFER = {"v": 1, "offer": VERSION, "type": "app", "class": "bin", "size": len(BUNDLE)}
OLD = {"fw": "1.3.0", "class": "bin", "ota": "idle"}


def test_a_configuration_goes_out_retained_when_it_is_ordered(bench: Bench) -> None:
    """It is published once, without waiting for the node, and not again when the node has it."""
    bench.work()
    bench.desk.set_config(DEVICE, {"interval_s": 300}, bench.now_ms)
    assert bench.work() == [(DEVICE, "config", {"v": 1, "cfg": 1, "set": {"interval_s": 300}}, True)]
    assert bench.work() == []
    assert bench.say(cfg=1) == []


def test_a_configuration_that_the_broker_forgot_is_published_again(bench: Bench) -> None:
    """A node that does not know the number gets it again, at most twice a minute, unless it refused."""
    bench.desk.set_config(DEVICE, {"interval_s": 300}, bench.now_ms)
    assert len(bench.work()) == 1
    assert bench.say(cfg=0) == []
    bench.now_s += AGAIN_S
    assert [kind for _device, kind, _message, _retain in bench.say(cfg=0)] == ["config"]
    bench.now_s += AGAIN_S
    assert bench.say(cfg=0, cfg_bad="interval_s") == []


def test_a_node_that_knows_a_higher_number_gets_a_higher_one_still(bench: Bench) -> None:
    """After the file of orders was restored from a backup, what is ordered counts, under a number above the node's."""
    bench.desk.set_config(DEVICE, {"interval_s": 300}, bench.now_ms)
    bench.work()
    ((_device, _kind, message, retain),) = bench.say(cfg=9)
    assert (message["cfg"], message["set"], retain) == (10, {"interval_s": 300}, True)


def test_a_command_is_sent_until_the_node_says_that_it_did_it(bench: Bench) -> None:
    """It goes out at once, again at a status that does not show it, and no more when it is done or expired."""
    bench.work()
    bench.desk.add_command(DEVICE, {"cmd": "identify", "s": 30}, bench.now_ms, bench.now_ms + 3_600_000)
    assert bench.work() == [(DEVICE, "cmd", {"v": 1, "id": 1, "cmd": "identify", "s": 30}, False)]
    bench.now_s += AGAIN_S
    assert len(bench.say(cmd=0)) == 1
    bench.now_s += AGAIN_S
    assert bench.say(cmd=1) == []
    assert bench.desk.commands(DEVICE)[0].done_ms is not None
    bench.desk.add_command(DEVICE, {"cmd": "reboot"}, bench.now_ms, bench.now_ms + 1000)
    bench.now_ms += 1000
    assert bench.say(cmd=1) == []


def test_a_node_that_claims_the_highest_number_stops_nobody(bench: Bench) -> None:
    """With the credential of one node, orders for the others cannot be held up."""
    for device in (DEVICE, OTHER):
        bench.desk.set_config(device, {"interval_s": 300}, bench.now_ms)
    bench.work()
    bench.now_s += AGAIN_S
    bench.downlink.hear(DEVICE, "status", wire.encode_status({"boot": 7, "cfg": wire.U32_MAX}).encode(), bench.now_ms)
    assert [device for device, _kind, _message, _retain in bench.say(OTHER, cfg=0)] == [OTHER]
    assert bench.downlink.notes() == []


def test_a_command_from_a_new_file_of_orders_is_done_all_the_same(bench: Bench) -> None:
    """A node that is ahead of the numbers of a lost file is given a higher one, not believed to have done it."""
    bench.desk.add_command(DEVICE, {"cmd": "reboot"}, bench.now_ms, bench.now_ms + 3_600_000)
    bench.desk.add_command(DEVICE, {"cmd": "identify", "s": 5}, bench.now_ms, bench.now_ms + 3_600_000)
    bench.work()
    sent = [message["id"] for _device, _kind, message, _retain in bench.say(cmd=50)]
    assert sent == [51, 52]
    assert [command.done_ms for command in bench.desk.commands(DEVICE)] == [None, None]
    bench.now_s += AGAIN_S
    assert bench.say(cmd=52) == []
    assert None not in [command.done_ms for command in bench.desk.commands(DEVICE)]


def test_an_update_is_offered_to_an_older_node_of_an_open_stage_alone(bench: Bench) -> None:
    """The first stage holds one node: it is offered the release, the other is not; a newer or strange one never."""
    bench.roll_out()
    assert bench.say(**OLD) == [(DEVICE, "ota", OFFER, False)]
    assert bench.say(OTHER, **OLD) == []
    bench.now_s += AGAIN_S
    assert bench.say(**(OLD | {"fw": "simulated"})) == []
    assert bench.say(**(OLD | {"class": "air"})) == []
    assert bench.say(**(OLD | {"ota": "rolled-back", "ota_ver": 10_300})) == [(DEVICE, "ota", OFFER, False)]
    bench.now_s += AGAIN_S
    assert bench.say(**(OLD | {"fw": "1.4.0"})) == []


def test_an_update_is_offered_to_nodes_that_are_known_when_it_is_published(bench: Bench) -> None:
    """A node that is always connected need not say anything first."""
    bench.say(**OLD)
    bench.roll_out()
    assert bench.work() == [(DEVICE, "ota", OFFER, False)]
    assert bench.work() == []


def test_blocks_make_up_the_bundle(bench: Bench) -> None:
    """A node that asks piece by piece gets every byte, the last piece shorter, and nothing is a poison message."""
    bench.roll_out()
    bench.say(**OLD)
    got = b""
    while len(got) < len(BUNDLE):
        (block,) = bench.ask(len(got))
        assert (block["ver"], block["at"], block["of"]) == (VERSION, len(got), len(BUNDLE))
        got += base64.b64decode(block["data"])
    assert got == BUNDLE
    assert bench.downlink.counted()["blocks"] == 5


def test_how_much_a_node_was_sent_is_noted_now_and_then(bench: Bench) -> None:
    """The desk sees progress, and not a write to the disk for every block."""
    bench.roll_out()
    bench.say(**OLD)
    for at in (0, 1024, 2048, 0):
        bench.ask(at)
    (rollout,) = bench.desk.rollouts()
    assert bench.desk.tracks(rollout.id)[DEVICE].fetched == 0
    bench.work(31)
    assert bench.desk.tracks(rollout.id)[DEVICE].fetched == 3072


def test_who_is_not_meant_to_have_it_gets_no_byte(bench: Bench) -> None:
    """A node of a closed stage, an unknown version, and a place beyond the end are answered with a halt."""
    bench.roll_out()
    bench.say(**OLD)
    for answer in (
        bench.ask(0, device=OTHER),
        bench.ask(0, device="rsk-b999"),
        bench.ask(0, version=10_500),
        bench.ask(len(BUNDLE)),
    ):
        assert [set(message) for message in answer] == [{"v", "halt"}]
    assert bench.downlink.counted()["blocks"] == 0


def test_a_request_that_cannot_be_read_is_counted_and_gone(bench: Bench) -> None:
    """Nonsense on up/ota is answered by nothing."""
    bench.downlink.hear(DEVICE, "ota", b"give me more", bench.now_ms)
    assert bench.work() == []
    assert bench.downlink.counted()["requests_bad"] == 1


def test_the_next_stage_is_offered_when_the_first_has_proved_it(bench: Bench) -> None:
    """After confirmation and soak time the second node is offered the release, in the same minute."""
    bench.roll_out(soak_ms=60_000)
    bench.say(**OLD)
    bench.say(OTHER, **OLD)
    bench.say(fw="1.4.0", ota="confirmed", ota_ver=VERSION, **{"class": "bin"})
    assert bench.work(50) == []
    assert bench.work(10) == [(OTHER, "ota", OFFER, False)]


def test_a_roll_back_halts_and_is_said_loudly(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The log, the notes of health and the node that is still loading all hear of it."""
    bench.roll_out(shares=(100,))
    bench.say(**OLD)
    bench.say(OTHER, **OLD)
    bench.say(OTHER, **(OLD | {"ota": "loading", "ota_ver": VERSION}))
    told = bench.say(**(OLD | {"ota": "rolled-back", "ota_ver": VERSION})) + bench.work()
    assert (OTHER, "ota", {"v": 1, "halt": VERSION}, False) in told
    assert "HALTED" in caplog.text
    (told_to_people,) = bench.downlink.notes()
    assert "1.4.0 for bin nodes is HALTED: rsk-b001 rolled back to the old version" in told_to_people
    assert bench.ask(0, device=OTHER) == [{"v": 1, "halt": VERSION}]
    assert bench.desk.rollouts()[0].run.phase == "halted"


def test_a_halt_by_a_person_is_not_undone_by_the_gateway(bench: Bench) -> None:
    """What the command line writes between two steps of the gateway counts."""
    bench.roll_out()
    bench.say(**OLD)
    (rollout,) = bench.desk.rollouts()
    bench.desk.save_run(rollout.id, msgspec.structs.replace(rollout.run, phase="halted", why="a person said so"))
    bench.say(**(OLD | {"ota": "loading", "ota_ver": VERSION}))
    assert bench.desk.rollouts()[0].run.phase == "halted"
    assert bench.ask(0) == [{"v": 1, "halt": VERSION}]


def test_a_restart_at_any_point_goes_on_from_the_file(bench: Bench) -> None:
    """Killed between any two messages, the gateway ends with the same stages and the same tracks."""
    bench.roll_out(soak_ms=60_000)
    for fields in (
        OLD,
        OLD | {"ota": "loading", "ota_ver": VERSION, "ota_at": 1024},
        {"fw": "1.4.0", "ota": "trial", "ota_ver": VERSION, "class": "bin"},
        {"fw": "1.4.0", "ota": "confirmed", "ota_ver": VERSION, "class": "bin"},
    ):
        bench.say(**fields)
        bench.downlink.close()
        bench.start()
    bench.work(61)
    (rollout,) = bench.desk.rollouts()
    assert (rollout.run.phase, rollout.run.stage) == ("running", 1)
    assert bench.say(OTHER, **OLD) == [(OTHER, "ota", OFFER, False)]


def test_without_a_broker_nothing_counts_as_sent(bench: Bench) -> None:
    """What could not be handed over is handed over when the broker is back."""
    bench.desk.set_config(DEVICE, {"pings": 5}, bench.now_ms)
    bench.is_down = True
    assert bench.work() == []
    bench.is_down = False
    assert [kind for _device, kind, _message, _retain in bench.work()] == ["config"]


def test_a_damaged_file_of_orders_stops_orders_alone(tmp_path: Path) -> None:
    """The downlink says what is wrong, forgets nothing that it heard, and works once the file is gone."""
    (tmp_path / "orders.sqlite3").write_bytes(b"not a database" * 100)
    made = Bench.__new__(Bench)
    made.path, made.now_s, made.now_ms, made.sent = tmp_path / "orders.sqlite3", 1000.0, NOW_MS, []
    made.is_down, made.is_listening = False, True
    made.start()
    made.say(**OLD)
    assert "damaged" in made.downlink.notes()[0]
    made.path.unlink()
    made.work(31)
    assert made.downlink.notes() == []
    made.desk = Orders(made.path)
    assert made.desk.nodes()[DEVICE].status["fw"] == "1.3.0"
    made.desk.close()
    made.downlink.close()


def test_a_fault_in_following_nodes_stops_orders_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program is said and tried again later; the worker, and with it the gateway, lives on."""
    monkeypatch.setattr(downlink_module, "note", lambda *_arguments: 1 / 0)
    bench.roll_out()
    bench.say(**OLD)
    assert "fault of the program" in bench.downlink.notes()[0]
    monkeypatch.undo()
    bench.work(31)
    assert bench.downlink.notes() == []
    assert bench.say(**OLD) == [(DEVICE, "ota", OFFER, False)]


def test_nodes_that_were_heard_without_a_status_are_noted(bench: Bench) -> None:
    """Readings are a sign of life; a last will is none."""
    bench.downlink.hear(DEVICE, "bin", b"", bench.now_ms)
    bench.downlink.hear(OTHER, "will", b"", bench.now_ms)
    bench.work()
    assert set(bench.desk.nodes()) == {DEVICE}


def test_blocks_are_limited_for_a_node_and_in_total() -> None:
    """Ten nodes that ask without end get five blocks a second each at most, and all together what the total allows."""
    now_s = [0.0]
    queue = BlockQueue(20.0, 5.0, lambda: now_s[0])
    served: dict[str, int] = {}
    for _ in range(1000):  # ten seconds in steps of 10 ms
        now_s[0] += 0.01
        for number in range(10):
            queue.put(Request(f"rsk-b{number:03d}", VERSION, 0, 2048))
        for request in queue.due():
            served[request.device] = served.get(request.device, 0) + 1
    assert sum(served.values()) <= 20 * 10 + 40  # rate times time, and the room for a burst of 2 s
    assert sum(served.values()) >= 190
    assert max(served.values()) - min(served.values()) <= 5
    alone = BlockQueue(20.0, 5.0, lambda: now_s[0])
    count = 0
    for _ in range(1000):
        now_s[0] += 0.01
        alone.put(Request(DEVICE, VERSION, 0, 2048))
        count += len(alone.due())
    assert 45 <= count <= 60  # 5 a second for 10 s, and a burst of 10


def test_a_node_waits_with_its_last_request_alone() -> None:
    """A node that asks again while it waits is answered once, for what it asked last."""
    queue = BlockQueue(20.0, 5.0, lambda: 0.0)
    for at in (0, 1024, 2048):
        assert queue.put(Request(DEVICE, VERSION, at, 1024))
    assert [request.at for request in queue.due()] == [2048]
    assert len(queue) == 0


SAYINGS = (
    OLD,
    OLD | {"ota": "loading", "ota_ver": VERSION, "ota_at": 512},
    OLD | {"ota": "refused-space", "ota_ver": VERSION},
    {"fw": "1.4.0", "ota": "trial", "ota_ver": VERSION, "class": "bin"},
    {"fw": "1.4.0", "ota": "confirmed", "ota_ver": VERSION, "class": "bin"},
    {"fw": "1.4.0", "ota": "confirmed", "ota_ver": VERSION, "class": "bin", "crashes": 1},
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([DEVICE, OTHER, None]), st.sampled_from(SAYINGS), st.sampled_from([1, 40]), st.booleans()
        ),
        max_size=10,
    )
)
def test_a_gateway_that_is_killed_at_any_points_ends_where_another_does(moves: list[Any]) -> None:
    """Two gateways hear the same; one is killed after any of the messages: stages and tracks are the same in both."""
    with TemporaryDirectory() as steady_folder, TemporaryDirectory() as killed_folder:
        benches = (Bench(Path(steady_folder)), Bench(Path(killed_folder)))
        for bench in benches:
            bench.roll_out(soak_ms=30_000, max_failures=2, silence_ms=10**9)
            for device, fields, seconds, is_killed in moves:
                if device is not None:
                    bench.say(device, **fields)
                bench.work(seconds)
                if is_killed and bench is benches[1]:
                    bench.downlink.close()
                    bench.start()
            bench.work()
        (steady,), (killed,) = (bench.desk.rollouts() for bench in benches)
        assert steady.run == killed.run
        assert benches[0].desk.tracks(steady.id) == benches[1].desk.tracks(killed.id)
        for bench in benches:
            bench.downlink.close()
            bench.desk.close()
