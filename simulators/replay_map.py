"""The map of a replay: which column of a CSV file is which field of a reading. Format: docs/replay.md."""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from firmware import wire
from simulators.errors import MapError

SCHEMA = 1
Positive = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
StructT = TypeVar("StructT", bound=msgspec.Struct)


class FileMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written.

    Attributes
    ----------
    skip_lines : int
        Lines before the header.
    header_starts : str | None
        Instead: the header is the first line that starts with this text.
    delimiter : str
        One character.
    encoding : str
        Of the text; "utf-8-sig" reads UTF-8 with or without a byte order mark.
    blank : list[str]
        Cells that mean "no value", besides the empty one.
    """

    skip_lines: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    header_starts: Text | None = None
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    encoding: Text = "utf-8-sig"
    blank: list[str] = []


class TimeMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a reading was taken.

    Attributes
    ----------
    column : str
        Column with date and time.
    format : str
        "iso", "unix" (seconds) or a pattern of strptime such as "%d.%m.%Y %H:%M".
    zone : str | None
        IANA zone of the times, with its daylight rule.
    utc_offset : str | None
        Instead: fixed offset such as "-05:00".
    time_of_day : str | None
        "HH:MM" added to a column that holds only dates.
    """

    column: Text
    format: Text
    zone: str | None = None
    utc_offset: Annotated[str, msgspec.Meta(pattern=r"^[+-]\d{2}:\d{2}$")] | None = None
    time_of_day: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None


class DeviceMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which device sent a row.

    Attributes
    ----------
    id : str
        Template of the device id with one "{value}".
    column : str | None
        Column that holds the value.
    file_pattern : str | None
        Instead: regular expression on the file name; its first group is the value.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[^{}]*\{value\}[^{}]*$")]
    column: Text | None = None
    file_pattern: Text | None = None


class FieldMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wire field: ``value * scale + offset`` in decimal arithmetic.

    Attributes
    ----------
    column : str
        Column with the value.
    scale, offset : int | Decimal
        As written in the map, never through binary floats.
    rounding : str
        "exact" refuses a result that is no whole number, "half-even" rounds it.
    """

    column: Text
    scale: Any = 1
    offset: Any = 0
    rounding: Literal["exact", "half-even"] = "exact"


class PlaceMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a device stood, for files without coordinates."""

    device: Text
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    lat: Annotated[float, msgspec.Meta(ge=-85, le=85)]
    name: Text | None = None


class BinMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every bin of the data is taken to be; `source` says how we know."""

    volume_l: Positive = 240
    waste_kind: Literal["organic", "inorganic", "residual", "mixed"] = "mixed"
    empty_mm: Annotated[int, msgspec.Meta(ge=50, le=10_000)] = 1000
    full_mm: Annotated[int, msgspec.Meta(ge=0, le=9_999)] = 200
    source: Text = "assumed: the data set does not say"


class SiteMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the replay takes place: an existing site folder, or one made from the data.

    Attributes
    ----------
    folder : str | None
        Site folder, relative to the map file, or the name of a shipped site.
    assets : dict[str, str]
        With `folder`: asset id by device id; empty when its devices.toml lists the devices already.
    id, name_id, name_en, timezone, source : str | None
        Without `folder`: the site that is made.
    lon_column, lat_column, name_column : str | None
        Columns with the place and the name of each device.
    place : list[PlaceMap]
        Instead of columns: fixed places.
    interval_s : int
        Report interval of the devices [s].
    bin : BinMap
        What the bins are like.
    rules : dict[str, float]
        Thresholds that differ from those of the shipped site.
    """

    folder: Text | None = None
    assets: dict[str, str] = {}
    id: str | None = None
    name_id: Text | None = None
    name_en: Text | None = None
    timezone: str = "UTC"
    source: Text = "the replayed data"
    lon_column: Text | None = None
    lat_column: Text | None = None
    name_column: Text | None = None
    place: list[PlaceMap] = []
    interval_s: Annotated[int, msgspec.Meta(ge=10, le=86_400)] = 600
    bin: BinMap = BinMap()
    rules: dict[str, float] = {}


class ClockMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the square's time may run ahead of the oldest reading that is still on its way [s]."""

    max_lag_s: Annotated[int, msgspec.Meta(ge=1, le=6 * 86_400)] = 840


class ReplayMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole map; `name` names the replay, `kind` is what its devices measure."""

    schema: Literal[1]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{3,32}$")]
    kind: Literal["bin", "air"]
    time: TimeMap
    device: DeviceMap
    fields: dict[str, FieldMap]
    site: SiteMap
    file: FileMap = FileMap()
    clock: ClockMap = ClockMap()


class MapDocument:
    """A checked map and where it came from.

    Parameters
    ----------
    path
        The file.
    text
        Its content, for line numbers.
    map
        The checked content.
    """

    def __init__(self, path: Path, text: str, content: ReplayMap) -> None:
        self.path = path
        self.text = text
        self.map = content

    def fail(self, key: str, what: str, remedy: str) -> NoReturn:
        """Raise a `MapError` at a key of the map."""
        raise MapError(self.path, line_of(self.text, key), key, what, remedy)


def shipped_maps() -> tuple[str, ...]:
    """Names of the maps that ship with Resik."""
    folder = resources.files("simulators").joinpath("maps")
    return tuple(sorted(e.name.removesuffix(".toml") for e in folder.iterdir() if e.name.endswith(".toml")))


def load_map(path_or_name: Path | str) -> MapDocument:
    """Read and check a map file, given by path or by the name of a shipped map.

    Raises
    ------
    MapError
        The file is missing, is no TOML, has an unknown key or a value that does not fit: with line and remedy.
    """
    path = Path(path_or_name)
    if not path.exists() and str(path_or_name) in shipped_maps():
        path = Path(str(resources.files("simulators").joinpath("maps", f"{path_or_name}.toml")))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(shipped_maps())
        remedy = f"Name a map file, or a shipped map: {known}."
        raise MapError(path, None, None, f"the map cannot be read ({error})", remedy) from error
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found.group(1)) if found else None
        raise MapError(path, line, None, f"the map is not TOML: {error}", "Correct the line.") from error
    if data.get("schema") != SCHEMA:
        raise MapError(
            path, line_of(text, "schema"), "schema", "missing or of another version", f"Write schema = {SCHEMA}."
        )
    document = MapDocument(path, text, _typed(path, text, data))
    _check(document)
    return document


def _typed(path: Path, text: str, data: Mapping[str, Any]) -> ReplayMap:
    """Turn parsed TOML into the map. Fields one by one: an error inside a dictionary does not name its key."""
    fields = data.get("fields", {})
    if not isinstance(fields, dict):
        raise MapError(path, line_of(text, "fields"), "fields", "no table", "Write [fields.<wire field>].")
    typed = {}
    for name, table in fields.items():
        field = _convert(path, text, _floats(table), FieldMap, f"fields.{name}")
        # Scale and offset as written: 0.1 stays a decimal tenth.
        written = {key: table[key] for key in ("scale", "offset") if key in table}
        typed[name] = msgspec.structs.replace(field, **written)
    content = _convert(path, text, _floats({**data, "fields": {}}), ReplayMap, "")
    return msgspec.structs.replace(content, fields=typed)


def _convert(path: Path, text: str, data: Any, kind: type[StructT], prefix: str) -> StructT:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        found = re.search(r"unknown field `(.+?)`|missing required field `(.+?)`", message)
        leaf = (found.group(1) or found.group(2)) if found else ""
        inner = re.sub(r"\[[^\]]*\]", "", at.rstrip("`")).lstrip(".")
        key = ".".join(part for part in (prefix, inner, leaf) if part)
        remedy = "The keys and their values are listed in docs/replay.md."
        raise MapError(path, line_of(text, key), key or None, message[0].lower() + message[1:], remedy) from error


def _floats(value: Any) -> Any:
    """Turn the decimals of parsed TOML into floats where plain numbers are wanted."""
    if isinstance(value, dict):
        return {key: _floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_floats(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def line_of(text: str, key: str) -> int | None:
    """Return the line of a dotted key in TOML text as people write it; None when it is not found.

    A key that is absent is reported at its table.
    """
    parts = key.split(".") if key else []
    table: list[str] = []
    best: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if match := re.match(r"\[+\s*([^\[\]]+?)\s*\]+", stripped):
            table = [part.strip().strip('"') for part in match.group(1).split(".")]
            if table == parts:
                return number
            if table == parts[: len(table)] and best is None:
                best = number
        elif "=" in stripped and not stripped.startswith("#"):
            name = [*table, *(part.strip().strip('"') for part in stripped.split("=", 1)[0].split("."))]
            if name == parts or (len(name) < len(parts) and name == parts[: len(name)]):
                return number
    return best


def _check(doc: MapDocument) -> None:
    """Check what the types cannot say."""
    _check_file(doc)
    _check_time(doc)
    _check_device(doc)
    _check_fields(doc)
    _check_site(doc)


def _check_file(doc: MapDocument) -> None:
    file = doc.map.file
    if file.header_starts is not None and file.skip_lines:
        doc.fail("file.header_starts", "given together with skip_lines", "Keep one of the two.")
    try:
        "".encode(file.encoding)
    except LookupError:
        doc.fail("file.encoding", f'"{file.encoding}" is not an encoding', 'Write "utf-8-sig" or "cp1252".')


def _check_device(doc: MapDocument) -> None:
    device = doc.map.device
    if (device.column is None) == (device.file_pattern is None):
        doc.fail("device", "needs either column or file_pattern", "Say where the device of a row is written.")
    if device.file_pattern is None:
        return
    try:
        groups = re.compile(device.file_pattern).groups
    except re.error as error:
        doc.fail("device.file_pattern", f"is not a regular expression ({error})", "Correct it.")
    if groups < 1:
        doc.fail("device.file_pattern", "has no group", 'Put what becomes {value} in brackets: "^(RT[0-9]+)".')


def _check_fields(doc: MapDocument) -> None:
    kind = doc.map.kind
    known = ", ".join(sorted(wire.FIELDS[kind]))
    if not doc.map.fields:
        doc.fail("fields", "no field is mapped", f"Add at least one of {known}.")
    for name, field in doc.map.fields.items():
        if name not in wire.FIELDS[kind]:
            doc.fail(f"fields.{name}", f"no field of kind {kind}", f"Use one of {known}.")
        for key in ("scale", "offset"):
            number = getattr(field, key)
            if isinstance(number, bool) or not isinstance(number, int | Decimal) or not Decimal(number).is_finite():
                doc.fail(f"fields.{name}.{key}", "is no number", "Write a number such as 1000 or 0.1.")


def _check_time(doc: MapDocument) -> None:
    t = doc.map.time
    if t.format == "unix":
        if t.zone is not None or t.utc_offset is not None:
            doc.fail("time.format", "unix times have no zone", "Remove zone and utc_offset.")
    elif t.format != "iso" and "%" not in t.format:
        doc.fail("time.format", f'"{t.format}" is no format', 'Write "iso", "unix" or a pattern like "%d.%m.%Y %H:%M".')
    if t.zone is not None and t.utc_offset is not None:
        doc.fail("time.zone", "given together with utc_offset", "Keep one of the two.")
    if t.format != "unix" and t.zone is None and t.utc_offset is None and "%z" not in t.format and t.format != "iso":
        doc.fail("time", "the zone of the times is missing", 'Add zone = "Asia/Jakarta" or utc_offset = "+07:00".')
    if t.zone is not None:
        _check_zone(doc, "time.zone", t.zone)


def _check_site(doc: MapDocument) -> None:
    site = doc.map.site
    if site.folder is not None:
        for key in ("id", "name_id", "name_en", "lon_column", "lat_column", "name_column"):
            if getattr(site, key) is not None:
                doc.fail(f"site.{key}", "given together with folder", "Keep the folder, or describe a site here.")
        return
    for key in ("id", "name_id", "name_en"):
        if getattr(site, key) is None:
            doc.fail("site", f"{key} is missing", "Describe the site, or name an existing folder.")
    if not wire.is_id(site.id or ""):
        doc.fail("site.id", f'"{site.id}" is no id', "Use 3 to 32 characters of a-z, 0-9 and hyphen.")
    _check_zone(doc, "site.timezone", site.timezone)
    if (site.lon_column is None) != (site.lat_column is None):
        doc.fail("site.lon_column", "only one of lon_column and lat_column is given", "Give both.")
    if (site.lon_column is None) == (not site.place):
        doc.fail("site", "the places of the devices are missing", "Give lon_column and lat_column, or [[site.place]].")
    if site.bin.empty_mm <= site.bin.full_mm:
        doc.fail("site.bin.empty_mm", "is not greater than full_mm", "The floor is farther away than the rim.")


def _check_zone(doc: MapDocument, key: str, name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        doc.fail(key, f'"{name}" is not a time zone', 'Write an IANA name such as "Asia/Jakarta".')
