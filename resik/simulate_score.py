"""``resik simulate score``: what was believed against what was true."""

import json
from pathlib import Path
from typing import Any

import click

from resik.complaints import plainly
from resik.errors import StackError

FILE = click.Path(path_type=Path)


@click.command("score")
@click.option("--truth", type=FILE, required=True, help="Truth log of a run (`resik simulate grade --logs`).")
@click.option("--belief", type=FILE, required=True, help="Belief log about the same bins, of whomever.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@plainly
def command(*, truth: Path, belief: Path, as_json: bool) -> None:
    """Score an estimate: fill, alarms, forecasts, emptyings, broken and silent sensors, stale values.

    The format of both files is in docs/contest.md: anything that writes a belief log can be scored.
    """
    from simulators.contest.score import score
    from simulators.contest.truth import read_belief, read_truth

    try:
        found = score(read_truth(truth), read_belief(belief))
    except ValueError as error:
        raise StackError(f"{belief}, against {truth}: {error}") from error
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{found['who'] or belief.name}: {found['bins']} bins, {found['moments']} moments")
    table.add_column("about")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for about, figures in found.items():
        if isinstance(figures, dict):
            for n, (figure, value) in enumerate(_flat(figures)):
                table.add_row("" if n else about, figure, "-" if value is None else f"{value:,.4g}")
    Console().print(table)


def _flat(figures: dict[str, Any], before: str = "") -> list[tuple[str, float | None]]:
    rows: list[tuple[str, float | None]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{before}{name} ")
        else:
            rows.append((f"{before}{name}", value))
    return rows
