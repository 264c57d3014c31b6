"""What comes up from devices, read no deeper than the envelope.

`read_message` turns one MQTT message into what the spool stores: readings with an identity, a sign of
presence, or poison; or into an errand, a request that only the gateway answers. It never raises: a message that
nobody can read is evidence and travels on to the dead-letter store.
"""

import hashlib
import logging
from functools import lru_cache
from typing import Any

import msgspec

from firmware import wire
from gateway.envelope import Reading, read_envelope

MAX_RAW_BYTES = 4096
"""How much of an unreadable payload is kept [bytes]."""

UNKNOWN_DEVICE = "unknown"
"""Device text of poison whose topic names no valid device."""

READING_KINDS = ("bin", "air")
PRESENCE_KINDS = ("status", "will")

_log = logging.getLogger(__name__)


class Readings(msgspec.Struct, frozen=True, gc=False):
    """One up message of kind bin or air.

    Attributes
    ----------
    device, kind, boot
        Who and what; `device` and `kind` come from the topic, which the broker's access list guards.
    oldest_seq
        Lowest sequence number the device still holds, None when it did not say.
    sent_up_s
        Uptime of the device when it sent the message [s], None when it did not say.
    arrived_ms
        Arrival at the gateway [ms since 1970, square time].
    readings
        The readings; identity and time are checked, nothing else.
    """

    device: str
    kind: str
    boot: int
    oldest_seq: int | None
    sent_up_s: int | None
    arrived_ms: int
    readings: list[Reading]
    topic: str
    raw: bytes

    @property
    def newest_ts_s(self) -> int | None:
        """Newest time that the device gave [s since 1970], None when it has none."""
        if len(self.readings) == 1:
            return self.readings[0].ts_s
        return max((reading.ts_s for reading in self.readings if reading.ts_s is not None), default=None)


class Presence(msgspec.Struct, frozen=True, gc=False):
    """A status message, or the last will that the broker sends for a device that vanished.

    Attributes
    ----------
    online
        False for a last will.
    up_s
        Uptime of the device [s]; with (device, boot) it identifies a status message. None for a will.
    body
        The object as it came, JSON.
    """

    device: str
    boot: int
    arrived_ms: int
    online: bool
    up_s: int | None
    body: bytes


class UplinkRow(msgspec.Struct, frozen=True):
    """One reading of a sensor of another make.

    Attributes
    ----------
    device
        `@` and the identity that the maker gave; no id of a device of ours has the mark.
    boot, seq
        Hash of what was sent, and when it was measured [s since 1970]: with `device` the identity.
    ts_ms, time
        Point time [ms since 1970]; "device", or "anchor" when the message did not say.
    repeat_within_s
        The same content so near is the same reading, also under another time [s].
    body
        What goes upstream, JSON.
    """

    device: str
    boot: int
    seq: int
    ts_ms: int
    time: str
    repeat_within_s: int
    body: bytes


class Uplinks(msgspec.Struct, frozen=True):
    """One message of another make: its readings, its arrival [ms since 1970], and where it came in."""

    rows: list[UplinkRow]
    arrived_ms: int
    topic: str


class Poison(msgspec.Struct, frozen=True):
    """A message whose envelope cannot be read.

    Attributes
    ----------
    code
        A code of `wire.WireError`.
    raw
        The payload, cut to `MAX_RAW_BYTES`.
    key
        63-bit hash of topic and whole payload: the same poison sent again is the same row.
    """

    device: str
    code: str
    topic: str
    raw: bytes
    key: int
    arrived_ms: int


UpMessage = Readings | Presence | Uplinks | Poison
"""What the spool keeps."""


class Errand(msgspec.Struct, frozen=True):
    """A request of a node to the gateway itself: answered, neither stored nor sent upstream."""

    device: str
    arrived_ms: int


def poison(topic: str, payload: bytes, code: str, arrived_ms: int) -> Poison:
    """Make the poison record of a message.

    Parameters
    ----------
    topic, payload
        The message as it came.
    code
        A code of `wire.WireError`.
    arrived_ms
        Arrival at the gateway [ms since 1970].
    """
    parts = topic.split("/")
    is_ours = parts[0] == "resik" and len(parts) == 5 and wire.is_id(parts[2])  # noqa: PLR2004 - topic grammar
    device = parts[2] if is_ours else UNKNOWN_DEVICE
    digest = hashlib.blake2b(topic.encode("utf-8", "replace") + b"\0" + payload, digest_size=8).digest()
    key = int.from_bytes(digest, "big") >> 1
    return Poison(device, code, topic[:200], payload[:MAX_RAW_BYTES], key, arrived_ms)


def read_message(topic: str, payload: bytes, arrived_ms: int) -> UpMessage | Errand:
    """Read one message from a device as far as the gateway needs to.

    Parameters
    ----------
    topic, payload
        The message as it came.
    arrived_ms
        Arrival at the gateway [ms since 1970, square time].

    Returns
    -------
    Readings | Presence | Poison | Errand
        Never an exception: whatever goes wrong in reading makes the message poison.
    """
    try:
        return _read(topic, payload, arrived_ms)
    except wire.WireError as error:
        return poison(topic, payload, error.code, arrived_ms)
    except Exception:  # noqa: BLE001 - see below
        # A decoder fault must not stop the flow of every other device; it is logged as the bug it is.
        _log.exception("reading a message on %r failed: it is kept as poison", topic[:80])
        return poison(topic, payload, "bad-envelope", arrived_ms)


_parse_topic = lru_cache(maxsize=16_384)(wire.parse_topic)


def _read(topic: str, payload: bytes, arrived_ms: int) -> UpMessage | Errand:
    _site, device, direction, kind = _parse_topic(topic)
    if direction != "up":
        raise wire.WireError("bad-topic", f"{topic[:80]!r} is not an up topic")
    if kind in READING_KINDS:
        found = read_envelope(payload)
        return Readings(
            device, kind, found.boot, found.oldest_seq, found.up_s, arrived_ms, found.readings, topic, payload
        )
    if kind == "ota":
        return Errand(device, arrived_ms)
    message = wire.load_object(payload)
    boot = _u32(message.get("boot"))
    if boot is None:
        raise wire.WireError("bad-envelope", "boot is missing or not an unsigned 32-bit integer")
    up_s = None if kind == "will" else _u32(message.get("up_s"))
    return Presence(
        device=device, boot=boot, arrived_ms=arrived_ms, online=kind != "will", up_s=up_s, body=_encode(message)
    )


def _u32(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= wire.U32_MAX else None


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (OverflowError, ValueError, TypeError) as error:  # for example an integer beyond 64 bits
        raise wire.WireError("bad-envelope", f"cannot be carried on: {error}") from error
