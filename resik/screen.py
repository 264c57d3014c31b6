"""What the person at the terminal sees while the square runs."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alerts.adapters.crew_links import read_links
from resik.stack import Stack
from square.clock import clock_words

POLL_EVERY_S = 1.0
PLAIN_EVERY_S = 30.0

_WHAT = {
    "broker": "pialang / broker",
    "gateway": "gerbang / gateway",
    "ingest": "penyimpan / ingest",
    "alerts": "peringatan / alerts",
    "dashboard": "peta / dashboard",
    "simulator": "simulasi / simulator",
}
_SHOWN = {
    "gateway": ("new", "repeats", "waiting", "poison"),
    "ingest": ("stored_with_repeats", "dead_lettered"),
    "alerts": ("judged", "incidents_opened", "tasks_dispatched"),
    "dashboard": ("streams",),
    "simulator": ("published", "acked", "bins_emptied"),
}
_MADE = {
    "new": ("spooled", ("presence", "poison")),
    "repeats": ("duplicates", ()),
    "stored_with_repeats": ("stored", ()),
    "judged": ("readings", ("duplicates",)),
}
"""Figures that no service has under this name: of what, less what."""


def _square_time(stack: Stack) -> str:
    words = clock_words(datetime.fromtimestamp(stack.square_now_s(), stack.site.zone_info))
    suffix = f" (simulasi ×{stack.settings.speed:g})" if stack.folder.kind == "simulated" else ""
    return words + suffix


def _crews(stack: Stack) -> list[str]:
    """Return the links of the crews on shift, so that a first-time user can open a crew page at once."""
    links = read_links(stack.folder.crew_links)
    on_shift = stack.site.crews_on_shift(stack.square_now_s())
    lines = [
        f"Petugas / crew {crew.name}: {stack.address}petugas/{links[crew.id]}" for crew in on_shift if crew.id in links
    ]
    return lines or ["Tidak ada petugas bertugas / no crew on shift; semua tautan / all links: resik crews"]


def devices_line(stack: Stack) -> str:
    """Return where real devices connect and as whom."""
    return (
        f"Perangkat / devices: {stack.broker_url}, user = device id, password = {stack.folder.secrets}/<device id>, "
        "see docs/protocol.md"
    )


def _state(stack: Stack, name: str) -> tuple[str, str]:
    child = stack.child(name)
    if child.is_held:
        return "mati karena gangguan / killed by a fault", "red"
    if child.pid is None:
        if name == "simulator" and child.exit_code == 0:
            return "selesai / done", "green"
        return f"mati, dimulai lagi / restarting ({child.restarts + 1})", "red"
    if child.health is not None and not child.health.ok:
        return child.health.reason or "sakit / not well", "yellow"
    if child.health_port is not None and child.health is None:
        return "tak menjawab / no answer", "yellow"
    return "sehat / well", "green"


def _faults(stack: Stack) -> str:
    """Return what strikes the stack at the moment; empty for nothing."""
    acting = stack.faults.acting if stack.faults is not None else ()
    words = ", ".join(f"{fault.target} {fault.kind}" for fault in acting)
    return f"   gangguan / faults: {words}" if words else ""


def figures(service: str, counts: Mapping[str, float]) -> str:
    """Return the figures of a service that are shown.

    After a cut devices and gateway send again what nobody acknowledged. Gateway and alerts tell new readings from
    repeats; ingest keeps nothing and cannot, so its figure is called what it is.
    """
    known = dict(counts)
    for name, (whole, less) in _MADE.items():
        if whole in counts:
            known[name] = counts[whole] - sum(counts.get(one, 0) for one in less)
    return "  ".join(f"{name} {known[name]:.0f}" for name in _SHOWN.get(service, ()) if name in known)


def _part(name: str) -> tuple[str, str]:
    """Take the name of a child apart: its service, and what tells one of several ingest workers from the others."""
    return ("ingest", f" {name.removeprefix('ingest-')}") if name.startswith("ingest-") else (name, "")


def _table(stack: Stack) -> Group:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("bagian / part", no_wrap=True)
    table.add_column("keadaan / state", no_wrap=True, overflow="ellipsis", max_width=44)
    table.add_column("angka / counts", no_wrap=True, overflow="ellipsis")
    for child in stack.children:
        words, colour = _state(stack, child.name)
        counts = child.health.counts if child.health is not None else {}
        service, number = _part(child.name)
        table.add_row(_WHAT[service] + number, Text(words, style=colour), figures(service, counts))
    heading = Text.assemble(
        ("Resik ", "bold"), (stack.site.name_id, "bold"), f"   {_square_time(stack)}", style="default"
    )
    address = Text.assemble("Peta / map: ", (stack.address, "bold underline"))
    if stack.folder.kind == "real":
        address.append("\n" + devices_line(stack))
    if stack.scenario is not None:
        address.append(f"\nSkenario / scenario: {stack.scenario.name_id} / {stack.scenario.name_en}")
        address.append(_faults(stack), "bold red")
    crews = Text("\n".join(_crews(stack)), no_wrap=True)
    closing = Text(
        "Ctrl-C untuk berhenti / to stop. Data tersimpan di / data stays in: " + str(stack.folder.root), "dim"
    )
    return Group(heading, address, crews, Text(""), table, Text(""), closing)


def watch(stack: Stack, console: Console) -> NoReturn:
    """Show the stack's health for ever, restarting what dies.

    On a terminal one screen updates in place; elsewhere a plain line is printed now and then.

    Raises
    ------
    StackError
        If a part stopped for a reason that only a person can mend.
    """
    if console.is_terminal:
        with Live(_table(stack), console=console, refresh_per_second=4, transient=False) as live:
            _keep_watch(stack, lambda: live.update(_table(stack)), every_s=POLL_EVERY_S)
    console.print(f"Peta / map: {stack.address}   Ctrl-C untuk berhenti / to stop", soft_wrap=True)
    if stack.folder.kind == "real":
        console.print(devices_line(stack), soft_wrap=True)
    console.print("Tautan petugas / crew links: resik crews", soft_wrap=True)

    def print_line() -> None:
        states = ", ".join(f"{child.name}: {_state(stack, child.name)[0]}" for child in stack.children)
        console.print(f"{_square_time(stack)}  {states}{_faults(stack)}", soft_wrap=True)

    _keep_watch(stack, print_line, every_s=PLAIN_EVERY_S)


def _keep_watch(stack: Stack, show: Callable[[], None], *, every_s: float) -> NoReturn:
    """Supervise and ask for health without end; ``show`` the result at most every ``every_s``."""
    polled_s = shown_s = time.monotonic()
    while True:
        stack.supervise()
        now_s = time.monotonic()
        if now_s - polled_s >= POLL_EVERY_S:
            poll(stack)
            polled_s = now_s
            if now_s - shown_s >= every_s:
                show()
                shown_s = now_s
        time.sleep(0.2)


def poll(stack: Stack) -> None:
    """Ask every part how it is."""
    for child in stack.children:
        if child.pid is not None:
            child.poll_health()
