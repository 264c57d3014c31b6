"""Who was heard when, who is expected, and who is silent.

Silence is judged only over time in which the gateway could hear: from its start, or from the moment at which its broker
was back. Everything is in memory. At the start it is put together from the spool, which knows the last days, and from
the file of orders, which knows what each node announced.

Unit of time: milliseconds of square time since 1970 UTC.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.messages import Errand, Presence, Readings, Uplinks, UpMessage
from square.intervals import expected_interval_s
from square.makes import MARK
from square.site import Device, Site

State = Literal["online", "late", "silent", "never"]

LATE_SHARE, LATE_MIN_MS = 0.25, 60_000
"""A node is late when it is overdue by this part of its interval, and by at least so much [ms]."""

DROPS_KEPT = 8
"""How many of the last losses that a node admitted are remembered."""


class NodeState(msgspec.Struct, frozen=True):
    """What is known of a device now.

    Attributes
    ----------
    device
        Id in the registry; of a sensor of another make that the registry does not know, `@` and its identity.
    state
        online; late: overdue; silent: overdue for as long as the rules of the site allow; never: not heard since this
        gateway can remember.
    heard_ms, reading_ms, will_ms
        Last message, last reading, last word of the broker that its connection broke. None = never.
    interval_s
        Interval by which it is judged [s].
    expected_ms
        When the next message is due. None = never heard.
    """

    device: str
    state: State
    heard_ms: int | None
    reading_ms: int | None
    will_ms: int | None
    interval_s: int
    expected_ms: int | None


class Attendance:
    """Takes note of devices and says how they are.

    Parameters
    ----------
    site
        The square: its devices, their intervals, and when one counts as silent.
    now_ms
        Square time at the start.
    """

    def __init__(self, site: Site, now_ms: int) -> None:
        self._silent_factor = site.rules.silent_factor
        self._default_s = site.bin_interval_s
        self._planned_s: dict[str, int] = {}
        self._aliases: dict[str, str] = {}
        for device in site.devices:
            self._add(device)
        self._heard: dict[str, int] = {}
        self._readings: dict[str, int] = {}
        self._wills: dict[str, int] = {}
        self._announced_s: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._drops: dict[str, deque[tuple[int, int]]] = {}
        self._told: dict[str, int] = {}
        self._listening_ms = self._now_ms = now_ms
        self._lock = threading.Lock()

    def _add(self, device: Device) -> None:
        if device.foreign is not None:
            self._aliases[MARK + device.foreign] = device.id
        if device.status == "active":
            self._planned_s[device.id] = device.interval_s

    # -- what happens ----------------------------------------------------------------------------

    def committed(self, messages: Sequence[UpMessage | Errand]) -> None:
        """Take note of messages that were committed; called once for each commit, so it costs next to nothing."""
        readings = self._readings
        for message in messages:
            what = type(message)
            if what is Readings:
                readings[message.device] = message.arrived_ms  # type: ignore[union-attr]
            elif isinstance(message, Uplinks):
                for row in message.rows:
                    readings[row.device] = message.arrived_ms
            elif isinstance(message, Presence):
                (self._heard if message.online else self._wills)[message.device] = message.arrived_ms
            elif isinstance(message, Errand):
                self._heard[message.device] = message.arrived_ms

    def note_status(self, device: str, status: Mapping[str, Any], at_ms: int) -> None:
        """Take note of what a node says of itself, as `wire.decode_status` gives it."""
        if "interval_s" in status:
            self._announced_s[device] = int(status["interval_s"])
        if "dropped" in status:
            total, known = int(status["dropped"]), self._dropped.get(device)
            self._dropped[device] = total
            if known is not None and total > known:
                with self._lock:
                    self._drops.setdefault(device, deque(maxlen=DROPS_KEPT)).append((at_ms, total - known))

    def restore_arrivals(self, arrivals: Iterable[tuple[str, str, int]]) -> None:
        """Take over what the spool knows: (device, kind, last arrival) of each device and kind."""
        for device, kind, at_ms in arrivals:
            where = {"status": self._heard, "will": self._wills}.get(kind, self._readings)
            where[device] = max(min(at_ms, self._now_ms), where.get(device, 0))

    def restore_node(self, device: str, seen_ms: int, status: Mapping[str, Any]) -> None:
        """Take over what the file of orders knows of a node."""
        self._heard[device] = max(min(seen_ms, self._now_ms), self._heard.get(device, 0))
        if device not in self._announced_s and "interval_s" in status:
            self._announced_s[device] = int(status["interval_s"])
        if device not in self._dropped and "dropped" in status:
            self._dropped[device] = int(status["dropped"])

    def tick(self, now_ms: int, *, is_listening: bool) -> None:
        """Look at the clock.

        Parameters
        ----------
        now_ms
            Square time. When it was set back, nobody was heard later than now: else a node could be silent for as long
            as the clock was ahead without being missed.
        is_listening
            Whether devices can be heard.
        """
        if now_ms < self._now_ms:
            for times in (self._heard, self._readings, self._wills):
                times.update({name: now_ms for name, at_ms in times.copy().items() if at_ms > now_ms})
            self._listening_ms = min(self._listening_ms, now_ms)
        self._now_ms = now_ms
        if not is_listening:
            self._listening_ms = now_ms

    # -- what it means ---------------------------------------------------------------------------

    def dropped_since(self, device: str, since_ms: int) -> int:
        """Return how many readings a node said that it had to give up since a moment."""
        with self._lock:
            return sum(count for at_ms, count in self._drops.get(device, ()) if at_ms >= since_ms)

    def readings_since_last(self) -> dict[str, int]:
        """Return when each node that sent readings since the last call did so last."""
        now = {device: at_ms for device, at_ms in self._readings.copy().items() if not device.startswith(MARK)}
        before, self._told = self._told, now
        return {device: at_ms for device, at_ms in now.items() if before.get(device) != at_ms}

    def interval_s(self, device: str) -> int:
        """Return the interval by which a device is judged [s]."""
        return expected_interval_s(self._planned_s.get(device, self._default_s), self._announced_s.get(device))

    def states(self, now_ms: int) -> list[NodeState]:
        """Return every active device of the registry and every other one that was heard, by id."""
        aliases = self._aliases
        heard: dict[str, int] = {}
        # a copy of a dict with text keys is one step of the interpreter: another thread may add to it meanwhile
        readings = {aliases.get(name, name): at_ms for name, at_ms in self._readings.copy().items()}
        for source in (readings, self._heard.copy()):
            for name, at_ms in source.items():
                heard[name] = max(at_ms, heard.get(name, 0))
        wills = self._wills.copy()
        return [
            self._state(name, heard.get(name), readings.get(name), wills.get(name), now_ms)
            for name in sorted({*self._planned_s, *heard, *wills})
        ]

    def _state(
        self, device: str, heard_ms: int | None, reading_ms: int | None, will_ms: int | None, now_ms: int
    ) -> NodeState:
        interval_s = self.interval_s(device)
        if heard_ms is None:
            return NodeState(device, "never", None, None, will_ms, interval_s, None)
        expected_ms = heard_ms + interval_s * 1000
        state: State = "online"
        if now_ms - max(heard_ms, self._listening_ms) > self._silent_factor * interval_s * 1000:
            state = "silent"
        elif now_ms > expected_ms + max(LATE_MIN_MS, LATE_SHARE * interval_s * 1000):
            state = "late"
        return NodeState(device, state, heard_ms, reading_ms, will_ms, interval_s, expected_ms)


def counted(states: Collection[NodeState]) -> dict[str, int]:
    """Return how many devices are in each state, by the names of the health page."""
    found = dict.fromkeys(("online", "late", "silent", "never"), 0)
    for state in states:
        found[state.state] += 1
    return {f"nodes_{name}": count for name, count in found.items()}
