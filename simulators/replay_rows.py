"""Rows of recorded data as readings: exact decimals, exact times, and a reason for every row that cannot be read."""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, NamedTuple
from zoneinfo import ZoneInfo

from firmware import wire
from simulators.errors import MapError
from simulators.replay_map import FieldMap, MapDocument, TimeMap

ROWS_MAX = 1_000_000
"""Rows of one replay: they are sorted in memory, about 0.5 kB each."""
_I64_MAX = 2**63 - 1


class Row(NamedTuple):
    """One reading to be sent: time [s since 1970 UTC], device id, wire fields, and where it was read."""

    ts_s: int
    device: str
    fields: dict[str, int]
    file: str
    line: int


@dataclass(frozen=True)
class Rejected:
    """A row that was not sent and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass
class Asset:
    """Where a device stands, from its first row that says so."""

    device: str
    lon: float
    lat: float
    name: str


@dataclass
class Recording:
    """Everything that was read, in time order.

    Attributes
    ----------
    rows : list[Row]
        Sorted by time; rows of one second keep the order of the files.
    rows_in : int
        Data rows seen, rejected ones included.
    rejected : list[Rejected]
        What could not be read.
    backward_steps : int
        How often a row was older than the row before it in its file.
    assets : dict[str, Asset]
        Places by device id, when the data has them.
    digest : str
        Of the map and the files; two recordings with the same digest are the same.
    """

    rows: list[Row] = field(default_factory=list)
    rows_in: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    backward_steps: int = 0
    assets: dict[str, Asset] = field(default_factory=dict)
    digest: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Ids of the devices that send, in alphabetical order."""
        return tuple(sorted({row.device for row in self.rows}))

    @property
    def start_s(self) -> int:
        """Time of the first row [s since 1970 UTC]."""
        return self.rows[0].ts_s

    @property
    def end_s(self) -> int:
        """Time of the last row [s since 1970 UTC]."""
        return self.rows[-1].ts_s


class _RowFault(Exception):  # noqa: N818 - becomes a Rejected
    """One row cannot be read; the text is the reason."""


def read_files(doc: MapDocument, files: Sequence[Path]) -> Recording:
    """Read files with a map and sort their rows by time.

    Parameters
    ----------
    doc
        A checked map.
    files
        CSV files, plain or gzip (ending .gz).

    Returns
    -------
    Recording
        At least one row.

    Raises
    ------
    MapError
        A file is missing, is not written as the map says (header, encoding, columns), or no row could be read.
    """
    recording = Recording()
    digest = hashlib.sha256(doc.text.encode())
    reader = _Reader(doc, recording)
    for path in files:
        digest.update(reader.read(path))
    if not recording.rows:
        first = f"; the first reason: {recording.rejected[0]}" if recording.rejected else ""
        what = f"none of {recording.rows_in} rows could be read{first}"
        raise MapError(doc.path, None, None, what, "Compare the map with the file.")
    recording.rows.sort(key=lambda row: row.ts_s)
    recording.digest = digest.hexdigest()
    return recording


