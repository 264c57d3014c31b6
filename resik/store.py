"""Commands about the time-series store: set it up, roll it up, move it."""

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resik.complaints import plainly
from resik.errors import StackError
from resik.whole import CONFIG

if TYPE_CHECKING:
    from ingest.migrate import Copied, Migration

_FILE = click.Path(path_type=Path)
_ACTIONS = {
    "made": "dibuat / made",
    "kept": "sudah ada / there already",
    "extended": "diperpanjang / extended",
    "shortened": "dipersingkat / shortened",
    "refused": "DIBIARKAN / LEFT AS IT IS",
}


@click.group()
def store() -> None:
    """Time-series store: InfluxDB or the embedded file."""


def _store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--url", help="Store, e.g. influx1://127.0.0.1:8086/resik [store_url of section ingest]."),
            click.option("--token-file", type=_FILE, help="File with its token or password [store_token_file]."),
            CONFIG,
        ]
    ):
        function = option(function)
    return function


def _named_store(url: str | None, token_file: Path | None, config_file: Path | None) -> tuple[str, str | None]:
    """Return URL and secret of the store that the options name, or else the settings of ingest."""
    from ingest.settings import IngestSettings
    from square.settings import load_settings, read_secret

    if url is not None:
        return url, read_secret(token_file)
    settings = load_settings(IngestSettings, "ingest", config_file)
    return settings.store_url, read_secret(token_file or settings.store_token_file)


def _spoken_store(word: str, token_file: Path | None, config_file: Path | None) -> tuple[str, str | None]:
    """Return URL and secret of a store that may be named by a word instead of an address.

    `embedded` is the file of the only stack in this folder, `influx` the server of the settings of ingest.
    """
    from square.settings import read_secret

    if word == "embedded":
        from resik.inspection import find_data

        return f"sqlite:///{find_data(None) / 'points.sqlite3'}", None
    if word == "influx":
        url, secret = _named_store(None, token_file, config_file)
        if not url.startswith("influx"):
            raise StackError(
                f"store_url of section [ingest] is {url}: write the address of InfluxDB instead of `influx`"
            )
        return url, secret
    return word, read_secret(token_file)


@store.command("init")
@_store_options
@click.option(
    "--raw-days", type=click.IntRange(0, 36_500), default=90, show_default=True, help="Keep readings so long; 0: ever."
)
@click.option(
    "--hourly-years",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    help="Keep hourly roll-ups so long; 0: ever.",
)
@click.option(
    "--daily-years",
    type=click.IntRange(0, 100),
    default=20,
    show_default=True,
    help="Keep daily roll-ups so long; 0: ever.",
)
@click.option("--shorten", is_flag=True, help="Also shorten a retention: what is older than the new one is dropped.")
@plainly
def store_init(
    *,
    url: str | None,
    token_file: Path | None,
    config_file: Path | None,
    raw_days: int,
    hourly_years: int,
    daily_years: int,
    shorten: bool,
) -> None:
    """Make database, buckets or file, and set how long they keep what.

    Doing it again changes nothing. A retention is never shortened without --shorten: then roll up first with
    `resik store rollup`. Exit code 2: something was left as it is for that reason.
    """
    from ingest.stores import open_admin
    from ingest.stores.admin import initialise
    from ingest.stores.shelves import Shelf

    named, secret = _named_store(url, token_file, config_file)
    admin = open_admin(named, secret=secret)
    try:
        wanted: dict[Shelf, int | None] = {
            "raw": raw_days or None,
            "hourly": 365 * hourly_years or None,
            "daily": 365 * daily_years or None,
        }
        steps = initialise(admin, wanted, shorten=shorten)
        made = admin.finish()
    finally:
        admin.close()
    for step in steps:
        was = f" (tadinya / was {_days(step.found_d)})" if step.action not in {"made", "kept"} else ""
        days = step.found_d if step.action == "refused" else step.days
        click.echo(f"{step.shelf:7} {step.container}: {_days(days)}  {_ACTIONS[step.action]}{was}")
    for name in made:
        click.echo(f"        {name}  {_ACTIONS['made']}")
    refused = [step for step in steps if step.action == "refused"]
    for step in refused:
        click.echo(
            f"resik store init: {step.container} is kept for {_days(step.found_d)} and was not shortened to "
            f"{_days(step.days)}, which drops points: roll up with `resik store rollup`, then add --shorten",
            err=True,
        )
    sys.exit(2 if refused else 0)


