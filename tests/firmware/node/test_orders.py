"""What comes from above: configurations good, bad and unreachable, and commands, each once."""

from pathlib import Path

import pytest

from tests.firmware.node import rig
from tests.services import Server

pytestmark = pytest.mark.service


def statuses_of(gateway: rig.Gateway, device: str) -> list[dict]:
    return [status for name, status in gateway.statuses if name == device]


def rounds(node: rig.RealNode, count: int) -> list[rig.Boot]:
    """Boot until `count` readings were made; boots for chores come between."""
    boots = []
    made = 0
    while made < count:
        boots.append(node.boot())
        made += any(line.startswith("reading") for line in boots[-1].lines)
        assert len(boots) < 4 * count + 4, node.folder.serial.read_text()
    return boots


def test_a_good_configuration_is_in_force_and_told(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """A retained set changes the interval from the next wake on, is reported, and survives a power cut."""
    node = rig.node(tmp_path / "node", rig.config("rsk-good"), port=broker.port)
    gateway.send("rsk-good", "config", {"v": 1, "cfg": 7, "set": {"interval_s": 300, "pings": 5}}, retain=True)
    boots = rounds(node, 2)
    assert statuses_of(gateway, "rsk-good")[-1]["cfg"] == 7
    assert statuses_of(gateway, "rsk-good")[-1]["interval_s"] == 300
    assert 290_000 < (boots[-1].sleep_ms or 0) <= 300_000
    node.power_cut()
    rounds(node, 1)
    assert statuses_of(gateway, "rsk-good")[-1]["cfg"] == 7


def test_a_bad_configuration_changes_nothing(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Unknown keys and values out of range are refused, named in the status, and not looked at at every wake."""
    node = rig.node(tmp_path / "node", rig.config("rsk-bad"), port=broker.port)
    gateway.send("rsk-bad", "config", {"v": 1, "cfg": 3, "set": {"interval_s": 1}}, retain=True)
    boots = rounds(node, 3)
    status = statuses_of(gateway, "rsk-bad")[-1]
    assert (status["cfg"], status["interval_s"], status["cfg_bad"]) == (0, 600, "bad-value interval_s")
    assert status["faults"] & 64
    assert 590_000 < (boots[-1].sleep_ms or 0) <= 600_000


def test_a_configuration_that_leads_nowhere_is_taken_back(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Wi-Fi that does not exist: after three attempts the node is back, with all readings, and says what was wrong."""
    node = rig.node(tmp_path / "node", rig.config("rsk-lost"), port=broker.port)
    node.folder.set_net(wifi={"ssid": "alun-alun", "state": "up"})
    gateway.send("rsk-lost", "config", {"v": 1, "cfg": 4, "set": {"wifi_ssid": "somewhere-else"}}, retain=True)
    rounds(node, 6)
    status = statuses_of(gateway, "rsk-lost")[-1]
    assert status["cfg"] == 0
    assert status["cfg_bad"] == "4 unreachable"
    seqs = {seq for name, _, seq in gateway.identities() if name == "rsk-lost"}
    assert seqs == set(range(1, max(seqs) + 1))
    assert len(seqs) >= 5


def test_each_command_is_done_once(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Blink, restart, another interval for a while, and a resend: each once, though each is sent twice."""
    device = "rsk-cmd"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    rounds(node, 2)
    for _ in range(2):
        gateway.send(device, "cmd", {"v": 1, "id": 1, "cmd": "identify", "s": 5})
        gateway.send(device, "cmd", {"v": 1, "id": 2, "cmd": "interval", "s": 60, "for_s": 100})
    (boot,) = rounds(node, 1)
    assert 5_000 < boot.ended_ms - boot.began_ms < 15_000, "it blinked for 5 s"
    assert 40_000 < (boot.sleep_ms or 0) < 60_000
    (boot,) = rounds(node, 1)
    assert boot.ended_ms - boot.began_ms < 5_000
    assert statuses_of(gateway, device)[-1]["cmd"] == 2
    rounds(node, 1)
    (boot,) = rounds(node, 1)
    assert 590_000 < (boot.sleep_ms or 0) <= 600_000, "the other interval is over"

    gateway.send(device, "cmd", {"v": 1, "id": 3, "cmd": "reboot"})
    assert [boot.outcome for boot in (node.boot(), node.boot())] == ["reset", "sleep"]


def test_a_resend_that_a_power_cut_spoiled_can_be_ordered_again(
    tmp_path: Path, broker: Server, gateway: rig.Gateway
) -> None:
    """The cut takes the note of the order, not the rewound queue: the same order once more brings all of it."""
    device = "rsk-spoiled"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    rounds(node, 8)
    _, old, _ = gateway.identities()[-1]
    gateway.send(device, "cmd", {"v": 1, "id": 1, "cmd": "resend", "boot": old, "from": 1})
    rounds(node, 1)
    node.power_cut()
    gateway.answer = lambda *_: None
    gateway.send(device, "cmd", {"v": 1, "id": 2, "cmd": "resend", "boot": old, "from": 1})
    rounds(node, 1)
    gateway.answer = gateway.acknowledge
    gateway.readings.clear()
    rounds(node, 5)
    assert {seq for _, boot, seq in gateway.identities() if boot == old} >= set(range(1, 10))
    assert statuses_of(gateway, device)[-1]["queue"] <= 1, "nothing but the newest waits"


def test_resends_of_two_boots_at_once(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Ordered in one conversation, both come whole: neither order pushes the other out, nor ends it early."""
    device = "rsk-both"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    rounds(node, 8)
    node.power_cut()
    rounds(node, 8)
    old, new = sorted({boot for _, boot, _ in gateway.identities()}, key=[b for _, b, _ in gateway.identities()].index)
    gateway.readings.clear()
    gateway.send(device, "cmd", {"v": 1, "id": 1, "cmd": "resend", "boot": old, "from": 1})
    gateway.send(device, "cmd", {"v": 1, "id": 2, "cmd": "resend", "boot": new, "from": 1})
    rounds(node, 4)
    again = [(boot, seq) for name, boot, seq in gateway.identities() if name == device]
    for boot in (old, new):
        assert {seq for owner, seq in again if owner == boot} >= set(range(1, 9))
    assert statuses_of(gateway, device)[-1]["queue"] <= 1, "nothing but the newest waits"


def test_a_resend_brings_all_of_it_again(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Acked readings come once more each, though the gateway says of all that it has them; then it is over."""
    device = "rsk-again"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    rounds(node, 11)
    _, number, _ = gateway.identities()[-1]
    assert [seq for name, _, seq in gateway.identities() if name == device] == list(range(1, 12))
    gateway.send(device, "cmd", {"v": 1, "id": 1, "cmd": "resend", "boot": number, "from": 2})
    rounds(node, 4)
    seqs = [seq for name, boot, seq in gateway.identities() if (name, boot) == (device, number)]
    assert sorted(seqs) == sorted([*range(1, 16), *range(2, 13)]), "12 was made before the order, and is part of it"
    assert seqs[12] == 13, "the newest first"
    status = statuses_of(gateway, device)[-1]
    assert (status["cmd"], status["queue"]) == (1, 1)


def test_a_resend_goes_on_after_a_wake_without_a_link(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """What was asked for is not forgotten when the next wakes reach nobody, nor freed by an ack that comes late."""
    device = "rsk-later"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    rounds(node, 8)
    _, number, _ = gateway.identities()[-1]
    gateway.send(device, "cmd", {"v": 1, "id": 1, "cmd": "resend", "boot": number, "from": 1})
    rounds(node, 1)
    node.folder.set_net(wifi={"state": "no-ap"})
    rounds(node, 2)
    node.folder.set_net(wifi={"state": "up"})
    gateway.send(device, "ack", {"v": 1, "boot": number, "upto": 8})
    rounds(node, 2)
    seqs = [seq for name, boot, seq in gateway.identities() if (name, boot) == (device, number)]
    assert sorted(seqs) == sorted([*range(1, 14), *range(1, 10)])
