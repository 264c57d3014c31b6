"""Commands about one part: run a service, ask it, check a site."""

import logging
import sys
from pathlib import Path

import click

from resik.complaints import plainly
from resik.finite import FiniteRange
from resik.whole import CONFIG


def run_service(name: str, settings_module: str, settings_class: str, service_module: str, config: Path | None) -> None:
    """Read the settings of a service, set up its log and run it until it is told to stop."""
    from importlib import import_module

    from square.endpoint import MqttEndpoint, wait_for_broker
    from square.logs import configure_logging
    from square.settings import load_settings

    settings = load_settings(getattr(import_module(settings_module), settings_class), name, config)
    configure_logging(name, settings.log_level, settings.log_format, Path(settings.site).name)
    if name in {"gateway", "ingest", "alerts"}:
        wait_for_broker(MqttEndpoint.from_settings(settings, name), settings.broker_wait_s)
    for chatty in ("httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.exit(import_module(service_module).run(settings))


@click.group()
def gateway() -> None:
    """Edge process: keeps every reading until ingest has stored it."""


@gateway.command("run")
@CONFIG
@plainly
def gateway_run(config_file: Path | None) -> None:
    """Run the gateway."""
    run_service("gateway", "gateway.settings", "GatewaySettings", "gateway.service", config_file)


_DATA = click.option("--data", type=click.Path(path_type=Path), help="Data folder of the stack [the one in var/].")


@gateway.command("status")
@_DATA
@click.option("--port", type=click.IntRange(1, 65535), help="Instead: health_port of a gateway that runs by itself.")
@click.option("--all", "everyone", is_flag=True, help="List every node, not only those that want a look.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plainly
def gateway_status(*, data: Path | None, port: int | None, everyone: bool, as_json: bool) -> None:
    """Say in words how the gateway is, what is wrong, and what to do.

    Exit code 0: it works, 1: something does not do its work, 2: it could not be asked.
    """
    import json

    from gateway.status import status_object, status_text
    from gateway.troubles import exit_code, troubles
    from resik.inspection import ask_gateway, find_data, gateway_port

    health, page = ask_gateway(gateway_port(find_data(data)) if port is None else port)
    click.echo(json.dumps(status_object(health, page)) if as_json else status_text(health, page, everyone=everyone))
    sys.exit(exit_code(troubles(health, page.nodes if page is not None else ())))


@gateway.command("resend")
@_DATA
@CONFIG
@click.option("--hours", type=FiniteRange(0, 48), default=48.0, show_default=True, help="How far back, square time.")
@plainly
def gateway_resend(*, data: Path | None, config_file: Path | None, hours: float) -> None:
    """Send again what was stored lately: completes a time-series store that was restored from a backup.

    The gateway must be stopped. What the store has already changes nothing.
    """
    from resik.inspection import find_spool, resend_settled

    count = resend_settled(*find_spool(data, config_file), hours)
    click.echo(f"{count} bacaan akan dikirim lagi saat gerbang data dimulai / readings go out again at the next start")


@click.group()
def ingest() -> None:
    """Worker that checks readings and writes them to the time-series store."""


@ingest.command("run")
@CONFIG
@plainly
def ingest_run(config_file: Path | None) -> None:
    """Run an ingest worker."""
    run_service("ingest", "ingest.settings", "IngestSettings", "ingest.worker", config_file)


@click.group()
def alerts() -> None:
    """Alert engine: decides what needs a crew and gives out the work."""


@alerts.command("run")
@CONFIG
@plainly
def alerts_run(config_file: Path | None) -> None:
    """Run the alert engine."""
    run_service("alerts", "alerts.settings", "AlertsSettings", "alerts.service", config_file)


@click.group()
def dashboard() -> None:
    """Map for the office, page for the crews, and their interface for programs."""


@dashboard.command("run")
@CONFIG
@plainly
def dashboard_run(config_file: Path | None) -> None:
    """Run the dashboard."""
    run_service("dashboard", "dashboard_api.settings", "DashboardSettings", "dashboard_api.server", config_file)


@click.command()
@_DATA
@click.option("--renew", "crew_id", help="Give this crew member a new link, for a lost phone; the old one is dead.")
@plainly
def crews(data: Path | None, crew_id: str | None) -> None:
    """List the crews with their secret links, or renew one."""
    from resik.inspection import find_data, list_crews, read_card, renew_link
    from square.clock import now_ms, open_clock

    folder = find_data(data)
    if crew_id is None:
        click.echo("\n".join(list_crews(folder)))
        return
    clock_file = read_card(folder).clock_file
    clock = open_clock(Path(clock_file) if clock_file is not None else None)
    click.echo(renew_link(folder, crew_id, now_ms(clock)))


@click.group()
def site() -> None:
    """Site folders: the plan of a square."""


@site.command("check")
@click.argument("folder")
@plainly
def site_check(folder: str) -> None:
    """Check a site FOLDER (or the name of a shipped site): every fault with file, line and remedy."""
    from square.plan_check import check_site, main_text
    from square.site import resolve_site

    path = resolve_site(folder)
    findings = check_site(path)
    click.echo(main_text(findings, path))
    sys.exit(1 if any(finding.severity == "error" for finding in findings) else 0)
