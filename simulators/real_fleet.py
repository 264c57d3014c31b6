"""Many real nodes at once: the firmware itself as the source of data, each boot a process, all in one square time.

Event-driven: the node whose sleep ends first boots first; a few boots run side by side. The square's clock stands at
the oldest boot that has not ended, so that no part of the chain sees a time that a node has yet to reach.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from simulators import noise
from simulators.real_node import Boot, RealNode
from simulators.real_spawn import NodeProcess, Spawner
from simulators.world import World
from square.registry import Placement
from square.site import Bin, Site

AHEAD_MS = 60_000
"""How far a boot may begin after the oldest one that runs [ms]; the gateway believes devices up to 120 s ahead."""
EMPTIED_AT_PCT = 105.0
"""Nobody works on this square: a bin this full is found emptied at the next look [% of its rim]."""
CELL_MV = 4_000
"""Of a node whose place on the square is empty: the bin or its sensor was stolen [mV]."""
_TELL_EVERY_S = 0.25
_AIR_KEYS = {
    "pm1_ngm3": ("pm1_ugm3", 1000),
    "pm25_ngm3": ("pm25_ugm3", 1000),
    "pm10_ngm3": ("pm10_ugm3", 1000),
    "temp_cdeg": ("temp_c", 100),
    "rh_cpct": ("rh_pct", 100),
    "pressure_pa": ("pressure_pa", 1),
}
"""Fields of the model of an air station -> keys of ``world.json`` and the divisor between them."""
MIB = 1 << 20


class FleetWorld:
    """What the sensors of real nodes find on a simulated square.

    Parameters
    ----------
    site
        The square; its waste is that of `simulators.world`.
    seed
        The same seed gives the same square.
    start_s
        Square time of the start [s].
    """

    def __init__(self, site: Site, *, seed: int, start_s: float) -> None:
        self._world = World(site, seed=seed, start_s=start_s, initial_fill_pct=(5.0, 75.0))
        self._seed = seed

    def found(self, placement: Placement, at_s: float) -> dict[str, Any]:
        """Return the content of ``world.json`` for a device at a moment [s]."""
        key = noise.keys(self._seed, "real node", [placement.device.id])
        words = noise.draws(key, noise.place_of(at_s), 1)
        reading = self._world.sense(placement)(at_s) or {}
        world: dict[str, Any] = {
            "battery_mv": reading.get("battery_mv", CELL_MV),
            "noise_seed": int(words[0, 0] >> 34),
        }
        asset = placement.asset
        if isinstance(asset, Bin):
            if self._world.model.fill_of(asset.id) >= EMPTIED_AT_PCT:
                self._world.empty(asset.id, at_s)
            truth = self._world.model.bin_truth(self._world.model.index[asset.id])
            return world | {"distance_mm": round(truth.surface_mm), "temp_c": round(truth.inside_c, 2)}
        return world | {
            there: round(int(reading[here]) / scale, 2) for here, (there, scale) in _AIR_KEYS.items() if here in reading
        }


@dataclass(frozen=True)
class FleetProgress:
    """How far a fleet is: square time [s], boots, readings made so far."""

    square_s: float
    boots: int
    made: int


@dataclass
class FleetReport:
    """What a fleet did.

    Attributes
    ----------
    boots : int
        Starts of the firmware, wakes included.
    made : int
        Readings that nodes put on their flash, by what they said on their serial ports.
    resets : int
        Boots that did not end in sleep.
    dead : dict[str, str]
        Nodes that stand at their prompt, and their last line.
    peak_bytes : int
        Most memory that all nodes and their server had at one moment, shared pages counted once (PSS).
    """

    boots: int = 0
    made: int = 0
    resets: int = 0
    dead: dict[str, str] = field(default_factory=dict)
    peak_bytes: int = 0


class MadeLedger:
    """Every reading that a node said it put on its flash: ``device,boot,seq,state,wall_ns`` lines.

    A node says so after the record is closed, on its serial port, with the line ``reading BOOT SEQ STATE``. What is
    here and does not come out at the other end of the chain was lost.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8")

    def note(self, device: str, lines: Iterable[str]) -> int:
        """Take the lines of a boot and return how many readings it made."""
        now_ns = time.time_ns()
        count = 0
        for line in lines:
            words = line.split()
            if len(words) == 4 and words[0] == "reading":  # noqa: PLR2004 - as written above
                self._file.write(f"{device},{int(words[1])},{int(words[2])},{words[3]},{now_ns}\n")
                count += 1
        self._file.flush()
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes, shared pages divided among those who share them; gone ones count nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


