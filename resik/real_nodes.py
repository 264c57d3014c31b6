"""``resik simulate --real-nodes``: the firmware of the nodes as the source of data, and one verdict.

Each node is the real firmware on a real MicroPython interpreter with the heap of a node; only the chip around it is
imitated. They live on a square of their own whose time runs as fast as the chain takes it. At the end every reading
that a node said it made is looked up in the store.
"""

import json
import os
import random
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from resik.folder import DataFolder, fresh_replay_folder
from resik.node_config import parts_of
from resik.reconcile import (
    Identity,
    Reconciliation,
    check_store,
    read_dead_letters,
    read_times,
    reconcile,
    stored_identities,
)
from resik.signals import interrupt_on_signals
from resik.stack import Stack, StackSettings
from simulators.real_fleet import MIB, FleetProgress, FleetWorld, MadeLedger, RealFleet
from simulators.real_folder import NodeFolder, default_source
from simulators.real_node import RealNode
from simulators.real_site import build_fleet_site
from simulators.real_spawn import Spawner
from square.clock import ClockDriver
from square.registry import Placement
from square.settings import read_secret

START_S = 1_795_042_800
"""2026-11-19 06:00 at the square [s since 1970]: the same run again is the same run."""
DRAIN_WITHIN_S = 120.0
LAST_ROUNDS = 5
"""How often nodes that still hold a reading at the end may wake once more."""
NODE_PARTS = {
    "bin": parts_of("bin", "jsn+ds18b20+tilt+battery"),
    "air": parts_of("air", "pms5003+bme280+battery"),
}


