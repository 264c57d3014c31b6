"""What the gateway makes of the messages that it only has to carry: who is there, what is missing, where it goes."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.gaps import Gaps
from gateway.presence import Attendance, NodeState, counted
from gateway.settings import GatewaySettings
from gateway.spool import Spool
from square.site import Site

FRESH_S = 2.0
"""How long a view of all nodes is good for the next who asks [s]."""
TREND_S = 60.0
"""Over how long the change of the queue is measured [s]."""


class Trend:
    """How fast a number grows.

    >>> trend = Trend()
    >>> for at_s, value in ((0.0, 100), (30.0, 160), (60.0, 220), (90.0, 220)):
    ...     trend.note(at_s, value)
    >>> trend.change
    60
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at_s: float, value: int) -> None:
        """Note the number at a moment [s, monotonic]."""
        self._seen.append((at_s, value))
        while len(self._seen) > 1 and self._seen[1][0] <= at_s - TREND_S:
            self._seen.popleft()

    @property
    def change(self) -> int:
        """By how much it grew within the last minute."""
        return self._seen[-1][1] - self._seen[0][1] if self._seen else 0


class Sense:
    """Presence of nodes, missing readings, and the trend of the queue.

    Parameters
    ----------
    site
        The square.
    spool
        Where what arrived lies.
    settings
        Of the gateway.
    now_ms
        Square time [ms since 1970].
    sessions_lost
        How often the device broker had forgotten our session.
    """

    def __init__(
        self,
        site: Site,
        spool: Spool,
        settings: GatewaySettings,
        *,
        now_ms: Callable[[], int],
        sessions_lost: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._now_ms = now_ms
        self._sessions_lost = sessions_lost
        self._lost_before = 0
        self._lost_s: float | None = None
        self.attendance = Attendance(site, now_ms())
        self.attendance.restore_arrivals(spool.last_arrivals())
        self.gaps = Gaps(
            holes=spool.holes,
            fate=spool.fate,
            dropped_since=self.attendance.dropped_since,
            sessions_lost=sessions_lost,
            grace_ms=int(settings.gap_after_s * 1000),
            pause_ms=int(settings.resend_pause_s * 1000),
            per_min=settings.resend_per_min,
        )
        self._trend = Trend()
        self._states: tuple[float, list[NodeState]] = (float("-inf"), [])

    def tick(self, *, is_listening: bool) -> None:
        """Look at the clock; call it every second."""
        now_s = time.monotonic()
        self._trend.note(now_s, self._spool.waiting)
        self.attendance.tick(self._now_ms(), is_listening=is_listening)
        if (lost := self._sessions_lost()) > self._lost_before:
            self._lost_before, self._lost_s = lost, now_s

    def counts(self) -> dict[str, int | float]:
        """Return the figures of the health page."""
        asking, counts = self.gaps.asking, self.gaps.counts
        return {
            **counted(self._nodes()),
            "resend_requests": counts.requests,
            "resend_came": counts.came,
            "resend_gone": counts.gone,
            "resend_unanswered": counts.unanswered,
            "resend_open": asking.open_requests,
            "resend_waiting": asking.waiting,
            "waiting_change": self._trend.change,
            "session_lost_age_s": -1.0 if self._lost_s is None else round(time.monotonic() - self._lost_s, 1),
        }

    def page(self) -> dict[str, Any]:
        """Return every node, as `/nodes` shows it."""
        asked = self.gaps.asking.nodes
        nodes = []
        for state in self._nodes():
            missing, wanted = asked.get(state.device, (0, 0))
            nodes.append(msgspec.to_builtins(state) | {"missing": missing, "asked": wanted})
        return {"now_ms": self._now_ms(), "nodes": nodes}

    def _nodes(self) -> list[NodeState]:
        now_s = time.monotonic()
        if now_s - self._states[0] > FRESH_S:
            self._states = now_s, self.attendance.states(self._now_ms())
        return self._states[1]