def _days(days: int | None) -> str:
    return "selamanya / for ever" if days is None else f"{days} hari / days"


_SITE = click.option("--site", help="Site folder, the name of a shipped site, or a site's id [site of section ingest].")
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


def _site_id(site: str | None, config_file: Path | None) -> str:
    """Return the id of a site that an option or the settings name; an id without a folder stands for itself."""
    from ingest.settings import IngestSettings
    from square.errors import SiteError
    from square.settings import load_settings
    from square.site import load_site

    if site is None:
        site = load_settings(IngestSettings, "ingest", config_file).site
        return load_site(site).id
    try:
        return load_site(site).id
    except SiteError:
        if "/" in site or Path(site).exists():
            raise
        return site


def _ms(moment: datetime, offset_s: int) -> int:
    """Return a moment that was typed in the site's own time [ms since 1970 UTC]."""
    return int(moment.replace(tzinfo=timezone(timedelta(seconds=offset_s))).timestamp() * 1000)


@store.command("rollup")
@_store_options
@_SITE
@click.option("--from", "start", type=_MOMENT, help="Do this range again, from here on, in the site's own time.")
@click.option("--to", "end", type=_MOMENT, help="End of the range, excluded [now].")
@click.option(
    "--utc-offset-min", type=click.IntRange(-720, 840), default=420, show_default=True, help="Days of the site."
)
@plainly
def store_rollup(
    *,
    url: str | None,
    token_file: Path | None,
    config_file: Path | None,
    site: str | None,
    start: datetime | None,
    end: datetime | None,
    utc_offset_min: int,
) -> None:
    """Make hourly and daily series of the readings, as ingest does every few minutes.

    Without --from it goes on where it ended last, the first time at the oldest reading. The embedded file takes one
    writer: stop ingest first. Doing it twice changes nothing.
    """
    from ingest.folding import HOUR_MS, floor_hour
    from ingest.rollup import LATE_S, RollUp
    from ingest.settings import IngestSettings
    from ingest.stores import open_store
    from square.clock import now_ms as read_ms
    from square.clock import open_clock
    from square.settings import load_settings

    if utc_offset_min % 60:
        raise click.BadParameter("write whole hours", param_hint="--utc-offset-min")
    named, secret = _named_store(url, token_file, config_file)
    points = open_store(named, secret=secret)
    now_ms = read_ms(open_clock(load_settings(IngestSettings, "ingest", config_file).clock_file))
    try:
        points.prepare()
        job = RollUp(points, _site_id(site, config_file), offset_s=utc_offset_min * 60)
        if start is None:
            done = job.catch_up(now_ms)
        else:
            closed_ms = floor_hour(now_ms - LATE_S * 1000)
            end_ms = closed_ms if end is None else min(_ms(end, utc_offset_min * 60), closed_ms + HOUR_MS)
            done = job.roll(_ms(start, utc_offset_min * 60), end_ms, days_until_ms=closed_ms)
    finally:
        points.close()
    until = "-" if done.until_ms is None else _moment(done.until_ms, utc_offset_min * 60)
    click.echo(f"per jam / hourly     {done.hours}")
    click.echo(f"per hari / daily     {done.days}")
    click.echo(f"tetap / unchanged    {done.same + done.kept}")
    click.echo(f"dihapus / expired    {done.expired}")
    click.echo(f"sampai / up to       {until}")


def _moment(at_ms: int, offset_s: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone(timedelta(seconds=offset_s))).strftime("%Y-%m-%d %H:%M")


