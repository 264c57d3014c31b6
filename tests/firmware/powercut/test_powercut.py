"""The flash queue on real MicroPython and LittleFS2: power cuts, wear, RAM and time to open."""

import json
import re
from pathlib import Path

import pytest

from tests.firmware import micropython

HERE = Path(__file__).parent


def sweep(operations: int, variant: str) -> dict[str, int]:
    """Run one sweep and return its figures."""
    result = micropython.run(HERE / "sweep.py", str(operations), variant, timeout_s=170, heap="64M")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "missing" in result.stdout, result.stdout + result.stderr
    return {name: int(figure) for name, figure in re.findall(r"(\w+) (\d+)", result.stdout)}


def test_a_power_cut_at_every_flash_operation_loses_no_reading() -> None:
    """Cuts before and in the middle of each flash operation of 1,000 queue operations: all mount, none lost."""
    figures = sweep(1000, "right")
    assert figures["cuts"] == 2 * figures["flash_operations"] + 1
    assert figures["flash_operations"] > 4000
    assert figures["states"] > 600
    assert figures["dropped"] > 0  # the ring did come round
    assert (figures["mount_failures"], figures["missing"], figures["wrong"]) == (0, 0, 0)


@pytest.mark.parametrize("variant", ["pointer-first", "remove-first", "flushes-too-much"])
def test_the_sweep_finds_a_queue_with_the_wrong_order(variant: str) -> None:
    """A queue that writes its pointer before the data, or its counter after the removal, does not pass."""
    assert sweep(400, variant)["missing"] > 0


def test_the_sweep_finds_a_file_system_that_does_not_mount() -> None:
    """With both superblocks lost the mount fails, and the sweep says so."""
    assert sweep(20, "dead-chip")["mount_failures"] > 0


def capacity(tmp_path: Path, readings: int, ack: int = 0) -> dict[str, int]:
    """Run the queue on a chip of 240 blocks in the heap of a node."""
    result = micropython.run(
        HERE / "capacity.py", str(tmp_path / "chip"), str(readings), "256", str(ack), heap="96K", timeout_s=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    figures: dict[str, int] = json.loads(result.stdout)
    return figures


def test_three_thousand_readings_open_and_drain_in_the_heap_of_a_node(tmp_path: Path) -> None:
    """Three weeks at the default interval fit 256 KiB; RAM follows the segments, opening reads only the last one."""
    small, large = capacity(tmp_path, 500), capacity(tmp_path, 3000)
    for readings, figures in ((500, small), (3000, large)):
        assert (figures["waiting"], figures["drained"], figures["left"], figures["dropped"]) == (
            readings,
            readings,
            0,
            0,
        )
        assert figures["open_us"] < 100_000
        assert figures["open_reads"] < 2000  # each about 20 us on an ESP32; listing the folder would be 8,500
    assert 3000 * 600 >= 72 * 3600
    assert large["ram"] - small["ram"] < 1024  # 38 more segment names; 2,500 readings would be 100 KB


def test_the_ring_gives_up_the_oldest_and_counts_them(tmp_path: Path) -> None:
    """With 4,500 readings in 256 KiB the oldest are dropped; waiting and dropped add up, all others arrive."""
    figures = capacity(tmp_path, 4500)
    assert figures["dropped"] > 0
    assert figures["waiting"] + figures["dropped"] == 4500
    assert figures["drained"] == figures["waiting"] > 72 * 6


def test_flash_outlives_the_node(tmp_path: Path) -> None:
    """A reading with its ack costs about one erase, and the most worn block lasts 30 years of readings every 600 s."""
    readings = 700
    figures = capacity(tmp_path, readings, ack=1)
    assert figures["erases"] <= readings * 1.25
    erases_a_day = figures["worst"] * 144 / readings
    assert 100_000 / erases_a_day / 365 > 30
