"""What a codec makes of a payload, and why it may refuse one."""

from collections.abc import Mapping
from typing import Final

import msgspec

from ingest.errors import BadMessageError

Said = dict[str, int | float | str]
"""Values by the names and in the units of the maker: for the audit and for comparing with the maker's own decoder."""

MAX_DISTANCE_MM: Final = 10_000
"""Longest distance of the wire [mm]; what a sensor says beyond it means that nothing came back."""

_FAILED: Final = (0, 0xFFFF)
"""Readings [mm] with which ultrasonic sensors say that they measured nothing: none can see its own face."""


class Report(msgspec.Struct, frozen=True):
    """A payload that could be read.

    Attributes
    ----------
    said : Said
        Everything that was in it.
    fields : dict[str, int]
        What the wire has a name for (docs/protocol.md section 4.1), missing fields absent. Empty for a start-up report,
        an answer to a command, or a sensor that has not measured yet.
    state : str
        A state of the wire: "ok" when the payload says nothing else.
    """

    said: Said
    fields: dict[str, int]
    state: str = "ok"


class CodecError(BadMessageError):
    """A payload cannot be read.

    Codes: ``unknown-port`` (the maker sends no readings there), ``no-sensor`` (the payload says that nothing is
    connected) and ``bad-uplink`` for the rest. A codec raises nothing else, whatever the bytes are.
    """


def unreadable(reason: str) -> CodecError:
    """Make the error of a payload that does not follow the maker's format."""
    return CodecError("bad-uplink", reason)


def require_port(port: int, known: tuple[int, ...], model: str) -> None:
    """Refuse a payload of a port on which the maker sends no such thing.

    Raises
    ------
    CodecError
        With code ``unknown-port``.
    """
    if port not in known:
        names = " and ".join(map(str, known))
        raise CodecError("unknown-port", f"{model} sends on port {names}, this came on port {port}")


def distance_fields(distance_mm: int) -> tuple[dict[str, int], str]:
    """Return what the wire says of a distance [mm, 0..65535]: the field and the state. A failure gives no field."""
    if distance_mm in _FAILED:
        return {}, "sensor-fault"
    if distance_mm > MAX_DISTANCE_MM:
        return {}, "no-echo"
    return {"distance_mm": distance_mm}, "ok"


def scaled(values: Mapping[str, object], table: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Turn numbers of a JSON document into wire integers.

    Parameters
    ----------
    values
        The document. What is absent or null stays absent; names beyond the table are ignored.
    table
        Name in the document -> wire field and how many of its units make one.

    Raises
    ------
    CodecError
        If a value is there and is not a number.
    """
    fields: dict[str, int] = {}
    for name, (field, factor) in table.items():
        value = values.get(name)
        if value is not None:
            fields[field] = wire_integer(name, value, factor)
    return fields


def wire_integer(name: str, value: object, factor: float, offset: float = 0.0) -> int:
    """Return ``value * factor + offset`` as an integer.

    Raises
    ------
    CodecError
        If it is not a number that fits 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise unreadable(f"{name} is not a number")
    number = value * factor + offset
    if not -(2.0**62) < number < 2.0**62:  # also refuses NaN
        raise unreadable(f"{name} is beyond every sensor")
    return round(number)
