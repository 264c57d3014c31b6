"""Reads a gateway's batch into readings, status messages and dead letters. Pure.

The typed decoder of :mod:`ingest.messages` is the fast path. Only a row that it refuses is looked at a second
time, by :mod:`firmware.wire`, whose errors name a code and a cause for people.

One bad row never touches its neighbours. A batch that cannot be read at all raises :class:`BatchError`.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec import Raw

from firmware import wire
from ingest.errors import BadMessageError
from ingest.messages import (
    AirBody,
    BatchMessage,
    BinBody,
    LooseBatch,
    LooseRow,
    LooseVersion,
    Row,
    StatusBody,
)
from ingest.plausibility import WIRE_FIELDS, check_clock, judge
from ingest.readings import Reading, Status
from square.registry import Placement, Registry
from square.site import Bin

RAW_LIMIT_BYTES = 4096
"""What is kept of a payload that nobody can read [bytes]."""


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
    """

    row_id: int | None
    device: str
    topic: str
    code: str
    reason: str
    raw: bytes
    boot: int | None = None
    seq: int | None = None


class Placed(NamedTuple):
    """A reading and the id of its row in the gateway's spool."""

    row_id: int
    reading: Reading


class Batch(msgspec.Struct):
    """A batch after decoding: every row is in exactly one of the three lists."""

    gateway: str
    spool: str
    batch: str
    sent_ms: int
    readings: list[Placed]
    statuses: list[tuple[int, Status]]
    dead: list[DeadRow]

    @property
    def rows(self) -> int:
        """How many rows the gateway sent."""
        return len(self.readings) + len(self.statuses) + len(self.dead)


class BatchError(BadMessageError):
    """The whole batch is unreadable: code ``bad-version`` or ``bad-batch``. Its rows MUST NOT be acknowledged."""


_decode_batch = msgspec.json.Decoder(BatchMessage).decode
_decode_loose = msgspec.json.Decoder(LooseBatch).decode
_decode_version = msgspec.json.Decoder(LooseVersion).decode
_decode_row = msgspec.json.Decoder(Row).decode
_decode_loose_row = msgspec.json.Decoder(LooseRow).decode
_decode_status = msgspec.json.Decoder(StatusBody).decode
_decode_any = msgspec.json.Decoder().decode
_decode_parts = msgspec.json.Decoder(dict[str, Raw]).decode
_REQUIRED_IN_STATUS = ("v", "boot")
_STATUS_PARTS: dict[str, Callable[[Raw], Any]] = {
    field.encode_name: msgspec.json.Decoder(field.type).decode for field in msgspec.structs.fields(StatusBody)
}
_DECODE_BODY: dict[str, Callable[[bytes | Raw], BinBody | AirBody]] = {
    "bin": msgspec.json.Decoder(BinBody).decode,
    "air": msgspec.json.Decoder(AirBody).decode,
}
_VALUES: dict[str, Callable[[Any], tuple[int | None, ...]]] = {
    kind: attrgetter(*fields) for kind, fields in WIRE_FIELDS.items()
}
_MEASURED: dict[str, Callable[[Any], tuple[int | None, ...]]] = {
    kind: attrgetter(*fields) for kind, fields in wire.MEASURED_FIELDS.items()
}
_MEASURED_COUNT = {kind: len(fields) for kind, fields in wire.MEASURED_FIELDS.items()}

_REFUSALS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises on input: nesting beyond the interpreter's limit is a RecursionError."""


def decode_body(kind: str, raw: bytes | Raw) -> BinBody | AirBody:
    """Check one reading of ``kind`` in full.

    Raises
    ------
    BadMessageError
        With code ``bad-reading`` or ``bad-value``.
    """
    try:
        body = _DECODE_BODY[kind](raw)
    except _REFUSALS as error:
        _raise_explained(kind, raw, error)
    if (body.state is None or body.state == "ok") and _MEASURED[kind](body).count(None) == _MEASURED_COUNT[kind]:
        raise BadMessageError("bad-reading", "nothing was measured and the state is ok")
    return body


