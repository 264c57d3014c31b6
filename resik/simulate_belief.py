"""``resik simulate belief``: what the alert engine of a data folder believed, as a log that can be scored."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from resik.complaints import plainly
from resik.errors import StackError

MINUTE_MS: Final = 60_000


@click.command("belief")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data folder of a stack.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Belief log to write.")
@plainly
def command(*, data: Path, out: Path) -> None:
    """Write what the alert engine believed, minute by minute, for `resik simulate score`."""
    import sqlalchemy as sa

    from alerts.adapters.database import Database, fetch, open_engine
    from alerts.adapters.tables import CHANGES, CURSORS
    from resik.inspection import find_data, read_card
    from simulators.contest.square_view import SquareView
    from simulators.contest.truth import believed, head_of, line_of
    from square.site import load_site

    card = read_card(find_data(data))
    file = card.database_url.removeprefix("sqlite:///")
    if file != card.database_url and not Path(file).exists():
        raise StackError(f"{file} does not exist: the alert engine of {data} has kept nothing yet")
    site = load_site(card.site)
    square = SquareView.of(site)
    intervals = {asset_id: square.asset(asset_id).interval_s for asset_id in square.volumes_l}
    database = Database(open_engine(card.database_url))
    try:
        with database.reading() as connection:
            query = sa.select(CHANGES).where(CHANGES.c.site == site.id).order_by(CHANGES.c.id)
            changes = fetch(connection, query)
            pruned = connection.execute(sa.select(CURSORS.c.pruned_id).where(CURSORS.c.site == site.id)).scalar()
    finally:
        database.close()
    if pruned:
        click.echo("the change log was pruned: what was believed before its first line is gone", err=True)
    head = head_of(square, site.id, who="resik")
    rows_of = beliefs(changes, intervals)
    lines = [line_of(head), *(line_of(believed(at_ms, head.assets, rows)) for at_ms, rows in rows_of)]
    try:
        out.write_bytes(b"".join(lines))
    except OSError as error:
        raise StackError(f"{out} cannot be written: {error.strerror}") from error


def beliefs(changes: Iterable[Mapping[str, Any]], intervals: Mapping[str, int]) -> Iterator[tuple[int, list[Any]]]:
    """Yield what was believed at the end of each minute in which something changed [ms].

    Parameters
    ----------
    changes
        Lines of the change log in order.
    intervals
        Report interval of each bin [s].
    """
    states: dict[str, Mapping[str, Any]] = {}
    broken: dict[int, str] = {}
    end_ms: int | None = None
    for change in changes:
        shown = change["payload"]
        if change["kind"] not in {"bin", "incident"}:
            continue
        if end_ms is not None and change["at_ms"] > end_ms:
            yield end_ms, _rows(end_ms, states, set(broken.values()), intervals)
        end_ms = max(end_ms or 0, -(-change["at_ms"] // MINUTE_MS) * MINUTE_MS)
        if change["kind"] == "bin":
            states[shown["asset_id"]] = shown
        elif shown["rule"] == "fault" and shown["closed_ms"] is None:
            broken[shown["id"]] = shown["asset_id"]
        else:
            broken.pop(shown["id"], None)
    if end_ms is not None:
        yield end_ms, _rows(end_ms, states, set(broken.values()), intervals)


def _rows(
    at_ms: int, states: Mapping[str, Mapping[str, Any]], broken: set[str], intervals: Mapping[str, int]
) -> list[Any]:
    from alerts.views import is_stale
    from simulators.contest.policy import Belief

    return [
        Belief(
            asset=asset_id,
            fill_pct=shown["fill_pct"],
            level=shown["level"],
            as_of_ms=shown["ts_ms"],
            p10_ms=shown["full_at_p10_ms"],
            p50_ms=shown["full_at_ms"],
            p90_ms=shown["full_at_p90_ms"],
            emptied_ms=shown["emptied_at_ms"],
            is_stale=is_stale(shown["ts_ms"], intervals.get(asset_id), at_ms),
            is_silent=shown["silent"],
            is_faulty=asset_id in broken,
        )
        for asset_id, shown in states.items()
    ]
