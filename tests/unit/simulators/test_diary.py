"""The truth of a live square, written down while it happens."""

from pathlib import Path

import pytest

from simulators.contest.square_view import SquareView
from simulators.contest.truth import Head, NodeFault, head_of, read_truth
from simulators.diary import EVERY_MS, Diary
from simulators.world import World
from square.errors import SettingsError
from square.site import load_site

START_S = 1_795_000_200.0
HEAD = Head(1, "s", "", ["a", "b"], [50, 70, 85, 100], [600, 600])


def test_a_diary_goes_on_where_the_last_start_ended(tmp_path: Path) -> None:
    """One head and one list of faults, whatever often it is opened; lines of both starts."""
    path = tmp_path / "in" / "truth.jsonl"
    for start in range(2):
        diary = Diary(path, HEAD, [NodeFault("a", "stuck", 0, None)])
        diary.fill(start * EVERY_MS, [1.005, 2.0])
        diary.emptied(start * EVERY_MS + 1, "b", 2.0)
        diary.close()
    log = read_truth(path)
    assert (log.head, log.faults) == (HEAD, [NodeFault("a", "stuck", 0, None)])
    assert [one.at_ms for one in log.fills] == [0, EVERY_MS]
    assert [one.at_ms for one in log.emptied] == [1, EVERY_MS + 1]


def test_fills_are_kept_every_five_minutes_also_after_the_clock_went_back(tmp_path: Path) -> None:
    """A minute is a tick of the model, five are a line; a clock that is set back begins a new count."""
    diary = Diary(tmp_path / "truth.jsonl", HEAD)
    for minute in (*range(100, 111), *range(11)):
        diary.fill(minute * 60_000, [0.0, 0.0])
    diary.close()
    log = read_truth(diary.path)
    assert [one.at_ms // 60_000 for one in log.fills] == [100, 105, 110, 0, 5, 10]


@pytest.mark.parametrize("text", ["nonsense\n", '{"kind":"fill","at_ms":0,"fill_pct":[]}\n'])
def test_a_file_that_is_no_truth_of_this_square_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing is appended to a file that means something else."""
    path = tmp_path / "truth.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"truth_file: .*move it away"):
        Diary(path, HEAD)
    assert path.read_text(encoding="utf-8") == text


def test_another_plan_is_refused(tmp_path: Path) -> None:
    """The numbers of a line stand in the order of the bins: another list of bins would be misread."""
    path = tmp_path / "truth.jsonl"
    Diary(path, HEAD).close()
    with pytest.raises(SettingsError, match="another square or plan"):
        Diary(path, Head(1, "s", "", ["b", "a"], [50, 70, 85, 100], [600, 600]))


def test_a_full_disk_ends_the_diary_and_not_the_square() -> None:
    """/dev/full refuses every write: it is told once, and sensing goes on."""
    diary = Diary(Path("/dev/full"), HEAD)
    diary.fill(0, [0.0, 0.0])
    diary.emptied(1, "a", 0.0)
    diary.close()


def test_the_world_tells_its_truth(tmp_path: Path) -> None:
    """The file holds the fills of the model and what a bin held when it was emptied; the world is none the wiser."""
    site = load_site("alun-alun-pasuruan")
    worlds = [World(site, seed=3, start_s=START_S, initial_fill_pct=(20, 60)) for _ in range(2)]
    told = worlds[0]
    told.diary = Diary(tmp_path / "truth.jsonl", head_of(SquareView.of(site), site.id))
    before = 0.0
    for world in worlds:
        world.advance(START_S + 3600)
        before = world.model.fill_of("bin-001")
        world.empty("bin-001", START_S + 3630)
        world.advance(START_S + 7200)
    told.diary.close()
    log = read_truth(told.diary.path)
    assert worlds[0].snapshot() == worlds[1].snapshot()
    assert log.head.assets == [one.id for one in site.bins]
    assert (log.emptied[0].asset, log.emptied[0].before_pct) == ("bin-001", pytest.approx(before, abs=0.01))
    assert len(log.fills) == 25
    assert log.fills[-1].fill_pct == pytest.approx(told.model.fill_pct.tolist(), abs=0.01)
