"""Netvox R718X, ultrasonic bin level: frames of eleven bytes, reports on port 6 and answers to commands on port 7.

Format: the maker's LoRaWAN application command and `vendor/netvox/payload/r718x.js` in
https://github.com/TheThingsNetwork/lorawan-devices (read, not copied). The fill level that it reports is computed with
a distance set in the sensor, not with the geometry of the bin: it is kept among what was said and never used.
"""

from typing import Final

from ingest.makers.report import Report, Said, distance_fields, require_port, unreadable

REPORT_PORT: Final = 6
COMMAND_PORT: Final = 7
FRAME_BYTES: Final = 11
VERSION: Final = 1
R718X: Final = 0x34
TILTED_DEG: Final = 30
"""As our own nodes: beyond it the distance says nothing about the waste."""
MAX_TILT_DEG: Final = 180

_ABOUT_ITSELF: Final = 0
_STATUS: Final = 1
_LOW_BATTERY: Final = 0x80

_ACKNOWLEDGED: Final = {
    0x81: "ConfigReportRsp",
    0x83: "SetOnDistanceThresholdRsp",
    0x85: "SetFillMaxDistanceRsp",
    0x8B: "SetDeadZoneDistanceRsp",
}
_ANSWERED: Final = {
    0x84: ("GetOnDistanceThresholdRsp", "OnDistanceThreshold"),
    0x86: ("GetFillMaxDistanceRsp", "FillMaxDistance"),
    0x8C: ("GetDeadZoneDistanceRsp", "DeadZoneDistance"),
}
_READ_CONFIG: Final = 0x82


def decode_r718x(port: int, data: bytes) -> Report:
    """Read a frame of an R718X."""
    require_port(port, (REPORT_PORT, COMMAND_PORT), "Netvox R718X")
    if len(data) != FRAME_BYTES:
        raise unreadable(f"a frame has {FRAME_BYTES} bytes, this has {len(data)}")
    if data[1] != R718X:
        raise unreadable(f"the frame says device type {data[1]:#04x}, an R718X says {R718X:#04x}")
    if port == COMMAND_PORT:
        return Report(_answer(data), {})
    if data[0] != VERSION:
        raise unreadable(f"the frame has version {data[0]}, known is {VERSION}")
    if data[2] == _ABOUT_ITSELF:
        about: Said = {"Device": "R718X", "SWver": _tenths(data[3]), "HWver": data[4], "Datecode": data[5:9].hex()}
        return Report(about, {})
    if data[2] != _STATUS:
        raise unreadable(f"no report of type {data[2]:#04x} is known")
    return _status(data)


def _status(data: bytes) -> Report:
    distance_mm = int.from_bytes(data[5:7], "big")
    temp_tenths = int.from_bytes(data[7:9], "big", signed=True)
    battery_tenths = data[3] & ~_LOW_BATTERY
    tilt_deg = data[10]
    said: Said = {
        "Device": "R718X",
        "Volt": _tenths(battery_tenths),
        "Status": "ON" if data[4] else "OFF",
        "Distance": distance_mm,
        "Temp": _tenths(temp_tenths),
        "FillLevel": data[9],
        "AngleOfInclination": tilt_deg,
    }
    if data[3] & _LOW_BATTERY:
        said["Battery"] = "low"
    fields, state = distance_fields(distance_mm)
    fields |= {"battery_mv": battery_tenths * 100, "temp_cdeg": temp_tenths * 10}
    if tilt_deg <= MAX_TILT_DEG:
        fields["tilt_deg"] = tilt_deg
        if tilt_deg > TILTED_DEG:
            state = "tilted"
    return Report(said, fields, state)


def _answer(data: bytes) -> Said:
    command = data[0]
    if command in _ACKNOWLEDGED:
        return {"Cmd": _ACKNOWLEDGED[command], "Status": "Failure" if data[2] else "Success"}
    if command in _ANSWERED:
        name, what = _ANSWERED[command]
        return {"Cmd": name, what: int.from_bytes(data[2:4], "big")}
    if command == _READ_CONFIG:
        return {
            "Cmd": "ReadConfigReportRsp",
            "MinTime": int.from_bytes(data[2:4], "big"),
            "MaxTime": int.from_bytes(data[4:6], "big"),
            "BatteryChange": _tenths(data[6]),
            "DistanceChange": int.from_bytes(data[7:9], "big"),
            "TempChange": _tenths(int.from_bytes(data[9:11], "big")),
        }
    raise unreadable(f"no answer {command:#04x} is known")


def _tenths(value: int) -> int | float:
    """Return a tenth; whole numbers stay integers, as the maker writes them."""
    whole, rest = divmod(value, 10)
    return value / 10 if rest else whole
