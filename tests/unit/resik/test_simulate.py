"""The group of `resik simulate`: its subcommands are modules, imported when they are needed."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from resik.cli import main
from resik.simulate import SUBCOMMANDS
from tests.services import free_port


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_explains_itself(name):
    """Each is there and has a help page of its own."""
    result = CliRunner().invoke(main, ["simulate", name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"simulate {name}" in result.output


def test_the_group_lists_what_it_has():
    """Help names every subcommand with a sentence that is not cut off in its middle."""
    result = CliRunner().invoke(main, ["simulate", "--help"])
    listed = result.output.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == sorted(SUBCOMMANDS)
    assert all(not line.endswith("...") for line in listed if "load" in line)


def test_a_subcommand_that_is_not_there_is_refused():
    """A misspelt one is an error, not a service that starts."""
    result = CliRunner().invoke(main, ["simulate", "lead"])
    assert result.exit_code == 2
    assert "lead" in result.output


def test_the_command_line_does_not_wait_for_the_simulator():
    """Commands that do not simulate import neither numpy nor a model."""
    code = "import sys, resik.cli; print(sorted(m for m in sys.modules if m.split('.')[0] in ('numpy', 'simulators')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--real-nodes", "2", "--scenario", "haul"], "not for --real-nodes"),
        (["--real-nodes", "2", "--speed", "60"], "not for --real-nodes"),
        (["load", "--ingest-workers", "0"], "--ingest-workers"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments, words):
    """Nobody waits for a run that does something else than was asked."""
    result = CliRunner().invoke(main, ["simulate", *arguments])
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "load", "--seconds", "1"],
        ["simulate", "--real-nodes", "1", "--hours", "0.1"],
        ["demo", "--for", "1"],
    ],
)
def test_an_absent_store_is_told_before_anything_starts(command, tmp_path, monkeypatch):
    """Whoever looks up each reading at the end asks for the store at the beginning: where, and what to do."""
    monkeypatch.chdir(tmp_path)
    url = f"influx1://127.0.0.1:{free_port()}/resik"
    (tmp_path / "resik.toml").write_text(f'[stack]\nstore_url = "{url}"\n')
    result = CliRunner().invoke(main, [*command, "--config", "resik.toml"])
    assert result.exit_code == 2
    sentence = result.stderr.strip().splitlines()[-1]
    assert f"no answer from InfluxDB 1.x at http://{url[10:].removesuffix('/resik')}" in sentence
    assert "start that store, or name another (--store" in sentence
    assert [file.name for file in tmp_path.iterdir()] == ["resik.toml"], "no folder was made"


def test_json_alone_plays_a_scenario(monkeypatch):
    """Without a terminal it is one object, not a service that looks for a broker."""
    monkeypatch.setattr("resik.simulate_live.LiveSquare.play", lambda self: {"played": self.scenario.id})
    result = CliRunner().invoke(main, ["simulate", "--json"])
    assert (result.exit_code, "played" in result.output) == (0, True)
