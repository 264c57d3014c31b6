"""Commands about real nodes: how they are, their configuration, commands, and updates in stages.

They write orders into the file that the gateway reads (`gateway.orders`); the gateway may run meanwhile, or not.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from firmware import wire
from resik import ota_files
from resik.complaints import plainly
from resik.errors import StackError
from resik.finite import FiniteRange

SETTABLE_TEXTS = ("broker_host", "broker_name", "wifi_ssid", "wifi_psk", "ntp_host")
SETTABLE_NUMBERS = (
    "broker_port", "interval_s", "fast_interval_s", "night_interval_s", "night_from_min", "night_to_min", "low_mv",
    "critical_mv", "send_every", "fast_rise_pct_h", "near_full_mm", "pings", "watchdog_s", "awake_max_s", "ack_wait_s",
)  # fmt: skip
"""Settings of a node that can be changed from here."""

_PLACE = [
    click.option("--data", type=click.Path(path_type=Path), help="Data folder of the stack [the one in var/]."),
    click.option(
        "--orders", "orders_file", type=click.Path(path_type=Path),
        help="File of orders of a gateway that runs by itself, instead of --data.",
    ),
]  # fmt: skip


def _placed(function: Any) -> Any:
    for option in _PLACE:
        function = option(function)
    return function


class _Office:
    """Where orders are written: the file, the plan of the square if there is one, and its time."""

    def __init__(self, data: Path | None, orders_file: Path | None) -> None:
        from gateway.orders import Orders
        from gateway.settings import ORDERS_NAME
        from resik.inspection import find_data, read_card
        from square.clock import now_ms, open_clock
        from square.site import load_site

        self.kinds: dict[str, str] = {}
        """Kind of each active node of the plan; sensors of other makes take no orders of ours."""
        clock_file = None
        if orders_file is None:
            folder = find_data(data)
            card = read_card(folder)
            clock_file = Path(card.clock_file) if card.clock_file is not None else None
            self.kinds = {
                device.id: device.kind
                for device in load_site(card.site).devices
                if device.status == "active" and device.foreign is None
            }
            orders_file = folder / ORDERS_NAME
        elif not orders_file.exists():
            raise StackError(f"{orders_file} does not exist: name the orders_file of the gateway")
        self.now_ms = now_ms(open_clock(clock_file))
        self.orders = Orders(orders_file)

    def check_device(self, device: str) -> None:
        """Refuse a name that nobody has."""
        if not wire.is_id(device) or (device not in self.kinds and self.orders.node(device) is None):
            raise StackError(f"there is no node {device!r}: `resik node list` names them")


# -- nodes -------------------------------------------------------------------------------------


@click.group()
def node() -> None:
    """Real nodes: how they are, their configuration, commands for them."""


@node.command("list")
@_placed
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plainly
def node_list(data: Path | None, orders_file: Path | None, *, as_json: bool) -> None:
    """List the nodes: when they were heard, version, battery, what is wrong."""
    from resik import fleet_words as words

    office = _Office(data, orders_file)
    known = office.orders.nodes()
    nodes = {device: known.get(device) for device in sorted(known.keys() | office.kinds.keys())}
    if as_json:
        configs = office.orders.configs()
        facts = [words.node_fact(name, found, configs.get(name), office.now_ms) for name, found in nodes.items()]
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo("\n".join(words.node_table(nodes, office.now_ms)))


@node.command("show")
@click.argument("device")
@_placed
@plainly
def node_show(device: str, data: Path | None, orders_file: Path | None) -> None:
    """Show all that is known of DEVICE, its configuration and its commands."""
    from resik import fleet_words as words

    office = _Office(data, orders_file)
    office.check_device(device)
    orders = office.orders
    page = words.node_page(device, orders.node(device), orders.config(device), orders.commands(device), office.now_ms)
    click.echo("\n".join(page))


@node.command("config")
@click.argument("device")
@_placed
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated.")
@click.option("--unset", multiple=True, metavar="KEY", help="Back to what the node was made with.")
@click.option("--clear", is_flag=True, help="Everything back to what the node was made with.")
@click.option("--wifi-password-file", "password_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="File whose first line is the new password of its wireless network.")  # fmt: skip
@plainly
def node_config(
    device: str, data: Path | None, orders_file: Path | None, *, settings: tuple[str, ...], unset: tuple[str, ...],
    clear: bool, password_file: Path | None,
) -> None:  # fmt: skip
    """Change the configuration of DEVICE from here. It is checked here and again on the node."""
    from resik.fleet_words import hidden

    office = _Office(data, orders_file)
    office.check_device(device)
    known = office.orders.config(device)
    changes: dict[str, str | int | bool] = dict(known.changes) if known is not None and not clear else {}
    for setting in settings:
        key, value = _setting(setting)
        changes[key] = value
    for key in unset:
        if changes.pop(key, None) is None:
            raise StackError(f"{key} was not changed from here: there is nothing to unset")
    if password_file is not None:
        from resik.provision import first_line

        changes["wifi_psk"] = first_line(password_file, "--wifi-password-file")
    if not (settings or unset or clear or password_file):
        raise StackError("say what to change: --set KEY=VALUE, --unset KEY or --clear; `resik node show` shows it")
    _check_settings(device, office.kinds.get(device), changes)
    cfg = office.orders.set_config(device, changes, office.now_ms)
    shown = ", ".join(f"{key} = {value}" for key, value in hidden(changes).items()) or "all as it was made"
    click.echo(f"configuration {cfg} for {device}: {shown}")
    if set(changes) & {"broker_host", "broker_port", "broker_name", "wifi_ssid", "wifi_psk"}:
        click.echo(
            "the way to the broker changes: the node tries it, and goes back by itself when it does not get through"
        )


def _setting(text: str) -> tuple[str, str | int]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise StackError(f"{text!r} is no setting: write KEY=VALUE")
    if key == "wifi_psk":
        raise StackError("everybody on this machine can read a command line: use --wifi-password-file FILE")
    if key in SETTABLE_TEXTS:
        return key, value
    if key not in SETTABLE_NUMBERS:
        known = ", ".join((*SETTABLE_NUMBERS, *SETTABLE_TEXTS))
        raise StackError(f"{key!r} cannot be changed from here: known are {known}")
    try:
        return key, int(value)
    except ValueError as error:
        raise StackError(f"{key} is a whole number, not {value!r}") from error


def _check_settings(device: str, kind: str | None, changes: dict[str, str | int | bool]) -> None:
    """Let the node's own check judge the settings, on top of a configuration that stands for the node's."""
    from resik.node_bundle import ask_check

    base = {
        "v": 1, "site": "any-site", "device": device, "kind": kind or "bin", "wifi_ssid": "any", "wifi_psk": "",
        "broker_host": "broker.example",
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="ascii") as file:
        json.dump(base | changes, file)
        file.flush()
        errors, _ = ask_check(Path(file.name), "the settings")
    if errors:
        raise StackError("; ".join(errors))


@node.command("send")
@click.argument("device")
@click.argument("command", type=click.Choice(sorted(wire.COMMANDS)))
@_placed
@click.option(
    "--s", "seconds", type=int, help="identify: how long to blink; interval: pause between readings, 0 ends it."
)
@click.option("--for-s", type=int, help="interval: for how long.")
@click.option("--boot", type=int, help="resend: the boot whose readings are wanted.")
@click.option("--from", "start", type=int, help="resend: from this number on.")
@click.option("--expires-h", type=FiniteRange(0.1, 720), default=24.0, show_default=True, help="Give up after.")
@plainly
def node_send(
    device: str, command: str, data: Path | None, orders_file: Path | None, *, seconds: int | None, for_s: int | None,
    boot: int | None, start: int | None, expires_h: float,
) -> None:  # fmt: skip
    """Send a COMMAND to DEVICE: identify (blink), reboot, resend readings, or another interval for a while."""
    office = _Office(data, orders_file)
    office.check_device(device)
    given = {"s": seconds, "for_s": for_s, "boot": boot, "from": start}
    body: dict[str, str | int | bool] = {"cmd": command}
    if command == "identify" and seconds is None:
        given["s"] = 30
    if command == "interval" and seconds == 0 and for_s is None:
        given["for_s"] = 0
    for name, number in given.items():
        if number is None:
            continue
        if name not in wire.COMMANDS[command]:
            raise StackError(f"{command} has no {name}: it takes {', '.join(wire.COMMANDS[command]) or 'nothing'}")
        body[name] = number
    expires_ms = office.now_ms + int(expires_h * 3_600_000)
    number = office.orders.add_command(device, body, office.now_ms, expires_ms)
    click.echo(f"command {number} for {device}: {command}; a sleeping node gets it when it wakes")


# -- updates -----------------------------------------------------------------------------------


@click.group()
def ota() -> None:
    """Update real nodes: keys and bundles (offline), and their way to the nodes in stages."""


for _command in (ota_files.keygen, ota_files.build, ota_files.show, ota_files.where):
    ota.add_command(_command)


@ota.command("publish")
@click.argument("bundle_file", metavar="BUNDLE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_placed
@click.option(
    "--stages", default="1,10,50,100", show_default=True, help="Share of the nodes that each stage reaches [%]."
)
@click.option("--kind", type=click.Choice(wire.CLASSES), help="Refuse a bundle for other nodes.")
@click.option("--only", multiple=True, metavar="DEVICE", help="Only this node; may be repeated.")
@click.option(
    "--max-failures", type=click.IntRange(1), default=1, show_default=True, help="So many failed nodes halt it."
)
@click.option(
    "--soak-s", type=click.IntRange(0), default=3600, show_default=True, help="Watch each stage for so long [s]."
)
@click.option("--silence-s", type=click.IntRange(60), default=14_400, show_default=True,
              help="A node that took it and is silent for so long has failed [s].")  # fmt: skip
@click.option("--stall-days", type=click.IntRange(1, 60), default=7, show_default=True,
              help="A node that talks on so many days and does not get there has failed on the next.")  # fmt: skip
@click.option(
    "--pub", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Public release key to check with."
)
@plainly
def ota_publish(
    bundle_file: Path, data: Path | None, orders_file: Path | None, *, stages: str, kind: str | None,
    only: tuple[str, ...], max_failures: int, soak_s: int, silence_s: int, stall_days: int, pub: Path | None,
) -> None:  # fmt: skip
    """Give the update in BUNDLE to the nodes, stage by stage."""
    import hashlib

    from gateway.orders import Release
    from gateway.rollout import Plan, in_order, version_text
    from resik import release

    content = bundle_file.read_bytes()
    bundle = release.read(content)
    _check_bundle(bundle, kind, pub)
    office = _Office(data, orders_file)
    nodes = _targets(office, bundle, only)
    known = office.orders.nodes()
    reachable = [name for name in nodes if name in known and office.now_ms - known[name].seen_ms < silence_s * 1000]
    plan = Plan(
        version=bundle.version, node_class=bundle.kind, nodes=in_order(nodes, reachable, bundle.version),
        shares=_shares(stages), max_failures=max_failures, soak_ms=soak_s * 1000, silence_ms=silence_s * 1000,
        stall_days=stall_days, everyone=not only, is_image=bundle.type == "image",
    )  # fmt: skip
    made = Release(bundle.version, bundle.kind, bundle.type, bundle.size, hashlib.sha256(content).hexdigest())
    office.orders.publish(made, content, plan, office.now_ms)
    name = version_text(bundle.version)
    click.echo(f"{name} goes to {len(nodes)} {bundle.kind} nodes, {len(reachable)} of them heard lately")
    for stage in range(plan.last_stage + 1):
        click.echo(f"  stage {stage + 1}: {plan.reach(stage)} nodes")
    if pub is None:
        click.echo("the signature was not checked here (no --pub); every node checks it before it takes a byte")


def _check_bundle(bundle: Any, kind: str | None, pub: Path | None) -> None:
    from resik import release

    if kind is not None and bundle.kind != kind:
        raise StackError(f"this bundle is for {bundle.kind} nodes, not for {kind}")
    if bundle.size > wire.MAX_BUNDLE_BYTES:
        raise StackError(f"this bundle has {bundle.size} bytes, nodes take {wire.MAX_BUNDLE_BYTES}")
    if pub is not None and not release.verify(bundle, release.read_public(pub)):
        raise StackError("the signature is NOT of this key: no node would take this bundle")


def _shares(text: str) -> tuple[int, ...]:
    try:
        shares = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise StackError(f"--stages {text!r}: write whole percents, for example 1,10,50,100") from error
    if not shares or list(shares) != sorted(set(shares)) or shares[0] < 1 or shares[-1] != 100:  # noqa: PLR2004 - percent
        raise StackError(f"--stages {text}: shares must rise from at least 1 and end with 100")
    return shares


def _targets(office: _Office, bundle: Any, only: Iterable[str]) -> list[str]:
    """Return the nodes that an update is for; refuse it when all have it, or one could not load it."""
    from gateway.rollout import version_number, version_text

    known, kind = office.orders.nodes(), bundle.kind
    kinds = dict(office.kinds)
    kinds.update({name: str(found.status["class"]) for name, found in known.items() if "class" in found.status})
    chosen = sorted(set(only)) or [name for name, found in kinds.items() if found == kind]
    for name in chosen:
        office.check_device(name)
        if kinds.get(name, kind) != kind:
            raise StackError(f"{name} is a node of kind {kinds[name]}: this update is for {kind} nodes")
    if not chosen:
        raise StackError(f"there is no {kind} node: nothing to update")
    if bundle.type == "image":
        return chosen  # what a node says of its version is that of its application
    for name in chosen:
        loads = known[name].status.get("mpy", bundle.mpy) if name in known else bundle.mpy
        if loads != bundle.mpy:
            raise StackError(f"{name} loads bytecode {loads}, this update has {bundle.mpy}: update its image first")
    running = [version_number(str(known[name].status.get("fw", ""))) for name in chosen if name in known]
    told = [number for number in running if number is not None]
    if told and min(told) >= bundle.version:
        oldest = version_text(min(told))
        raise StackError(
            f"every node that was heard runs {oldest} or newer: {version_text(bundle.version)} is no update"
        )
    return chosen


@ota.command("status")
@_placed
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plainly
def ota_status(data: Path | None, orders_file: Path | None, *, as_json: bool) -> None:
    """Show the roll-outs, their stages and what each node is doing. Exit code 1 when one is halted."""
    from resik import fleet_words as words

    office = _Office(data, orders_file)
    rollouts = [rollout for rollout in office.orders.rollouts() if rollout.run.phase != "superseded"]
    pages = [(rollout, office.orders.tracks(rollout.id)) for rollout in rollouts]
    if as_json:
        click.echo(json.dumps([words.rollout_fact(*page, office.now_ms) for page in pages], indent=1))
    elif not pages:
        click.echo("no update was published: `resik ota publish BUNDLE`")
    else:
        click.echo("\n\n".join("\n".join(words.rollout_page(*page, office.now_ms)) for page in pages))
    sys.exit(1 if any(rollout.run.phase == "halted" for rollout in rollouts) else 0)


_KIND = click.option("--kind", type=click.Choice(wire.CLASSES), help="Only the roll-out for these nodes.")


@ota.command("halt")
@_placed
@_KIND
@click.option("--why", default="a person halted it", show_default=True, help="For those who ask later.")
@plainly
def ota_halt(data: Path | None, orders_file: Path | None, *, kind: str | None, why: str) -> None:
    """Stop: no further node gets the update. Nodes that run it keep it."""
    _change(_Office(data, orders_file), kind, "running", phase="halted", why=why)


@ota.command("resume")
@_placed
@_KIND
@click.option("--without", multiple=True, metavar="DEVICE", help="Leave this node out; may be repeated.")
@plainly
def ota_resume(
    data: Path | None, orders_file: Path | None, *, kind: str | None, without: tuple[str, ...]
) -> None:  # fmt: skip
    """Go on after a halt. Nodes that had failed are skipped; new failures count anew."""
    office = _Office(data, orders_file)
    _change(office, kind, "halted", without, phase="running", why="", resumed_ms=office.now_ms)


def _change(office: _Office, kind: str | None, was: str, without: Iterable[str] = (), **changes: Any) -> None:
    from gateway.rollout import version_text

    with office.orders.at_once():
        found = [
            rollout
            for rollout in office.orders.rollouts()
            if rollout.run.phase == was and kind in {None, rollout.plan.node_class}
        ]
        if not found:
            raise StackError(f"no roll-out is {was}: see `resik ota status`")
        for device in without:
            if not any(device in rollout.plan.nodes for rollout in found):
                raise StackError(f"{device} is in no roll-out that is {was}: see `resik ota status`")
        for rollout in found:
            left_out = {*rollout.run.without, *set(without).intersection(rollout.plan.nodes)}
            run = msgspec.structs.replace(rollout.run, without=tuple(sorted(left_out)), **changes)
            office.orders.save_run(rollout.id, run)
    for rollout in found:
        click.echo(f"{version_text(rollout.plan.version)} for {rollout.plan.node_class} nodes: {changes['phase']}")
