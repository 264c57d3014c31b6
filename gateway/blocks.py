"""Parts of updates for the nodes that ask for them: one after another, never more than the link has to spare.

Readings share the broker with updates and go first. So the whole gateway sends at most so many blocks a second, a
single node at most so many, and a node has at most one request waiting: its last. A node without an answer asks
again, so a request may be forgotten at any moment.
"""

import threading
from collections.abc import Callable

import msgspec

BURST_S = 2.0
"""How much of an unused allowance is kept [s]."""
WAITING_LIMIT = 2_000
"""Nodes that may wait for a block; beyond, the newcomer is not answered and asks again."""


class Request(msgspec.Struct, frozen=True):
    """A node asks for `size` bytes of the bundle of `version` from byte `at` on."""

    device: str
    version: int
    at: int
    size: int


class Allowance:
    """So many a second, with a little room for bursts.

    Parameters
    ----------
    per_s
        Rate [1/s].
    now_s
        Monotonic time [s].
    """

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._room = max(1.0, per_s * BURST_S)
        self._left = self._room
        self._at_s = now_s

    def left(self, now_s: float) -> float:
        """Return how much may be used now."""
        self._left = min(self._room, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return self._left

    def use(self) -> None:
        """Use one."""
        self._left -= 1.0

    def is_full(self, now_s: float) -> bool:
        """Whether nothing of it was used lately."""
        return self.left(now_s) >= self._room


class BlockQueue:
    """Requests that wait for their turn. `put` may be called from any thread, the rest from one.

    Parameters
    ----------
    per_s, node_per_s
        Blocks a second in total, and for one node.
    monotonic
        Monotonic time [s].
    """

    def __init__(self, per_s: float, node_per_s: float, monotonic: Callable[[], float]) -> None:
        self._node_per_s = node_per_s
        self._monotonic = monotonic
        self._total = Allowance(per_s, monotonic())
        self._nodes: dict[str, Allowance] = {}
        self._waiting: dict[str, Request] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, request: Request) -> bool:
        """Let a request wait; it replaces the node's last one, but keeps its turn. False when there are too many."""
        with self._lock:
            if request.device not in self._waiting and len(self._waiting) >= WAITING_LIMIT:
                return False
            self._waiting[request.device] = request
            return True

    def due(self) -> list[Request]:
        """Take the requests that may be answered now, in the order in which their nodes began to wait."""
        now_s = self._monotonic()
        found = []
        with self._lock:
            for device in list(self._waiting):
                if self._total.left(now_s) < 1.0:
                    break
                own = self._nodes.setdefault(device, Allowance(self._node_per_s, now_s))
                if own.left(now_s) < 1.0:
                    continue
                own.use()
                self._total.use()
                found.append(self._waiting.pop(device))
            self._nodes = {device: own for device, own in self._nodes.items() if not own.is_full(now_s)}
        return found
