"""What the drivers cost in flash, and that the flashed form works."""

import subprocess
from pathlib import Path

import pytest

from tests.firmware import micropython

DRIVERS = micropython.ROOT / "firmware" / "drivers"
COMMON = ["__init__", "i2c", "sensirion", "voltage"]
NODES = {
    "bin": ["ultrasonic", "vl53l1x", "ds18b20", "sht31", "lis3dh", "contact"],
    "air": ["pms5003", "sps30", "sht31", "bme280", "sgp40"],
}
BUDGET_BYTES = 16_000


def compile_drivers(names: list[str], folder: Path) -> dict[str, int]:
    """Compile as for the device and return the size of each."""
    sizes = {}
    for name in names:
        target = folder / f"{name}.mpy"
        command = [*micropython.require_mpy_cross(), "-s", f"{name}.py", str(DRIVERS / f"{name}.py"), "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        sizes[name] = target.stat().st_size
    return sizes


@pytest.mark.parametrize("kind", NODES)
def test_all_drivers_of_a_node_fit(kind: str, tmp_path: Path) -> None:
    """Every driver that a kind of node may need, together, is under 16 kB of bytecode; the sizes are printed."""
    sizes = compile_drivers(COMMON + NODES[kind], tmp_path)
    print(kind, sizes, sum(sizes.values()))  # noqa: T201 - shown by -rP
    assert 1_000 < sum(sizes.values()) < BUDGET_BYTES


def test_every_driver_belongs_to_a_node() -> None:
    """No driver is outside the budget above."""
    counted = {*COMMON, *NODES["bin"], *NODES["air"]}
    assert {path.stem for path in DRIVERS.glob("*.py")} == counted


def test_the_bytecode_imports(tmp_path: Path) -> None:
    """The compiled drivers load on MicroPython without their sources, all of them in the heap of a node."""
    folder = tmp_path / "firmware" / "drivers"
    folder.mkdir(parents=True)
    names = sorted({*COMMON, *NODES["bin"], *NODES["air"]})
    compile_drivers(names, folder)
    (tmp_path / "firmware" / "__init__.py").touch()
    script = tmp_path / "main.py"
    lines = [f"import firmware.drivers.{name}" for name in names if name != "__init__"]
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport asyncio, gc\n"
        "gc.collect()\nbefore = gc.mem_alloc()\n"
        + "\n".join(lines)
        + "\ngc.collect()\nprint(firmware.drivers.__file__.endswith('.mpy'), gc.mem_alloc() - before)\n"
    )
    result = micropython.run(script)
    assert result.returncode == 0, result.stderr
    is_bytecode, heap_bytes = result.stdout.split()
    print("heap of all drivers:", heap_bytes)  # noqa: T201 - shown by -rP
    assert is_bytecode == "True"
    assert int(heap_bytes) < 40_000
