"""The file of orders: numbers that only grow, several users, and what it refuses."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from firmware import wire
from gateway.errors import OrderRefused, OrdersError
from gateway.orders import (
    Orders,
    Release,
    encode_block,
    encode_cmd,
    encode_config,
    encode_halt,
    encode_offer,
)
from gateway.orders_schema import MIGRATIONS, SCHEMA_VERSION
from gateway.rollout import Plan, Run, Track

NOW_MS = 1_795_488_752_000
DEVICE = "rsk-b001"
BUNDLE = bytes(range(256)) * 40


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Orders]:
    opened = Orders(tmp_path / "orders.sqlite3")
    yield opened
    opened.close()


def release(version: int = 10_400, node_class: str = "bin") -> Release:
    return Release(version=version, node_class=node_class, type="app", size=len(BUNDLE), sha256="0" * 64)


def plan(version: int = 10_400, node_class: str = "bin") -> Plan:
    return Plan(version=version, node_class=node_class, nodes=("rsk-b001", "rsk-b002"))


def test_what_is_encoded_is_what_nodes_decode() -> None:
    """Each server-side encoder makes what firmware.wire reads, with the values that went in."""
    changes = {"interval_s": 300, "ntp_host": "time.example.id", "broker_tls": True}
    assert wire.decode_config(encode_config(7, changes)) == (7, changes)
    interval = {"cmd": "interval", "s": 60, "for_s": 3600}
    assert wire.decode_cmd(encode_cmd(12, interval)) == {"id": 12, **interval}
    offer = {"offer": 10_400, "type": "app", "class": "bin", "size": len(BUNDLE)}
    assert wire.decode_ota_down(encode_offer(release())) == offer
    block = wire.decode_ota_down(encode_block(release(), 256, BUNDLE[256:4352]))
    assert block == {"ver": 10_400, "at": 256, "of": len(BUNDLE), "data": BUNDLE[256:4352]}
    assert wire.decode_ota_down(encode_halt(10_400)) == {"halt": 10_400}
    assert len(encode_block(release(), 0, BUNDLE[:4096])) <= wire.MAX_PAYLOAD_BYTES


def test_numbers_begin_above_what_the_node_knows(orders: Orders) -> None:
    """A new file of orders beside old nodes never gives a number that they would ignore."""
    assert orders.set_config("rsk-b002", {"pings": 5}, NOW_MS) == 1
    orders.note_status(DEVICE, {"boot": 1, "cfg": 41, "cmd": 17}, NOW_MS)
    assert orders.set_config(DEVICE, {"pings": 5}, NOW_MS) == 42
    assert orders.set_config(DEVICE, {"pings": 6}, NOW_MS) == 43
    assert orders.add_command(DEVICE, {"cmd": "reboot"}, NOW_MS, NOW_MS + 1000) == 18
    assert orders.add_command(DEVICE, {"cmd": "reboot"}, NOW_MS, NOW_MS + 1000) == 19
    found = orders.config(DEVICE)
    assert found is not None
    assert (found.cfg, found.changes, found.sent_ms) == (43, {"pings": 6}, None)


@pytest.mark.parametrize(
    "body",
    [{"cmd": "format"}, {"cmd": "identify"}, {"cmd": "interval", "s": 5, "for_s": 60}, {"cmd": "resend", "boot": 1}],
)
def test_a_command_that_no_node_knows_is_refused(orders: Orders, body: dict[str, str | int]) -> None:
    """What the wire does not take is refused at the desk, with words, and uses up no number."""
    with pytest.raises(OrderRefused):
        orders.add_command(DEVICE, body, NOW_MS, NOW_MS + 1000)
    assert orders.add_command(DEVICE, {"cmd": "reboot"}, NOW_MS, NOW_MS + 1000) == 1


def test_a_configuration_that_the_wire_does_not_take_is_refused(orders: Orders) -> None:
    """A text beyond 64 characters is refused and nothing is ordered."""
    with pytest.raises(OrderRefused, match="longer than 64"):
        orders.set_config(DEVICE, {"ntp_host": "x" * 65}, NOW_MS)
    assert orders.config(DEVICE) is None


def test_commands_end_by_being_done_or_by_their_time(orders: Orders) -> None:
    """A command is open until the node names its id or a higher one, or until it expires; it is forgotten in time."""
    for _ in range(3):
        orders.add_command(DEVICE, {"cmd": "reboot"}, NOW_MS, NOW_MS + 1000)
    orders.note_commands_done(DEVICE, 2, NOW_MS + 5)
    assert [command.id for command in orders.open_commands(NOW_MS)] == [3]
    assert [command.done_ms for command in orders.commands(DEVICE)] == [NOW_MS + 5, NOW_MS + 5, None]
    assert orders.open_commands(NOW_MS + 1000) == []
    orders.add_command(DEVICE, {"cmd": "reboot"}, NOW_MS + 31 * 86_400_000, NOW_MS + 32 * 86_400_000)
    assert [command.id for command in orders.commands(DEVICE)] == [4]


def test_the_last_status_is_the_newest_whatever_comes_last(orders: Orders) -> None:
    """An older status that arrives late replaces nothing; being seen only moves forward."""
    orders.note_status(DEVICE, {"boot": 1, "queue": 2}, NOW_MS)
    orders.note_status(DEVICE, {"boot": 1, "queue": 9}, NOW_MS - 1)
    orders.note_seen(DEVICE, NOW_MS - 5)
    orders.note_seen("rsk-b002", NOW_MS + 5)
    found = orders.nodes()
    assert (found[DEVICE].seen_ms, found[DEVICE].status) == (NOW_MS, {"boot": 1, "queue": 2})
    assert (found["rsk-b002"].seen_ms, found["rsk-b002"].status) == (NOW_MS + 5, {})
    assert orders.node("rsk-b003") is None


def test_a_bundle_is_read_in_pieces(orders: Orders) -> None:
    """Pieces put together are the bundle, and beyond its end there is nothing."""
    rollout_id = orders.publish(release(), BUNDLE, plan(), NOW_MS)
    (rollout,) = orders.rollouts()
    assert (rollout.id, rollout.plan, rollout.run.opened_ms) == (rollout_id, plan(), NOW_MS)
    pieces = [orders.block(rollout.release.id, at, 1000) for at in range(0, len(BUNDLE), 1000)]
    assert b"".join(pieces) == BUNDLE
    assert orders.block(rollout.release.id, len(BUNDLE), 10) == b""


def test_a_newer_release_supersedes_and_an_older_is_refused(orders: Orders) -> None:
    """One class has one release under way; versions only grow; other classes are not touched."""
    orders.publish(release(), BUNDLE, plan(), NOW_MS)
    orders.publish(release(node_class="air"), BUNDLE, plan(node_class="air"), NOW_MS)
    with pytest.raises(OrderRefused, match=r"1\.4\.0"):
        orders.publish(release(), BUNDLE, plan(), NOW_MS)
    orders.publish(release(10_500), BUNDLE, plan(10_500), NOW_MS)
    phases = {(found.plan.version, found.plan.node_class): found.run.phase for found in orders.rollouts()}
    assert phases == {(10_500, "bin"): "running", (10_400, "air"): "running", (10_400, "bin"): "superseded"}


def test_a_node_takes_one_update_at_a_time(orders: Orders) -> None:
    """An image ends an unfinished application roll-out, but a finished one stays for nodes that come later."""
    image = msgspec.structs.replace(release(10_300), type="image")
    orders.publish(release(), BUNDLE, plan(), NOW_MS)
    orders.publish(image, BUNDLE, plan(10_300), NOW_MS)
    assert [found.run.phase for found in orders.rollouts()] == ["running", "superseded"]
    orders.publish(release(10_500), BUNDLE, plan(10_500), NOW_MS)
    done = orders.rollouts()[0]
    orders.save_run(done.id, Run(phase="done"))
    orders.publish(msgspec.structs.replace(image, version=10_301), BUNDLE, plan(10_301), NOW_MS)
    assert [found.run.phase for found in orders.rollouts()][:2] == ["running", "done"]
    with pytest.raises(OrderRefused):
        orders.publish(msgspec.structs.replace(image, version=10_500), BUNDLE, plan(10_500), NOW_MS)


def test_two_users_see_each_others_orders(tmp_path: Path) -> None:
    """The gateway notices what the command line wrote, and not what it wrote itself."""
    gateway, desk = Orders(tmp_path / "orders.sqlite3"), Orders(tmp_path / "orders.sqlite3")
    assert gateway.is_changed()
    gateway.note_seen(DEVICE, NOW_MS)
    assert not gateway.is_changed()
    desk.set_config(DEVICE, {"pings": 5}, NOW_MS)
    assert gateway.is_changed()
    assert not gateway.is_changed()
    gateway.close()
    desk.close()


def test_a_block_of_changes_is_all_or_nothing(orders: Orders) -> None:
    """An error in the middle leaves nothing of the block in the file."""
    rollout_id = orders.publish(release(), BUNDLE, plan(), NOW_MS)

    def fail() -> None:
        with orders.at_once():
            orders.save_track(rollout_id, DEVICE, Track(seen_ms=5))
            orders.save_run(rollout_id, Run(stage=3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert orders.tracks(rollout_id) == {}
    assert orders.rollouts()[0].run.stage == 0


def test_a_process_killed_while_it_writes_leaves_a_sound_file(tmp_path: Path) -> None:
    """Killed inside a transaction, the next user finds the state before it and can write."""
    path = tmp_path / "orders.sqlite3"
    Orders(path).close()
    code = (
        "import os, signal, sys; from pathlib import Path; from gateway.orders import Orders\n"
        "orders = Orders(Path(sys.argv[1])); orders.set_config('rsk-b001', {'pings': 5}, 1)\n"
        "with orders.at_once():\n"
        "    orders.set_config('rsk-b001', {'pings': 6}, 2)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    orders = Orders(path)
    found = orders.config(DEVICE)
    assert found is not None
    assert found.changes == {"pings": 5}
    assert orders.set_config(DEVICE, {"pings": 7}, 3) == 2
    orders.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """Downgrading the gateway destroys no orders."""
    path = tmp_path / "orders.sqlite3"
    Orders(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION + 1),))
    with pytest.raises(OrdersError, match="newer") as caught:
        Orders(path)
    assert not caught.value.retryable
    assert len(MIGRATIONS) == SCHEMA_VERSION


@pytest.mark.parametrize("content", [b"not a database" * 100, None], ids=["damaged", "of something else"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A damaged or foreign file is neither used nor overwritten, and the sentence says what to do."""
    path = tmp_path / "orders.sqlite3"
    if content is not None:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE cats (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(OrdersError, match=r"orders\.sqlite3") as caught:
        Orders(path)
    assert not caught.value.retryable
    assert path.read_bytes() == before


def test_plans_and_tracks_are_small_on_disk() -> None:
    """A track of a node that nothing happened to takes a few bytes, so a thousand nodes are no matter."""
    assert msgspec.json.encode(Track(seen_ms=NOW_MS)) == json.dumps({"seen_ms": NOW_MS}, separators=(",", ":")).encode()
