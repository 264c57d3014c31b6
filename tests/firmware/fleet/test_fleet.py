"""A fleet of real nodes in one square time, with a small program in place of the firmware."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from resik.reconcile import read_times
from simulators.real_fleet import AHEAD_MS, FleetWorld, MadeLedger, RealFleet, pss_bytes
from simulators.real_folder import NodeFolder
from simulators.real_node import RealNode
from simulators.real_site import build_fleet_site
from square.registry import Registry
from square.site import load_site
from tests.firmware.node import rig

INTERVAL_S = 600
PROGRAM = """\
import machine, time
r = machine.RTC()
seq = int(r.memory() or b"0") + 1
r.memory(str(seq))
time.sleep(8)
print("battery", machine.ADC(machine.Pin(34), atten=3).read_uv() // 500)
print("reading 7 %d ok" % seq)
machine.deepsleep(592000)
"""
CONFIG = {"parts": {"battery": {"pin": 34, "ratio_milli": 2000}}}


class Square:
    """A fleet of nodes that run `programs`, and a record of how its clock moved."""

    def __init__(self, folder: Path, programs: Mapping[str, str]) -> None:
        spread = random.Random(3)
        self.nodes = {}
        for device, program in programs.items():
            made = NodeFolder.make(folder / device, CONFIG, files={"main.py": program})
            start_ms = rig.NOON_S * 1000 + spread.randrange(INTERVAL_S * 1000)
            self.nodes[device] = RealNode(made, rig.spawner(), unix_ms=start_ms)
        self.clock_s: list[float] = []
        self.side_by_side = 0
        self.too_far = 0
        self.worlds: dict[str, list[int]] = {device: [] for device in programs}
        self.ledger_file = folder / "made.csv"
        self.fleet = RealFleet(
            self.nodes,
            rig.spawner(),
            set_clock=self._set_clock,
            world=self._world,
            ledger=MadeLedger(self.ledger_file),
            parallel=6,
        )

    def _set_clock(self, square_s: float) -> None:
        self.clock_s.append(square_s)
        oldest_ms = min(
            (self.nodes[device].unix_ms for device in self.fleet._running.values()), default=square_s * 1000
        )
        self.too_far += square_s * 1000 > oldest_ms

    def _world(self, device: str, at_s: float) -> dict[str, Any]:
        running = self.fleet._running.values()
        self.side_by_side = max(self.side_by_side, len(running) + 1)
        oldest_ms = min((self.nodes[other].unix_ms for other in running), default=at_s * 1000)
        self.too_far += at_s * 1000 > oldest_ms + AHEAD_MS
        battery_mv = 3500 + len(self.worlds[device])
        self.worlds[device].append(battery_mv)
        return {"battery_mv": battery_mv}


def test_a_fleet_lives_in_one_square_time(tmp_path: Path) -> None:
    """Each of 30 nodes wakes six times in an hour; the clock moves forward only and never past a boot that runs."""
    square = Square(tmp_path, {f"n{i:02d}": PROGRAM for i in range(30)})
    square.fleet.run(rig.NOON_S + 3600)
    report = square.fleet.report
    assert (report.boots, report.made, report.resets, report.dead) == (180, 180, 0, {})
    assert square.clock_s == sorted(square.clock_s)
    assert square.clock_s[-1] == rig.NOON_S + 3600
    assert square.too_far == 0
    assert square.side_by_side > 1
    assert report.peak_bytes > 1 << 20


def test_every_boot_finds_the_world_of_its_moment(tmp_path: Path) -> None:
    """What a node senses in its nth boot is what the world held then."""
    square = Square(tmp_path, {f"n{i}": PROGRAM for i in range(3)})
    square.fleet.run(rig.NOON_S + 3600)
    for device, node in square.nodes.items():
        sensed = [int(line.split()[1]) for line in node.folder.serial.read_text().splitlines() if line[:7] == "battery"]
        assert sensed == square.worlds[device]


def test_the_ledger_has_each_reading_once(tmp_path: Path) -> None:
    """The file of made readings names device, boot and seq of everything, in the form that reconciliation reads."""
    square = Square(tmp_path, {"n1": PROGRAM, "n2": PROGRAM})
    square.fleet.run(rig.NOON_S + 1800)
    assert set(read_times(square.ledger_file)) == {(device, 7, seq) for device in ("n1", "n2") for seq in (1, 2, 3)}


def test_nodes_that_break_are_told_and_hold_nobody_up(tmp_path: Path) -> None:
    """One node crashes to its prompt, one resets each time: the others go on, and the report says which and how."""
    broken = {"dead": "raise ValueError('why')", "again": "import machine, time\ntime.sleep(1000)\nmachine.reset()"}
    square = Square(tmp_path, {"fine": PROGRAM} | broken)
    square.fleet.run(rig.NOON_S + 3600)
    report = square.fleet.report
    assert report.dead == {"dead": "ValueError: why"}
    assert report.made == 6
    assert report.resets == report.boots - 7 > 0


def test_a_last_round_wakes_only_those_who_are_asked(tmp_path: Path) -> None:
    """run_once boots the named nodes once more, past the end, and lets the clock follow."""
    square = Square(tmp_path, {"n1": PROGRAM, "n2": PROGRAM})
    square.fleet.run(rig.NOON_S + 1200)
    square.fleet.run_once(["n2"])
    assert len(square.worlds["n1"]) == 2
    assert len(square.worlds["n2"]) == 3
    assert square.clock_s[-1] > rig.NOON_S + 1200


def test_memory_is_counted_once() -> None:
    """The proportional memory of a process is positive, and a process that is gone counts nothing."""
    own = pss_bytes(rig.spawner().server_pids)
    assert own > 100_000
    assert pss_bytes([2**22 + 1]) == 0


@pytest.mark.parametrize(("kinds", "bins"), [(("bin",), 22), (("air",), 0), (("bin", "air"), 20)])
def test_a_fleet_site_is_sound(tmp_path: Path, kinds: tuple[str, ...], bins: int) -> None:
    """Every device has an asset of its own on a plan without faults; of both kinds every eleventh is air."""
    folder = build_fleet_site(tmp_path, 22, kinds=kinds, interval_s=300)
    site, registry = load_site(folder), Registry.load(folder)
    assert len(site.bins) == bins
    assert len(registry.placements()) == 22
    assert {placement.device.interval_s for placement in registry.placements()} == {300}


def test_the_world_of_a_fleet_is_that_of_the_square(tmp_path: Path) -> None:
    """The same seed gives the same world; bins fill up over a day and are found emptied; air is never negative."""
    site = load_site(build_fleet_site(tmp_path, 11, interval_s=600))
    placements = Registry.from_site(site).placements()

    def day(seed: int) -> list[list[dict[str, Any]]]:
        world = FleetWorld(site, seed=seed, start_s=rig.NOON_S)
        hours = [rig.NOON_S + 3600 * hour for hour in range(24)]
        return [[world.found(placement, at_s) for placement in placements] for at_s in hours]

    first, again, other = day(1), day(1), day(2)
    assert first == again != other
    assert all(len({hour[i]["distance_mm"] for hour in first}) > 5 for i in range(10))
    assert min(hour[0]["distance_mm"] for hour in first) > 0
    assert all(hour[10]["pm25_ugm3"] > 0 and 10 < hour[10]["temp_c"] < 45 for hour in first)
