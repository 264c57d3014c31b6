"""``resik simulate load``: many devices at once, against a stack of their own or a broker that runs already."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec

from resik.complaints import plainly
from resik.errors import StackError
from resik.finite import FiniteRange
from resik.process import cpu_s
from resik.signals import interrupt_on_signals
from resik.whole import CONFIG
from square.access import MAX_WORKERS
from square.scratch import scratch_folder

DEVICES = 1000
DRAIN_WITHIN_S = 120.0
LOOK_EVERY_S = 0.25
BEHIND_S = 1.0
"""A chain that owes at the end no more than what was made in so long keeps up."""
SATURATED_PCT = 90.0
"""A load that used so much of its core may be the limit itself."""


class StackFigures(msgspec.Struct, frozen=True):
    """What a stack of our own did with the readings.

    Attributes
    ----------
    stored, lost, duplicated, dead_lettered, unknown : int
        By identity, see ``Reconciliation``.
    stored_p50_ms, stored_p99_ms : float | None
        From first publication to stored [ms].
    cpu_us : dict[str, float]
        CPU time per reading of each process, the load's included, until the last was stored [us].
    cpu_limit_per_s : float | None
        Readings a second at which these processes would use all cores of this machine.
    """

    stored: int
    lost: int
    duplicated: int
    dead_lettered: int
    unknown: int
    stored_p50_ms: float | None
    stored_p99_ms: float | None
    cpu_us: dict[str, float]
    cpu_limit_per_s: float | None


def _cpu_s(pid: int | None) -> float:
    """Return the CPU time of a process [s]; 0 where the system does not tell."""
    try:
        return cpu_s(pid) if pid is not None else 0.0
    except OSError:
        return 0.0


def _cpu_of(stack: Any) -> dict[str, float]:
    """Return the CPU time of each process of a stack and of ourselves so far [s]."""
    return {child.name: _cpu_s(child.pid) for child in stack.children} | {"load": time.process_time()}


def _progress(console: Any, supervise: Callable[[], None]) -> tuple[AbstractContextManager[Any], Callable[..., None]]:
    """Return a bar to enter, and what to tell it."""
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(), TextColumn("{task.description}"), console=console, transient=True, disable=not console.is_terminal
    )
    task = bar.add_task("", total=1.0)
    looked_s = 0.0

    def tell(share: float, words: str) -> None:
        nonlocal looked_s
        if time.monotonic() - looked_s >= LOOK_EVERY_S:
            looked_s = time.monotonic()
            supervise()
            bar.update(task, completed=share, description=words)

    return bar, tell


def _load(
    plan: Any,
    console: Any,
    supervise: Callable[[], None] = lambda: None,
    connected: Callable[[], None] = lambda: None,
) -> Any:
    """Run the load; return it with its report."""
    from simulators.load import Load

    bar, tell = _progress(console, supervise)
    load = Load(plan, tell, connected)
    with bar:
        asyncio.run(load.run())
    return load


def _against_stack(settings: Any, devices: int, limits: dict[str, Any], console: Any, **where: Any) -> Any:
    """Start a stack with a site of so many devices, load it, look up every reading in its store."""
    from resik.folder import DataFolder, check_unused
    from resik.reconcile import check_store, latency_ms, read_dead_letters, read_times, reconcile, stored_identities
    from resik.stack import Stack
    from simulators.load import LoadPlan, raise_descriptor_limit
    from simulators.real_site import build_fleet_site
    from square.endpoint import MqttEndpoint
    from square.settings import read_secret

    data: Path | None = where["data"]
    check_unused(data, "a load")
    token = read_secret(settings.store_token_file)
    check_store(settings.store_url, token)
    raise_descriptor_limit(devices + 1000)  # the broker inherits it
    interrupt_on_signals()
    with scratch_folder("resik-load-") if data is None else nullcontext(data) as root:
        folder = DataFolder(root, "real")  # wall time
        site = build_fleet_site(root / "site", devices, interval_s=600)
        stack = Stack(
            settings.model_copy(update={"site": str(site)}), folder, config_file=where["config_file"], trace=True
        )
        with stack.running(lambda name: console.print(f"mulai / starting {name}…", style="dim")):
            kinds = {device.id: device.kind for device in stack.registry}
            plan = LoadPlan(
                site=stack.site.id,
                devices=kinds,
                passwords=folder.credentials(kinds),
                endpoint=MqttEndpoint.from_url(stack.broker_url, ca_file=settings.broker_ca_file),
                **limits,
            )
            before_s: dict[str, float] = {}
            load = _load(plan, console, stack.supervise, lambda: before_s.update(_cpu_of(stack)))
            stack.drain(DRAIN_WITHIN_S)
            used_us = {
                name: (cpu_s - before_s[name]) * 1e6 / max(1, load.report.made)
                for name, cpu_s in _cpu_of(stack).items()
            }
        published = dict(load.published())
        dead = read_dead_letters(folder.dead_letters)
        found = reconcile(published, stored_identities(stack.store_url, token, stack.site.id), dead.identities)
        stored_ns: dict[Any, int] = {}
        for file in stack.trace_files:
            stored_ns |= read_times(file)
        latency = latency_ms(published, stored_ns) or {}
        return load.report, StackFigures(
            stored=found.stored,
            lost=found.lost,
            duplicated=found.duplicated,
            dead_lettered=dead.total,
            unknown=found.unknown,
            stored_p50_ms=latency.get(50),
            stored_p99_ms=latency.get(99),
            cpu_us={name: round(cpu_us, 1) for name, cpu_us in used_us.items()},
            cpu_limit_per_s=round((os.cpu_count() or 1) * 1e6 / sum(used_us.values()))
            if sum(used_us.values())
            else None,
        )


def _against_broker(url: str, devices: int | None, limits: dict[str, Any], console: Any, **where: Any) -> Any:
    """Load a broker that runs already; what became of the readings is told by the application acks alone."""
    from simulators.errors import LinkError
    from simulators.load import LoadPlan, first_devices
    from simulators.service import read_passwords
    from square.endpoint import MqttEndpoint, wait_for_broker
    from square.registry import Registry
    from square.site import load_site, resolve_site

    folder = resolve_site(where["site"] or "alun-alun-pasuruan")
    known = [(device.id, device.kind) for device in Registry.load(folder) if device.status == "active"]
    try:
        chosen = first_devices(known, devices)
    except ValueError as error:
        raise StackError(f"{error}: take fewer, or name with --site a folder that has so many") from error
    endpoint = MqttEndpoint.from_url(url, ca_file=where["ca_file"])
    wait_for_broker(endpoint, 2.0)
    plan = LoadPlan(
        site=load_site(folder).id,
        devices=chosen,
        passwords=read_passwords(where["secrets_dir"], chosen),
        endpoint=endpoint,
        **limits,
    )
    try:
        return _load(plan, console).report, None
    except LinkError as error:
        remedy = "name the folder of their passwords with --secrets" if where["secrets_dir"] is None else "see its log"
        raise StackError(f"{error}: {remedy}") from error


def _figures(report: Any, store: StackFigures | None, rate: float) -> dict[str, Any]:
    """Return what `--json` prints."""
    from dataclasses import asdict

    figures: dict[str, Any] = {"rate_per_s": rate or None, **asdict(report)}
    figures["kept_up"] = report.behind <= BEHIND_S * rate if rate else None
    figures["load_was_the_limit"] = report.cpu_pct >= SATURATED_PCT
    figures["store"] = msgspec.to_builtins(store) if store is not None else None
    rounded = {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}
    conserved = report.unacked == 0 and report.connected == report.devices
    if store is not None:
        conserved = conserved and store.stored == report.made and not (store.duplicated or store.dead_lettered)
    return rounded | {"conserved": conserved}


_WORDS = {
    "devices": "perangkat / devices",
    "connected": "tersambung / connected",
    "connect_s": "lama menyambung / connecting took [s]",
    "refused": "ditolak / refused",
    "reconnects": "menyambung lagi / reconnects",
    "rate_per_s": "laju diminta / rate asked [1/s]",
    "made_per_s": "dibuat / made [1/s]",
    "acked_per_s": "diakui / acknowledged [1/s]",
    "made": "bacaan dibuat / readings made",
    "messages": "pesan / messages",
    "resent": "diulang / sent again",
    "unacked": "tanpa ack / without an ack",
    "behind": "tertinggal di akhir / behind at the end",
    "ack_p50_ms": "ack p50 [ms]",
    "ack_p90_ms": "ack p90 [ms]",
    "ack_p99_ms": "ack p99 [ms]",
    "ack_max_ms": "ack maks / max [ms]",
    "cpu_pct": "CPU beban / of the load [%]",
    "stored": "tersimpan / stored",
    "lost": "hilang / lost",
    "duplicated": "ganda / duplicated",
    "dead_lettered": "surat mati / dead-lettered",
    "unknown": "tak dikenal / unknown",
    "stored_p50_ms": "simpan p50 / stored p50 [ms]",
    "stored_p99_ms": "simpan p99 / stored p99 [ms]",
    "cpu_limit_per_s": "batas CPU mesin ini / limit of this CPU [1/s]",
}


def _print(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    flat = figures | (figures["store"] or {})
    for name, words in _WORDS.items():
        value = flat.get(name)
        if value is not None:
            table.add_row(Text(words), f"{value:,.1f}" if isinstance(value, float) else f"{value:,}")
    for name, cpu_us in flat.get("cpu_us", {}).items():
        table.add_row(Text(f"CPU {name} [us/bacaan, us/reading]"), f"{cpu_us:,.1f}")
    console = Console()
    console.print(table)
    if figures["kept_up"] is not None:
        words = "rantai mengimbangi / the chain kept up" if figures["kept_up"] else "rantai tertinggal / it fell behind"
        console.print(words, style="green" if figures["kept_up"] else "yellow")
    if figures["load_was_the_limit"]:
        console.print("pembuat beban sendiri yang jenuh / the load itself was at its limit", style="yellow")
    if not figures["conserved"]:
        words = "ADA YANG HILANG ATAU GANDA / NOT every reading is there once"
    elif figures["store"] is None:
        words = "tiap bacaan diakui / every reading was acknowledged"
    else:
        words = "tiap bacaan tersimpan sekali / every reading is stored once"
    console.print(words, style="green" if figures["conserved"] else "bold red")


@click.command("load", short_help="Drive the real pipeline with many devices.")
@click.option("--devices", type=click.IntRange(1, 60_000), help=f"Devices, each with its connection [{DEVICES}].")
@click.option(
    "--rate",
    type=FiniteRange(0),
    default=100.0,
    show_default=True,
    help="Readings a second, all devices together; 0 for as many as the chain takes.",
)
@click.option("--seconds", type=FiniteRange(0, 86_400, min_open=True), default=30.0, show_default=True)
@click.option(
    "--broker",
    default="mosquitto",
    show_default=True,
    help="Of a stack started for this: mosquitto or embedded; or mqtt(s)://host:port of one that runs.",
)
@click.option("--store", "store_url", help="Store of the stack started for this, e.g. influx1://127.0.0.1:8086/resik.")
@click.option("--store-token-file", type=click.Path(path_type=Path), help="File with its token or password.")
@click.option(
    "--ingest-workers", type=click.IntRange(1, MAX_WORKERS), help="Ingest workers of the stack started for this [1]."
)
@click.option("--data", type=click.Path(path_type=Path), help="Its data folder; must be empty [a temporary one].")
@click.option("--site", help="With mqtt://...: site folder, or the name of a shipped site, whose devices are meant.")
@click.option(
    "--secrets",
    "secrets_dir",
    type=click.Path(path_type=Path),
    help="With mqtt://...: folder with a file per device id that holds its password.",
)
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), help="With mqtts://...: root certificate (PEM).")
@click.option(
    "--window",
    type=click.IntRange(1, 60_000),
    default=10_000,
    show_default=True,
    help="With --rate 0: messages on their way.",
)
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@plainly
def command(
    *,
    devices: int | None,
    rate: float,
    seconds: float,
    broker: str,
    window: int,
    as_json: bool,
    **where: Any,
) -> None:
    """Drive the real pipeline with many devices, each over its own connection, and account for every reading.

    Exit code 0: every reading was acknowledged and, in a stack started for this, is stored once.
    """
    from rich.console import Console

    console = Console(stderr=True)
    limits = {"rate_per_s": rate, "seconds": seconds, "window": window}
    if "://" in broker:
        report, store = _against_broker(broker, devices, limits, console, **where)
    else:
        from resik.ports import free_port
        from resik.stack import StackSettings
        from square.settings import load_settings

        if broker not in {"embedded", "mosquitto"}:
            raise click.BadParameter("write mosquitto, embedded, or mqtt(s)://host:port", param_hint="--broker")
        chosen = {key: where[key] for key in ("store_url", "store_token_file", "ingest_workers") if where[key]}
        overrides = {"broker": broker, "port": free_port(), "broker_port": free_port(), **chosen}
        settings = load_settings(StackSettings, "stack", where["config_file"], **overrides)
        report, store = _against_stack(settings, devices or DEVICES, limits, console, **where)
    figures = _figures(report, store, rate)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        _print(figures)
    sys.exit(0 if figures["conserved"] else 1)
