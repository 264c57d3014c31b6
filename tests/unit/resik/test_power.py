"""The table of `resik power`."""

import json

import pytest
from click.testing import CliRunner

from resik import node_bundle, power
from resik.errors import StackError

ENERGY = {
    "inputs": {"battery_mah": 3000, "active_ma": 120, "sleep_ua": 100, "wake_s": 8, "usable_pct": 80},
    "wakes": 122, "radio": 32533, "measure": 0, "fan": 0, "sleep": 2400, "total": 34933, "update": 4000, "days": 63,
}  # fmt: skip


def test_the_table_names_shares_inputs_and_what_dominates():
    """Indonesian comes first; shares of zero are left out; each input stands with its unit."""
    text = power.power_text(ENERGY)
    lines = text.splitlines()
    assert lines[0].startswith("Umur baterai sekitar 63 hari pada 122 bacaan")
    assert lines[1].startswith("The battery lasts about 63 days")
    assert "awake and sending" in text
    assert "93.1 %" in text  # 32,533 of 34,933
    assert "fan of the particle" not in text
    assert "dominates: bangun dan mengirim" in text
    assert any("active_ma" in line and "120 mA" in line for line in lines)
    assert "mains" not in text


def test_inputs_of_a_fan_show_with_a_fan():
    """A node without particle sensor says nothing of one."""
    inputs = ENERGY["inputs"] | {"fan_ma": 100, "warm_s": 30}
    assert "fan_ma" not in power.power_text(ENERGY | {"inputs": inputs})
    assert "fan_ma" in power.power_text(ENERGY | {"inputs": inputs, "fan": 5000})


def test_a_short_life_says_so():
    """Below 30 days the table names mains or solar; at 30 it does not."""
    assert "mains or solar" in power.power_text(ENERGY | {"days": 29})
    assert "mains or solar" not in power.power_text(ENERGY | {"days": 30})


def test_the_command_hands_on_and_speaks_to_programs(tmp_path, monkeypatch):
    """--json prints what the check said; --wakes-per-day reaches it; a missing file is one sentence."""
    config = tmp_path / "config.json"
    config.write_text("{}")
    asked = []
    monkeypatch.setattr(node_bundle, "check_configuration", lambda *words: asked.append(words) or ENERGY)
    result = CliRunner().invoke(power.power, ["--config", str(config), "--wakes-per-day", "24", "--json"])
    assert json.loads(result.output) == ENERGY
    assert asked == [(config, 24)]
    missing = CliRunner().invoke(power.power, ["--config", str(tmp_path / "none.json")])
    assert missing.exit_code == 2
    assert "name the config.json of a node" in missing.output


@pytest.mark.parametrize("answer", ["", "no json", "[]", "{}", '{"errors": 3}'])
def test_a_check_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch, answer):
    """Whatever the check prints instead of its answer ends in one sentence, never in a traceback."""

    class Done:
        stdout = answer
        stderr = ""

    monkeypatch.setattr(node_bundle.subprocess, "run", lambda *_args, **_kwargs: Done())
    with pytest.raises(StackError, match="could not be checked"):
        node_bundle.check_configuration(tmp_path / "config.json")
