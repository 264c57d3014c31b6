"""The ``resik`` command. Each subcommand reads its arguments, and hands over."""

from importlib.metadata import PackageNotFoundError, version

import click

from resik import broker_commands, deadletters, doctor, flash, fleet, parts, power, provision, simulate, store, whole


def _version() -> str:
    try:
        return version("resik-kota")
    except PackageNotFoundError:
        return "0 (not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="resik")
def main() -> None:
    """Resik keeps a town square clean.

    `resik up` runs the whole square on this machine; the other commands are its parts.
    """


for _command in (
    whole.up,
    whole.demo,
    whole.replay,
    parts.gateway,
    parts.ingest,
    parts.alerts,
    parts.dashboard,
    simulate.simulate,
    parts.crews,
    deadletters.deadletters,
    doctor.doctor,
    parts.site,
    store.store,
    provision.provision,
    flash.flash,
    power.power,
    fleet.node,
    fleet.ota,
    broker_commands.broker,
):
    main.add_command(_command)