class RealFleet:
    """Boots its nodes as their sleeps end.

    Parameters
    ----------
    nodes
        By device id.
    spawner
        Starts them.
    set_clock
        Told the square's time [s] whenever it moves; it never moves back.
    world
        Returns the content of ``world.json`` for a device and a moment [s].
    ledger
        Takes what the nodes made.
    parallel
        How many boots run side by side.
    """

    def __init__(
        self,
        nodes: Mapping[str, RealNode],
        spawner: Spawner,
        *,
        set_clock: Callable[[float], None],
        world: Callable[[str, float], Mapping[str, Any]],
        ledger: MadeLedger,
        parallel: int = 4,
    ) -> None:
        self.report = FleetReport()
        self._nodes = nodes
        self._spawner = spawner
        self._set_clock = set_clock
        self._world = world
        self._ledger = ledger
        self._parallel = parallel
        self._running: dict[int, str] = {}
        self._square_ms = 0
        self._told_at = 0.0

    def run(self, until_s: float, progress: Callable[[FleetProgress], None] = lambda _: None) -> None:
        """Boot every node whose sleep ends before `until_s` [square s], until all of them sleep beyond it.

        `progress` is called a few times a second, from this thread.
        """
        until_ms = round(until_s * 1000)
        self._go([(node.unix_ms, device) for device, node in self._nodes.items()], until_ms, progress)
        self._reach(until_ms)

    def run_once(self, devices: Iterable[str], progress: Callable[[FleetProgress], None] = lambda _: None) -> None:
        """Let the sleep of some nodes end once more, whenever that is."""
        due = [(self._nodes[device].unix_ms, device) for device in devices if device not in self.report.dead]
        self._go(due, 0, progress)

    def _go(self, due: list[tuple[int, str]], until_ms: int, progress: Callable[[FleetProgress], None]) -> None:
        """Boot what is due; put back what wakes again before `until_ms`."""
        heap = [entry for entry in due if not until_ms or entry[0] < until_ms]
        heapq.heapify(heap)
        while heap or self._running:
            while heap and len(self._running) < self._parallel and heap[0][0] <= self._oldest_ms(heap) + AHEAD_MS:
                self._start(heapq.heappop(heap)[1])
            self._reach(self._oldest_ms(heap))
            for process in self._spawner.wait(_TELL_EVERY_S):
                device = self._finish(process)
                if device not in self.report.dead and (next_ms := self._nodes[device].unix_ms) < until_ms:
                    heapq.heappush(heap, (next_ms, device))
            if time.monotonic() - self._told_at >= _TELL_EVERY_S:
                self._told_at = time.monotonic()
                self._measure()
                progress(FleetProgress(self._square_ms / 1000, self.report.boots, self.report.made))

    def _oldest_ms(self, heap: list[tuple[int, str]]) -> int:
        begun = min((self._nodes[device].unix_ms for device in self._running.values()), default=None)
        return begun if begun is not None else heap[0][0] if heap else self._square_ms

    def _reach(self, square_ms: int) -> None:
        if square_ms > self._square_ms:
            self._square_ms = square_ms
            self._set_clock(square_ms / 1000)

    def _start(self, device: str) -> None:
        node = self._nodes[device]
        node.folder.set_world(**self._world(device, node.unix_ms / 1000))
        self._running[node.start().key] = device
        self.report.boots += 1

    def _finish(self, process: NodeProcess) -> str:
        device = self._running.pop(process.key)
        boot: Boot = self._nodes[device].finish(process)
        self.report.made += self._ledger.note(device, boot.lines)
        self.report.resets += boot.outcome == "reset"
        if boot.outcome not in {"sleep", "reset"}:
            self.report.dead[device] = boot.lines[-1] if boot.lines else boot.outcome
        return device

    def _measure(self) -> None:
        pids = [process.pid for process in self._spawner.processes() if process.pid is not None]
        self.report.peak_bytes = max(self.report.peak_bytes, pss_bytes([*self._spawner.server_pids, *pids]))
