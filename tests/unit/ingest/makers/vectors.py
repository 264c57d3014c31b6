"""Frames from the makers' documents: bytes and what their own decoders say of them.

Byte strings and values only, from: TheThingsNetwork/lorawan-devices (vendor/*-codec.yaml, MIT),
decentlab/decentlab-decoders (MIT), Milesight-IoT/SensorDecoders (README of each model),
airgradienthq/python-airgradient (tests/fixtures, MIT).
"""

from typing import Any, NamedTuple


class Vector(NamedTuple):
    """A frame, what its maker says of it, and what the wire makes of it; ``code`` when it is refused instead."""

    codec: str
    port: int
    data: bytes
    said: dict[str, Any]
    fields: dict[str, int]
    state: str = "ok"
    code: str | None = None


def _frame(codec: str, port: int, text: str, said: dict[str, Any], **rest: Any) -> Vector:
    return Vector(codec, port, bytes.fromhex(text), said, rest.pop("fields", {}), **rest)


_CLIMATE = {"air_temperature": 24.35660461425781, "air_humidity": 41.63221740722656, "barometric_pressure_pa": 96800}
_CLIMATE_FIELDS = {"battery_mv": 3109, "temp_cdeg": 2436, "rh_cpct": 4163, "pressure_pa": 96800}

FRAMES = [
    _frame(
        "netvox-r718x",
        6,
        "01 34 00 64 01 20200811 0000",
        {"Device": "R718X", "SWver": 10, "HWver": 1, "Datecode": "20200811"},
    ),
    _frame(
        "netvox-r718x",
        6,
        "01 34 01 24 01 012c 0107 32 0a",
        {"Volt": 3.6, "Status": "ON", "Distance": 300, "Temp": 26.3, "FillLevel": 50, "AngleOfInclination": 10},
        fields={"distance_mm": 300, "temp_cdeg": 2630, "tilt_deg": 10, "battery_mv": 3600},
    ),
    _frame(
        "netvox-r718x",
        7,
        "86 34 07d0 00000000000000",
        {"Cmd": "GetFillMaxDistanceRsp", "FillMaxDistance": 2000},
    ),
    _frame("dragino-ldds75", 2, "0e1c 0b05", {}, code="no-sensor"),
    _frame(
        "milesight-em310-udl",
        85,
        "01755c 03824408 040001",
        {"battery": 92, "distance": 2116, "position": "tilt"},
        fields={"distance_mm": 2116},
        state="tilted",
    ),
    _frame(
        "milesight-em400-mud",
        85,
        "01755c 03670101 04824408 050001",
        {"battery": 92, "temperature": 25.7, "distance": 2116, "position": "tilt"},
        fields={"distance_mm": 2116, "temp_cdeg": 2570},
        state="tilted",
    ),
    _frame(
        "milesight-em400-udl",
        85,
        "8367e80001 8482410601",
        {
            "temperature": 23.2,
            "temperature_alarm": "threshold_alarm",
            "distance": 1601,
            "distance_alarm": "threshold_alarm",
        },
        fields={"distance_mm": 1601, "temp_cdeg": 2320},
    ),
    _frame("milesight-em500-udl", 85, "017564 03821e00", {"battery": 100, "distance": 30}, fields={"distance_mm": 30}),
    _frame(
        "milesight-am308",
        85,
        "0367ee00 04687c 050001 06cb02 077da803 087d2500 09736627 0b7d2000 0c7d3000",
        {
            "temperature": 23.8,
            "humidity": 62,
            "pir": "trigger",
            "light_level": 2,
            "co2": 936,
            "tvoc": 0.37,
            "pressure": 1008.6,
            "pm2_5": 32,
            "pm10": 48,
        },
        fields={
            "temp_cdeg": 2380,
            "rh_cpct": 6200,
            "pressure_pa": 100860,
            "pm25_ngm3": 32000,
            "pm10_ngm3": 48000,
        },
    ),
    _frame(
        "milesight-vs350",
        85,
        "04cc12001600 05cc13001400",
        {"total_in": 18, "total_out": 22, "period_in": 19, "period_out": 20},
    ),
    _frame(
        "decentlab-dl-mbx",
        1,
        "02 012f 0003 04d2 0001 0bb1",
        {
            "protocol_version": 2,
            "device_id": 303,
            "distance_mm": 1234,
            "number_of_valid_samples": 1,
            "battery_v": 2.993,
        },
        fields={"distance_mm": 1234, "battery_mv": 2993},
    ),
    _frame(
        "decentlab-dl-pm",
        1,
        "02 1b50 000f 0c25 0025 0027 0027 0027 01f5 0107 012c 012d 012d 012d 67bd 618d bd10",
        {
            "device_id": 6992,
            "battery_v": 3.109,
            "pm1": 3.7,
            "pm2_5": 3.9,
            "pm4": 3.9,
            "pm10": 3.9,
            "typical_particle_size_nm": 501,
            "n_pm0_5": 26.3,
            "n_pm1": 30.0,
            "n_pm2_5": 30.1,
            "n_pm4": 30.1,
            "n_pm10": 30.1,
            **_CLIMATE,
        },
        fields={"pm1_ngm3": 3700, "pm25_ngm3": 3900, "pm10_ngm3": 3900, **_CLIMATE_FIELDS},
    ),
    _frame(
        "decentlab-dl-pm",
        1,
        "02 1b50 000d 0c25 67bd 618d bd10",
        {"device_id": 6992, "battery_v": 3.109, **_CLIMATE},
        fields=_CLIMATE_FIELDS,
    ),
]
"""All thirteen frames of LoRaWAN devices."""

AIRGRADIENT_CURRENT = b"""{"wifi": -52, "serialno": "84fce612f5b8", "rco2": 778, "pm01": 22, "pm02": 34, "pm10": 41,
 "pm003Count": 270, "tvocIndex": 99, "tvocRaw": 31792, "noxIndex": 1, "noxRaw": 16931, "atmp": 23.1, "rhum": 32,
 "atmpCompensated": 22.17, "rhumCompensated": 47, "bootCount": 4, "ledMode": "co2", "firmware": "3.1.1",
 "model": "I-9PSL"}"""
AIRGRADIENT_AFTER_BOOT = b"""{"wifi": -59, "serialno": "84fce612f5b8", "bootCount": 0, "ledMode": "co2",
 "firmware": "3.0.8", "model": "I-9PSL"}"""
AIRGRADIENT_CONFIG = (
    b"""{"country": "DE", "pmStandard": "ugm3", "ledBarMode": "co2", "abcDays": 8, "model": "I-9PSL-DE"}"""
)
