"""`resik simulate grade` and `score`: what is printed, what is drawn, and what is refused with a sentence."""

import json

import pytest
from click.testing import CliRunner

from resik.cli import main

SHORT = ("--days", "0.05", "--seeds", "2", "--jobs", "1")


def run(*arguments):
    return CliRunner().invoke(main, ["simulate", *arguments])


def test_json_and_table_tell_the_same(tmp_path):
    """One contest as JSON and as a table: same means, with the picture and the logs beside it; logs can be scored."""
    logs, plot = tmp_path / "logs", tmp_path / "grade.svg"
    names = ("--policies", "fixed,threshold")
    found = run("grade", *SHORT, *names, "--json", "--plot", str(plot), "--logs", str(logs))
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert result["scenario"] == "quiet-tuesday"
    assert len(result["seeds"]) == 2
    assert set(result["policies"]["fixed"]["overflow_bin_minutes"]) == {"mean", "low", "high"}
    assert "<svg" in plot.read_text(encoding="utf-8")[:400]
    table = run("grade", *SHORT, *names).output
    assert "quiet-tuesday: 0.05 d, 2 seeds" in table
    assert "difference to fixed" in table
    for name in ("overflow_bin_minutes", "lateness_p90_s", "complaints"):
        assert name in table
    belief = min(logs.glob("*-threshold-*.belief.jsonl"))
    truth = belief.with_name(belief.name.replace("belief", "truth"))
    scored = run("score", "--truth", str(truth), "--belief", str(belief), "--json")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["who"] == "threshold"
    assert "precision" in run("score", "--truth", str(truth), "--belief", str(belief)).output


def test_a_sweep_answers_in_words_and_in_json(tmp_path):
    """The smallest number of crews that keeps the aim, and a picture."""
    plot = tmp_path / "sweep.png"
    options = (*SHORT, "--policies", "threshold", "--plan", "crews=3..6..3", "--aim", "1000000")
    found = run("grade", *options, "--plot", str(plot))
    assert found.exit_code == 0, found.output
    assert "threshold, 48 bins: 3 crews for overflow_bin_minutes of at most 1e+06" in found.output.replace("\n", " ")
    assert plot.read_bytes().startswith(b"\x89PNG")
    result = json.loads(run("grade", *options, "--json").stdout)
    assert result["answers"] == [{"policy": "threshold", "bins": 48, "crews": 3}]
    assert [cell["crews"] for cell in result["cells"]] == [3, 6]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grade", "--scenario", "no-such"), "quiet-tuesday"),
        (("grade", "--policies", "magic"), 'no policy "magic": choose among fixed'),
        (("grade", "--policies", ","), "at least one policy, for example fixed"),
        (("grade", "--plan", "crews=3 crews=4"), "stands twice in the plan: give it one range"),
        (("grade", "--plan", "6"), "write a range like crews=6..14"),
        (("grade", "--plan", "crews=9..6"), "smaller number first"),
        (("grade", "--plan", "crews=6", "--figure", "luck"), 'no figure "luck": choose among overflow_bin_minutes'),
        (("grade", "--plot", "picture.gif"), ".png, .svg, .pdf"),
        (("grade", "--plan", "crews=6", "--logs", "x"), "not of a sweep"),
        (("grade", "--days", "nan"), "nan"),
        (("grade", "--plan", "crews=6", "--aim", "nan"), "nan"),
        (("grade", "--plot", "/no-such-folder/x.png"), "there is no folder /no-such-folder: make it"),
        (("grade", *SHORT, "--policies", "fixed", "--logs", "/dev/null/x"), "Not a directory. Name with --logs"),
        (("grade", "--plot", "/proc/x.png"), "(No such file or directory): choose another"),
        (("score", "--truth", "no-such", "--belief", "x"), "no-such: cannot be read: No such file"),
        (("score", "--truth", "/", "--belief", "x"), "/: cannot be read: Is a directory. Give a"),
        (("grade", "--figure", "crew_minutes"), "add --plan"),
        (("grade", "--aim", "5"), "add --plan"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, words):
    """Exit code 2, no traceback, and the remedy."""
    found = run(*arguments)
    assert found.exit_code == 2
    assert words in found.output
    assert "Traceback" not in found.output


def test_logs_of_two_squares_are_not_scored(tmp_path):
    """A broken file and one about other bins are named, not computed with."""
    head = '{"kind":"square","v":1,"site":"a","scenario":"b","assets":%s,'
    head += '"thresholds_pct":[50,70,85,100],"interval_s":[600]}\n'
    truth, belief = tmp_path / "truth.jsonl", tmp_path / "belief.jsonl"
    truth.write_text(head % '["bin-1"]' + '{"kind":"fill","at_ms":1,"fill_pct":[1.0]}\n')
    belief.write_text(head % '["bin-2"]')
    found = run("score", "--truth", str(truth), "--belief", str(belief))
    assert (found.exit_code, "nothing of bin-1" in found.output) == (2, True)
    assert f"simulate score: {belief}, against {truth}: " in found.stderr
    assert "take two logs of one square" in found.output
    belief.write_text("nonsense\n")
    found = run("score", "--truth", str(truth), "--belief", str(belief))
    assert found.exit_code == 2
    assert f"{belief}:1: not a line of a belief log" in found.output
    assert "docs/contest.md has the format" in found.output
