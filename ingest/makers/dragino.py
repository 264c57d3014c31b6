"""Dragino LDDS75, ultrasonic distance: frames of five bytes, or of eight with a temperature probe, on port 2.

Format: the user manual of the LDDS75 (battery, distance, interrupt; then DS18B20 and sensor flag). Two traps:

* A frame of four bytes: no ultrasonic sensor is connected. What stands where the distance would be is noise.
* The decoder in https://github.com/TheThingsNetwork/lorawan-devices puts the battery into the distance. Not used here.
"""

from typing import Final

from ingest.makers.report import CodecError, Report, Said, distance_fields, require_port, unreadable

PORT: Final = 2
NO_SENSOR_BYTES: Final = 4
SHORT_BYTES: Final = 5
LONG_BYTES: Final = 8

BLIND_MM: Final = 280
"""Shortest distance that it measures [mm]; below it says 20, whatever is there."""
REACH_MM: Final = 7_500

_BATTERY_BITS: Final = 0x3FFF
_NO_PROBE: Final = (0x0000, 0x7FFF)
"""What stands in the place of the temperature when no DS18B20 is connected; 0.0 degrees C is given up for it."""


def decode_ldds75(port: int, data: bytes) -> Report:
    """Read a frame of an LDDS75."""
    require_port(port, (PORT,), "Dragino LDDS75")
    if len(data) == NO_SENSOR_BYTES:
        raise CodecError("no-sensor", "the frame has 4 bytes: no ultrasonic sensor is connected, no level comes out")
    if len(data) not in {SHORT_BYTES, LONG_BYTES}:
        raise unreadable(f"a frame has {SHORT_BYTES} or {LONG_BYTES} bytes, this has {len(data)}")
    battery_mv = int.from_bytes(data[:2], "big") & _BATTERY_BITS
    distance_mm = int.from_bytes(data[2:4], "big")
    said: Said = {"Bat": battery_mv / 1000, "Distance": distance_mm, "Interrupt_flag": data[4]}
    fields, state = _level(distance_mm)
    if len(data) == LONG_BYTES:
        probe = int.from_bytes(data[5:7], "big")
        if probe not in _NO_PROBE:
            temp_tenths = int.from_bytes(data[5:7], "big", signed=True)
            said["TempC_DS18B20"] = temp_tenths / 10
            fields["temp_cdeg"] = temp_tenths * 10
        said["Sensor_flag"] = data[7]
        if not data[7]:
            fields.pop("distance_mm", None)
            state = "sensor-fault"
    return Report(said, fields | {"battery_mv": battery_mv}, state)


def _level(distance_mm: int) -> tuple[dict[str, int], str]:
    if 0 < distance_mm < BLIND_MM:
        return {}, "obstructed"
    fields, state = distance_fields(distance_mm)
    return (fields, state) if distance_mm <= REACH_MM or state == "sensor-fault" else ({}, "no-echo")
