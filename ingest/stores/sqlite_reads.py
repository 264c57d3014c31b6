"""Read side of the embedded file: connections for reading, and what is asked over them."""

import contextlib
import heapq
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point, Series
from ingest.stores import schema
from ingest.stores.points import TAGS, FieldType
from ingest.stores.series import SeriesReads, count_of, sum_of
from ingest.stores.shelves import is_reading

BUSY_TIMEOUT_MS: Final = 5_000
PAGE_ROWS: Final = 2_000
"""Rows read per statement by the iterators: a long read would keep the writer's checkpoint from finishing."""

_decode_points = msgspec.json.Decoder(list[Point]).decode


class SqliteReads(SeriesReads):
    """The read methods of :class:`ingest.store.TimeSeriesStore` over one file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._idle_readers: list[sqlite3.Connection] = []
        self._closed = False

    def latest(self, measurement: str, *, site: str) -> list[Point]:
        """Newest point of each asset, in asset order, from the ``latest`` table."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT point FROM latest WHERE measurement = ? AND site = ? ORDER BY asset", (measurement, site)
            ).fetchall()
        # One decode of one JSON array costs a third of a decode per row.
        return _decode_points(b"[" + b",".join([row[0] for row in rows]) + b"]")

    def identities(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[tuple[str, int, int]]:
        """``(device, boot, seq)`` of every stored point. See :meth:`ingest.store.TimeSeriesStore.identities`."""
        device = 2 + TAGS.index("device")
        for page, names in self._pages(measurement, site, start_ms, end_ms, only=("boot", "seq")):
            if "boot" in names and "seq" in names:
                boot, seq = (2 + len(TAGS) + names.index(name) for name in ("boot", "seq"))
                yield from ((row[device], row[boot], row[seq]) for row in page if row[boot] is not None)

    def readings(self, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every reading in time order. See :meth:`ingest.store.TimeSeriesStore.readings`."""
        with self._reader() as reader:
            names = [row[0] for row in reader.execute("SELECT DISTINCT measurement FROM field_types ORDER BY 1")]
        streams = [self.points(name, site=site, start_ms=start_ms, end_ms=end_ms) for name in names if is_reading(name)]
        yield from heapq.merge(*streams, key=lambda point: point.ts_ms)

    def points(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every point of one measurement. See :meth:`ingest.store.TimeSeriesStore.points`."""
        first = 2 + len(TAGS)
        for page, names in self._pages(measurement, site, start_ms, end_ms):
            for row in page:
                yield Point(
                    measurement=measurement,
                    tags=dict(zip(TAGS, row[2:first], strict=True)),
                    ts_ms=row[0],
                    fields={n: v for n, v in zip(names, row[first:], strict=True) if v is not None},
                )

    # -- what series() is made of -------------------------------------------------------------------------------

    def _rows(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        limit: int,
    ) -> Series:
        with self._of_asset(measurement, site, asset, fields) as (reader, names, ids):
            if not names:
                return Series(ts_ms=[], columns={name: [] for name in fields})
            columns = [schema.column(name) for name in names]
            some = " OR ".join(f"{column} IS NOT NULL" for column in columns)
            rows = reader.execute(
                f"SELECT ts_ms, {', '.join(columns)} {_source(measurement, ids)} AND ({some}) ORDER BY ts_ms LIMIT ?",
                (*ids, start_ms, end_ms, limit),
            ).fetchall()
        return _columns(rows, names, fields)

    def _sums(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        every_s: int,
        offset_s: int,
        limit: int,
    ) -> Series:
        wanted = [column(name) for name in fields for column in (sum_of, count_of)]
        with self._of_asset(measurement, site, asset, fields) as (reader, names, ids):
            if not names:
                return Series(ts_ms=[], columns={name: [] for name in wanted})
            columns = [schema.column(name) for name in names]
            totals = ", ".join(f"SUM({column}), COUNT({column})" for column in columns)
            some = " OR ".join(f"COUNT({column}) > 0" for column in columns)
            every_ms, offset_ms = every_s * 1000, offset_s * 1000
            window = f"(ts_ms + {offset_ms}) / {every_ms} * {every_ms} - {offset_ms}"
            rows = reader.execute(
                f"SELECT {window} AS start_ms, {totals} {_source(measurement, ids)} "
                f"GROUP BY start_ms HAVING {some} ORDER BY start_ms LIMIT ?",
                (*ids, start_ms, end_ms, limit),
            ).fetchall()
        return _columns(rows, [column(name) for name in names for column in (sum_of, count_of)], wanted)

    @contextlib.contextmanager
    def _of_asset(
        self, measurement: str, site: str, asset: str, fields: Sequence[str]
    ) -> Iterator[tuple[sqlite3.Connection, list[str], list[int]]]:
        """Lend a reader with those of the fields that are numbers and the series of an asset; no names: no data."""
        with self._reader() as reader:
            types = read_types(reader, measurement)
            names = [name for name in dict.fromkeys(fields) if types.get(name, "str") != "str"]
            ids = [
                row[0]
                for row in reader.execute(
                    "SELECT id FROM series WHERE measurement = ? AND site = ? AND asset = ?", (measurement, site, asset)
                )
            ]
            yield reader, names if ids else [], ids

    # -- connections --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection; each is used by one thread at a time."""
        with translated(self.path):
            try:
                reader = self._idle_readers.pop()
            except IndexError:
                reader = self._open_reader()
            try:
                yield reader
            finally:
                if self._closed:
                    reader.close()
                else:
                    self._idle_readers.append(reader)

    def _open_reader(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self.path} was closed")
        if not self.path.exists():
            raise StoreUnavailable(f"{self.path} is not there yet: ingest makes it when it starts", retry_after_s=1.0)
        reader = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        reader.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return reader

    def _pages(
        self, measurement: str, site: str, start_ms: int, end_ms: int, only: tuple[str, ...] | None = None
    ) -> Iterator[tuple[list[Any], list[str]]]:
        """Rows ``(ts_ms, series_id, site, asset, device, zone, *fields)`` in time order, page by page."""
        last = (start_ms, -1)
        while True:
            with self._reader() as reader:
                names = [name for name in read_types(reader, measurement) if only is None or name in only]
                if not names:
                    return
                columns = ", ".join(["p.ts_ms", "p.series_id", *(f"s.{tag}" for tag in TAGS)])
                page = reader.execute(
                    f"SELECT {columns}, {', '.join('p.' + schema.column(name) for name in names)} "  # noqa: S608
                    f"FROM {schema.table(measurement)} p CROSS JOIN series s ON s.id = p.series_id "
                    "WHERE (p.ts_ms, p.series_id) > (?, ?) AND p.ts_ms < ? AND s.site = ? "
                    f"ORDER BY p.ts_ms, p.series_id LIMIT {PAGE_ROWS}",
                    (*last, end_ms, site),
                ).fetchall()
            if page:
                yield page, names
            if len(page) < PAGE_ROWS:
                return
            last = (page[-1][0], page[-1][1])


def read_types(connection: sqlite3.Connection, measurement: str) -> dict[str, FieldType]:
    """Return the type of each field of a measurement."""
    return dict(connection.execute("SELECT field, type FROM field_types WHERE measurement = ?", (measurement,)))


def _source(measurement: str, ids: Sequence[int]) -> str:
    return (
        f"FROM {schema.table(measurement)} WHERE series_id IN ({', '.join('?' * len(ids))}) "
        "AND ts_ms >= ? AND ts_ms < ?"
    )


def _columns(rows: list[Any], names: Sequence[str], wanted: Sequence[str]) -> Series:
    """Return rows ``(ts_ms, *names)`` as columns; a wanted one that is not there is all None."""
    if not rows:
        return Series(ts_ms=[], columns={name: [] for name in wanted})
    ts_ms, *values = (list(column) for column in zip(*rows, strict=True))
    found = {
        name: [None if v is None else float(v) for v in column] for name, column in zip(names, values, strict=True)
    }
    return Series(ts_ms=ts_ms, columns={name: found.get(name) or [None] * len(ts_ms) for name in wanted})


_FOR_NOW: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
    }
)
"""Primary result codes that pass by themselves or when space returns."""


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the port's."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        # A full disk or a full file table can also show as "cannot open": then the folder itself is fine.
        reachable = code == sqlite3.SQLITE_CANTOPEN and os.access(path.parent, os.W_OK | os.X_OK) and not path.is_dir()
        if code == sqlite3.SQLITE_ERROR and "no such table: " in str(error):
            raise StoreUnavailable(
                f"{path} is still empty: ingest fills it when it starts", retry_after_s=1.0
            ) from error
        if code in _FOR_NOW or reachable:
            raise StoreUnavailable(f"{path}: {error}; the batch is kept, free space or end the other user") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreRefused(schema.damaged(path, str(error))) from error
        raise StoreRefused(f"{path}: {error}; check store_url and the rights on the file and its folder") from error