def _raise_explained(kind: str, raw: bytes | Raw, error: BaseException) -> NoReturn:
    """Raise what is wrong in the words and with the code of ``wire``."""
    try:
        wire.decode_reading(kind, _decode_any(raw))
    except wire.WireError as wire_error:
        text = str(wire_error).partition(": ")[2]
        raise BadMessageError(wire_error.code, text) from error
    except (*_REFUSALS, AttributeError, TypeError):
        pass  # not an object at all: the typed decoder's words must do
    raise BadMessageError("bad-reading", str(error)[:300]) from error


def decode_batch(payload: bytes, registry: Registry, topic: str = "") -> Batch:
    """Read a batch.

    Parameters
    ----------
    payload : bytes
        As it came on ``resik/<site>/gw/<gateway>/batch``.
    registry : Registry
        Devices of the site: gives asset, zone, kind and geometry.
    topic : str
        Where the batch came in; kept with dead letters.

    Raises
    ------
    BatchError
        If the version is unknown or the payload is no batch.
    """
    try:
        incoming = _decode_batch(payload)
        rows: Sequence[Row] = incoming.rows
    except _REFUSALS as error:
        return _decode_row_by_row(payload, registry, topic, error)
    if incoming.v != wire.VERSION:
        raise _unknown_version(incoming.v)
    batch = Batch(incoming.gw, incoming.spool, incoming.batch, incoming.sent_ms, [], [], [])
    for row in rows:
        _place(batch, row, registry, topic)
    return batch


def _unknown_version(version: object) -> BatchError:
    return BatchError(
        "bad-version",
        f"the batch has version {str(version)[:20]}, this ingest speaks {wire.VERSION}: update ingest; "
        "the gateway keeps the rows until then",
    )


def _decode_row_by_row(payload: bytes, registry: Registry, topic: str, error: BaseException) -> Batch:
    """Read a batch in which something is wrong; only the wrong rows become dead letters."""
    try:
        version = _decode_version(payload).v
    except _REFUSALS:
        raise BatchError("bad-batch", f"not a JSON object: {str(error)[:200]}") from error
    if not wire.is_int(version) or version != wire.VERSION:
        raise _unknown_version(version) from error
    try:
        loose = _decode_loose(payload)
    except _REFUSALS as loose_error:
        raise BatchError("bad-batch", str(loose_error)[:300]) from loose_error
    batch = Batch(loose.gw, loose.spool, loose.batch, loose.sent_ms, [], [], [])
    for raw in loose.rows:
        try:
            row = _decode_row(raw)
        except _REFUSALS as row_error:
            batch.dead.append(_dead_unreadable(raw, topic, str(row_error)[:300]))
        else:
            _place(batch, row, registry, topic)
    return batch


def _dead_unreadable(raw: Raw, topic: str, reason: str) -> DeadRow:
    try:
        found = _decode_loose_row(raw)
    except _REFUSALS:
        found = LooseRow()
    row_id = found.id if isinstance(found.id, int) and not isinstance(found.id, bool) else None
    device = found.device if isinstance(found.device, str) and wire.is_id(found.device) else ""
    identity = found.boot, found.seq
    is_reading = device and found.kind in ("bin", "air") and all(map(wire.is_int, identity))
    is_valid = is_reading and 0 <= found.boot <= wire.U32_MAX and 1 <= found.seq <= wire.U32_MAX
    boot, seq = identity if is_valid else (None, None)
    return DeadRow(row_id, device, topic, "bad-row", reason, bytes(raw)[:RAW_LIMIT_BYTES], boot, seq)


