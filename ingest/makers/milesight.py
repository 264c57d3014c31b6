"""Milesight: a list of channels, each an id, a type and a value of a length that only the model's table knows.

Tables: the README of each model in https://github.com/Milesight-IoT/SensorDecoders (read, not copied). What the device
kept for later ("history") has times of its own and is no reading of now.

A channel that the table does not know ends the reading, as its length is unknown: what stood before it counts, because
every value carries its own channel. A channel that is cut, or says something a second time, condemns the frame.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from ingest.makers.report import Report, Said, distance_fields, require_port, unreadable

PORT: Final = 85
_HEAD_BYTES: Final = 2

Reader = Callable[[bytes], Said]


class Channel(NamedTuple):
    """How long a value is [bytes] and what it says."""

    length: int
    read: Reader


Table = dict[bytes, Channel]
"""Channel id and type -> how to read it."""


def _u16(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _number(name: str, divisor: int = 1, *, signed: bool = False) -> Reader:
    def read(raw: bytes) -> Said:
        value = int.from_bytes(raw, "little", signed=signed)
        return {name: value if divisor == 1 else value / divisor}

    return read


def _choice(name: str, *choices: str) -> Reader:
    def read(raw: bytes) -> Said:
        if raw[0] >= len(choices):
            raise unreadable(f"{name} is {raw[0]}, known are 0 to {len(choices) - 1}")
        return {name: choices[raw[0]]}

    return read


def _hex(name: str) -> Reader:
    return lambda raw: {name: raw.hex()}


def _with_alarm(name: str, read: Reader) -> Reader:
    """Read a value that is followed by one byte saying which alarm it raises."""
    alarms = {0: "threshold_alarm_release", 1: "threshold_alarm", 3: "high_alarm", 4: "high_alarm_release"}
    return lambda raw: read(raw[:-1]) | {f"{name}_alarm": alarms.get(raw[-1], f"alarm_{raw[-1]}")}


def _people(first: str, second: str) -> Reader:
    return lambda raw: {first: _u16(raw[:2]), second: _u16(raw[2:4])}


_ABOUT_ITSELF: Table = {
    b"\xff\x01": Channel(1, _hex("protocol_version")),
    b"\xff\x08": Channel(6, _hex("sn")),
    b"\xff\x09": Channel(2, _hex("hardware_version")),
    b"\xff\x0a": Channel(2, _hex("firmware_version")),
    b"\xff\x0b": Channel(1, _hex("power_status")),
    b"\xff\x0f": Channel(1, _hex("lorawan_class")),
    b"\xff\x16": Channel(8, _hex("sn")),
    b"\xff\xff": Channel(2, _hex("tsl_version")),
    b"\x01\x75": Channel(1, _number("battery")),
}
_TEMPERATURE = _number("temperature", 10, signed=True)
_POSITION = _choice("position", "normal", "tilt")

EM310_UDL: Final[Table] = _ABOUT_ITSELF | {
    b"\x03\x82": Channel(2, _number("distance")),
    b"\x04\x00": Channel(1, _POSITION),
}
EM400_UDL: Final[Table] = _ABOUT_ITSELF | {
    b"\x03\x67": Channel(2, _TEMPERATURE),
    b"\x04\x82": Channel(2, _number("distance")),
    b"\x05\x00": Channel(1, _POSITION),
    b"\x06\x88": Channel(9, _hex("location")),
    b"\x83\x67": Channel(3, _with_alarm("temperature", _TEMPERATURE)),
    b"\x84\x82": Channel(3, _with_alarm("distance", _number("distance"))),
}
EM500_UDL: Final[Table] = _ABOUT_ITSELF | {
    b"\x03\x82": Channel(2, _number("distance")),
    b"\x20\xce": Channel(6, _hex("history")),
}
AM308: Final[Table] = _ABOUT_ITSELF | {
    b"\x03\x67": Channel(2, _TEMPERATURE),
    b"\x04\x68": Channel(1, _number("humidity", 2)),
    b"\x05\x00": Channel(1, _choice("pir", "idle", "trigger")),
    b"\x06\xcb": Channel(1, _number("light_level")),
    b"\x07\x7d": Channel(2, _number("co2")),
    b"\x08\x7d": Channel(2, _number("tvoc", 100)),
    b"\x08\xe6": Channel(2, _number("tvoc_ugm3")),
    b"\x09\x73": Channel(2, _number("pressure", 10)),
    b"\x0b\x7d": Channel(2, _number("pm2_5")),
    b"\x0c\x7d": Channel(2, _number("pm10")),
    b"\x0e\x01": Channel(1, _hex("beep")),
    b"\x20\xce": Channel(20, _hex("history")),
}
VS350: Final[Table] = _ABOUT_ITSELF | {
    b"\x03\x67": Channel(2, _TEMPERATURE),
    b"\x04\xcc": Channel(4, _people("total_in", "total_out")),
    b"\x05\xcc": Channel(4, _people("period_in", "period_out")),
    b"\x83\x67": Channel(3, _with_alarm("temperature", _TEMPERATURE)),
    b"\x84\xcc": Channel(5, _with_alarm("total", _people("total_in", "total_out"))),
    b"\x85\xcc": Channel(5, _with_alarm("period", _people("period_in", "period_out"))),
}

_SCALES: Final = {
    "temperature": ("temp_cdeg", 100),
    "humidity": ("rh_cpct", 100),
    "pressure": ("pressure_pa", 100),
    "pm2_5": ("pm25_ngm3", 1000),
    "pm10": ("pm10_ngm3", 1000),
}
_NO_PARTICLES: Final = 0xFFFF


def decoder(model: str, table: Table) -> Callable[[int, bytes], Report]:
    """Make the codec of a model from its table of channels."""

    def decode(port: int, data: bytes) -> Report:
        require_port(port, (PORT,), f"Milesight {model}")
        said = _read(data, table)
        fields: dict[str, int] = {}
        state = "ok"
        if isinstance(distance_mm := said.get("distance"), int):
            fields, state = distance_fields(distance_mm)
        for name, (field, factor) in _SCALES.items():
            value = said.get(name)
            if isinstance(value, int | float) and not (name.startswith("pm") and value == _NO_PARTICLES):
                fields[field] = round(value * factor)
        if said.get("position") == "tilt":
            state = "tilted"
        return Report(said, fields, state)

    return decode


def _read(data: bytes, table: Table) -> Said:
    said: Said = {}
    at = 0
    while at < len(data):
        head = data[at : at + _HEAD_BYTES]
        channel = table.get(head)
        if channel is None:
            if len(head) == _HEAD_BYTES and said:
                said["unread"] = data[at:].hex()
                return said
            raise unreadable(f"no channel {head.hex()} at byte {at}")
        at += _HEAD_BYTES
        raw = data[at : at + channel.length]
        if len(raw) < channel.length:
            raise unreadable(f"the channel {head.hex()} ends after {len(raw)} of {channel.length} bytes")
        at += channel.length
        found = channel.read(raw)
        if twice := found.keys() & said.keys() - {"history"}:
            raise unreadable(f"{min(twice)} is said twice")
        said |= found
    if not said:
        raise unreadable("the payload is empty")
    return said
