"""Missing readings are asked for, by the gateway itself: once each, few at a time, and never what a node has given up.

A node repeats on its own what nobody acknowledged, so most holes close within minutes. One that stands for longer is a
reading that the node takes for delivered, or that it sends no more: then `resend` is ordered, through the file of
orders, so that it reaches a node that sleeps and survives a restart.

What a node no longer has it says with `oldest_seq` (the spool turns that into a `lost` gap), or, as a count, with
`dropped`. Sensors of other makes have no numbers that run on: nothing of them is ever missing.

Unit of time: milliseconds of square time since 1970 UTC.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from gateway.blocks import Allowance
from gateway.errors import SpoolError
from gateway.missing import Fate, Hole
from gateway.orders import Orders
from gateway.resends import Outcome, Resend, Resends
from square.makes import MARK

LOOK_EVERY_S = 10.0
"""How often holes are looked at [s, wall time]."""
SUSPECT_AFTER_MS = 60_000
"""Grace for a hole that shows up after the broker forgot our session [ms]: there is a reason to think of a loss."""
SUSPECT_FOR_MS = 3_600_000
"""How long such a loss is a reason [ms]."""
ORDER_VALID_MS = 7 * 86_400_000
"""How long a request waits for a node that does not show up [ms]."""
UNANSWERED_AFTER_MS = 86_400_000
"""How long after a node did as it was told what is still missing counts as not coming [ms]."""
PRUNE_EVERY_S = 3600.0

_log = logging.getLogger(__name__)


class Asking(msgspec.Struct, frozen=True):
    """What the gateway asks for by itself, as of the last look.

    Attributes
    ----------
    open_requests, waiting
        Missing ranges that were asked for and are not settled; that are due and wait for their turn.
    nodes
        For each node with something missing: readings missing, and how many of them were asked for.
    suspected_ms
        When the broker had forgotten our session last; None if it never did.
    """

    open_requests: int = 0
    waiting: int = 0
    nodes: dict[str, tuple[int, int]] = {}
    suspected_ms: int | None = None


class GapCounts(msgspec.Struct):
    """Since start.

    Attributes
    ----------
    requests
        Orders to send again.
    came, gone, unanswered
        Readings that came after a request; that the node no longer has; that did not come although it did as told.
    """

    requests: int = 0
    came: int = 0
    gone: int = 0
    unanswered: int = 0


class Gaps:
    """Watches holes and orders what is missing. All methods are for one thread, but for `asking` and `counts`.

    Parameters
    ----------
    holes
        What is missing now and may still come.
    fate
        What became of the readings low..high of (device, boot).
    dropped_since
        How many readings a node admitted to have given up since a moment.
    sessions_lost
        How often the device broker had forgotten our session.
    grace_ms
        A hole is left to the node itself for so long.
    pause_ms
        Pause between two requests to the same node.
    per_min
        Requests to all nodes in a minute of wall time; 0 = the gateway asks for nothing.
    monotonic
        Monotonic wall time [s].
    """

    def __init__(
        self,
        *,
        holes: Callable[[], list[Hole]],
        fate: Callable[[Hole], Fate],
        dropped_since: Callable[[str, int], int],
        sessions_lost: Callable[[], int] = lambda: 0,
        grace_ms: int = 600_000,
        pause_ms: int = 3_600_000,
        per_min: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = GapCounts()
        self.asking = Asking()
        self._holes = holes
        self._fate = fate
        self._dropped_since = dropped_since
        self._sessions_lost = sessions_lost
        self._lost_before = sessions_lost()
        self._grace_ms = grace_ms
        self._pause_ms = pause_ms
        self._monotonic = monotonic
        self._allowance = Allowance(per_min / 60, monotonic()) if per_min else None
        self._look_every_s = min(LOOK_EVERY_S, grace_ms / 1000)
        self._looked_s = self._pruned_s = float("-inf")
        self._since: dict[Hole, int] = {}
        self._suspected_ms: int | None = None

    def look(self, orders: Orders, now_ms: int) -> bool:
        """Settle what was asked for and ask for what is due; whether there is a new order.

        Raises
        ------
        OrdersError
            If the file of orders failed; the look is tried again.
        """
        now_s = self._monotonic()
        if self._sessions_lost() > self._lost_before:
            self._lost_before, self._suspected_ms = self._sessions_lost(), now_ms
        if now_s - self._looked_s < self._look_every_s:
            return False
        resends = Resends(orders)
        asked: set[Hole] = set()
        try:
            found = [hole for hole in self._holes() if not hole.device.startswith(MARK)]
            self._note_ages(found, now_ms)
            entries = self._settle(resends, found, now_ms)
        except SpoolError as error:
            _log.warning("holes are looked at later: %s", error)
            return False
        due = self._due(found, entries, now_ms)
        if due:
            last_ms: dict[str, int] = {}
            for entry in entries:
                if entry.asked_ms <= now_ms:
                    last_ms[entry.device] = max(entry.asked_ms, last_ms.get(entry.device, 0))
            asked = self._ask(orders, due, last_ms, now_ms)
        self.asking = self._sum_up(found, entries, due, asked)
        if now_s - self._pruned_s >= PRUNE_EVERY_S:
            resends.prune(now_ms)
            self._pruned_s = now_s
        self._looked_s = now_s
        return bool(asked)

    def _note_ages(self, found: list[Hole], now_ms: int) -> None:
        """Note since when each hole was seen; what is left of one that shrank is as old as it was."""
        before: dict[tuple[str, int], list[tuple[Hole, int]]] = defaultdict(list)
        for hole, since_ms in self._since.items():
            before[hole.device, hole.boot].append((hole, since_ms))
        self._since = {
            hole: min(
                (
                    min(since_ms, now_ms)  # the clock may have been set back
                    for known, since_ms in before.get((hole.device, hole.boot), ())
                    if known.low <= hole.high and hole.low <= known.high
                ),
                default=now_ms,
            )
            for hole in found
        }

    # -- what came of it -------------------------------------------------------------------------

    def _settle(self, resends: Resends, found: list[Hole], now_ms: int) -> list[Resend]:
        entries = resends.all()
        whole = set(found)
        for index, entry in enumerate(entries):
            if entry.outcome is not None:
                continue
            hole = Hole(entry.device, entry.boot, entry.low, entry.high)
            fate = Fate(0, 0, entry.high - entry.low + 1) if hole in whole else self._fate(hole)
            outcome = self._outcome(entry, fate, now_ms)
            if outcome is None:
                continue
            resends.settle(entry, outcome, fate.came, now_ms)
            entries[index] = msgspec.structs.replace(entry, outcome=outcome, came=fate.came)
            self._tell(entry, outcome, fate)
        return entries

    def _outcome(self, entry: Resend, fate: Fate, now_ms: int) -> Outcome | None:
        if not fate.missing:
            return "came" if not fate.gone else "partly" if fate.came else "gone"
        if self._dropped_since(entry.device, entry.asked_ms) >= fate.missing:
            return "partly" if fate.came else "gone"
        if entry.done_ms is not None:
            is_over = entry.done_ms + UNANSWERED_AFTER_MS < now_ms
        else:
            is_over = entry.expires_ms is None or entry.expires_ms < now_ms
        return "unanswered" if is_over else None

    def _tell(self, entry: Resend, outcome: Outcome, fate: Fate) -> None:
        self.counts.came += fate.came
        what = f"readings {entry.low} to {entry.high} of {entry.device}, boot {entry.boot}"
        if outcome == "came":
            _log.info("%s were missing and came after they were asked for", what)
        elif outcome == "unanswered":
            self.counts.unanswered += fate.missing
            _log.warning("%s were asked for: %d came, %d did not", what, fate.came, fate.missing)
        else:
            self.counts.gone += fate.gone + fate.missing
            _log.warning("%s were asked for: %d came, the node no longer has the other %d", what, fate.came,
                         fate.gone + fate.missing)  # fmt: skip

    # -- asking ----------------------------------------------------------------------------------

    def _due(self, found: list[Hole], entries: Iterable[Resend], now_ms: int) -> dict[tuple[str, int], list[Hole]]:
        """Return holes that are to be asked for, by (device, boot), the oldest first."""
        asked: dict[tuple[str, int], list[Resend]] = defaultdict(list)
        for entry in entries:
            asked[entry.device, entry.boot].append(entry)
        due: dict[tuple[str, int], list[Hole]] = {}
        for hole in sorted(found, key=lambda hole: self._since[hole]):
            key = (hole.device, hole.boot)
            if any(entry.low <= hole.high and hole.low <= entry.high for entry in asked.get(key, ())):
                continue
            since_ms = self._since[hole]
            if now_ms - since_ms < self._grace_of(since_ms):
                continue
            if self._dropped_since(hole.device, since_ms - self._grace_ms) >= hole.high - hole.low + 1:
                continue
            due.setdefault(key, []).append(hole)
        return due

    def _grace_of(self, since_ms: int) -> int:
        suspected_ms = self._suspected_ms
        if suspected_ms is not None and suspected_ms <= since_ms <= suspected_ms + SUSPECT_FOR_MS:
            return min(SUSPECT_AFTER_MS, self._grace_ms)
        return self._grace_ms

    def _ask(
        self, orders: Orders, due: dict[tuple[str, int], list[Hole]], last_ms: dict[str, int], now_ms: int
    ) -> set[Hole]:
        """Order what is due, as far as the limits allow; `last_ms` says when each node was asked last."""
        ordered = {
            (command.device, int(command.body["boot"]), int(command.body["from"]))
            for command in orders.open_commands(now_ms)
            if command.body["cmd"] == "resend"
        }
        asked: set[Hole] = set()
        now_s = self._monotonic()
        for (device, boot), wanted in due.items():
            if self._allowance is None or self._allowance.left(now_s) < 1.0:
                break
            first = min(hole.low for hole in wanted)
            if any((who, what) == (device, boot) and at <= first for who, what, at in ordered):
                continue  # the node is told so already, by a person or by us
            if now_ms - last_ms.get(device, now_ms - self._pause_ms) < self._pause_ms:
                continue
            Resends(orders).ask(wanted, now_ms, now_ms + ORDER_VALID_MS)
            self._allowance.use()
            last_ms[device] = now_ms
            asked.update(wanted)
            self.counts.requests += 1
            count = sum(hole.high - hole.low + 1 for hole in wanted)
            _log.warning("%s is asked for %d readings of boot %d that are missing, from number %d on", device, count,
                         boot, first)  # fmt: skip
        return asked

    def _sum_up(
        self,
        found: list[Hole],
        entries: list[Resend],
        due: dict[tuple[str, int], list[Hole]],
        asked: set[Hole],
    ) -> Asking:
        known: dict[tuple[str, int], list[Resend]] = defaultdict(list)
        for entry in entries:
            known[entry.device, entry.boot].append(entry)
        nodes: dict[str, tuple[int, int]] = {}
        for hole in found:
            missing, wanted = nodes.get(hole.device, (0, 0))
            count = hole.high - hole.low + 1
            is_asked = hole in asked or any(
                entry.low <= hole.high and hole.low <= entry.high for entry in known.get((hole.device, hole.boot), ())
            )
            nodes[hole.device] = missing + count, wanted + count * is_asked
        return Asking(
            open_requests=sum(entry.outcome is None for entry in entries) + len(asked),
            waiting=sum(map(len, due.values())) - len(asked),
            nodes=nodes,
            suspected_ms=self._suspected_ms,
        )
