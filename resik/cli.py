"""The ``resik`` command. Each subcommand reads its arguments, and hands over."""

import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import click

from resik.errors import MissingPart, StackError
from square.errors import SquareError

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML file of settings; see docs/settings.md.",
)


def _version() -> str:
    try:
        return version("resik-kota")
    except PackageNotFoundError:
        return "0 (not installed)"


def _expected_errors() -> tuple[type[Exception], ...]:
    """Return the roots of every error that Resik raises on purpose; parts that are not installed raise none."""
    roots: list[type[Exception]] = [SquareError, StackError]
    for module, name in (
        ("ingest.errors", "IngestError"),
        ("gateway.errors", "GatewayError"),
        ("alerts.errors", "AlertsError"),
        ("dashboard_api.errors", "DashboardStartError"),
        ("simulators.errors", "SimulatorError"),
    ):
        try:
            roots.append(getattr(__import__(module, fromlist=[name]), name))
        except ImportError:
            continue
    return tuple(roots)


def _fail(name: str, error: Exception) -> NoReturn:
    """Print one sentence and leave: 1 when trying again may help, 2 when a person must act."""
    click.echo(f"resik {name}: {error}", err=True)
    retryable = bool(getattr(error, "retryable", False))
    sys.exit(1 if retryable else getattr(error, "exit_code", 2))


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn expected errors into one sentence and a missing optional part into the words to install it."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        name = click.get_current_context().command_path.removeprefix("resik ").strip()
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.split(".")[0] in _OURS:
                raise
            _fail(name, MissingPart(f"{error.name} is not installed: pip install 'resik-kota[stack]'"))
        except _expected_errors() as error:
            _fail(name, error)
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapped


_OURS = {"firmware", "square", "gateway", "ingest", "alerts", "dashboard_api", "simulators", "resik"}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="resik")
def main() -> None:
    """Resik keeps a town square clean.

    `resik up` runs the whole square on this machine; the other commands are its parts.
    """


# -- the whole square ---------------------------------------------------------------------------


def _stack_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--site", help="Site folder, or the name of a shipped site."),
            click.option("--port", type=int, help="Port of the map on this machine [8080]."),
            click.option(
                "--broker",
                help="embedded, mosquitto (started here), or mqtt(s)://host:port of one that runs already [embedded].",
            ),
            click.option("--broker-port", type=int, help="Port of the broker started here."),
            click.option("--store", "store_url", help="Time-series store, e.g. influx1://127.0.0.1:8086/resik."),
            click.option(
                "--store-token-file", type=click.Path(path_type=Path), help="File with its token or password."
            ),
            click.option("--database", "database_url", help="Relational store, e.g. postgresql+psycopg://..."),
            _CONFIG,
        ]
    ):
        function = option(function)
    return function


def _stack_settings(config_file: Path | None, **chosen: Any) -> Any:
    from resik.stack import StackSettings
    from square.settings import load_settings

    overrides = {key: value for key, value in chosen.items() if value is not None}
    broker = overrides.get("broker")
    if broker is not None and "://" in broker:
        overrides |= {"broker": "external", "broker_url": broker}
    elif broker not in {None, "embedded", "mosquitto"}:
        raise StackError(f"--broker {broker} is unknown: write embedded, mosquitto, or mqtt(s)://host:port")
    return load_settings(StackSettings, "stack", config_file, **overrides)