def _place(batch: Batch, row: Row, registry: Registry, topic: str) -> None:
    """Put a row into the list where it belongs."""
    if row.kind == "poison":
        batch.dead.append(_dead_poison(row))
        return
    try:
        placement = _placement(row.device, registry)
        if row.kind in {"status", "will"}:
            batch.statuses.append((row.id, _status(row)))
        else:
            batch.readings.append(Placed(row.id, _reading(row, placement, registry.site)))
    except BadMessageError as error:
        known = wire.is_id(row.device)
        is_reading = known and row.kind in _DECODE_BODY and row.seq > 0
        batch.dead.append(
            DeadRow(
                row.id,
                row.device if known else "",
                wire.topic_up(registry.site, row.device, row.kind) if known else topic,
                error.code,
                error.reason,
                bytes(row.body)[:RAW_LIMIT_BYTES],
                row.boot if is_reading else None,
                row.seq if is_reading else None,
            )
        )


def _placement(device: str, registry: Registry) -> Placement:
    placement = registry.placement(device)
    if placement is None:
        raise BadMessageError(
            "unknown-device",
            f"{device[:40]!r} is not an active device of site {registry.site}: add it to devices.toml",
        )
    return placement


def _reading(row: Row, placement: Placement, site: str) -> Reading:
    kind = row.kind
    if placement.kind != kind:
        raise BadMessageError("wrong-kind", f"{row.device} is registered as {placement.kind}, it sent {kind}")
    body = decode_body(kind, row.body)
    if body.seq != row.seq:
        raise BadMessageError("bad-row", f"the row says seq {row.seq}, its body says {body.seq}")
    is_anchored = row.time == "anchor"
    if not is_anchored and (body.ts is None or row.ts_ms != wire.point_ms(body.ts, row.boot, row.seq)):
        raise BadMessageError("bad-row", f"ts_ms {row.ts_ms} does not follow from ts, boot and seq")
    check_clock(row.ts_ms, row.arrived_ms)
    asset = placement.asset
    values, flags = judge(
        kind,
        _VALUES[kind](body),
        geometry=asset if isinstance(asset, Bin) else None,
        ts_ms=row.ts_ms,
        arrived_ms=row.arrived_ms,
        is_anchored=is_anchored,
    )
    return Reading(
        site,
        row.device,
        asset.id,
        asset.zone,
        kind,
        row.boot,
        row.seq,
        row.ts_ms,
        row.arrived_ms,
        values,
        body.state or "ok",
        body.quality or 0,
        flags,
    )


def decode_status(raw: bytes | Raw) -> StatusBody:
    """Read a status message or last will; an optional field that breaks its rule is dropped, the others count.

    Raises
    ------
    BadMessageError
        If it is no object of version 1, or names no boot.
    """
    try:
        return _decode_status(raw)
    except _REFUSALS:
        pass
    try:
        parts = _decode_parts(raw)
        sound = {name: part for name, part in parts.items() if name in _REQUIRED_IN_STATUS or _is_sound(name, part)}
        return _decode_status(msgspec.json.encode(sound))
    except _REFUSALS as error:
        raise BadMessageError("bad-value", str(error)[:300]) from error


def _is_sound(name: str, part: Raw) -> bool:
    decode = _STATUS_PARTS.get(name)
    if decode is None:
        return False
    try:
        decode(part)
    except _REFUSALS:
        return False
    return True


def _status(row: Row) -> Status:
    body = decode_status(row.body)
    return Status(
        row.device,
        row.kind,
        row.arrived_ms,
        body.boot,
        body.up_s,
        body.fw,
        body.interval_s,
        body.battery_mv,
        body.rssi_dbm,
        body.queue,
        body.dropped,
        body.days_left,
        body.reset,
        body.crash,
        body.ota,
    )


def _dead_poison(row: Row) -> DeadRow:
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
    device = row.device if wire.is_id(row.device) else ""
    return DeadRow(row.id, device, row.topic[:200], row.code[:32] or "bad-row", reason[:300], raw)
