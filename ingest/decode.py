"""Reads a gateway's batch into readings, status messages and dead letters. Pure.

The fast way reads a batch with the bodies of its readings in one pass of the typed decoder of :mod:`ingest.messages`.
What is no reading, and what this way refuses, is read a second time, row by row, and what is wrong with it explained by
:mod:`firmware.wire`, whose errors name a code and a cause for people. Both ways go through the same checks.

One bad row never touches its neighbours. A batch that cannot be read at all raises :class:`BatchError`.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw

from firmware import wire
from ingest.conversion import CONVERT
from ingest.errors import BadMessageError
from ingest.messages import (
    AirBody,
    BatchMessage,
    BinBody,
    LooseBatch,
    LooseVersion,
    Row,
    StatusBody,
)
from ingest.plausibility import check_clock, judge
from ingest.readings import Placed, Reading, Status
from ingest.refused import REFUSALS, DeadRow, dead_poison, dead_row, dead_unreadable
from ingest.sound import take_sound
from ingest.uplinks import read_uplink
from square.makes import MARK
from square.registry import Placement, Registry
from square.site import Bin

NOTHING_MEASURED: Final = "nothing was measured and the state is ok"


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


def decode_body(kind: str, raw: bytes | Raw) -> BinBody | AirBody:
    """Check one reading of ``kind`` in full.

    Raises
    ------
    BadMessageError
        With code ``bad-reading`` or ``bad-value``.
    """
    try:
        body = _DECODE_BODY[kind](raw)
    except REFUSALS as error:
        _raise_explained(kind, raw, error)
    _, _, is_measured = CONVERT[kind](body)
    if not is_measured and (body.state or "ok") == "ok":
        raise BadMessageError("bad-reading", NOTHING_MEASURED)
    return body


def _raise_explained(kind: str, raw: bytes | Raw, error: BaseException) -> NoReturn:
    """Raise what is wrong in the words and with the code of ``wire``."""
    try:
        wire.decode_reading(kind, _decode_any(raw))
    except wire.WireError as wire_error:
        text = str(wire_error).partition(": ")[2]
        raise BadMessageError(wire_error.code, text) from error
    except (*REFUSALS, AttributeError, TypeError):
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
    except REFUSALS as error:
        return _decode_row_by_row(payload, registry, topic, error)
    if incoming.v != wire.VERSION:
        raise _unknown_version(incoming.v)
    batch = Batch(incoming.gw, incoming.spool, incoming.batch, incoming.sent_ms, [], [], [])
    raws: list[Raw] = []

    def explain(position: int) -> None:
        if not raws:
            raws.extend(_decode_loose(payload).rows)
        _place_raw(batch, raws[position], registry, topic)

    take_sound(incoming.rows, registry, batch.readings, explain)
    return batch


def decode_row(row: Row, registry: Registry, topic: str = "") -> Batch:
    """Read one row by itself, as a batch of one: for what is tried again."""
    batch = Batch("", "", "", 0, [], [], [])
    _place(batch, row, registry, topic)
    return batch


def read_row(raw: bytes) -> Row:
    """Read a row that a gateway sent.

    Raises
    ------
    BadMessageError
        With code ``bad-row``.
    """
    try:
        return _decode_row(raw)
    except REFUSALS as error:
        raise BadMessageError("bad-row", str(error)[:300]) from error


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
    except REFUSALS:
        raise BatchError("bad-batch", f"not a JSON object: {str(error)[:200]}") from error
    if not wire.is_int(version) or version != wire.VERSION:
        raise _unknown_version(version) from error
    try:
        loose = _decode_loose(payload)
    except REFUSALS as loose_error:
        raise BatchError("bad-batch", str(loose_error)[:300]) from loose_error
    batch = Batch(loose.gw, loose.spool, loose.batch, loose.sent_ms, [], [], [])
    for raw in loose.rows:
        _place_raw(batch, raw, registry, topic)
    return batch


def _place_raw(batch: Batch, raw: Raw, registry: Registry, topic: str) -> None:
    """Put a row as it came into the list where it belongs."""
    try:
        row = _decode_row(raw)
    except REFUSALS as error:
        batch.dead.append(dead_unreadable(raw, topic, str(error)[:300]))
    else:
        _place(batch, row, registry, topic)


def _place(batch: Batch, row: Row, registry: Registry, topic: str) -> None:
    """Put a row into the list where it belongs."""
    if row.kind == "poison":
        batch.dead.append(dead_poison(row))
        return
    try:
        if row.kind == "uplink":
            _place_uplink(batch, row, _placement_of_foreign(row, registry), registry.site)
            return
        placement = _placement(row, registry)
        if row.kind in {"status", "will"}:
            batch.statuses.append((row.id, _status(row)))
        else:
            body = decode_body(row.kind, row.body)
            batch.readings.append(Placed(row.id, _reading(row, body, placement, registry.site)))
    except BadMessageError as error:
        batch.dead.append(dead_row(row, registry, topic, error))


def _placement(row: Row, registry: Registry) -> Placement:
    placement = registry.placement(row.device)
    if placement is None:
        remedy = f"is not an active device of site {registry.site}: add it"
        raise BadMessageError("unknown-device", f"{row.device[:40]!r} {remedy} to devices.toml")
    if row.kind != placement.kind and row.kind in _DECODE_BODY:
        raise BadMessageError("wrong-kind", f"{row.device} is registered as {placement.kind}, it sent {row.kind}")
    return placement


def _placement_of_foreign(row: Row, registry: Registry) -> Placement:
    foreign = row.device.removeprefix(MARK)
    placement = registry.placement_of_foreign(foreign) if foreign != row.device else None
    if placement is None:
        add = f'add foreign = "{foreign[:40]}" and a codec to devices.toml'
        reason = f"{row.device[:40]!r} is the identity of no active device of site {registry.site}: {add}"
        raise BadMessageError("unknown-device", reason)
    return placement


def _reading(row: Row, body: BinBody | AirBody, placement: Placement, site: str) -> Reading:
    """Judge a reading whose types and ranges are sound."""
    kind, asset = placement.kind, placement.asset
    boot, seq, ts_ms, arrived_ms = row.boot, row.seq, row.ts_ms, row.arrived_ms
    is_anchored = row.time == "anchor"
    values, flags, is_measured = judge(
        kind,
        body,
        geometry=asset if isinstance(asset, Bin) else None,
        ts_ms=ts_ms,
        arrived_ms=arrived_ms,
        is_anchored=is_anchored,
    )
    state = body.state or "ok"
    if not is_measured and state == "ok":
        raise BadMessageError("bad-reading", NOTHING_MEASURED)
    if body.seq != seq:
        raise BadMessageError("bad-row", f"the row says seq {seq}, its body says {body.seq}")
    if not is_anchored and (body.ts is None or ts_ms != wire.point_ms(body.ts, boot, seq)):
        raise BadMessageError("bad-row", f"ts_ms {ts_ms} does not follow from ts, boot and seq")
    check_clock(ts_ms, arrived_ms)
    return Reading(
        site,
        placement.device.id,
        asset.id,
        asset.zone,
        kind,
        boot,
        seq,
        ts_ms,
        arrived_ms,
        values,
        state,
        body.quality or 0,
        flags,
    )


def _place_uplink(batch: Batch, row: Row, placement: Placement, site: str) -> None:
    """Read what a sensor of another make sent. What has no measurement in it is a sign of life, as a status is."""
    if row.seq < 1 or row.ts_ms != wire.point_ms(row.seq, row.boot, row.seq):
        raise BadMessageError("bad-row", f"ts_ms {row.ts_ms} does not follow from boot and seq")
    check_clock(row.ts_ms, row.arrived_ms)
    kind = placement.kind
    fields, state = read_uplink(placement.device.codec or "", kind, row.uplink)
    if state == "ok" and not fields.keys() & wire.MEASURED_FIELDS[kind].keys():
        battery_mv, rssi_dbm = fields.get("battery_mv"), fields.get("rssi_dbm")
        said = Status(placement.device.id, "status", row.arrived_ms, row.boot, battery_mv=battery_mv, rssi_dbm=rssi_dbm)
        batch.statuses.append((row.id, said))
        return
    body = decode_body(kind, msgspec.json.encode({"seq": row.seq, "ts": row.seq, "state": state, **fields}))
    batch.readings.append(Placed(row.id, _reading(row, body, placement, site)))


def decode_status(raw: bytes | Raw) -> StatusBody:
    """Read a status message or last will; an optional field that breaks its rule is dropped, the others count.

    Raises
    ------
    BadMessageError
        If it is no object of version 1, or names no boot.
    """
    try:
        return _decode_status(raw)
    except REFUSALS:
        pass
    try:
        parts = _decode_parts(raw)
        sound = {name: part for name, part in parts.items() if name in _REQUIRED_IN_STATUS or _is_sound(name, part)}
        return _decode_status(msgspec.json.encode(sound))
    except REFUSALS as error:
        raise BadMessageError("bad-value", str(error)[:300]) from error


def _is_sound(name: str, part: Raw) -> bool:
    decode = _STATUS_PARTS.get(name)
    if decode is None:
        return False
    try:
        decode(part)
    except REFUSALS:
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
