"""Reads the envelope of up messages: the fast way for what nodes send, the way of `firmware.wire` for everything else.

`wire.decode_envelope` says what is accepted, and with which error what is not. A typed decoder reads the messages of
real nodes at a sixth of its cost; whatever it does not take, such as a key that only a newer node knows, goes the
other way. Both give the same: the tests compare them.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from firmware import wire

_U32 = Annotated[int, Meta(ge=0, le=wire.U32_MAX)]
_FROM_1 = Annotated[int, Meta(ge=1, le=wire.U32_MAX)]
_INT_64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One reading of an up message.

    Attributes
    ----------
    seq, ts_s, up_s
        Identity and time as the device gave them; at least one of the two times is there.
    body
        The whole reading, JSON: beyond identity and time nobody has looked at it.
    """

    seq: int
    ts_s: int | None
    up_s: int | None
    body: bytes


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Who sent what; see `wire.decode_envelope`."""

    boot: int
    oldest_seq: int | None
    up_s: int | None
    readings: list[Reading]


_VALUE_NAMES = sorted({name for fields in wire.FIELDS.values() for name in fields})
_Known: Any = msgspec.defstruct(
    "_Known",
    [
        ("seq", _FROM_1),
        ("ts", _U32 | None, None),
        ("up_s", _U32 | None, None),
        ("state", str | None, None),
        *((name, _INT_64 | None, None) for name in _VALUE_NAMES),
    ],
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
)
_KnownUp: Any = msgspec.defstruct(
    "_KnownUp",
    [
        ("v", Annotated[int, Meta(ge=wire.VERSION, le=wire.VERSION)]),
        ("boot", _U32),
        ("r", Annotated[list[_Known], Meta(min_length=1, max_length=wire.MAX_READINGS)]),
        ("oldest_seq", _FROM_1 | None, None),
        ("up_s", _U32 | None, None),
    ],
)

_decode = msgspec.json.Decoder(_KnownUp).decode
_encode = msgspec.json.Encoder().encode
_PLAIN = bytes(byte for byte in range(32, 127) if byte != ord("\\"))


def read_envelope(payload: bytes) -> Envelope:
    """Read who sent what: identity and time of each reading, nothing of its meaning.

    Raises
    ------
    wire.WireError
        As `wire.decode_envelope`.
    """
    if len(payload) <= wire.MAX_PAYLOAD_BYTES and not payload.translate(None, _PLAIN):
        try:
            known = _decode(payload)
        except (msgspec.MsgspecError, RecursionError):
            return _read_slowly(payload)
        readings = []
        for one in known.r:
            if one.ts is None and (one.up_s is None or known.up_s is None):
                return _read_slowly(payload)
            readings.append(Reading(one.seq, one.ts, one.up_s, _encode(one)))
        return Envelope(known.boot, known.oldest_seq, known.up_s, readings)
    return _read_slowly(payload)


def _read_slowly(payload: bytes) -> Envelope:
    found = wire.decode_envelope(payload)
    readings = []
    for one in found["readings"]:
        up_s = one.get("up_s")
        readings.append(Reading(one["seq"], one.get("ts"), up_s if wire.is_int(up_s) else None, _encode(one)))
    return Envelope(found["boot"], found["oldest_seq"], found["up_s"], readings)