@store.command("migrate")
@click.option("--from", "source_word", required=True, help="Store to read: an address as of `store init`, or a word.")
@click.option("--from-token-file", type=_FILE, help="File with its token or password.")
@click.option("--to", "target_word", required=True, help="Store to write, named likewise.")
@click.option("--to-token-file", type=_FILE, help="File with its token or password.")
@CONFIG
@_SITE
@click.option("--since", type=_MOMENT, help="Only from here on, in the site's own time [all].")
@click.option("--until", type=_MOMENT, help="Only up to here, excluded [all].")
@click.option(
    "--rollups",
    type=click.Choice(["copy", "recompute", "none"]),
    default="copy",
    show_default=True,
    help="Hourly and daily series: take those of the source, make them of the readings, or leave them to ingest.",
)
@click.option(
    "--watermark",
    type=_FILE,
    default=Path("resik-migrate.json"),
    show_default=True,
    help="Where it is noted how far it came; removed at the end.",
)
@plainly
def store_migrate(
    *,
    source_word: str,
    from_token_file: Path | None,
    target_word: str,
    to_token_file: Path | None,
    config_file: Path | None,
    site: str | None,
    since: datetime | None,
    until: datetime | None,
    rollups: str,
    watermark: Path,
) -> None:
    """Move a site's history from one store to another, in time order, and compare both day by day.

    Stores have an address (sqlite:///var/real/points.sqlite3, influx1://127.0.0.1:8086/resik) or are called embedded,
    the file of the stack in this folder, and influx, store_url of section ingest.

    Stop ingest, or point it at the new store, before: what is written to the old one meanwhile counts as missing.
    Cut off, it goes on where it was when called again. Exit code 1: the stores differ.
    """
    from threading import Event

    from ingest.migrate import MARKS, READINGS, ROLLUPS, Migration, WatermarkFile
    from ingest.rollup import FAR_MS, OFFSET_S, RollUp
    from ingest.stores import open_store
    from square.outage import Outage

    source_url, source_secret = _spoken_store(source_word, from_token_file, config_file)
    target_url, target_secret = _spoken_store(target_word, to_token_file, config_file)
    source = open_store(source_url, secret=source_secret, read_only=True)
    target = open_store(target_url, secret=target_secret)
    try:
        source.prepare()
        target.prepare()
        noted = WatermarkFile(watermark, source_url, target_url, _site_id(site, config_file))
        migration = Migration(
            source,
            target,
            noted,
            Outage("store", Event()),
            since_ms=0 if since is None else _ms(since, OFFSET_S),
            until_ms=FAR_MS if until is None else _ms(until, OFFSET_S),
        )
        streams = [READINGS, *(ROLLUPS if rollups == "copy" else ())]
        copied = _copy(migration, [*streams, *(MARKS if rollups == "copy" else ())])
        if rollups == "recompute":
            RollUp(target, noted.mark.site).catch_up(int(time.time() * 1000))
        is_same = _print_checks(migration, streams)
    except KeyboardInterrupt:
        click.echo("dihentikan; panggil lagi untuk melanjutkan / stopped; call again to go on", err=True)
        raise
    finally:
        source.close()
        target.close()
    click.echo(f"ditulis / written    {copied.points}")
    for code, count in copied.rejected.items():
        click.echo(f"ditolak / rejected   {count} {code}: {copied.reason}")
    if not is_same:
        raise StoresDiffer("the stores differ: see the table; nothing was removed from the source")
    noted.remove()
    click.echo("kedua penyimpanan sama / both stores hold the same")


class StoresDiffer(StackError):  # noqa: N818 - what was found, not a fault
    """The copy is not like the original."""

    exit_code = 1


def _copy(migration: "Migration", streams: list[str]) -> "Copied":
    """Copy with a bar on a terminal."""
    first_ms, last_ms = migration.span_ms(streams[:1]) or (0, 0)
    with click.progressbar(length=max(last_ms - first_ms, 1), label="menyalin / copying", file=sys.stderr) as bar:

        def progress(stream: str, at_ms: int) -> None:
            if stream == "readings":
                bar.update(max(at_ms - first_ms - bar.pos, 0))

        return migration.copy(streams, progress)


def _print_checks(migration: "Migration", streams: list[str]) -> bool:
    """Print a line for each day and shelf; return whether all are the same."""
    from ingest.rollup import OFFSET_S

    click.echo("hari / day  seri    sumber/source  tujuan/target  hilang  lebih  beda  sidik / checksum")
    is_same = True
    for check in migration.check(streams):
        is_same = is_same and check.is_same
        source, target = (f"{checksum:016x}" for checksum in check.checksums)
        click.echo(
            f"{_moment(check.day_ms, OFFSET_S)[:10]}  {check.shelf:6}  {check.source:13}  {check.target:13}  "
            f"{check.missing:6}  {check.surplus:5}  {check.different:4}  "
            + (source if source == target else f"{source} != {target}")
        )
    return is_same