class RealNodesResult(msgspec.Struct, frozen=True):
    """What became of every reading that the nodes made.

    Attributes
    ----------
    nodes, boots, resets : int
        Nodes; starts of their firmware, wakes included; boots that ended in a reset instead of sleep.
    readings_made : int
        Readings that are on flash, by what the nodes said.
    stored, dead_lettered, lost, duplicated, unknown : int
        By identity, see ``Reconciliation``.
    crashed : int
        Nodes that ended at their prompt.
    rss_mib : float
        Most memory of all nodes together, shared pages counted once [MiB].
    seconds : float
        Wall time from the first boot to the last.
    """

    nodes: int
    boots: int
    resets: int
    readings_made: int
    stored: int
    dead_lettered: int
    lost: int
    duplicated: int
    unknown: int
    crashed: int
    rss_mib: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every reading was stored, once, and no node broke."""
        return self.readings_made == self.stored > 0 and not (self.duplicated or self.unknown or self.crashed)


def _make_nodes(
    placements: dict[str, Placement], stack: Stack, folder: DataFolder, spawner: Spawner, *, seed: int, interval_s: int
) -> dict[str, RealNode]:
    """Make the folder of each node; their first boots are spread over one interval."""
    spread = random.Random(seed)  # noqa: S311 - reproducible phases, not a secret
    passwords = folder.credentials(placements)
    source = default_source()
    nodes = {}
    for device, placement in placements.items():
        kind = placement.device.kind
        config = {
            "v": 1,
            "site": stack.site.id,
            "device": device,
            "kind": kind,
            "wifi_ssid": "alun-alun",
            "wifi_psk": "bersih-itu-indah",
            "broker_host": "localhost",
            "broker_port": stack.broker_port,
            "broker_tls": False,
            "floor_s": START_S - 86_400,
            "interval_s": interval_s,
            "parts": NODE_PARTS[kind],
        }
        made = NodeFolder.make(folder.root / "nodes" / device, config, secret=passwords[device], source=source)
        made.set_net(broker={"host": "127.0.0.1", "port": stack.broker_port}, wifi={"rssi_dbm": -67})
        nodes[device] = RealNode(made, spawner, unix_ms=START_S * 1000 + spread.randrange(interval_s * 1000))
    return nodes


def _missing(stack: Stack, folder: DataFolder) -> tuple[Reconciliation, set[str]]:
    """Compare the ledger with the store; return also the devices that still hold a reading."""
    made = read_times(stack.ledger_file)
    stored: list[Identity] = stored_identities(
        stack.store_url, read_secret(stack.settings.store_token_file), stack.site.id
    )
    dead = read_dead_letters(folder.dead_letters).identities
    found = reconcile(made, stored, dead)
    return found, {identity[0] for identity in made.keys() - set(stored) - set(dead)}


def run_real_nodes(
    settings: StackSettings,
    count: int,
    hours: float,
    *,
    seed: int,
    kinds: tuple[str, ...],
    interval_s: int,
    data: Path | None,
    as_json: bool,
    config_file: Path | None = None,
) -> int:
    """Run `count` real nodes for `hours` of their time on a stack of their own, and account for every reading.

    Parameters
    ----------
    settings : StackSettings
        Broker, stores and port; the site is made.
    count : int
        Nodes.
    hours : float
        Square time [h].
    seed : int
        The same seed gives the same square.
    kinds : tuple[str, ...]
        ``bin``, ``air`` or both.
    interval_s : int
        How often a node measures [s].
    data : Path | None
        Data folder, cleared first; ``var/nodes`` when None.
    as_json : bool
        Print one JSON object and nothing else.
    config_file : Path | None
        Handed on to the services.

    Returns
    -------
    int
        0 when every reading is stored once, 1 otherwise.
    """
    console = Console(stderr=True)
    check_store(settings.store_url, read_secret(settings.store_token_file))
    interrupt_on_signals()
    folder = fresh_replay_folder(data or Path("var") / "nodes")
    site = build_fleet_site(folder.root / "site", count, kinds=kinds, interval_s=interval_s)
    stack = Stack(
        settings.model_copy(update={"site": str(site)}), folder, config_file=config_file, clock_start_s=START_S
    )
    placements = {placement.device.id: placement for placement in stack.registry.placements()}
    world = FleetWorld(stack.site, seed=seed, start_s=START_S)
    with Spawner() as spawner, stack.running(lambda name: console.print(f"mulai / starting {name}…", style="dim")):
        clock = stack.clock
        assert isinstance(clock, ClockDriver)
        nodes = _make_nodes(placements, stack, folder, spawner, seed=seed, interval_s=interval_s)
        ledger = MadeLedger(stack.ledger_file)
        fleet = RealFleet(
            nodes,
            spawner,
            set_clock=lambda square_s: clock.set(square_s, 0.0),
            world=lambda device, at_s: world.found(placements[device], at_s),
            ledger=ledger,
            parallel=2 * (os.cpu_count() or 1),
        )
        begun = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("simpul sungguhan / real nodes", total=hours * 3600)

            def advance(now: FleetProgress) -> None:
                stack.supervise()
                words = f"{now.boots:,} boot, {now.made:,} bacaan / readings"
                bar.update(task, completed=now.square_s - START_S, description=words)

            fleet.run(START_S + hours * 3600, advance)
            seconds = time.monotonic() - begun
            stack.drain(DRAIN_WITHIN_S)
            found, holding = _missing(stack, folder)
            for _ in range(LAST_ROUNDS):
                if not holding:
                    break
                fleet.run_once(holding, advance)
                stack.drain(DRAIN_WITHIN_S)
                found, holding = _missing(stack, folder)
        ledger.close()
    report = fleet.report
    result = RealNodesResult(
        nodes=count,
        boots=report.boots,
        resets=report.resets,
        readings_made=found.published,
        stored=found.stored,
        dead_lettered=found.dead_lettered,
        lost=found.lost,
        duplicated=found.duplicated,
        unknown=found.unknown,
        crashed=len(report.dead),
        rss_mib=round(report.peak_bytes / MIB, 1),
        seconds=round(seconds, 1),
    )
    for device, words in sorted(report.dead.items())[:10]:
        console.print(f"{device}: {words} ({nodes[device].folder.serial})", markup=False)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(result)))
    else:
        _print(result)
    return 0 if result.passed else 1


def _print(result: RealNodesResult) -> None:
    rows = [
        ("simpul / nodes", f"{result.nodes:,}"),
        ("boot / boots", f"{result.boots:,}"),
        ("reset", f"{result.resets:,}"),
        ("bacaan dibuat / readings made", f"{result.readings_made:,}"),
        ("tersimpan / stored", f"{result.stored:,}"),
        ("surat mati / dead-lettered", f"{result.dead_lettered:,}"),
        ("hilang / lost", f"{result.lost:,}"),
        ("ganda / duplicated", f"{result.duplicated:,}"),
        ("tak dikenal / unknown", f"{result.unknown:,}"),
        ("rusak / crashed", f"{result.crashed:,}"),
        ("memori / memory", f"{result.rss_mib:,} MiB"),
        ("lama / took", f"{result.seconds:,} s"),
    ]
    width = max(len(name) for name, _value in rows)
    for name, value in rows:
        click.echo(f"{name:{width}}  {value}")
