"""``resik doctor``: names the first broken link of the whole chain, and what to do about it."""

import logging
import sys
from pathlib import Path

import click

from resik.complaints import plainly


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Data folder of the stack [the one in var/].")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Instead: TOML file of services that run one by one on this machine.",
)
@click.option("--ledger", is_flag=True, help="Also look up in the store each reading that the simulator published.")
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON object.")
@plainly
def doctor(data: Path | None, *, config_file: Path | None, ledger: bool, wants_json: bool) -> None:
    """Look along the whole chain and name the first broken link.

    Exit code 0: sound; 1: something is broken; 2: it could not be checked.
    """
    from resik.chain import Chain
    from resik.examination import as_json, examine, text

    # our own connection is no news: what is wrong stands in the report
    logging.basicConfig(handlers=[logging.NullHandler()])
    if config_file is not None and data is not None:
        raise click.UsageError("name --data or --config, not both")
    chain = Chain.in_folder(data) if config_file is None else Chain.of_settings(config_file)
    report = examine(chain, with_ledger=ledger)
    click.echo(as_json(report) if wants_json else text(report, chain.data))
    sys.exit(report.exit_code)
