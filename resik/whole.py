"""Commands about the whole square: ``up``, ``demo``, ``replay``."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resik.complaints import plainly
from resik.errors import StackError
from resik.finite import FiniteRange
from resik.signals import interrupt_on_signals
from square.scratch import scratch_folder

if TYPE_CHECKING:
    from simulators.scenario import Scenario

CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML file of settings; see docs/settings.md.",
)


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
            click.option(
                "--ingest-workers",
                type=int,
                help="Ingest workers that share the readings; needs mosquitto and InfluxDB [1].",
            ),
            click.option("--database", "database_url", help="Relational store, e.g. postgresql+psycopg://..."),
            CONFIG,
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


SCENARIO = click.option(
    "--scenario", "scenario_name", help="What the square goes through: a scenario file, or the name of a shipped one."
)


def _scenario(name: str | None, chosen: dict[str, Any]) -> "Scenario | None":
    """Load a scenario and choose its site."""
    if name is None:
        return None
    from simulators.scenario import load_scenario

    scenario = load_scenario(name)
    if chosen.get("site") is not None:
        raise StackError(f"the scenario {scenario.id} has a site of its own: leave --site out")
    chosen["site"] = scenario.site
    return scenario


def _simulate(scenario: "Scenario | None", name: str | None, seed: int | None, **more: str) -> dict[str, str]:
    """Return the simulator's settings; a seed that was given wins over that of the scenario."""
    if scenario is None or name is None:
        return {"seed": str(1 if seed is None else seed), **more}
    from simulators.scenario import resolve_scenario

    return {
        "seed": str(scenario.seed if seed is None else seed),
        "scenario": str(resolve_scenario(name).absolute()),
        **more,
    }


@click.command()
@_stack_options
@click.option("--real", is_flag=True, help="No simulator: wait for real devices, in real time.")
@SCENARIO
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data folder [var/simulated, var/real or var/scenario-<name>]."
)
@click.option("--speed", type=float, help="Square seconds per second of a simulated square [30].")
@click.option("--seed", type=int, help="Seed of the simulated square [1, or that of the scenario].")
@click.option("--no-crews", is_flag=True, help="Simulate no crews: the work is yours, on the crew page.")
@click.option("--tls", is_flag=True, default=None, help="With --broker mosquitto: also listen with TLS, on localhost.")
@click.option("--listen", help="The same for nodes on other machines: name or address of this one, e.g. HOST:8883.")
@plainly
def up(
    config_file: Path | None,
    *,
    real: bool,
    scenario_name: str | None,
    data: Path | None,
    seed: int | None,
    no_crews: bool,
    **chosen: Any,
) -> None:
    """Run the whole square: broker, gateway, ingest, alerts, map and a simulated square."""
    from rich.console import Console

    from resik.folder import DataFolder
    from resik.screen import watch
    from resik.stack import Stack

    if real and scenario_name is not None:
        raise StackError("a scenario is of a simulated square: leave --real or --scenario out")
    scenario = _scenario(scenario_name, chosen)
    settings = _stack_settings(config_file, **chosen)
    kind = "real" if real else "simulated"
    folder = DataFolder(data or Path("var") / (kind if scenario is None else f"scenario-{scenario.id}"), kind)
    simulate = None
    if not real:
        # a new square has a few nearly full bins, so that the first minutes show what the system is for
        more = {"crews": "false" if no_crews else "true", "initial_fill_max_pct": "92"}
        simulate = _simulate(scenario, scenario_name, seed, **more)
    console = Console()
    if settings.broker == "mosquitto":
        from resik.broker_check import installed_finding

        if (finding := installed_finding()).level == "bad":
            console.print(f"awas / warning: {finding.text}", style="yellow", soft_wrap=True)
    interrupt_on_signals()
    stack = Stack(settings, folder, config_file=config_file, simulate=simulate, scenario=scenario)
    try:
        with stack.running(lambda name: console.print(f"mulai / starting {name}…", style="dim")):
            if stack.node_address is not None:
                root = folder.broker / "tls" / "ca.der"
                console.print(f"simpul / nodes: {stack.node_address}, --ca {root}", style="dim", soft_wrap=True)
            watch(stack, console)
    except KeyboardInterrupt:
        console.print(f"Berhenti dengan rapi. Data tersimpan di / stopped; data stays in {folder.root}", soft_wrap=True)


@click.command()
@_stack_options
@click.option("--for", "seconds", type=FiniteRange(min=1), default=60.0, show_default=True, help="Seconds to run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--data", type=click.Path(path_type=Path), help="Keep the data here; must be empty [a temporary folder].")
@click.option("--speed", type=float, help="Square seconds per second [30].")
@click.option("--seed", type=int, help="Seed of the simulated square [1, or that of the scenario].")
@SCENARIO
@plainly
def demo(
    config_file: Path | None,
    *,
    seconds: float,
    as_json: bool,
    data: Path | None,
    seed: int | None,
    scenario_name: str | None,
    **chosen: Any,
) -> None:
    """Run the whole square unattended and compare what was published with what is stored.

    Exits 1 unless every reading was stored once and nothing else was. With --scenario it begins where the scenario
    does, lets its faults happen to the processes, and ends them before the comparison.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from resik.demo import BUSY_START, run_demo
    from resik.folder import DataFolder, check_unused
    from resik.ports import free_port

    scenario = _scenario(scenario_name, chosen)
    if chosen.get("port") is None:
        chosen["port"] = free_port()
    settings = _stack_settings(config_file, start=BUSY_START, **chosen)
    check_unused(data, "a demo")
    interrupt_on_signals()
    console = Console(stderr=True)
    with scratch_folder("resik-demo-") if data is None else nullcontext(data) as root:
        folder = DataFolder(root, "simulated")
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("demo", total=1.0)
            report = run_demo(
                settings,
                folder,
                seconds,
                simulate=_simulate(scenario, scenario_name, seed),
                scenario=scenario,
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


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--map", "map_file", required=True, help="Map file (TOML), or the name of a shipped one: see docs/replay.md."
)
@click.option("--speed", type=FiniteRange(min=0, min_open=True), help="Times real speed [as fast as it goes].")
@click.option("--hold", is_flag=True, help="Keep the map running afterwards, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder [var/replay-<map>]; cleared first.")
@_stack_options
@plainly
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
    interrupt_on_signals()
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
