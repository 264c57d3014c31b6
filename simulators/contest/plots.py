"""Pictures of a contest and of a sweep. matplotlib is loaded only here."""

from pathlib import Path
from typing import Any, Final

from simulators.contest.grade import Grade
from simulators.contest.intervals import Interval
from simulators.contest.measures import FIGURES
from simulators.contest.sweep import Sweep

SHOWN: Final = ("overflow_bin_minutes", "litter_hours", "crew_minutes", "distance_m", "wasted_visits", "lateness_p90_s")
INKS: Final = ("#1f6f8b", "#c2571a", "#3f7d3a", "#7a4f9a", "#8a6d1b", "#444444")
"""Dark enough for print, apart for the colour-blind."""
_DPI: Final = 110


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import rc_context

    # No date inside: the same result is the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "resik"}):
        figure.savefig(path, dpi=_DPI, metadata=metadata)


def plot_grade(grade: Grade, path: Path) -> None:
    """Draw each figure of the contest with its interval, policies beside each other; the bound as a line."""
    figure = _figure(10, 5.4)
    axes = figure.subplots(2, 3)
    names = list(grade.policies)
    for axis, shown in zip(axes.flat, SHOWN, strict=True):
        for place, name in enumerate(names):
            one = grade.policies[name][shown]
            axis.bar(place, one.mean, color=INKS[place % len(INKS)], width=0.65)
            axis.errorbar(place, one.mean, yerr=_ends(one), color="black", capsize=4, linewidth=1)
        if shown in grade.bound:
            axis.axhline(grade.bound[shown].mean, color="black", linestyle=":", linewidth=1)
        unit = FIGURES[shown][0]
        axis.set_title(f"{shown} [{unit}]" if unit else shown, fontsize=9)
        axis.set_xticks(range(len(names)), names, fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    runs = f"{grade.scenario}: {grade.days:g} d, {len(grade.seeds)} seeds"
    figure.suptitle(f"{runs}, mean and 95 % interval; dotted: nobody can do better", fontsize=10)
    _save(figure, path)


def plot_sweep(sweep: Sweep, path: Path) -> None:
    """Draw the figure of the sweep against the number of crews: a line for each policy and number of bins."""
    bins = list(dict.fromkeys(cell.bins for cell in sweep.cells))
    names = list(sweep.cells[0].policies)
    figure = _figure(8, 4.6)
    axis = figure.subplots()
    styles = ("-", "--", "-.", ":")
    for place, name in enumerate(names):
        for n, number in enumerate(bins):
            row = [cell for cell in sweep.cells if cell.bins == number]
            crews = [cell.crews for cell in row]
            points = [cell.policies[name][sweep.figure] for cell in row]
            ink = INKS[(place if len(names) > 1 else n) % len(INKS)]
            label = f"{name}, {number} bins" if len(bins) > 1 else name
            axis.plot(
                crews, [p.mean for p in points], styles[n % len(styles)], color=ink, marker="o", ms=4, label=label
            )
            axis.fill_between(crews, [p.low for p in points], [p.high for p in points], color=ink, alpha=0.15)
    axis.axhline(sweep.aim, color="black", linewidth=1, linestyle=":")
    axis.annotate(
        f"aim {sweep.aim:g}",
        (0.995, sweep.aim),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8,
    )
    unit = FIGURES[sweep.figure][0]
    axis.set_xlabel("crews of the day, all shifts together")
    axis.set_ylabel(f"{sweep.figure} [{unit}]" if unit else sweep.figure)
    axis.set_ylim(bottom=0)
    axis.set_title(f"{sweep.scenario}: {sweep.days:g} d, {len(sweep.seeds)} seeds, mean and 95 % interval", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _ends(one: Interval) -> list[list[float]]:
    return [[max(0.0, one.mean - one.low)], [max(0.0, one.high - one.mean)]]
