"""``resik demo``: the whole stack, unattended, for a while; then one verdict.

The same processes as ``make run``, in a fresh folder, with a square that is busy from the first minute. At the end
the publisher's ledger is compared with the store, reading by reading.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from resik.errors import StackError
from resik.folder import DataFolder
from resik.process import Child
from resik.reconcile import (
    Identity,
    check_store,
    latency_ms,
    read_dead_letters,
    read_times,
    reconcile,
    stored_identities,
)
from resik.screen import poll
from resik.stack import Stack, StackSettings
from square.settings import read_secret

if TYPE_CHECKING:
    from simulators.scenario import Scenario

DRAIN_WITHIN_S = 60.0
BUSY_START = "16:30"
"""Vendors and the late afternoon's visitors are there and two shifts meet: something happens at once."""
BUSY_FILL_PCT = ("60", "97")
"""Bins start between these levels [%], so that some are full within the first readings."""


class DemoReport(msgspec.Struct, frozen=True):
    """The figures of one demo run; see ``docs/demo.md``. Times are wall milliseconds."""

    published: int
    spooled: int
    stored: int
    lost: int
    duplicated: int
    dead_lettered: int
    incidents_opened: int
    tasks_dispatched: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    unknown: int
    bins_emptied: int
    restarts: int
    faults: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every reading was stored once, and nothing else was."""
        return self.published == self.stored > 0 and self.duplicated == self.dead_lettered == self.unknown == 0


def _count(child: Child, name: str) -> int:
    return int(child.health.counts.get(name, 0)) if child.health is not None else 0


def run_demo(
    settings: StackSettings,
    folder: DataFolder,
    seconds: float,
    *,
    simulate: dict[str, str],
    scenario: "Scenario | None" = None,
    config_file: Path | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> DemoReport:
    """Run the square for ``seconds`` of wall time, let it drain, and compare.

    Parameters
    ----------
    settings : StackSettings
        Broker, stores, speed and port.
    folder : DataFolder
        A fresh one.
    seconds : float
        How long the simulated devices report [s].
    simulate : dict[str, str]
        Settings of the simulator, such as its seed.
    scenario : Scenario | None
        What the square goes through; its faults end before the comparison.
    config_file : Path | None
        Handed on to the services.
    progress : Callable[[float, str], None]
        Told the share done [0..1] and what happens.

    Raises
    ------
    StackError
        If the store does not answer, the stack cannot start, or a part gives up.
    """
    token = read_secret(settings.store_token_file)
    check_store(settings.store_url, token)
    low, high = BUSY_FILL_PCT
    simulate = simulate | {
        "duration_s": f"{seconds:g}",
        "initial_fill_min_pct": low,
        "initial_fill_max_pct": high,
    }
    stack = Stack(settings, folder, config_file=config_file, simulate=simulate, trace=True, scenario=scenario)
    begun = time.monotonic()
    with stack.running(lambda name: progress(0.0, f"mulai / starting {name}")):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            stack.supervise()
            poll(stack)
            progress(1 - (until - time.monotonic()) / seconds, "alun-alun berjalan / the square runs")
            time.sleep(0.3)
        progress(1.0, "menunggu sisa data / draining")
        if stack.faults is not None:
            stack.faults.heal()
        simulator = stack.child("simulator")
        stack.drain(DRAIN_WITHIN_S, also=lambda: simulator.exit_code is not None)
        poll(stack)
        gateway = stack.child("gateway")
        spooled = _count(gateway, "spooled") - _count(gateway, "presence")  # readings alone
        incidents = _count(stack.child("alerts"), "incidents_opened")
        dispatched = _count(stack.child("alerts"), "tasks_dispatched")
        emptied = _count(stack.child("simulator"), "bins_emptied")
        restarts = sum(child.restarts for child in stack.children)
        faults = stack.faults.begun if stack.faults is not None else 0
    published = read_times(stack.ledger_file)
    if not published:
        raise StackError(f"the simulator published nothing: see {stack.child('simulator').log}")
    identities = stored_identities(stack.store_url, token, stack.site.id)
    dead = read_dead_letters(folder.dead_letters)
    report = reconcile(published, identities, dead.identities)
    stored_at: dict[Identity, int] = {}
    for file in stack.trace_files:
        for identity, wall_ns in read_times(file).items():
            stored_at[identity] = min(wall_ns, stored_at.get(identity, wall_ns))
    latency = latency_ms(published, stored_at) or {}
    return DemoReport(
        published=report.published,
        spooled=spooled,
        stored=report.stored,
        lost=report.lost,
        duplicated=report.duplicated,
        dead_lettered=dead.total,
        incidents_opened=incidents,
        tasks_dispatched=dispatched,
        latency_p50_ms=round(latency[50], 1) if latency else None,
        latency_p99_ms=round(latency[99], 1) if latency else None,
        unknown=report.unknown,
        bins_emptied=emptied,
        restarts=restarts,
        faults=faults,
        seconds=round(time.monotonic() - begun, 1),
    )
