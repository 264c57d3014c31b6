"""A virtual node: what a sensor device keeps, sends and forgets, without a connection.

A reading has the identity (device, boot, seq). It stays in the node's queue until the gateway's *application* ack
covers it; a broker's PUBACK frees nothing. The queue stands for the flash of a real node: it is bounded, drops the
oldest and counts that.
"""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from firmware import wire

Reading = dict[str, Any]
QUEUE_LIMIT = 4_000  # readings: more than a day at one a minute, as the flash of a real node holds
_ENVELOPE_BYTES = 96  # v, boot, oldest_seq, up_s and punctuation at their longest
_NOT_MEASURED = frozenset({"seq", "ts", "up_s"})


def checksum(reading: Mapping[str, Any]) -> str:
    """Return 16 hex digits that stand for the measured values of a reading (identity and time not included)."""
    values = {key: value for key, value in reading.items() if key not in _NOT_MEASURED and value is not None}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


class Ledger:
    """Everything that was ever published, one CSV line per reading, written before the packet leaves.

    Columns: device, boot, seq, kind, ts [s, empty without clock], checksum of the values, wall clock of the first
    attempt [ns]; no header. It is the publisher's side of any reconciliation: what is here and neither in a store nor
    in a dead-letter store nor still in the node's queue is lost.

    Parameters
    ----------
    path
        File to append to; None keeps only the count.
    """

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def published(self, device_id: str, kind: str, boot: int, readings: Iterable[Reading]) -> None:
        """Note the first publication of readings."""
        now_ns = time.time_ns()
        lines = [f"{device_id},{boot},{r['seq']},{kind},{r.get('ts', '')},{checksum(r)},{now_ns}\n" for r in readings]
        self.count += len(lines)
        if self._file is not None and lines:
            self._file.write("".join(lines))
            self._file.flush()  # to the kernel: kill -9 of this process loses none

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class NodeQueue:
    """Readings that the gateway has not acknowledged, oldest first.

    Parameters
    ----------
    limit
        Readings kept; beyond it the oldest is dropped and counted.
    """

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._readings: OrderedDict[tuple[int, int], Reading] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._readings)

    def __contains__(self, key: object) -> bool:
        return key in self._readings

    def put(self, boot: int, reading: Reading) -> None:
        """Keep a reading; its `seq` MUST be new for this boot."""
        self._readings[boot, reading["seq"]] = reading
        if len(self._readings) > self._limit:
            self._readings.popitem(last=False)
            self.dropped += 1

    def window(self) -> tuple[int, list[Reading]] | None:
        """Return the oldest readings that fit one message: one boot, at most 64, below the payload limit."""
        boot: int | None = None
        chosen: list[Reading] = []
        size = _ENVELOPE_BYTES
        for (its_boot, _), reading in self._readings.items():
            boot = its_boot if boot is None else boot
            size += len(json.dumps(reading, separators=(",", ":"))) + 1
            full = len(chosen) >= wire.MAX_READINGS or size > wire.MAX_PAYLOAD_BYTES
            if its_boot != boot or full:
                break
            chosen.append(reading)
        return None if boot is None else (boot, chosen)

    def oldest_seq(self, boot: int) -> int | None:
        """Return the lowest seq of a boot that is still held."""
        return min((seq for its_boot, seq in self._readings if its_boot == boot), default=None)

    def head_ts(self) -> int | None:
        """Return the time of the first reading in line [s since 1970 UTC]; None when there is none or it has none."""
        return next((r.get("ts") for r in self._readings.values()), None)

    def ack(self, boot: int, upto: int, also: Iterable[tuple[int, int]]) -> list[int]:
        """Forget what the gateway holds and return the freed seqs."""
        ranges = [(0, upto), *also]
        freed = [seq for b, seq in self._readings if b == boot and any(low <= seq <= high for low, high in ranges)]
        for seq in freed:
            del self._readings[boot, seq]
        return freed

    def clear(self) -> int:
        """Lose everything, count it as dropped, and return how much it was."""
        lost = len(self._readings)
        self._readings.clear()
        self.dropped += lost
        return lost

    def save(self) -> list[list[Any]]:
        """Return the content as JSON-able rows [boot, reading]."""
        return [[boot, reading] for (boot, _), reading in self._readings.items()]

    def load(self, rows: Iterable[Iterable[Any]]) -> None:
        """Put rows of `save` back, before anything newer."""
        for boot, reading in rows:
            self.put(int(boot), dict(reading))


Sense = Callable[[float], Reading | None]
"""Measure at a moment of square time [s]: wire fields without seq and ts."""


