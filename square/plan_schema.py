"""The site folder format as tables: every key, its type, range and meaning.

One table feeds the check, the loader and docs/site-plan.md (a test compares them), so the three cannot drift.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from square.calendar import Window, parse_clock
from square.makes import CODEC_KINDS
from square.plan_source import Document, Finding, Key

ID_PATTERN = re.compile(r"[a-z0-9-]{3,32}")
"""Grammar of every id; device ids are MQTT topic levels and user names."""
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the format.

    Parameters
    ----------
    name
        Key in the file.
    kind
        ``text``, ``id``, ``int``, ``number``, ``clock``, ``windows``, ``zone`` or ``choice``.
    about
        Meaning, unit included; the text of the documentation.
    required
        Whether the key must be there.
    low, high
        Smallest and largest value, both allowed.
    choices
        Allowed values of a ``choice``.
    default
        Value when an optional key is absent.
    """

    name: str
    kind: str
    about: str
    required: bool = True
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    default: Any = None

    @property
    def expected(self) -> str:
        """What the value must be, as a phrase."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind in ("int", "number"):
            noun = "a whole number" if self.kind == "int" else "a number"
            return f"{noun} from {self.low:g} to {self.high:g}"
        return _EXPECTED[self.kind]

    def fault(self, value: Any) -> str | None:
        """Say what is wrong with a value; None when nothing is."""
        if self.kind in ("int", "number"):
            return self._number_fault(value)
        if self.kind == "windows":
            return _windows_fault(value)
        if not isinstance(value, str):
            return f"is {_kind_of(value)}"
        return self._text_fault(value)

    def _number_fault(self, value: Any) -> str | None:
        wanted = int if self.kind == "int" else int | float
        if isinstance(value, bool) or not isinstance(value, wanted):
            return f"is {_kind_of(value)}"
        # NaN fails the comparison, as it should.
        return None if self.low <= value <= self.high else f"is {value}"

    def _text_fault(self, value: str) -> str | None:
        shown = f'is "{value}"'
        if self.kind == "choice":
            return None if value in self.choices else shown
        if self.kind == "id":
            return None if ID_PATTERN.fullmatch(value) else shown
        if self.kind == "clock":
            return _fault_of(parse_clock, value)
        if self.kind == "zone":
            return _fault_of(ZoneInfo, value)
        return None if value.strip() else "is empty"


_EXPECTED = {
    "text": "a text that is not empty",
    "id": "3 to 32 characters, only a-z, 0-9 and -",
    "clock": 'a time like "04:30", at most "24:00"',
    "windows": 'a list of windows like ["05:00-22:00"], each with an optional day before it ("fri 11:00-13:00")',
    "zone": 'a time zone of the IANA list, like "Asia/Jakarta"',
}


def _fault_of(parse: Any, value: str) -> str | None:
    try:
        parse(value)
    except (ValueError, KeyError, OSError):
        return f'is "{value}"'
    return None


def _windows_fault(value: Any) -> str | None:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        return f"is {_kind_of(value)}" if not isinstance(value, list) else "has an entry that is not a text"
    if not value:
        return "is an empty list"
    for text in value:
        try:
            Window.parse(text)
        except ValueError as error:
            return f"is wrong: {error}"
    return None


def _kind_of(value: Any) -> str:
    names = {
        dict: "a table",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
    return "missing a value" if value is None else names.get(type(value), f"a {type(value).__name__}")


_ID = Field("id", "id", "stable id, unique in the folder; history hangs on it")
_NAMES = (
    Field("name_id", "text", "name in Indonesian, shown first"),
    Field("name_en", "text", "name in English"),
)
_SOURCE = Field("source", "text", "where the entry comes from: a survey and its date, or the word assumed")

SITE_FIELDS = (
    Field("schema", "int", "version of this format", low=SCHEMA, high=SCHEMA),
    Field("id", "id", "id of the site; second level of every MQTT topic"),
    *_NAMES,
    Field("timezone", "zone", "time zone of the square"),
    Field("adm4", "text", "Kemendagri code of the kelurahan", required=False),
    _SOURCE,
    Field("handover_min", "int", "handover at the end of a shift [min]", required=False, low=0, high=120, default=15),
    Field("rest_hours", "windows", "hours without any shift that are meant so", required=False, default=()),
)
FRAME_FIELDS = (
    Field("origin_lon", "number", "longitude of the centre [degrees]", low=-180, high=180),
    Field("origin_lat", "number", "latitude of the centre [degrees]", low=-85, high=85),
    Field(
        "radius_m",
        "number",
        "no asset lies farther from the centre [m]",
        required=False,
        low=50,
        high=20000,
        default=2000,
    ),
)
REPORTING_FIELDS = (
    Field("bin_interval_s", "int", "default report interval of bin sensors [s]", low=10, high=86400),
    Field("air_interval_s", "int", "default report interval of air stations [s]", low=10, high=86400),
)
RULES_FIELDS = (
    Field("half_pct", "number", "from here a bin is half full [%]", low=1, high=120),
    Field("filling_pct", "number", "from here a bin is filling [%]", low=1, high=120),
    Field("full_pct", "number", "from here a bin is full and needs a crew [%]", low=1, high=120),
    Field("overflow_pct", "number", "from here a bin overflows [%]", low=1, high=120),
    Field("full_clear_pct", "number", "a full bin counts as full until it falls below this [%]", low=0, high=120),
    Field(
        "emptied_drop_pct",
        "number",
        "a fall of the level by this much is an emptying [percentage points]",
        low=5,
        high=100,
    ),
    Field("soon_full_h", "number", "warn when a bin is forecast full within this time [h]", low=0.1, high=72),
    Field("silent_factor", "number", "a device is silent after this many report intervals", low=1.5, high=100),
    Field("bad_air_pm25_ugm3", "number", "24 h mean of PM2.5 that raises an air incident [ug/m3]", low=1, high=1000),
    Field("bad_air_clear_pm25_ugm3", "number", "24 h mean of PM2.5 below which it closes [ug/m3]", low=0, high=1000),
    Field(
        "verify_within_s",
        "int",
        "a claim done must be confirmed by the sensor within this time [s]",
        low=60,
        high=86400,
    ),
    Field("walk_speed_mps", "number", "walking speed of a crew with its cart [m/s]", low=0.2, high=3),
    Field("empty_bin_s", "int", "time to empty one bin [s]", low=10, high=3600),
    Field("cart_volume_l", "number", "volume of waste a cart takes before it must be unloaded [l]", low=20, high=5000),
)
SHIFT_FIELDS = (
    _ID,
    *_NAMES,
    Field("start", "clock", "start of the shift"),
    Field("end", "clock", "end of the shift; not after the start means the next day"),
)
CREW_FIELDS = (
    _ID,
    Field("name", "text", "name shown to the office; an ordinary first name is enough"),
    Field("shift", "id", "id of the shift in site.toml"),
    _SOURCE,
)
DEVICE_STATUS = ("active", "repair", "spare", "retired")
DEVICE_FIELDS = (
    Field("id", "id", "id of the device; MQTT user name and topic level"),
    Field("kind", "choice", "what it measures", choices=("bin", "air")),
    Field("asset", "id", "id of the bin or air station it sits on; a spare has none", required=False),
    Field("model", "text", "make and model"),
    Field(
        "interval_s", "int", "report interval [s]; absent: the default of the site", required=False, low=10, high=86400
    ),
    Field("status", "choice", "only active devices are listened to", choices=DEVICE_STATUS),
    Field("foreign", "id", "of another make: its DevEUI, serial number or base name in small letters", required=False),
    Field("codec", "choice", "of another make: how its payload is read", required=False, choices=tuple(CODEC_KINDS)),
    Field("source", "text", "where the entry comes from", required=False, default=""),
)

PROPERTY_FIELDS = (
    Field("role", "text", "what the feature is; see the roles"),
    _ID,
    *_NAMES,
    Field("accuracy_m", "number", "how far the drawn place may be from the true one [m]", low=0, high=5000),
    _SOURCE,
)
WASTE_KINDS = ("organic", "inorganic", "residual", "mixed")
HOURS_FIELDS = (
    Field("service_hours", "windows", "windows in which work is allowed; absent: always", required=False),
    Field("closed_hours", "windows", "windows in which it is not, whatever the service hours say", required=False),
)


@dataclass(frozen=True, slots=True)
class Role:
    """What features of one role look like.

    Parameters
    ----------
    name
        Value of the property ``role``.
    geometry
        GeoJSON type of its geometry.
    about
        What it is.
    fields
        Properties beside the common ones.
    """

    name: str
    geometry: str
    about: str
    fields: tuple[Field, ...] = ()


_KIND = Field("kind", "text", "finer kind, for the drawing only", required=False)
_WIDTH = Field("width_m", "number", "drawn width [m]", required=False, low=0.5, high=60)
_HEIGHT = Field("height_m", "number", "height above ground [m]", required=False, low=0, high=200)

ROLES = {
    role.name: role
    for role in (
        Role("zone", "Polygon", "area with its own cleanliness score; every bin lies in one", HOURS_FIELDS),
        Role(
            "bin",
            "Point",
            "waste bin with a level sensor; hours it does not give are those of its zone",
            (
                Field("volume_l", "number", "volume up to the rim [l]", low=5, high=20000),
                Field("waste_kind", "choice", "stream it is meant for", choices=WASTE_KINDS),
                Field("empty_mm", "int", "distance from sensor to floor [mm]", low=50, high=10000),
                Field("full_mm", "int", "distance from sensor to the waste when full [mm]", low=0, high=9999),
                *HOURS_FIELDS,
            ),
        ),
        Role("air", "Point", "air quality station", (_HEIGHT,)),
        Role("depot", "Point", "where crews and carts start"),
        Role("tps", "Point", "transfer point where carts are unloaded"),
        Role("gate", "Point", "entrance of the square"),
        Role("path", "LineString", "walkable line; lines join where they share a vertex", (_KIND, _WIDTH)),
        Role("road", "LineString", "street", (_KIND, _WIDTH)),
        Role("grass", "Polygon", "lawn"),
        Role("granite", "Polygon", "paved floor"),
        Role("tugu", "Polygon", "monument", (_HEIGHT,)),
        Role("building", "Polygon", "building", (_KIND, _HEIGHT)),
        Role("water_tower", "Polygon", "water tower", (_HEIGHT,)),
        Role("umbrella", "Polygon", "large folding umbrella", (_HEIGHT,)),
        Role("vendor_row", "Polygon", "row of street vendors", (_KIND,)),
        Role("playground", "Polygon", "children's playground"),
        Role("toilet", "Polygon", "public toilet"),
        Role("terminal", "Polygon", "bus terminal"),
        Role(
            "tree",
            "Point",
            "tree",
            (Field("crown_m", "number", "diameter of the crown [m]", required=False, low=0.5, high=60),),
        ),
    )
}


def check_table(
    doc: Document, key: Key, table: Mapping[str, Any], fields: Sequence[Field], *, strict: bool = True
) -> Iterator[Finding]:
    """Compare one table of a file with its fields.

    Parameters
    ----------
    doc
        The file.
    key
        Where the table sits.
    table
        Its content.
    fields
        What it may hold.
    strict
        Whether an unknown key is an error (our own files) or a warning (map programs add keys of their own).
    """
    if not strict:
        # A map program gives every feature every column and fills the ones it does not have with null.
        table = {name: value for name, value in table.items() if value is not None}
    for field in fields:
        if field.name not in table:
            if field.required:
                yield doc.error(
                    key, f'"{field.name}" is missing', f"Add {field.name}: {field.expected} ({field.about})."
                )
        elif fault := field.fault(table[field.name]):
            yield doc.error((*key, field.name), f"{field.name} {fault}", f"Write {field.expected} ({field.about}).")
    known = {field.name for field in fields}
    for name in table:
        if name not in known:
            complain = doc.error if strict else doc.warning
            yield complain((*key, name), f'"{name}" is not a key of this format', _closest(name, known))


def _closest(name: str, known: set[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]}? Otherwise remove it." if near else "Remove it."
