"""Rows that cannot be stored: what is kept of them, for people and for being tried again. Pure."""

import base64
import binascii

import msgspec
from msgspec import Raw

from firmware import wire
from ingest.errors import BadMessageError
from ingest.messages import LooseRow, Row
from square.makes import MARK
from square.registry import Registry

RAW_LIMIT_BYTES = 4096
"""What is kept of a payload that nobody can read [bytes]."""


REFUSALS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises on input: nesting beyond the interpreter's limit is a RecursionError."""

_decode_loose_row = msgspec.json.Decoder(LooseRow).decode


class DeadRow(msgspec.Struct, frozen=True):
    """One row that goes to the dead-letter store.

    Attributes
    ----------
    row_id : int | None
        What the ack names; None when the gateway sent none, so that the row cannot be acknowledged.
    device, topic : str
        Where it came from, as far as is known.
    code, reason : str
        See docs/protocol.md section 8, and one sentence.
    raw : bytes
        What was sent, at most ``RAW_LIMIT_BYTES``.
    boot, seq : int | None
        With ``device`` the identity of the reading; None for what is none.
    kind, ts_ms, arrived_ms, time : str, int | None, int | None, str
        What else the row said, so that it can be tried again; empty and None for what was no row.
    """

    row_id: int | None
    device: str
    topic: str
    code: str
    reason: str
    raw: bytes
    boot: int | None = None
    seq: int | None = None
    kind: str = ""
    ts_ms: int | None = None
    arrived_ms: int | None = None
    time: str = ""


def dead_unreadable(raw: Raw, topic: str, reason: str) -> DeadRow:
    """Save what can be saved of a row in the wrong shape."""
    try:
        found = _decode_loose_row(raw)
    except REFUSALS:
        found = LooseRow()
    row_id = found.id if isinstance(found.id, int) and not isinstance(found.id, bool) else None
    device = found.device if isinstance(found.device, str) and wire.is_id(found.device) else ""
    identity = found.boot, found.seq
    is_reading = device and found.kind in ("bin", "air") and all(map(wire.is_int, identity))
    is_valid = is_reading and 0 <= found.boot <= wire.U32_MAX and 1 <= found.seq <= wire.U32_MAX
    boot, seq = identity if is_valid else (None, None)
    return DeadRow(row_id, device, topic, "bad-row", reason, bytes(raw)[:RAW_LIMIT_BYTES], boot, seq, kind="row")


def dead_row(row: Row, registry: Registry, topic: str, error: BadMessageError) -> DeadRow:
    """Keep a row in the right shape whose content cannot be accepted."""
    device = _named(row, registry)
    has_topic = row.kind != "uplink" and wire.is_id(device)
    is_reading = device and row.kind in {"bin", "air", "uplink"} and row.seq > 0
    return DeadRow(
        row.id,
        device,
        wire.topic_up(registry.site, device, row.kind) if has_topic else topic,
        error.code,
        error.reason,
        bytes(row.uplink if row.kind == "uplink" else row.body)[:RAW_LIMIT_BYTES],
        row.boot if is_reading else None,
        row.seq if is_reading else None,
        row.kind,
        row.ts_ms,
        row.arrived_ms,
        row.time,
    )


def _named(row: Row, registry: Registry) -> str:
    """Return the id of a row's device; of a sensor of another make that is not registered what its maker calls it."""
    if row.kind != "uplink":
        return row.device if wire.is_id(row.device) else ""
    foreign = row.device.removeprefix(MARK)
    if foreign == row.device or not wire.is_id(foreign):
        return ""
    placement = registry.placement_of_foreign(foreign)
    return row.device if placement is None else placement.device.id


def dead_poison(row: Row) -> DeadRow:
    """Keep a payload that the gateway could not read."""
    try:
        raw = base64.b64decode(row.raw, validate=True)[:RAW_LIMIT_BYTES]
    except (binascii.Error, ValueError):
        raw = row.raw.encode("utf-8", "replace")[:RAW_LIMIT_BYTES]
    reason = "the gateway refused it"
    try:
        wire.parse_topic(row.topic)
        wire.decode_envelope(raw)
    except wire.WireError as error:
        if error.code == row.code:  # a payload that was cut to fit may fail for another reason
            reason = str(error).partition(": ")[2]
    device = row.device if wire.is_id(row.device.removeprefix(MARK)) else ""
    return DeadRow(
        row.id,
        device,
        row.topic[:200],
        row.code[:32] or "bad-row",
        reason[:300],
        raw,
        kind="poison",
        arrived_ms=row.arrived_ms,
    )
