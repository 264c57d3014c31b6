"""Messages of other makes, read as far as identity and time: LoRaWAN network servers, AirGradient, SenML. Pure.

What a payload means is for the codecs of ingest; here it is only taken out of what wraps it, unchanged. A message may
hold several readings (a SenML pack with several times); each becomes an :class:`Uplink` of its own.

Envelopes: ChirpStack v4 (`UplinkEvent` of `integration.proto`, as JSON) and The Things Stack v3 (`ApplicationUp`, as
JSON). Both leave out numbers that are zero.
"""

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Raw

from square.makes import foreign_of
from square.senml import ABSOLUTE_FROM_S, Record, SenmlError, resolve

MAX_MESSAGE_BYTES: Final = 32_768
"""Longest message of a network server that is read: with many receivers of one frame they grow long."""
MAX_DOCUMENT_BYTES: Final = 4_000
"""Longest document of one reading: whole, it fits a dead letter."""
MAX_FRAME_BYTES: Final = 1_024
"""Longer than any LoRaWAN payload."""
MAX_READINGS: Final = 64
RSSI_DBM: Final = (-130, 0)

_U32_MAX: Final = 4_294_967_295
_EUI: Final = re.compile(r"[0-9a-f]{16}")
_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


class UplinkError(ValueError):
    """A message of another make cannot be read.

    Parameters
    ----------
    code
        ``too-large`` or ``bad-uplink``.
    reason
        One sentence for a person.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Uplink(NamedTuple):
    """One reading of a sensor of another make.

    Attributes
    ----------
    foreign
        Identity that the maker gave, as :func:`square.makes.foreign_of` writes it.
    at_s
        When it was measured [s since 1970 UTC]; when it arrived if the message does not say.
    is_dated
        Whether the message says when.
    content
        What makes it this reading and no other, beside its time: the same bytes again are a repeat.
    body
        What goes upstream: ``port`` and ``data`` (base64) of a frame, or ``doc``, and what is known of the radio.
    """

    foreign: str
    at_s: int
    is_dated: bool
    content: bytes
    body: dict[str, Any]


# --- LoRaWAN network servers -----------------------------------------------------------------------------------

_U32 = Annotated[int, Meta(ge=0, le=_U32_MAX)]
_Port = Annotated[int, Meta(ge=0, le=255)]


class _Receiver(msgspec.Struct):
    rssi: float | None = None


class _ChirpStackDevice(msgspec.Struct, rename="camel"):
    dev_eui: str


class _ChirpStackUp(msgspec.Struct, rename="camel"):
    device_info: _ChirpStackDevice
    time: str
    dev_addr: str
    f_cnt: _U32 = 0
    f_port: _Port = 0
    data: str = ""
    rx_info: list[_Receiver] = []
    join_server_context: Any = None


class _TtnIds(msgspec.Struct):
    dev_eui: str
    dev_addr: str = ""


class _TtnMessage(msgspec.Struct):
    received_at: str
    session_key_id: str = ""
    f_cnt: _U32 = 0
    f_port: _Port = 0
    frm_payload: str = ""
    rx_metadata: list[_Receiver] = []


class _TtnUp(msgspec.Struct):
    end_device_ids: _TtnIds
    uplink_message: _TtnMessage
    simulated: bool = False


_decode_chirpstack = msgspec.json.Decoder(_ChirpStackUp).decode
_decode_ttn = msgspec.json.Decoder(_TtnUp).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_REFUSALS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def _bad(reason: str) -> UplinkError:
    return UplinkError("bad-uplink", reason)


class _Frame(NamedTuple):
    """What both network servers say of a frame."""

    eui: str
    session: str
    f_cnt: int
    port: int
    data: str
    time: str
    receivers: Sequence[_Receiver]


def _uplink_of(frame: _Frame) -> list[Uplink]:
    """Make the uplink of a LoRaWAN frame.

    The frame counter alone is no identity: it starts again when the device joins again, or, with fixed keys, whenever
    it loses power. The session, the counter and the payload are, together with the time.
    """
    foreign = frame.eui.lower()
    if not _EUI.fullmatch(foreign):
        raise _bad(f"{frame.eui[:40]!r} is not a DevEUI")
    try:
        raw = base64.b64decode(frame.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f"the payload is not base64: {error}") from error
    if len(raw) > MAX_FRAME_BYTES:
        raise UplinkError("too-large", f"the payload has {len(raw)} bytes, at most {MAX_FRAME_BYTES} are taken")
    body: dict[str, Any] = {"port": frame.port, "data": frame.data, "fcnt": frame.f_cnt}
    strengths = [r.rssi for r in frame.receivers if r.rssi is not None and RSSI_DBM[0] <= r.rssi <= RSSI_DBM[1]]
    if strengths:
        body["rssi_dbm"] = round(max(strengths))
    content = f"{frame.session}/{frame.f_cnt}/{frame.port}/".encode() + raw
    return [Uplink(foreign, _instant_s(frame.time), True, content, body)]  # noqa: FBT003 - the fields are named above


def _instant_s(text: str) -> int:
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise _bad(f"{text[:40]!r} is not a time of RFC 3339")
    day, clock, zone = found.groups()
    try:
        instant = dt.datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    except ValueError as error:
        raise _bad(f"{text[:40]!r} is no instant: {error}") from error
    return int(instant.timestamp())


def _read_chirpstack(_topic: str, payload: bytes, _arrived_s: int) -> list[Uplink]:
    up = _decode_chirpstack(payload)
    if up.join_server_context:
        raise _bad("the payload is encrypted with a key that the network server does not have")
    session = f"chirpstack/{up.dev_addr}"
    frame = _Frame(up.device_info.dev_eui, session, up.f_cnt, up.f_port, up.data, up.time, up.rx_info)
    return _uplink_of(frame)


def _read_ttn(_topic: str, payload: bytes, _arrived_s: int) -> list[Uplink]:
    up = _decode_ttn(payload)
    if up.simulated:
        raise _bad("the message was simulated at the network server: nobody measured it")
    message = up.uplink_message
    session = f"ttn/{up.end_device_ids.dev_addr}/{message.session_key_id}"
    frame = _Frame(
        up.end_device_ids.dev_eui,
        session,
        message.f_cnt,
        message.f_port,
        message.frm_payload,
        message.received_at,
        message.rx_metadata,
    )
    return _uplink_of(frame)


# --- sensors that speak MQTT themselves ------------------------------------------------------------------------


def _read_airgradient(topic: str, payload: bytes, arrived_s: int) -> list[Uplink]:
    serial = _decode_object(payload).get("serialno", topic.rsplit("/", 1)[-1])
    foreign = foreign_of(serial) if isinstance(serial, str) else None
    if foreign is None:
        raise _bad("neither the document nor its topic names a serial number")
    if len(payload) > MAX_DOCUMENT_BYTES:
        raise UplinkError("too-large", f"the document has {len(payload)} bytes, at most {MAX_DOCUMENT_BYTES} are taken")
    return [Uplink(foreign, arrived_s, False, payload, {"doc": Raw(payload)})]  # noqa: FBT003


def _read_senml(_topic: str, payload: bytes, arrived_s: int) -> list[Uplink]:
    try:
        records = resolve(payload)
    except SenmlError as error:
        raise _bad(str(error)) from error
    if not records:
        raise _bad("the pack has no record with a value")
    if len({record.base for record in records}) > 1:
        raise _bad("the pack has several base names: one device, one pack")
    foreign = foreign_of(records[0].base)
    if foreign is None:
        raise _bad(f"the base name {records[0].base[:40]!r} does not name a device")
    by_time: dict[int, list[Record]] = {}
    for record in records:
        by_time.setdefault(math.floor(record.time_s), []).append(record)
    if len(by_time) > MAX_READINGS:
        raise UplinkError("too-large", f"the pack has {len(by_time)} times, at most {MAX_READINGS} are taken")
    return [_senml_uplink(foreign, time_s, together, arrived_s) for time_s, together in sorted(by_time.items())]


def _senml_uplink(foreign: str, time_s: int, records: Sequence[Record], arrived_s: int) -> Uplink:
    """Make the uplink of what was measured at one time; resolved records are SenML, too (RFC 8428 section 4.6)."""
    pack = [
        {
            "bn": record.base,
            "n": record.name,
            **({"u": record.unit} if record.unit else {}),
            **({"t": time_s} if time_s else {}),
            **_value_of(record),
        }
        for record in records
    ]
    doc = msgspec.json.encode(pack)
    if len(doc) > MAX_DOCUMENT_BYTES:
        raise UplinkError(
            "too-large", f"what was measured at one time has {len(doc)} bytes, at most {MAX_DOCUMENT_BYTES} are taken"
        )
    is_dated = time_s >= ABSOLUTE_FROM_S
    return Uplink(foreign, time_s if is_dated else arrived_s + time_s, is_dated, doc, {"doc": Raw(doc)})


def _value_of(record: Record) -> dict[str, Any]:
    if record.value is None:
        return {"s": 0}  # a sum or opaque data: no quantity of ours, and a record must have something
    label = {bool: "vb", str: "vs"}.get(type(record.value), "v")
    return {label: record.value}


_READERS: Final[dict[str, Callable[[str, bytes, int], list[Uplink]]]] = {
    "chirpstack": _read_chirpstack,
    "ttn": _read_ttn,
    "airgradient": _read_airgradient,
    "senml": _read_senml,
}


def read_uplinks(form: str, topic: str, payload: bytes, arrived_s: int) -> list[Uplink]:
    """Take the readings out of a message.

    Parameters
    ----------
    form
        A name of :data:`square.makes.FORMATS`.
    topic, payload
        The message as it came.
    arrived_s
        When it arrived [s since 1970 UTC]: the time of what the message does not date.

    Raises
    ------
    UplinkError
        If it is not a message of this format; nothing else, whatever the bytes are.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise UplinkError("too-large", f"the message has {len(payload)} bytes, at most {MAX_MESSAGE_BYTES} are read")
    try:
        found = _READERS[form](topic, payload, arrived_s)
    except _REFUSALS as error:
        raise _bad(f"not a message of {form}: {str(error)[:200]}") from error
    for uplink in found:
        if not 1 <= uplink.at_s <= _U32_MAX:
            raise _bad(f"the time {uplink.at_s} cannot be")
    return found
