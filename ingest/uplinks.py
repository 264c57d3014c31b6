"""What a sensor of another make sent, as a gateway passed it on, into fields of the wire."""

import base64
import binascii

import msgspec
from msgspec import Raw

from firmware import wire
from ingest.errors import BadMessageError
from ingest.makers import decode
from ingest.messages import UplinkBody

_decode_body = msgspec.json.Decoder(UplinkBody).decode


def read_uplink(codec: str, kind: str, raw: Raw) -> tuple[dict[str, int], str]:
    """Read the ``uplink`` of a row.

    Parameters
    ----------
    codec
        Of the device, from the registry.
    kind
        ``bin`` or ``air``: what such a device does not measure is left out.
    raw
        The JSON object as the gateway sent it.

    Returns
    -------
    tuple[dict[str, int], str]
        Fields of the wire, ranges of measured ones not checked yet, and the state.

    Raises
    ------
    BadMessageError
        With code ``bad-row``, or one of :class:`ingest.makers.CodecError`.
    """
    try:
        body = _decode_body(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadMessageError("bad-row", f"uplink: {str(error)[:280]}") from error
    payload = _payload(body)
    if not payload:  # a frame that carries only commands of the radio
        fields: dict[str, int] = {}
        state = "ok"
    else:
        report = decode(codec, body.port, payload)
        fields, state = dict(report.fields), report.state
    if body.rssi_dbm is not None:
        fields.setdefault("rssi_dbm", body.rssi_dbm)
    known = wire.FIELDS[kind]
    return {name: value for name, value in fields.items() if name in known and _is_usable(name, value)}, state


def _payload(body: UplinkBody) -> bytes:
    if body.data is None:
        if not bytes(body.doc):
            raise BadMessageError("bad-row", "an uplink has data or doc, this has neither")
        return bytes(body.doc)
    try:
        return base64.b64decode(body.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessageError("bad-row", f"data is not base64: {error}") from error


def _is_usable(name: str, value: int) -> bool:
    """Whether a field can stand; news of the device that breaks its rule never costs what was measured."""
    if name not in wire.COMMON_FIELDS:
        return True
    low, high = wire.COMMON_FIELDS[name]
    return low <= value <= high
