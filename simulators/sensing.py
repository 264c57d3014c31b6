"""What the sensors of a virtual node see: ultrasonic distance, battery and air, with the faults of honest hardware.

Pure: truth comes in, wire fields come out, the random generator is an argument. Numbers are in `PARAMETERS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simulators.parameters import Parameter

DAY_S = 86_400
WIB_OFFSET_S = 7 * 3600  # Asia/Jakarta has no daylight time; the pure model needs no zone database

PARAMETERS: Mapping[str, Parameter] = {
    "pings": Parameter(7, "1", "5 to 7 pings and their median are common practice for JSN-SR04T class sensors"),
    "ping_noise_mm": Parameter(4, "mm", "assumed standard deviation of one echo"),
    "wild_ping_share": Parameter(0.02, "1", "assumed share of echoes from a wall or a second bounce"),
    "no_echo_share": Parameter(0.01, "1", "assumed share of pings without an echo"),
    "surface_mm": Parameter(12, "mm", "assumed: waste is not flat; standard deviation between two measurements"),
    "blind_zone_mm": Parameter(200, "mm", "JSN-SR04T: blind zone 200 to 250 mm, lower end"),
    "probe_error_c": Parameter(0.5, "C", "assumed standard deviation of the thermometer used for the speed of sound"),
    "lid_heat_c": Parameter(4, "C", "assumed: air under a lid in the sun is warmer at noon"),
    "air_temp_mean_c": Parameter(28.5, "C", "assumed daily mean near the coast of Pasuruan"),
    "air_temp_swing_c": Parameter(4, "C", "assumed half swing; warmest at 14:00"),
    "rh_mean_pct": Parameter(76, "%", "assumed daily mean; above 70 % at night"),
    "rh_swing_pct": Parameter(16, "%", "assumed half swing, opposite to the temperature"),
    "pm25_base_ugm3": Parameter(16, "ug/m3", "assumed background"),
    "pm25_traffic_ugm3": Parameter(14, "ug/m3", "assumed height of the 07:00 and 19:00 peaks"),
    "pm_growth": Parameter(0.18, "1", "assumed strength of the rise in humid air (optical sensors overshoot)"),
    "battery_full_mv": Parameter(4150, "mV", "assumed full lithium cell"),
    "battery_low_mv": Parameter(3300, "mV", "assumed end of a lithium cell"),
    "battery_life_d": Parameter(158, "d", "3,000 mAh cell at a 30 min interval, by the battery model of the node"),
    "battery_noise_mv": Parameter(6, "mV", "assumed"),
    "rssi_noise_db": Parameter(3, "dB", "assumed"),
}


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


def speed_of_sound_mps(temp_c: float) -> float:
    """Speed of sound in dry air [m/s] at `temp_c` [C]: 331.3 * sqrt(1 + T / 273.15)."""
    return 331.3 * math.sqrt(1.0 + temp_c / 273.15)


def daytime(at_s: float) -> float:
    """Return the local hour of the day at the square [h, 0..24)."""
    return ((at_s + WIB_OFFSET_S) % DAY_S) / 3600.0


def air_temp_c(at_s: float) -> float:
    """Return the modelled air temperature [C]: a daily cosine, warmest at 14:00 local."""
    return value("air_temp_mean_c") + value("air_temp_swing_c") * math.cos((daytime(at_s) - 14.0) / 24.0 * 2 * math.pi)


def rh_pct(at_s: float) -> float:
    """Return the modelled relative humidity [%]: the opposite of the temperature."""
    return value("rh_mean_pct") - value("rh_swing_pct") * math.cos((daytime(at_s) - 14.0) / 24.0 * 2 * math.pi)


def pm25_ugm3(at_s: float) -> float:
    """Return the modelled true PM2.5 [ug/m3] without noise: background and two traffic peaks."""
    hour = daytime(at_s)
    peaks = sum(math.exp(-0.5 * ((hour - at_h) / 1.5) ** 2) for at_h in (7.0, 19.0))
    return value("pm25_base_ugm3") + value("pm25_traffic_ugm3") * peaks


def echo_distance_mm(true_mm: float, temp_c: float, rng: np.random.Generator) -> tuple[int | None, int]:
    """Measure a distance with several pings, as the firmware does.

    Parameters
    ----------
    true_mm
        Distance from the sensor to the surface [mm].
    temp_c
        True air temperature in the bin [C].
    rng
        Source of randomness.

    Returns
    -------
    tuple[int | None, int]
        Median [mm] of the pings that returned, in whole millimetres, and how many did. None when fewer than three
        did. Never below the blind zone: nearer surfaces read as its edge ("full or blocked"), not as 0.
    """
    wanted = int(value("pings"))
    surface_mm = true_mm + float(rng.normal(0.0, value("surface_mm")))
    # The device divides the echo time by the speed of sound at the temperature that it believes in, whole degrees.
    believed_c = round(temp_c + float(rng.normal(0.0, value("probe_error_c"))))
    seen: list[int] = []
    for _ in range(wanted):
        if rng.random() < value("no_echo_share"):
            continue
        ping_mm = surface_mm + float(rng.normal(0.0, value("ping_noise_mm")))
        if rng.random() < value("wild_ping_share"):
            ping_mm = float(rng.uniform(value("blind_zone_mm"), 2.0 * max(true_mm, value("blind_zone_mm"))))
        echo_us = round(2.0 * max(ping_mm, value("blind_zone_mm")) * 1000.0 / speed_of_sound_mps(temp_c))
        seen.append(echo_us * (3313 + 6 * believed_c) // 20000)
    minimum_pings = 3
    if len(seen) < minimum_pings:
        return None, len(seen)
    return int(np.median(seen)), len(seen)


@dataclass
class Power:
    """Battery and radio of one node; `charged_at_s` is when the cell was full."""

    charged_at_s: float
    rssi_dbm: float

    def fields(self, at_s: float, rng: np.random.Generator) -> dict[str, int]:
        """Return battery_mv and rssi_dbm as the node reports them; an empty cell is replaced by a full one."""
        life_s = value("battery_life_d") * DAY_S
        used = ((at_s - self.charged_at_s) % life_s) / life_s
        full, low = value("battery_full_mv"), value("battery_low_mv")
        battery = full - (full - low) * used + rng.normal(0.0, value("battery_noise_mv"))
        rssi = self.rssi_dbm + rng.normal(0.0, value("rssi_noise_db"))
        return {"battery_mv": round(battery), "rssi_dbm": max(-120, min(-20, round(rssi)))}


def bin_reading(true_mm: float, at_s: float, rng: np.random.Generator) -> dict[str, int | str]:
    """Return the measured wire fields of a bin node (distance, temperature, quality, state)."""
    noon = max(0.0, math.cos((daytime(at_s) - 13.0) / 24.0 * 2 * math.pi))
    temp = air_temp_c(at_s) + value("lid_heat_c") * noon
    distance, echoes = echo_distance_mm(true_mm, temp, rng)
    reading: dict[str, int | str] = {"temp_cdeg": round((temp + rng.normal(0.0, 0.2)) * 100)}
    if distance is None:
        return reading | {"quality": 0, "state": "no-echo"}
    return reading | {"distance_mm": distance, "quality": 4 if echoes >= 5 else 2, "state": "ok"}  # noqa: PLR2004


class AirSensor:
    """A low-cost air station: true concentrations of the square, own offset, own slow noise.

    Parameters
    ----------
    rng
        Draws the unit's calibration error once.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._gain = float(rng.uniform(0.9, 1.1))
        self._drift = 0.0

    def reading(self, at_s: float, rng: np.random.Generator) -> dict[str, int | str]:
        """Return the wire fields of an air node: PM in ng/m3, temperature, humidity, pressure, raw gas channels."""
        rh = min(99.0, max(30.0, rh_pct(at_s) + rng.normal(0.0, 1.5)))
        temp = air_temp_c(at_s) + rng.normal(0.0, 0.2)
        self._drift = 0.9 * self._drift + float(rng.normal(0.0, 0.06))  # AR(1): weather, not white noise
        ratio = rh / 100.0
        growth = 1.0 + value("pm_growth") * ratio * ratio / (1.0 - ratio)
        pm25 = pm25_ugm3(at_s) * math.exp(self._drift) * self._gain * growth
        return {
            "pm1_ngm3": round(pm25 * 0.65 * 1000),
            "pm25_ngm3": round(pm25 * 1000),
            "pm10_ngm3": round(pm25 * 1.55 * 1000),
            "temp_cdeg": round(temp * 100),
            "rh_cpct": round(rh * 100),
            "pressure_pa": round(101_000 + 150 * math.cos((daytime(at_s) - 10.0) / 12.0 * 2 * math.pi)),
            "voc_raw": int(rng.integers(27_000, 31_000)),
            "quality": 4,
            "state": "ok",
        }
