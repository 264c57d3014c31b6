"""A scenario on the whole stack: its faults strike processes, and every reading is stored once all the same."""

import json

import pytest

from tests.e2e.square import run_resik

pytestmark = pytest.mark.e2e

SCENARIO = """
schema = 1
id = "many-faults"
name_id = "Banyak gangguan"
name_en = "Many faults"
about_id = "Gerbang mati, jalur putus, penyimpan tak menjawab, cakram penuh, jam melompat."
about_en = "The gateway dies, the line is cut, the store is away, the disk is full, the clock jumps."
day = 2026-11-24
start = "16:30"
hours = 2
initial_fill_pct = [60, 97]
"""
FAULTS = (
    ("0:03", "gateway", "down", 2),
    ("0:06", "uplink", "cut", 3),
    ("0:10", "store", "down", 3),
    ("0:14", "disk", "full", 3),
    ("0:18", "broker", "down", 2),
    ("0:21", "clock", "jump", None),
)


def scenario(folder):
    tables = "".join(
        f'[[fault]]\nat = "+{at}"\ntarget = "{target}"\nkind = "{kind}"\n'
        + (f"for_min = {minutes}\n" if minutes is not None else "strength = 300\n")
        for at, target, kind, minutes in FAULTS
    )
    path = folder / "many-faults.toml"
    path.write_text(SCENARIO + tables, encoding="utf-8")
    return path


def test_no_reading_is_lost_to_any_fault_of_the_stack(tmp_path):
    """Six faults within 25 square minutes: all of them happen, and what was published is stored, once."""
    words = ["--scenario", str(scenario(tmp_path)), "--for", "25", "--speed", "60", "--json"]
    done = run_resik("demo", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == len(FAULTS)
    assert report["published"] == report["stored"] > 100
    assert [report[key] for key in ("lost", "duplicated", "dead_lettered", "unknown", "restarts")] == [0] * 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["up", "--scenario", "no-such"], "no-such"),
     (["up", "--real", "--scenario", "quiet-tuesday"], "leave --real or --scenario out"),
     (["demo", "--scenario", "quiet-tuesday", "--site", "x"], "leave --site out")],
)  # fmt: skip
def test_what_does_not_go_together_is_told_before_anything_starts(tmp_path, words, sentence):
    """One sentence with the remedy, and no data folder is made."""
    done = run_resik(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
