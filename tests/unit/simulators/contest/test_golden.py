"""Golden figures: every shipped scenario comes to what it came to before, in this process and on other arithmetic."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.contest.golden import check_golden, differences, golden_of, write_golden
from simulators.scenario import shipped_scenarios

FOLDER = Path(__file__).resolve().parents[1] / "golden"
NO_WIDE_ARITHMETIC = "SSE3 SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX"
REMEDY = "if this was meant: resik simulate scenarios golden --write, and read the difference"


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_scenario_comes_to_its_golden_figures(name):
    """The first hours of it, to six digits."""
    wanted = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert differences(wanted, golden_of(name)) == [], REMEDY


def test_every_golden_file_has_its_scenario():
    """A scenario that is gone leaves no file behind."""
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(shipped_scenarios())


def test_another_machine_finds_the_same():
    """A process without the wide instructions of this processor, with other hashes, finds the golden figures too."""
    program = "from simulators.contest.golden import golden_text as g; print(g('sensor-epidemic'), end='')"
    environment = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": NO_WIDE_ARITHMETIC,
        "PYTHONHASHSEED": "7",
        "PYTHONWARNINGS": "ignore",
    }
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, env=environment)
    assert run.stdout == (FOLDER / "sensor-epidemic.json").read_text(encoding="utf-8")


def test_what_moved_is_named(tmp_path, monkeypatch):
    """Written, then changed by hand: the difference says where, what was and what is; a missing file is missing."""
    monkeypatch.setattr("simulators.contest.golden.shipped_scenarios", lambda: ("quiet-tuesday",))
    monkeypatch.setattr("simulators.contest.golden.MINUTES", 30)
    assert check_golden(tmp_path)[0].startswith("quiet-tuesday:")
    (path,) = write_golden(tmp_path)
    assert check_golden(tmp_path) == []
    assert write_golden(tmp_path) == []
    moved = json.loads(path.read_text())
    moved["figures"]["emptyings"] += 1
    path.write_text(json.dumps(moved))
    was, now = moved["figures"]["emptyings"], moved["figures"]["emptyings"] - 1
    assert check_golden(tmp_path) == [f"quiet-tuesday: figures.emptyings: was {was}, is {now}"]
