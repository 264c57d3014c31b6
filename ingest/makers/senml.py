"""SenML: which names and units mean a quantity of Resik.

A quantity is told by its name **and** its unit (RFC 8428 section 12.1 and RFC 8798): the temperature of a board is not
that of a bin, and metres can be anything. Names that are not in the table are ignored, as long as one is.
"""

from typing import Final, NamedTuple

from ingest.makers.report import Report, Said, unreadable, wire_integer
from square.senml import Record, SenmlError, resolve


class Meaning(NamedTuple):
    """A wire field and the units that it may come in: unit -> factor and offset to the wire's own."""

    field: str
    units: dict[str, tuple[float, float]]


_CELSIUS: Final = {"Cel": (100.0, 0.0), "K": (100.0, -27_315.0)}
_LENGTH: Final = {"m": (1000.0, 0.0), "cm": (10.0, 0.0), "mm": (1.0, 0.0)}
_PARTICLES: Final = {"ug/m3": (1000.0, 0.0), "kg/m3": (1e12, 0.0)}
_RATIO: Final = {"ppm": (1e6, 0.0), "ppb": (1000.0, 0.0)}
_VOLTAGE: Final = {"V": (1000.0, 0.0), "mV": (1.0, 0.0)}

_TABLE: Final = (
    (("temperature", "temp", "air_temperature"), Meaning("temp_cdeg", _CELSIUS)),
    (("humidity", "rh", "hum", "air_humidity"), Meaning("rh_cpct", {"%RH": (100.0, 0.0)})),
    (("pressure", "air_pressure"), Meaning("pressure_pa", {"Pa": (1.0, 0.0), "hPa": (100.0, 0.0)})),
    (("distance", "range"), Meaning("distance_mm", _LENGTH)),
    (("fill", "fill_level"), Meaning("fill_pct", {"%": (1.0, 0.0), "/": (100.0, 0.0)})),
    (("tilt",), Meaning("tilt_deg", {"deg": (1.0, 0.0), "rad": (57.29577951308232, 0.0)})),
    (("weight", "mass"), Meaning("weight_g", {"kg": (1000.0, 0.0), "g": (1.0, 0.0)})),
    (("pm1", "pm1.0", "pm1_0"), Meaning("pm1_ngm3", _PARTICLES)),
    (("pm25", "pm2.5", "pm2_5"), Meaning("pm25_ngm3", _PARTICLES)),
    (("pm10",), Meaning("pm10_ngm3", _PARTICLES)),
    (("no2",), Meaning("no2_ppt", _RATIO)),
    (("o3",), Meaning("o3_ppt", _RATIO)),
    (("nh3",), Meaning("nh3_mv", _VOLTAGE)),
    (("h2s",), Meaning("h2s_mv", _VOLTAGE)),
    (("battery", "battery_voltage"), Meaning("battery_mv", _VOLTAGE)),
    (("rssi",), Meaning("rssi_dbm", {"dBm": (1.0, 0.0), "dBW": (1.0, 30.0)})),
)
MEANINGS: Final = {name: meaning for names, meaning in _TABLE for name in names}
"""Meaning of each name; capitals do not count."""


def decode_pack(_port: int, data: bytes) -> Report:
    """Read a pack whose records all have one time: the gateway makes one row of each time."""
    try:
        records = resolve(data)
    except SenmlError as error:
        raise unreadable(str(error)) from error
    said: Said = {}
    fields: dict[str, int] = {}
    for record in records:
        _add(record, said, fields)
    if not fields:
        raise unreadable("no record has a name and a unit that mean a quantity: see docs/makers.md")
    return Report(said, fields)


def _add(record: Record, said: Said, fields: dict[str, int]) -> None:
    if isinstance(record.value, int | float | str):
        said[f"{record.name} [{record.unit}]" if record.unit else record.name] = record.value
    meaning = MEANINGS.get(record.name.lower())
    if meaning is None or isinstance(record.value, str | bool) or record.value is None:
        return
    scale = meaning.units.get(record.unit)
    if scale is None:
        return
    value = wire_integer(record.name, record.value, *scale)
    if fields.setdefault(meaning.field, value) != value:
        raise unreadable(f"{meaning.field} has two values at one time")