class _Reader:
    """Reads files one after another into one recording."""

    def __init__(self, doc: MapDocument, recording: Recording) -> None:
        self._doc = doc
        self._map = doc.map
        self._into = recording
        self._zone = _zone_of(doc.map.time)
        self._blank = {"", *doc.map.file.blank}
        self._ids: dict[str, str] = {}
        self._fields = list(doc.map.fields.items())

    def read(self, path: Path) -> bytes:
        """Read one file and return the digest of its bytes."""
        try:
            raw = path.read_bytes()
            data = gzip.decompress(raw) if path.suffix == ".gz" else raw
        except (OSError, EOFError) as error:
            raise MapError(path, None, None, f"the file cannot be read ({error})", "Name an existing file.") from error
        try:
            text = io.TextIOWrapper(io.BytesIO(data), encoding=self._map.file.encoding, newline="")
            self._read_text(path, text)
        except UnicodeDecodeError as error:
            what = f"byte {error.start} is not {self._map.file.encoding}"
            raise MapError(path, None, None, what, "Set file.encoding in the map, for example to cp1252.") from error
        except csv.Error as error:
            raise MapError(path, None, None, f"the file is not CSV ({error})", "Check file.delimiter.") from error
        return hashlib.sha256(raw).digest()

    def _read_text(self, path: Path, text: IO[str]) -> None:
        header_line, header = self._header(path, text)
        columns = {name.strip(): i for i, name in enumerate(header)}
        self._check_columns(path, header_line, columns)
        constant = self._constant_device(path)
        previous: int | None = None
        rows = csv.reader(text, delimiter=self._map.file.delimiter)
        for cells in rows:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            line = header_line + rows.line_num
            self._into.rows_in += 1
            if self._into.rows_in > ROWS_MAX:
                what = f"more than {ROWS_MAX} rows"
                raise MapError(path, line, None, what, "Split the data and replay one part after another.")
            try:
                row = self._row(cells, columns, constant, path.name, line)
            except _RowFault as fault:
                self._into.rejected.append(Rejected(path.name, line, str(fault)))
                continue
            self._into.backward_steps += previous is not None and row.ts_s < previous
            previous = row.ts_s
            self._into.rows.append(row)

    def _header(self, path: Path, text: IO[str]) -> tuple[int, list[str]]:
        wanted, skip = self._map.file.header_starts, self._map.file.skip_lines
        for number, line in enumerate(text, start=1):
            if (wanted is not None and line.startswith(wanted)) or (wanted is None and number > skip):
                return number, next(csv.reader([line], delimiter=self._map.file.delimiter), [])
        what = f'no line starts with "{wanted}"' if wanted is not None else f"no header after {skip} lines"
        raise MapError(path, None, None, what, "Set file.header_starts or file.skip_lines in the map.")

    def _check_columns(self, path: Path, line: int, columns: dict[str, int]) -> None:
        m = self._map
        wanted = {"time.column": m.time.column, "device.column": m.device.column}
        wanted |= {f"fields.{name}.column": f.column for name, f in m.fields.items()}
        wanted |= {f"site.{key}": getattr(m.site, key) for key in ("lon_column", "lat_column", "name_column")}
        for key, column in wanted.items():
            if column is not None and column not in columns:
                what = f'the header in {path}:{line} has no column "{column}"'
                self._doc.fail(key, what, f"Use one of {', '.join(columns)}.")

    def _constant_device(self, path: Path) -> str | None:
        pattern = self._map.device.file_pattern
        if pattern is None:
            return None
        match = re.search(pattern, path.name)
        if match is None:
            self._doc.fail("device.file_pattern", f"does not match the file name {path.name}", "Correct the pattern.")
        return self._device_id(match.group(1))

    def _device_id(self, value: str) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", value.strip().lower()).strip("-")
        device = self._map.device.id.replace("{value}", slug)
        if not slug or not wire.is_id(device):
            raise _RowFault(f'"{value}" makes no device id: {device!r} is not 3 to 32 of a-z 0-9 -')
        if self._ids.setdefault(device, value) != value:
            raise _RowFault(f'"{value}" and "{self._ids[device]}" make the same device id {device}')
        return device

    def _row(self, cells: list[str], columns: dict[str, int], device: str | None, file: str, line: int) -> Row:
        def cell(column: str) -> str:
            at = columns[column]
            if at >= len(cells):
                raise _RowFault(f"the row has {len(cells)} of {len(columns)} columns")
            return cells[at].strip()

        if device is None:
            assert self._map.device.column is not None
            device = self._device_id(cell(self._map.device.column))
        ts_s = seconds_of(cell(self._map.time.column), self._map.time, self._zone)
        fields: dict[str, int] = {}
        for name, mapped in self._fields:
            text = cell(mapped.column)
            if text not in self._blank:
                fields[name] = integer_of(text, name, mapped)
        self._note_place(device, cell)
        return Row(ts_s, device, fields, file, line)

    def _note_place(self, device: str, cell: Callable[[str], str]) -> None:
        site = self._map.site
        if device in self._into.assets or site.lon_column is None or site.lat_column is None:
            return
        name = cell(site.name_column) if site.name_column is not None else device
        try:
            lon, lat = float(cell(site.lon_column)), float(cell(site.lat_column))
        except ValueError as error:
            raise _RowFault(f"no longitude and latitude ({error})") from error
        self._into.assets[device] = Asset(device, lon, lat, name or device)


