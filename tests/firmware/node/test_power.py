"""The power fails at any moment of a round: what was acked stays acked, nothing is numbered twice, the node goes on."""

from pathlib import Path

import pytest

from tests.firmware.node import rig
from tests.services import Server

pytestmark = pytest.mark.service


def check(gateway: rig.Gateway, device: str) -> None:
    """Every identity that arrived stands for one content, for ever."""
    contents: dict[tuple[int, int], dict] = {}
    for name, boot, reading in gateway.readings:
        if name == device:
            known = contents.setdefault((boot, reading["seq"]), reading)
            assert known == reading, "a number was given twice"


def test_power_cuts_through_a_round_on_littlefs(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Cut at every flash operation of a round: it mounts, the readings on flash arrive, none is renumbered."""
    device = "rsk-flash"
    node = rig.node(tmp_path / "node", rig.config(device, interval_s=600), port=broker.port)
    node.folder.burn(rig.spawner())
    whole = node.boot()
    assert whole.outcome == "sleep"
    assert whole.operations > 10
    printed = [tuple(line.split()[1:3]) for line in whole.lines if line.startswith("reading")]
    for operation in range(1, whole.operations + 1):
        boot = node.boot(cut=operation)
        assert boot.outcome in {"cut", "sleep"}, boot.text
        printed += [tuple(line.split()[1:3]) for line in boot.lines if line.startswith("reading")]
        node.power_cut()
    for _ in range(3):
        boot = node.boot()
        assert boot.outcome == "sleep", boot.text
        printed += [tuple(line.split()[1:3]) for line in boot.lines if line.startswith("reading")]
    arrived = {(str(boot), str(seq)) for name, boot, seq in gateway.identities() if name == device}
    assert set(printed) <= arrived, "a reading that was on flash was lost"
    check(gateway, device)


@pytest.mark.parametrize("at_ms", range(0, 2900, 290))
def test_power_cuts_at_any_time_of_a_round(tmp_path: Path, broker: Server, gateway: rig.Gateway, at_ms: int) -> None:
    """Cut at a moment between measuring and sleeping: the next wakes deliver what was made."""
    device = f"rsk-at-{at_ms:04d}"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    node.boot()
    cut = node.boot(lost_ms=at_ms)
    node.power_cut()
    boots = [node.boot(), node.boot()]
    assert [boot.outcome for boot in boots] == ["sleep", "sleep"]
    made = {tuple(map(int, line.split()[1:3])) for b in (cut, *boots) for line in b.lines if line.startswith("reading")}
    arrived = {(boot, seq) for name, boot, seq in gateway.identities() if name == device}
    assert made <= arrived
    check(gateway, device)


def test_a_watchdog_in_mid_round_keeps_the_boot(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """After a reset between flash and RTC memory the next number is free, and the status tells of the watchdog."""
    device = "rsk-dog"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    node.boot()
    memory = node.folder.path / "rtc.bin"
    before = memory.read_bytes()
    node.boot(kill_when=lambda line: line.startswith("reading"))
    memory.write_bytes(before)
    node.cause = rig.WATCHDOG
    node.boot()
    found = [(boot, seq) for name, boot, seq in gateway.identities() if name == device]
    assert len({boot for boot, _ in found}) == 1
    assert sorted({seq for _, seq in found}) == [1, 2, 3]
    check(gateway, device)
    assert [status for name, status in gateway.statuses if name == device][-1]["reset"] == "watchdog"
