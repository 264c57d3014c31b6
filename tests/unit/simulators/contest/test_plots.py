"""Pictures: the same result is the same file, and every policy and every aim is in it."""

import pytest

from simulators.contest.grade import BOUND_FIGURES, SeedResult, summary
from simulators.contest.intervals import Interval
from simulators.contest.measures import FIGURES
from simulators.contest.plots import plot_grade, plot_sweep
from simulators.contest.sweep import Cell, Sweep
from tests.unit.simulators.contest.stages import stage


def grade():
    rows = [
        SeedResult(
            seed,
            {name: dict.fromkeys(FIGURES, float(seed)) for name in ("a-policy", "another")},
            dict.fromkeys(BOUND_FIGURES, 0.5),
            1,
        )
        for seed in (1, 2, 3)
    ]
    return summary(stage(), ["a-policy", "another"], 0.01, rows)


def sweep(bins=(48,)):
    cells = [
        Cell(crews, number, {"a-policy": dict.fromkeys(FIGURES, Interval(10.0 / crews, 1.0, 12.0 / crews))}, {})
        for number in bins
        for crews in (6, 7, 8)
    ]
    return Sweep("haul", 1.0, (1, 2), "overflow_bin_minutes", 1.4, cells)


@pytest.mark.parametrize(("draw", "result", "suffix"), [(plot_grade, grade, ".svg"), (plot_sweep, sweep, ".png")])
def test_the_same_result_is_the_same_file(tmp_path, draw, result, suffix):
    """No date, no random id: a picture in the docs changes only with its figures."""
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    draw(result(), one)
    draw(result(), two)
    assert one.read_bytes() == two.read_bytes()


def test_a_sweep_over_bins_names_each_line(tmp_path):
    """Several numbers of bins are told apart in the legend; the file stays small."""
    path = tmp_path / "sweep.svg"
    plot_sweep(sweep(bins=(40, 48)), path)
    assert path.stat().st_size < 200_000
    plot_sweep(sweep(), tmp_path / "one.svg")
    assert path.read_bytes() != (tmp_path / "one.svg").read_bytes()