def _zone_of(time: TimeMap) -> tzinfo | None:
    if time.zone is not None:
        return ZoneInfo(time.zone)
    if time.utc_offset is not None:
        sign = -1 if time.utc_offset[0] == "-" else 1
        hours, minutes = int(time.utc_offset[1:3]), int(time.utc_offset[4:6])
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    return UTC if time.format == "unix" else None


def seconds_of(text: str, time: TimeMap, zone: tzinfo | None) -> int:
    """Return the time of a row [whole s since 1970 UTC].

    Raises
    ------
    _RowFault
        It cannot be read, has no zone, does not exist on that day (a clock put forward), or lies outside 1970..2106.
    """
    try:
        if time.format == "unix":
            number = Decimal(text)
            if number != number.to_integral_value():
                raise _RowFault(f'the time "{text}" is no whole second')
            seconds = int(number)
        else:
            parsed = datetime.fromisoformat(text) if time.format == "iso" else None
            moment = parsed or datetime.strptime(text, time.format)  # noqa: DTZ007 - the zone follows below
            seconds = _utc_seconds(moment, text, time, zone)
    except (ValueError, InvalidOperation, OverflowError) as error:
        raise _RowFault(f'the time "{text}" does not fit the format {time.format}') from error
    if not 0 <= seconds <= wire.U32_MAX:
        raise _RowFault(f'the time "{text}" is outside 1970 to 2106')
    return seconds


def _utc_seconds(moment: datetime, text: str, time: TimeMap, zone: tzinfo | None) -> int:
    if time.time_of_day is not None:
        hour, minute = time.time_of_day.split(":")
        moment = moment.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    if moment.microsecond:
        raise _RowFault(f'the time "{text}" is no whole second')
    if moment.tzinfo is None:
        if zone is None:
            raise _RowFault(f'the time "{text}" has no zone and the map gives none')
        moment = moment.replace(tzinfo=zone)  # of two readings of an hour set back the first is taken
        if moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise _RowFault(f'the time "{text}" does not exist in {time.zone}: the clock was put forward')
    return int(moment.timestamp())


def integer_of(text: str, name: str, mapped: FieldMap) -> int:
    """Return a cell as the wire integer: decimal arithmetic, no binary floats.

    Raises
    ------
    _RowFault
        It is no number, or no whole number in the wire's unit and the map says exact.
    """
    try:
        result = Decimal(text) * Decimal(mapped.scale) + Decimal(mapped.offset)
        whole = result.to_integral_value(rounding="ROUND_HALF_EVEN")
    except InvalidOperation as error:
        raise _RowFault(f'{mapped.column}: "{text}" is no number') from error
    if not result.is_finite():
        raise _RowFault(f'{mapped.column}: "{text}" is no number')
    if mapped.rounding == "exact" and whole != result:
        raise _RowFault(f'{mapped.column}: "{text}" is {result.normalize()} {name}, which is no whole number')
    if abs(whole) > _I64_MAX:
        raise _RowFault(f'{mapped.column}: "{text}" is beyond any sensor')
    return int(whole)


def first_lines(rejected: Sequence[Rejected], limit: int = 20) -> Iterator[str]:
    """Yield the first rejected rows as lines for a person, and how many more there are."""
    for item in rejected[:limit]:
        yield str(item)
    if len(rejected) > limit:
        yield f"... and {len(rejected) - limit} more"