@dataclass(frozen=True)
class NodeIdentity:
    """Who a node is: site, device id (its user name and client id), kind `bin` or `air`, interval [s of the square]."""

    site: str
    device_id: str
    kind: str
    interval_s: int


class VirtualNode:
    """One device: numbers its readings, keeps them, makes its messages. It knows no connection.

    Parameters
    ----------
    identity
        Who it is.
    sense
        Called for each measurement; None for a node whose readings come from outside (`record`).
    boot
        Random u32 of this start.
    started_s
        Square time of this start [s].
    has_clock
        False makes it send uptimes instead of times, as a device does before its clock is set.
    queue_limit
        See `NodeQueue`.
    """

    firmware_version = "sim-1"

    def __init__(
        self,
        identity: NodeIdentity,
        sense: Sense | None,
        *,
        boot: int,
        started_s: float,
        has_clock: bool = True,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self.identity = identity
        self.boot = boot
        self.has_clock = has_clock
        self.queue = NodeQueue(queue_limit)
        self.made = 0
        self.acked = 0
        self.repeated = 0
        self._sense = sense
        self._started_s = started_s
        self._next_seq = 1
        self._published: set[tuple[int, int]] = set()
        self._last: Reading = {}
        self.topic = {
            kind: wire.topic_up(identity.site, identity.device_id, kind) for kind in (identity.kind, "status", "will")
        }
        self.ack_topic: str = wire.topic_down(identity.site, identity.device_id, "ack")

    def up_s(self, at_s: float) -> int:
        """Return the uptime [s of the square]; 0 if the square's clock was set back."""
        return max(0, int(at_s - self._started_s))

    def measure(self, at_s: float, believed_s: float | None = None) -> Reading | None:
        """Measure now and queue the reading.

        Parameters
        ----------
        at_s
            Square time.
        believed_s
            What the node's own clock says; None for the same.

        Returns
        -------
        Reading | None
            None when the node measures nothing, being stolen, say.
        """
        assert self._sense is not None, "a node without a sensor only records"
        fields = self._sense(at_s)
        ts_s = max(0, int(at_s if believed_s is None else believed_s))
        return None if fields is None else self.record(ts_s, fields, up_s=self.up_s(at_s))

    def record(self, ts_s: int, fields: Mapping[str, Any], *, up_s: int = 0) -> Reading:
        """Queue a reading with given fields and whole-second time [s since 1970 UTC]."""
        when = {"ts": ts_s} if self.has_clock else {"up_s": up_s}
        reading: Reading = {"seq": self._next_seq, **when, **fields}
        self._next_seq += 1
        self.made += 1
        self._last = reading
        self.queue.put(self.boot, reading)
        return reading

    def next_message(self, at_s: float) -> tuple[bytes, list[tuple[int, int]], list[Reading]] | None:
        """Return payload, keys and the readings never sent before of the oldest un-acked window, or None."""
        window = self.queue.window()
        if window is None:
            return None
        boot, readings = window
        oldest = self.queue.oldest_seq(boot)
        # An uptime means something only within the boot that counted it.
        up_s = self.up_s(at_s) if boot == self.boot else None
        if any("ts" not in r for r in readings) and up_s is None:
            up_s = max(int(r.get("up_s", 0)) for r in readings)
        payload: str = wire.encode_up(boot, readings, oldest_seq=oldest, up_s=up_s)
        keys = [(boot, int(r["seq"])) for r in readings]
        new = [r for r in readings if (boot, r["seq"]) not in self._published]
        self.repeated += len(readings) - len(new)
        self._published.update((boot, r["seq"]) for r in new)
        return payload.encode(), keys, new

    def on_ack(self, payload: bytes) -> int:
        """Take an application ack and return how many readings it freed.

        Raises
        ------
        firmware.wire.WireError
            The payload is not an ack.
        """
        boot, upto, also = wire.decode_ack(payload)
        freed = self.queue.ack(boot, upto, also)
        self._published.difference_update((boot, seq) for seq in freed)
        self.acked += len(freed)
        return len(freed)

    def status(self, at_s: float) -> bytes:
        """Return the payload of a status message."""
        message: dict[str, Any] = {
            "v": wire.VERSION,
            "boot": self.boot,
            "up_s": self.up_s(at_s),
            "fw": self.firmware_version,
            "interval_s": self.identity.interval_s,
            "queue": len(self.queue),
            "dropped": self.queue.dropped,
        }
        message |= {key: self._last[key] for key in ("battery_mv", "rssi_dbm") if key in self._last}
        return json.dumps(message, separators=(",", ":")).encode()

    def will(self) -> tuple[str, bytes]:
        """Return topic and payload of the last will."""
        return self.topic["will"], json.dumps({"v": wire.VERSION, "boot": self.boot}, separators=(",", ":")).encode()
