"""Commands about the time-series store: set it up, roll it up, move it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from resik.complaints import plainly
from resik.whole import CONFIG

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
