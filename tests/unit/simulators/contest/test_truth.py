"""Logs of truth and belief: what is written is read again, and what is wrong is named with its line."""

import pickle
from pathlib import Path

import msgspec
import pytest

from simulators.contest.errors import LogError
from simulators.contest.loop import Loop
from simulators.contest.score import score
from simulators.contest.threshold import Threshold
from simulators.contest.truth import LogWriter, NodeFault, read_belief, read_truth
from simulators.faults import Fault
from tests.unit.simulators.contest.logs import belief_log, perfect, truth
from tests.unit.simulators.contest.stages import NINE_S, stage

MINUTES = 180


def lines(path, *entries):
    path.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    return path


def test_logs_are_read_as_they_were_written(tmp_path):
    """Head, fills, emptyings, faults and beliefs come back equal; empty lines do not count."""
    one, said = truth(), belief_log(perfect())
    read = read_truth(lines(tmp_path / "t", one.head, *one.fills, *one.emptied, *one.faults))
    assert (read.fills, read.emptied, read.faults) == (one.fills, one.emptied, one.faults)
    path = lines(tmp_path / "b", said.head, *said.beliefs)
    path.write_bytes(path.read_bytes() + b"\n \n")
    assert read_belief(path) == said


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"", 1, "first line"),
        (b'{"kind":"fill","at_ms":1,"fill_pct":[]}\n', 1, "first line"),
        (b"HEAD{not json}\n", 2, "not a line of a truth log"),
        (b'HEAD{"kind":"fill","at_ms":1,"fill_pct":[1.0]}\n', 2, "1 values for 3 bins"),
        (b'HEAD{"kind":"other"}\n', 2, "not a line of a truth log"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, line, what):
    """The error says which line of which file, and what is wrong with it."""
    path = tmp_path / "truth.jsonl"
    path.write_bytes(text.replace(b"HEAD", msgspec.json.encode(truth().head) + b"\n"))
    with pytest.raises(LogError, match=what) as caught:
        read_truth(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_an_error_travels_between_processes():
    """What a worker could not write is told by the process that asked."""
    error = pickle.loads(pickle.dumps(LogError(Path("a.jsonl"), 3, "is odd", "Mend it.")))  # noqa: S301 - ours
    assert (str(error), error.line) == ("a.jsonl:3: is odd. Mend it.", 3)


def test_another_schema_is_refused(tmp_path):
    """A file of a later program is not half understood."""
    with pytest.raises(LogError, match="schema 2"):
        read_truth(lines(tmp_path / "t", msgspec.structs.replace(truth().head, v=2)))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"thresholds_pct": [85.0]}, "not 4 rising thresholds"),
        ({"thresholds_pct": [50.0, 85.0, 70.0, 100.0]}, "not 4 rising thresholds"),
        ({"interval_s": [600]}, "1 values for 3 bins"),
    ],
)
def test_a_first_line_that_does_not_fit_its_bins_is_named(tmp_path, changed, what):
    """What the whole score rests on is checked before it is used."""
    with pytest.raises(LogError, match=what) as caught:
        read_truth(lines(tmp_path / "t", msgspec.structs.replace(truth().head, **changed)))
    assert (caught.value.line, "Give " in str(caught.value)) == (1, True)


def test_a_belief_may_leave_out_what_it_does_not_know(tmp_path):
    """Only fill and level: everything else is not judged."""
    path = tmp_path / "belief.jsonl"
    head = msgspec.json.encode(truth().head) + b"\n"
    path.write_bytes(
        head + b'{"kind":"belief","at_ms":1795485600000,"fill_pct":[1,2,null],"level":["a","b","unknown"]}\n'
    )
    found = score(truth(), read_belief(path))
    assert (found["fill"]["count"], found["stale"]["stale_as_current"]) == (2, None)


def test_a_run_writes_logs_that_can_be_scored(tmp_path):
    """The threshold policy of a crowded morning with a stuck, a silent and a stolen sensor, scored from its files."""
    faults = (
        Fault(NINE_S, NINE_S + 1e5, "node:rsk-b003", "stuck", 20.0),
        Fault(NINE_S + 1800, NINE_S + 9000, "node:rsk-b004", "silent"),
    )
    played = stage(factor=12.0, fill=(40.0, 100.0), faults=faults)
    writer = LogWriter.for_run(tmp_path / "logs", played, "threshold", 1)
    Loop(played, Threshold(), seed=1, minutes=MINUTES, recorder=writer).run()
    writer.close()
    log = read_truth(tmp_path / "logs" / "quiet-tuesday-threshold-1.truth.jsonl")
    assert (
        NodeFault("bin-004", "silent", round(NINE_S * 1000) + 1_800_000, round(NINE_S * 1000) + 9_000_000) in log.faults
    )
    found = score(log, read_belief(tmp_path / "logs" / "quiet-tuesday-threshold-1.belief.jsonl"))
    assert found["moments"] == MINUTES // 10
    assert found["fill"]["mae_pct"] < 12
    assert found["full"]["recall"] > 0.8
    assert found["emptied"]["recall"] > 0.8
    assert found["silence"]["recall"] == 1.0
    assert 1800 <= found["silence"]["delay_median_s"] <= 3000
    assert found["fault"]["recall_by_kind"] == {"stuck": 0.0}, "nobody looks for sensors that never move yet"
