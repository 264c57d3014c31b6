"""The way of a reading from the node to the office: late when something on it is broken, never lost.

What the pipeline does under each fault is taken from its tests (docs/endurance.md): nodes keep what the gateway has not
acknowledged, the gateway keeps what the broker of the office has not taken, alerts read beside the store. So the store
may be down without any delay, and everything else only delays. Moments are drawn by address, not in order.
"""

import heapq
from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

from ingest.errors import BadMessageError
from ingest.plausibility import check_clock
from simulators.chance import stream
from simulators.contest.policy import Observation
from simulators.faults import Fault, FaultScript
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "retry_max_s": Parameter(
        300, "s", "a node connects again after 1 s, doubling up to 5 min (firmware, docs/firmware.md)"
    ),
    "drain_s": Parameter(10, "s", "assumed: what waited in the gateway has come through after this"),
}
LATE_MS: Final = 60_000
_NODE_SIDE: Final = (("broker", "down"), ("gateway", "down"), ("gateway", "full-disk"), ("disk", "full"))


class Channel:
    """Readings on their way.

    Parameters
    ----------
    faults
        What is broken when.
    seed
        Of the waiting times of nodes.
    """

    def __init__(self, faults: FaultScript, seed: int) -> None:
        self._seed = seed
        self._script = faults
        self._looked_up = (-1, tuple[Fault, ...]())
        self._on_way: list[tuple[int, int, Observation]] = []
        self._sent = 0
        self.refused = 0
        """Readings whose clock was so wrong that they were put aside."""
        self.late = 0
        """Readings that came more than a minute after they were measured."""

    @property
    def _faults(self) -> tuple[Fault, ...]:
        """What breaks the way; the script may grow while the square is watched."""
        version, faults = self._looked_up
        if version != self._script.version:
            faults = tuple(f for target in ("broker", "gateway", "uplink", "disk") for f in self._script.of(target))
            self._looked_up = (self._script.version, faults)
        return faults

    def send(self, seen: Observation, at_ms: int) -> None:
        """Send a reading; ``arrived_ms`` of what comes out is when it comes out."""
        node_s = self._from_node_s(seen.device, at_ms / 1000)
        arrived_ms = round(1000 * self._through_uplink_s(node_s))
        try:
            check_clock(seen.ts_ms, round(1000 * node_s))  # by when the gateway has it
        except BadMessageError:
            self.refused += 1  # a dead letter: it never reaches the office
            return
        self.late += arrived_ms - at_ms > LATE_MS
        self._sent += 1
        heapq.heappush(self._on_way, (arrived_ms, self._sent, seen))

    def arrivals(self, until_ms: int) -> Iterator[Observation]:
        """Yield what has come by a moment, in the order of coming."""
        while self._on_way and self._on_way[0][0] <= until_ms:
            arrived_ms, _, seen = heapq.heappop(self._on_way)
            yield seen._replace(arrived_ms=arrived_ms)

    @property
    def waiting(self) -> int:
        """Readings still on their way."""
        return len(self._on_way)

    def _from_node_s(self, device: str, at_s: float) -> float:
        """When the gateway has a reading [s]: nodes try again by themselves, each after a wait of its own."""
        if not self._faults:
            return at_s
        free_s = at_s
        for fault in self._faults:
            if (fault.target_kind, fault.kind) in _NODE_SIDE and fault.at_s <= free_s < fault.until_s:
                free_s = fault.until_s
        if free_s == at_s:
            return at_s
        if free_s == inf:
            return 9e9
        wait_s = stream(self._seed, f"retry {device}", int(free_s)).random() * PARAMETERS["retry_max_s"].value
        return free_s + float(round(wait_s, 3))

    def _through_uplink_s(self, at_s: float) -> float:
        arrived_s = at_s
        for fault in self._faults:
            if fault.target_kind != "uplink" or not fault.at_s <= arrived_s < fault.until_s:
                continue
            if fault.kind == "cut":
                arrived_s = min(fault.until_s + PARAMETERS["drain_s"].value, 9e9)
            else:
                arrived_s = min(arrived_s + fault.strength, fault.until_s + PARAMETERS["drain_s"].value)
        return arrived_s
