"""``resik simulate grade``: policies against each other on the same square, and how many crews or bins it takes."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resik.complaints import plainly
from resik.errors import StackError
from resik.finite import FiniteRange

if TYPE_CHECKING:
    from rich.console import Console

    from simulators.contest.grade import Grade
    from simulators.contest.intervals import Interval
    from simulators.contest.sweep import Sweep

SUFFIXES = (".png", ".svg", ".pdf")
DEFAULT_POLICIES = "fixed,threshold,predictive"
DEFAULT_FIGURE = "overflow_bin_minutes"


@click.command("grade")
@click.option("--scenario", default="quiet-tuesday", show_default=True, help="A shipped scenario, or a file.")
@click.option(
    "--policies",
    default=DEFAULT_POLICIES,
    show_default=True,
    help="Names, separated by commas; the others are compared with the first.",
)
@click.option("--days", type=FiniteRange(0, 366, min_open=True), help="Length of a run; unset: the scenario's own.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many worlds.")
@click.option("--plan", help='Sweep the size of the square, for example "crews=6..14 bins=40..70".')
@click.option("--figure", help=f"With --plan: what must be kept low [{DEFAULT_FIGURE}].")
@click.option("--aim", type=FiniteRange(0), help="With --plan: how low; unset: bins overflow 1 % of the time.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes; unset: one for each core.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the result: a file .png, .svg or .pdf."
)
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Folder for truth and belief of every run."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@plainly
def command(
    *,
    scenario: str,
    policies: str,
    days: float | None,
    seeds: int,
    plan: str | None,
    figure: str | None,
    aim: float | None,
    jobs: int | None,
    plot: Path | None,
    logs: Path | None,
    as_json: bool,
) -> None:
    """Let policies run the same square, seed by seed, and compare what it cost.

    Every policy meets the same visitors, weather, mishaps, sensors and crews. Printed are means over the seeds with
    their 95 % intervals, the difference to the first policy, and what nobody could do better.
    """
    from rich.console import Console

    from simulators.contest.grade import play
    from simulators.contest.plots import plot_grade, plot_sweep
    from simulators.contest.stage import Stage
    from simulators.contest.sweep import parse_plan, play_sweep
    from simulators.scenario import load_scenario_and_site

    names = tuple(dict.fromkeys(name.strip() for name in policies.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("name at least one policy, for example fixed,threshold", param_hint="--policies")
    if plot is not None and plot.suffix not in SUFFIXES:
        raise click.BadParameter(f"write a file that ends with {', '.join(SUFFIXES)}", param_hint="--plot")
    if plot is not None:
        _check_writable(plot)
    if plan is None and (figure is not None or aim is not None):
        raise click.BadParameter("only a sweep has something to keep low: add --plan", param_hint="--figure, --aim")
    if plan is not None and logs is not None:
        raise click.BadParameter("truth and belief are kept of a contest, not of a sweep", param_hint="--logs")
    chosen, site = load_scenario_and_site(scenario)
    length_d = chosen.hours / 24 if days is None else days
    worlds = tuple(range(chosen.seed, chosen.seed + seeds))
    workers = jobs or os.cpu_count() or 1
    console = Console(stderr=True)
    if plan is None:
        stage = Stage.of(chosen, site)
        with _bar(console, len(worlds), chosen.id) as done:
            grade = play(stage, names, seeds=worlds, days=length_d, jobs=workers, logs=logs, done=done)
        _print(grade.as_json() if as_json else None, lambda out: _show_grade(out, grade))
        if plot is not None:
            with _writing(plot):
                plot_grade(grade, plot)
        return
    grid = parse_plan(plan)
    cells = len(grid.get("crews", [0])) * len(grid.get("bins", [0]))
    with _bar(console, cells * len(worlds), chosen.id) as done:
        sweep = play_sweep(
            chosen,
            names,
            grid,
            seeds=worlds,
            days=length_d,
            figure=figure or DEFAULT_FIGURE,
            aim=aim,
            jobs=workers,
            done=done,
        )
    _print(sweep.as_json() if as_json else None, lambda out: _show_sweep(out, sweep))
    if plot is not None:
        with _writing(plot):
            plot_sweep(sweep, plot)


def _check_writable(plot: Path) -> None:
    """Find out before the contest, not after it, that its picture cannot be kept."""
    if not plot.parent.is_dir():
        raise click.BadParameter(f"there is no folder {plot.parent}: make it, or choose another", param_hint="--plot")
    is_new = not plot.exists()
    try:
        with plot.open("ab"):
            pass
        if is_new:
            plot.unlink()
    except OSError as error:
        raise click.BadParameter(
            f"{plot} cannot be written ({error.strerror}): choose another place", param_hint="--plot"
        ) from error


@contextmanager
def _writing(plot: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StackError(f"{plot} cannot be written ({error.strerror}): choose another place with --plot") from error


def _print(result: dict[str, Any] | None, show: "Callable[[Console], None]") -> None:
    if result is not None:
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    from rich.console import Console

    show(Console())


@contextmanager
def _bar(console: "Console", total: int, what: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal, nothing elsewhere; yields what to call after each step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _show_grade(console: "Console", grade: "Grade") -> None:
    from rich.table import Table

    from simulators.contest.measures import FIGURES

    names = list(grade.policies)
    title = f"{grade.scenario}: {grade.days:g} d, {len(grade.seeds)} seeds, mean ± half of the 95 % interval"
    table = Table(title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    for name in (*names, "bound"):
        table.add_column(name, justify="right")
    for figure in FIGURES:
        known = grade.bound.get(figure)
        cells = (_cell(grade.policies[name][figure]) for name in names)
        table.add_row(figure, *cells, "" if known is None else _cell(known))
    console.print(table)
    if len(names) > 1:
        table = Table(title=f"difference to {names[0]}, seed by seed", title_justify="left")
        table.add_column("figure", no_wrap=True)
        for name in names[1:]:
            table.add_column(name, justify="right")
        for figure in FIGURES:
            table.add_row(figure, *(_cell(grade.differences[name][figure], "+") for name in names[1:]))
        console.print(table)
    for words in grade.unserved:
        console.print(f"cannot be done by anybody: {words}", soft_wrap=True)


def _cell(one: "Interval", sign: str = "") -> str:
    half = one.high - one.mean
    digits = ",.0f" if max(abs(one.mean), half) >= 100 else ",.1f"  # noqa: PLR2004 - digits that matter
    return f"{format(one.mean, sign + digits)} ± {format(half, digits)}" if half else format(one.mean, sign + digits)


def _show_sweep(console: "Console", sweep: "Sweep") -> None:
    from rich.table import Table

    names = list(sweep.cells[0].policies)
    table = Table(title=f"{sweep.scenario}: {sweep.figure}, {sweep.days:g} d, {len(sweep.seeds)} seeds")
    table.add_column("crews", justify="right")
    table.add_column("bins", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("bound", justify="right")
    for cell in sweep.cells:
        table.add_row(
            str(cell.crews),
            str(cell.bins),
            *(_cell(cell.policies[name][sweep.figure]) for name in names),
            _cell(cell.bound[sweep.figure]) if sweep.figure in cell.bound else "",
        )
    console.print(table)
    for answer in sweep.answers:
        words = "no number of crews tried here" if answer["crews"] is None else f"{answer['crews']} crews"
        console.print(
            f"{answer['policy']}, {answer['bins']} bins: {words} for {sweep.figure} of at most {sweep.aim:g}",
            soft_wrap=True,
        )
