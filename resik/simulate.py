"""``resik simulate``: the simulated square by itself, and what is done with it."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import click

from resik.complaints import plainly
from resik.errors import StackError
from resik.finite import FiniteRange
from resik.parts import run_service
from resik.whole import CONFIG

DEFAULT_SCENARIO = "jumat-legi"
"""An evening on which something happens."""
_PREFIX = "RESIK_SIMULATOR_"
SUBCOMMANDS = ("belief", "grade", "load", "scenarios", "score")
"""Each is `command` of the module ``resik.simulate_<name>``, which is imported when it is needed."""


class _Subcommands(click.Group):
    """A group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Return the names of all subcommands."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a subcommand."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command = import_module(f"resik.simulate_{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


def _run_real_nodes(
    count: int,
    *,
    config_file: Path | None,
    hours: float,
    kinds: str,
    interval_s: int,
    seed: int,
    broker: str | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Run nodes with the real firmware; return the exit code."""
    chosen = tuple(dict.fromkeys(kinds.split(",")))
    if not set(chosen) <= {"bin", "air"}:
        raise click.BadParameter("write bin, air, or bin,air", param_hint="--kinds")
    from resik.ports import free_port
    from resik.real_nodes import run_real_nodes
    from resik.stack import StackSettings
    from square.settings import load_settings

    overrides: dict[str, object] = {"port": free_port()} | ({"broker": broker} if broker else {})
    return run_real_nodes(
        load_settings(StackSettings, "stack", config_file, **overrides),
        count,
        hours,
        seed=seed,
        kinds=chosen,
        interval_s=interval_s,
        data=data,
        as_json=as_json,
        config_file=config_file,
    )


@click.group(cls=_Subcommands, invoke_without_command=True)
@CONFIG
@click.option("--real-nodes", type=click.IntRange(1, 1000), help="Instead: so many nodes with the real firmware.")
@click.option(
    "--hours",
    type=FiniteRange(0, 168, min_open=True),
    default=24.0,
    show_default=True,
    help="With --real-nodes: for so long, square time.",
)
@click.option("--kinds", default="bin,air", show_default=True, help="With --real-nodes: bin, air, or both.")
@click.option(
    "--interval",
    "interval_s",
    type=click.IntRange(60, 86400),
    default=600,
    show_default=True,
    help="With --real-nodes: seconds between two readings of a node.",
)
@click.option(
    "--scenario",
    "scenario_name",
    help=f"What the square goes through: a file, or the name of a shipped one [{DEFAULT_SCENARIO}].",
)
@click.option("--speed", type=FiniteRange(1, 86_400), help="Square seconds per second on the terminal [600].")
@click.option("--policy", help="Who sends the crews on the terminal: threshold, fixed, predictive [threshold].")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the square [1, or that of the scenario].")
@click.option("--broker", type=click.Choice(["embedded", "mosquitto"]), help="With --real-nodes: which to start.")
@click.option("--data", type=click.Path(path_type=Path), help="With --real-nodes: data folder, cleared first.")
@click.option("--json", "as_json", is_flag=True, help="With --real-nodes, or a scenario: print one JSON object.")
@click.pass_context
@plainly
def simulate(
    context: click.Context,
    *,
    config_file: Path | None,
    real_nodes: int | None,
    hours: float,
    kinds: str,
    interval_s: int,
    seed: int | None,
    scenario_name: str | None,
    speed: float | None,
    policy: str | None,
    broker: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Run the simulated square: visitors, bins, air, nodes and crews.

    On a terminal it shows the square, as it is and as the office believes it to be, with keys to pause, hurry and
    disturb it. With --scenario and no terminal it prints a line an hour. With --config, or settings in the environment,
    it is the service that sends real readings to a broker.

    With --real-nodes it runs nodes with the real firmware on a stack of their own, as fast as they go, and looks up
    in the store every reading that they made. Exit code 0: each is there once.
    """
    if context.invoked_subcommand is not None:
        return
    if real_nodes is None:
        chosen = [scenario_name, speed, policy, seed, as_json or None]
        is_service = config_file is not None or any(name.startswith(_PREFIX) for name in os.environ)
        if is_service and any(one is not None for one in chosen):
            raise StackError(
                "a simulator with settings has its scenario and seed there, in [simulator]: leave the options out, or "
                f"--config and the variables {_PREFIX}..."
            )
        if is_service or (all(one is None for one in chosen) and not _is_at_terminal()):
            run_service("simulator", "simulators.settings", "SimulatorSettings", "simulators.service", config_file)
            return
        _show(scenario_name, speed=speed, policy=policy, seed=seed, as_json=as_json)
        return
    if any(one is not None for one in (scenario_name, speed, policy)):
        raise StackError("--scenario, --speed and --policy are not for --real-nodes: they live an ordinary time, fast")
    sys.exit(
        _run_real_nodes(
            real_nodes,
            config_file=config_file,
            hours=hours,
            kinds=kinds,
            interval_s=interval_s,
            seed=1 if seed is None else seed,
            broker=broker,
            data=data,
            as_json=as_json,
        )
    )


def _is_at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _show(name: str | None, *, speed: float | None, policy: str | None, seed: int | None, as_json: bool) -> None:
    """Show a square that lives in this process alone."""
    from rich.console import Console

    from resik.simulate_live import LiveSquare
    from resik.simulate_view import SPEED, print_run, watch
    from simulators.scenario import load_scenario

    square = LiveSquare(load_scenario(name or DEFAULT_SCENARIO), policy=policy or "threshold", seed=seed)
    if as_json:
        click.echo(json.dumps(square.play()))
        return
    console = Console()
    if _is_at_terminal():
        watch(square, console, speed=SPEED if speed is None else speed)
    else:
        print_run(square, console, speed=speed)
