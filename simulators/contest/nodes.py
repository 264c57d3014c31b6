"""The nodes of a contest: who measures in which minute, and what a node holds while it has no radio."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from simulators.contest.policy import Observation
from simulators.contest.stage import Stage
from square.geometry import fill_pct_of

BOOT = 1
MINUTE_MS = 60_000


class Nodes:
    """Bin nodes of one run.

    Parameters
    ----------
    stage
        Bins, devices, faults.
    seed
        Of the sensors.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self.made = 0
        """Readings that were measured."""
        self.lost = 0
        """Readings that a node held and lost with its storage."""
        self._faults = stage.faults
        self._sensors = stage.sensors(seed)
        self._radio = stage.radio(seed)
        placements = [p for name in self._sensors.names if (p := stage.registry.placement(name)) is not None]
        self._devices = [p.device.id for p in placements]
        self._bins = [stage.site.bin(p.asset.id) for p in placements]
        self._interval_min = np.array([max(1, p.device.interval_s // 60) for p in placements], dtype=np.int64)
        self._phase_min = np.arange(len(placements), dtype=np.int64) % self._interval_min
        self._seq = [0] * len(placements)
        self._held: dict[int, list[Observation]] = {}
        self._at_s = stage.start_ms / 1000

    @property
    def holding(self) -> int:
        """Readings that nodes hold for want of radio."""
        return sum(len(held) for held in self._held.values())

    def measure(self, model: Any, now_ms: int) -> Iterator[Observation]:
        """Yield what leaves the nodes in a minute: what is due, and before it what they held; oldest first."""
        at_s = now_ms / 1000
        self._lose_storage(at_s)
        due = np.flatnonzero((now_ms // MINUTE_MS - self._phase_min) % self._interval_min == 0)
        if not due.size:
            return
        fields = self._sensors.sense(due, model.bin_truths(), at_s)
        reached = self._radio.reaches(due, at_s).tolist()
        clocks_s = self._radio.ts_s(due, at_s).tolist()
        for node, seen, is_heard, clock_s in zip(due.tolist(), fields, reached, clocks_s, strict=True):
            held = self._held.get(node, [])
            if seen is not None:
                self.made += 1
                self._seq[node] += 1
                held.append(self._observation(node, seen, round(clock_s) * 1000))
            if is_heard:
                self._held.pop(node, None)
                yield from held
            elif held:
                self._held[node] = held

    def _observation(self, node: int, seen: dict[str, Any], ts_ms: int) -> Observation:
        distance_mm = seen.get("distance_mm")
        return Observation(
            device=self._devices[node],
            asset=self._bins[node].id,
            ts_ms=ts_ms,
            arrived_ms=ts_ms,
            seq=self._seq[node],
            boot=BOOT,
            fill_pct=None if distance_mm is None else fill_pct_of(self._bins[node], distance_mm),
            distance_mm=distance_mm,
            state=seen["state"],
            quality=seen["quality"],
            battery_mv=seen.get("battery_mv"),
        )

    def _lose_storage(self, at_s: float) -> None:
        if self._held:
            for change in self._faults.changes_between(self._at_s, at_s):
                if change.begins and change.fault.kind == "lost-storage":
                    for node in [n for n in self._held if change.fault.strikes(self._devices[n])]:
                        self.lost += len(self._held.pop(node))
        self._at_s = at_s
