"""Every quantity that Resik stores: its unit, its name on the wire and what is believable.

The wire carries integers in small units (``pm25_ngm3``); the store and people see the units below. The
accepted range on the wire is :data:`firmware.wire.FIELDS`; outside it a reading is refused. Between that
and ``plausible_min..plausible_max`` the value is kept and flagged.
"""

from typing import NamedTuple

from firmware import wire


class Quantity(NamedTuple):
    """One measured quantity.

    Attributes
    ----------
    name : str
        Field name in the store, unit last.
    unit : str
        As people read it.
    wire_field : str
        Field name on the wire.
    divisor : int
        Stored value = wire value / divisor.
    plausible_min, plausible_max : float
        In ``unit``. Beyond them a value is kept and flagged as implausible.
    label_id, label_en : str
        What people read.
    """

    name: str
    unit: str
    wire_field: str
    divisor: int
    plausible_min: float
    plausible_max: float
    label_id: str
    label_en: str

    def from_wire(self, value: int) -> float:
        """Return a wire integer in the unit of the store."""
        return value / self.divisor


_TABLE = (
    # Bounds: fill and distance from the sensor's geometry; climate from records of the north coast of Java
    # with margin; particles from the range of the PMS5003 (Plantower manual: 0..500, up to 1000 ug/m3).
    Quantity("fill_pct", "%", "fill_pct", 1, 0, 120, "Tingkat isi", "Fill level"),
    Quantity("distance_mm", "mm", "distance_mm", 1, 20, 6000, "Jarak sensor ke sampah", "Distance to the waste"),
    Quantity("temp_c", "°C", "temp_cdeg", 100, 5, 70, "Suhu", "Temperature"),
    Quantity("tilt_deg", "°", "tilt_deg", 1, 0, 180, "Kemiringan", "Tilt"),
    Quantity("weight_kg", "kg", "weight_g", 1000, 0, 300, "Berat (perkiraan)", "Weight (estimated)"),
    Quantity("pm1_ugm3", "µg/m³", "pm1_ngm3", 1000, 0, 1000, "PM1", "PM1"),
    Quantity("pm25_ugm3", "µg/m³", "pm25_ngm3", 1000, 0, 1000, "PM2.5", "PM2.5"),
    Quantity("pm10_ugm3", "µg/m³", "pm10_ngm3", 1000, 0, 1000, "PM10", "PM10"),
    Quantity("rh_pct", "%", "rh_cpct", 100, 5, 99.9, "Kelembapan", "Humidity"),
    Quantity("no2_ppb", "ppb", "no2_ppt", 1000, 0, 1000, "NO₂", "NO₂"),
    Quantity("o3_ppb", "ppb", "o3_ppt", 1000, 0, 500, "O₃", "O₃"),
    Quantity("voc_raw", "-", "voc_raw", 1, 1, 65535, "VOC mentah", "Raw VOC"),
    Quantity("nh3_mv", "mV", "nh3_mv", 1, 1, 5000, "NH₃ (mentah)", "NH₃ (raw)"),
    Quantity("h2s_mv", "mV", "h2s_mv", 1, 1, 5000, "H₂S (mentah)", "H₂S (raw)"),
    Quantity("pressure_hpa", "hPa", "pressure_pa", 100, 980, 1040, "Tekanan udara", "Air pressure"),
    Quantity("battery_mv", "mV", "battery_mv", 1, 2500, 15000, "Baterai", "Battery"),
    Quantity("rssi_dbm", "dBm", "rssi_dbm", 1, -127, -20, "Sinyal", "Signal"),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _TABLE}
"""Quantities by the name of their field in the store."""

BY_WIRE_FIELD: dict[str, Quantity] = {quantity.wire_field: quantity for quantity in _TABLE}
"""Quantities by the name of their field on the wire."""

FLAG_IMPLAUSIBLE = 1
"""At least one value lies outside its plausible range."""
FLAG_HUMID = 2
"""Humidity above 70 %: optical particle sensors overshoot, the values are indicative only."""
FLAG_ANCHORED = 4
"""The device had no clock; the gateway derived the time from its uptime."""
FLAG_LATE = 8
"""The reading reached the gateway more than 15 minutes after it was made."""

HUMID_ABOVE_PCT = 70.0
"""Relative humidity [%] above which PM of optical sensors is indicative (openSenseMap issue 289)."""
LATE_AFTER_S = 900
"""Age at arrival [s] above which a reading counts as late."""


def quantities_of(kind: str) -> list[Quantity]:
    """Return the quantities that a device of ``kind`` (``bin`` or ``air``) may send, in table order."""
    fields = wire.FIELDS[kind]
    return [quantity for quantity in _TABLE if quantity.wire_field in fields]