def _stop_on_signals() -> None:
    """Let SIGTERM stop the stack as Ctrl-C does; a second signal does not disturb the stopping."""

    def stop(_number: int, _frame: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


@main.command()
@_stack_options
@click.option("--real", is_flag=True, help="No simulator: wait for real devices, in real time.")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder [var/simulated or var/real].")
@click.option("--speed", type=float, help="Square seconds per second of a simulated square [30].")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated square.")
@click.option("--no-crews", is_flag=True, help="Simulate no crews: the work is yours, on the crew page.")
@_plainly
def up(config_file: Path | None, *, real: bool, data: Path | None, seed: int, no_crews: bool, **chosen: Any) -> None:
    """Run the whole square: broker, gateway, ingest, alerts, map and a simulated square."""
    from rich.console import Console

    from resik.folder import DataFolder
    from resik.screen import watch
    from resik.stack import Stack

    settings = _stack_settings(config_file, **chosen)
    kind = "real" if real else "simulated"
    folder = DataFolder(data or Path("var") / kind, kind)
    simulate = None
    if not real:
        # a new square has a few nearly full bins, so that the first minutes show what the system is for
        simulate = {"seed": str(seed), "crews": "false" if no_crews else "true", "initial_fill_max_pct": "92"}
    console = Console()
    _stop_on_signals()
    stack = Stack(settings, folder, config_file=config_file, simulate=simulate)
    try:
        with stack.running(lambda name: console.print(f"mulai / starting {name}…", style="dim")):
            watch(stack, console)
    except KeyboardInterrupt:
        console.print(f"Berhenti dengan rapi. Data tersimpan di / stopped; data stays in {folder.root}", soft_wrap=True)


@main.command()
@_stack_options
@click.option("--for", "seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--data", type=click.Path(path_type=Path), help="Keep the data here; must be empty [a temporary folder].")
@click.option("--speed", type=float, help="Square seconds per second [30].")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated square.")
@_plainly
def demo(
    config_file: Path | None, *, seconds: float, as_json: bool, data: Path | None, seed: int, **chosen: Any
) -> None:
    """Run the whole square unattended and compare what was published with what is stored.

    Exits 1 unless every reading was stored once and nothing else was.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from resik.demo import BUSY_START, run_demo
    from resik.folder import DataFolder
    from resik.ports import free_port

    if chosen.get("port") is None:
        chosen["port"] = free_port()
    settings = _stack_settings(config_file, start=BUSY_START, **chosen)
    if data is not None and data.exists() and any(data.iterdir()):
        raise StackError(f"{data} is not empty: a demo needs a folder of its own")
    _stop_on_signals()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="resik-demo-") as temporary:
        folder = DataFolder(data or Path(temporary), "simulated")
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("demo", total=1.0)
            report = run_demo(
                settings,
                folder,
                seconds,
                seed=seed,
                config_file=config_file,
                progress=lambda share, words: bar.update(task, completed=share, description=words),
            )
    figures = msgspec.to_builtins(report)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            click.echo(f"{name:18} {value}")
    sys.exit(0 if report.passed else 1)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--map", "map_file", required=True, help="Map file (TOML), or the name of a shipped one: see docs/replay.md."
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Times real speed [as fast as it goes].")
@click.option("--hold", is_flag=True, help="Keep the map running afterwards, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder [var/replay-<map>]; cleared first.")
@_stack_options
@_plainly
def replay(
    files: tuple[Path, ...],
    map_file: str,
    *,
    speed: float | None,
    hold: bool,
    as_json: bool,
    data: Path | None,
    config_file: Path | None,
    **chosen: Any,
) -> None:
    """Feed FILES (CSV, may be .gz) through broker, gateway, ingest and store as if devices sent them."""
    from resik.replay import replay_files

    if chosen.pop("site", None) is not None:
        raise StackError("a replay takes its site from the map: set [site] in the map file instead of --site")
    settings = _stack_settings(config_file, **chosen)
    _stop_on_signals()
    sys.exit(
        replay_files(
            files,
            map_file,
            settings,
            data=data,
            speed=speed,
            hold=hold,
            as_json=as_json,
            config_file=config_file,
        )
    )


# -- parts ----------------------------------------------------------------------------------------


def _run_service(
    name: str, settings_module: str, settings_class: str, service_module: str, config: Path | None
) -> None:
    """Read the settings of a service, set up its log and run it until it is told to stop."""
    from importlib import import_module

    from square.health import configure_logging
    from square.mqtt import MqttEndpoint, wait_for_broker
    from square.settings import load_settings

    settings = load_settings(getattr(import_module(settings_module), settings_class), name, config)
    configure_logging(name, settings.log_level)
    if name in {"gateway", "ingest", "alerts"}:
        wait_for_broker(MqttEndpoint.from_settings(settings, name), settings.broker_wait_s)
    for chatty in ("httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.exit(import_module(service_module).run(settings))


@main.group()
def gateway() -> None:
    """Edge process: keeps every reading until ingest has stored it."""


@gateway.command("run")
@_CONFIG
@_plainly
def gateway_run(config_file: Path | None) -> None:
    """Run the gateway."""
    _run_service("gateway", "gateway.settings", "GatewaySettings", "gateway.service", config_file)


_DATA = click.option("--data", type=click.Path(path_type=Path), help="Data folder of the stack [the one in var/].")


@gateway.command("status")
@_DATA
@_plainly
def gateway_status(data: Path | None) -> None:
    """Say in words how the gateway of a running stack is."""
    from gateway.status import status_text
    from resik.inspection import find_data, gateway_health

    health = gateway_health(find_data(data))
    click.echo(status_text(health))
    sys.exit(0 if health.ok else 1)


@gateway.command("resend")
@_DATA
@click.option(
    "--hours", type=click.FloatRange(0, 48), default=48.0, show_default=True, help="How far back, square time."
)
@_plainly
def gateway_resend(data: Path | None, hours: float) -> None:
    """Send again what was stored lately: completes a time-series store that was restored from a backup.

    The gateway must be stopped. What the store has already changes nothing.
    """
    from resik.inspection import find_data, resend_settled

    count = resend_settled(find_data(data), hours)
    click.echo(f"{count} bacaan akan dikirim lagi saat gerbang data dimulai / readings go out again at the next start")


@main.group()
def ingest() -> None:
    """Worker that checks readings and writes them to the time-series store."""


@ingest.command("run")
@_CONFIG
@_plainly
def ingest_run(config_file: Path | None) -> None:
    """Run an ingest worker."""
    _run_service("ingest", "ingest.settings", "IngestSettings", "ingest.worker", config_file)


@main.group()
def alerts() -> None:
    """Alert engine: decides what needs a crew and gives out the work."""


@alerts.command("run")
@_CONFIG
@_plainly
def alerts_run(config_file: Path | None) -> None:
    """Run the alert engine."""
    _run_service("alerts", "alerts.settings", "AlertsSettings", "alerts.service", config_file)


@main.group()
def dashboard() -> None:
    """Map for the office, page for the crews, and their interface for programs."""


@dashboard.command("run")
@_CONFIG
@_plainly
def dashboard_run(config_file: Path | None) -> None:
    """Run the dashboard."""
    _run_service("dashboard", "dashboard_api.settings", "DashboardSettings", "dashboard_api.server", config_file)


@main.command()
@_CONFIG
@_plainly
def simulate(config_file: Path | None) -> None:
    """Run the simulated square: visitors, bins, air, nodes and crews."""
    _run_service("simulator", "simulators.settings", "SimulatorSettings", "simulators.service", config_file)


@main.command()
@_DATA
@click.option("--renew", "crew_id", help="Give this crew member a new link, for a lost phone; the old one is dead.")
@_plainly
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


@main.group()
def deadletters() -> None:
    """Messages that could not be accepted, each with its reason."""


@deadletters.command("list")
@_DATA
@click.option("--device", help="Only of this device.")
@click.option("--code", help="Only with this reason code.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@_plainly
def deadletters_list(data: Path | None, device: str | None, code: str | None, limit: int) -> None:
    """List them, newest first."""
    from resik.inspection import find_data, letter_lines

    click.echo("\n".join(letter_lines(find_data(data), device=device, code=code, limit=limit)))


@deadletters.command("show")
@click.argument("letter_id", type=int)
@_DATA
@_plainly
def deadletters_show(letter_id: int, data: Path | None) -> None:
    """Show one with what was sent."""
    from resik.inspection import find_data, letter_page

    click.echo(letter_page(find_data(data), letter_id))


@main.group()
def site() -> None:
    """Site folders: the plan of a square."""


@site.command("check")
@click.argument("folder")
@_plainly
def site_check(folder: str) -> None:
    """Check a site FOLDER (or the name of a shipped site): every fault with file, line and remedy."""
    from square.plan_check import check_site, main_text
    from square.site import resolve_site

    path = resolve_site(folder)
    findings = check_site(path)
    click.echo(main_text(findings, path))
    sys.exit(1 if any(finding.severity == "error" for finding in findings) else 0)
