"""Embedded time-series store: one SQLite file, no server.

Layout (schema 1): a wide table per measurement, keyed ``(series_id, ts_ms)``; ``series`` holds the tags;
``field_types`` holds the type of each column; ``latest`` holds the newest point of each asset, changed in the
same transaction as the points.

Durability: WAL with ``synchronous=FULL`` and one commit per :meth:`EmbeddedStore.write`. Ingest tells the gateway to
forget a reading as soon as the write returns; with ``NORMAL`` a power cut may undo a commit that was already
answered for (https://sqlite.org/pragma.html#pragma_synchronous). Batches pay for the sync, not rows.

One process writes, any number read: only the writer checkpoints, and no memory map is used, because of the
WAL-reset bug of SQLite 3.7.0 to 3.51.2 (https://sqlite.org/wal.html#walresetbug). A lock file beside the
database turns a second writer away.
"""

import contextlib
import fcntl
import heapq
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point, Rejected, Series, WriteResult
from ingest.stores import schema
from ingest.stores.points import (
    TAGS,
    FieldType,
    PointError,
    check_name,
    check_series_request,
    check_tags,
    check_time,
    field_type,
)
from square.sqlite import transaction

BUSY_TIMEOUT_MS: Final = 5_000
PAGE_ROWS: Final = 2_000
"""Rows read per statement by the iterators: a long read would keep the writer's checkpoint from finishing."""

_decode_points = msgspec.json.Decoder(list[Point]).decode
_encode_point = msgspec.json.Encoder().encode

_Tags = tuple[str, str, str, str]


class EmbeddedStore:
    """Time-series store in one SQLite file. Safe to use from several threads.

    Parameters
    ----------
    path : Path
        The file. Its folder is made by :meth:`prepare` unless ``read_only``.
    read_only : bool
        Never create, change or lock anything: for the dashboard and the alert engine.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._lock_file: TextIO | None = None
        self._idle_readers: list[sqlite3.Connection] = []
        self._series_ids: dict[tuple[str, _Tags], int] = {}
        self._types: dict[str, dict[str, FieldType]] = {}
        self._closed = False

    def prepare(self) -> None:
        """Create or check the file.

        Raises
        ------
        StoreRefused
            When the file is damaged, is not a Resik points file, or was written by a newer Resik.
        StoreUnavailable
            When the disk is full or the file is locked; for a reader also while the file is not there yet.
        """
        if self.read_only:
            with self._reader() as reader:
                schema.check(reader, self.path)
            return
        with self._writing, _translated(self.path):
            connection = self._open_writer()
            schema.check_integrity(connection, self.path)
            schema.create_or_upgrade(connection, self.path)

    def write(self, points: Sequence[Point]) -> WriteResult:
        """Write a batch in one durable transaction. See :meth:`ingest.store.TimeSeriesStore.write`."""
        if self.read_only:
            raise StoreRefused(f"{self.path} was opened read-only: only ingest writes points")
        with self._writing, _translated(self.path):
            connection = self._open_writer()
            self._take_writer_lock()
            try:
                with transaction(connection):
                    rejected = self._write_batch(connection, points)
            except BaseException:  # what the caches learned was rolled back
                self._series_ids.clear()
                self._types.clear()
                raise
        return WriteResult(stored=len(points) - len(rejected), rejected=tuple(rejected))

    def series(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        every_s: int | None = None,
        limit: int = 20_000,
    ) -> Series:
        """Values of one asset. See :meth:`ingest.store.TimeSeriesStore.series`; text fields read as ``None``."""
        check_series_request(fields, every_s)
        empty = Series(ts_ms=[], columns={name: [] for name in fields})
        with self._reader() as reader:
            types = _read_types(reader, measurement)
            wanted = [name for name in dict.fromkeys(fields) if types.get(name, "str") != "str"]
            ids = [
                row[0]
                for row in reader.execute(
                    "SELECT id FROM series WHERE measurement = ? AND site = ? AND asset = ?", (measurement, site, asset)
                )
            ]
            if not wanted or not ids:
                return empty
            rows = reader.execute(
                _series_sql(measurement, wanted, len(ids), every_s), (*ids, start_ms, end_ms, limit)
            ).fetchall()
        if not rows:
            return empty
        ts_ms, *values = (list(column) for column in zip(*rows, strict=True))
        found = {
            name: [None if v is None else float(v) for v in column] for name, column in zip(wanted, values, strict=True)
        }
        return Series(ts_ms=ts_ms, columns={name: found.get(name) or [None] * len(ts_ms) for name in fields})

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
        """Every point in time order. See :meth:`ingest.store.TimeSeriesStore.readings`."""
        with self._reader() as reader:
            measurements = [row[0] for row in reader.execute("SELECT DISTINCT measurement FROM field_types ORDER BY 1")]
        streams = [self._points(name, site, start_ms, end_ms) for name in measurements]
        yield from heapq.merge(*streams, key=lambda point: point.ts_ms)

    def close(self) -> None:
        """Close every connection; the writer checkpoints the log."""
        with self._writing:
            self._closed = True
            while self._idle_readers:
                self._idle_readers.pop().close()
            if self._writer is not None:
                with contextlib.suppress(sqlite3.Error):  # a full disk must not turn an orderly stop into a crash
                    self._writer.close()
                self._writer = None
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    # -- writing ------------------------------------------------------------------------------------------------

    def _open_writer(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self.path} was closed")
        if self._writer is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreRefused(f"cannot make the folder of {self.path} ({error}): change store_url") from error
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            try:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                connection.close()
                raise
            self._writer = connection
        return self._writer

    def _take_writer_lock(self) -> None:
        if self._lock_file is not None:
            return
        try:
            lock_file = self.path.with_name(self.path.name + ".lock").open("a")
        except OSError as error:
            raise StoreUnavailable(f"cannot open the lock file beside {self.path}: {error}") from error
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock_file.close()
            raise StoreUnavailable(f"another process already writes to {self.path}; it takes one writer") from error
        self._lock_file = lock_file

    def _write_batch(self, connection: sqlite3.Connection, points: Sequence[Point]) -> list[Rejected]:
        rejected: list[Rejected] = []
        # A later copy of the same identity replaces an earlier one, as it would over two batches.
        rows: dict[str, dict[tuple[int, int], Point]] = {}
        newest: dict[tuple[str, str, str], tuple[tuple[int, int], Point]] = {}
        for index, point in enumerate(points):
            try:
                site, asset, _, _ = tags = check_tags(point.tags)
                ts_ms = check_time(point.ts_ms)
                self._check_fields(connection, point)
                series_id = self._series_id(connection, point.measurement, tags)
                rows.setdefault(point.measurement, {})[series_id, ts_ms] = point
            except PointError as error:
                rejected.append(Rejected(index=index, code=error.code, reason=error.reason))
                continue
            seq = point.fields.get("seq", 0)
            order = (point.ts_ms, seq if isinstance(seq, int) else 0)
            held = newest.get((point.measurement, site, asset))
            if held is None or order >= held[0]:
                newest[point.measurement, site, asset] = (order, point)
        for measurement, keyed in rows.items():
            names = list(self._types[measurement])
            connection.executemany(
                f"INSERT OR REPLACE INTO {schema.table(measurement)} (series_id, ts_ms, "  # noqa: S608 - checked names
                f"{', '.join(map(schema.column, names))}) VALUES (?, ?{', ?' * len(names)})",
                [(*key, *map(point.fields.get, names)) for key, point in sorted(keyed.items(), key=lambda kv: kv[0])],
            )
        connection.executemany(
            "INSERT INTO latest (measurement, site, asset, ts_ms, seq, point) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET ts_ms = excluded.ts_ms, seq = excluded.seq, point = excluded.point "
            "WHERE (excluded.ts_ms, excluded.seq) >= (latest.ts_ms, latest.seq)",
            [(*key, *order, _encode_point(point)) for key, (order, point) in newest.items()],
        )
        return rejected

    def _check_fields(self, connection: sqlite3.Connection, point: Point) -> None:
        types = self._types.get(point.measurement)
        if types is None:
            check_name(point.measurement)
            types = self._types[point.measurement] = _read_types(connection, point.measurement)
        if not point.fields:
            raise PointError("bad-field", "a point needs at least one field")
        new: dict[str, FieldType] = {}
        for name, value in point.fields.items():
            kind = field_type(name, value)
            known = types.get(name)
            if known is None:
                new[check_name(name)] = kind
            elif known != kind:
                raise PointError("type-conflict", f"field {name} of {point.measurement} is {known}, not {kind}")
        # Only a point without any defect may add columns.
        for name, kind in new.items():
            types[name] = schema.add_field(connection, point.measurement, name, kind)

    def _series_id(self, connection: sqlite3.Connection, measurement: str, tags: _Tags) -> int:
        found = self._series_ids.get((measurement, tags))
        if found is None:
            key = (measurement, *tags)
            connection.execute(
                "INSERT OR IGNORE INTO series (measurement, site, asset, device, zone) VALUES (?, ?, ?, ?, ?)", key
            )
            row = connection.execute(
                "SELECT id FROM series WHERE measurement = ? AND site = ? AND asset = ? AND device = ? AND zone = ?",
                key,
            ).fetchone()
            found = self._series_ids[measurement, tags] = int(row[0])
        return found

    # -- reading ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection; each is used by one thread at a time."""
        with _translated(self.path):
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
                names = [name for name in _read_types(reader, measurement) if only is None or name in only]
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

    def _points(self, measurement: str, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        first = 2 + len(TAGS)
        for page, names in self._pages(measurement, site, start_ms, end_ms):
            for row in page:
                yield Point(
                    measurement=measurement,
                    tags=dict(zip(TAGS, row[2:first], strict=True)),
                    ts_ms=row[0],
                    fields={n: v for n, v in zip(names, row[first:], strict=True) if v is not None},
                )


def _read_types(connection: sqlite3.Connection, measurement: str) -> dict[str, FieldType]:
    return dict(connection.execute("SELECT field, type FROM field_types WHERE measurement = ?", (measurement,)))


def _series_sql(measurement: str, names: Sequence[str], n_series: int, every_s: int | None) -> str:
    source = (
        f"FROM {schema.table(measurement)} WHERE series_id IN ({', '.join('?' * n_series)}) "
        "AND ts_ms >= ? AND ts_ms < ?"
    )
    columns = [schema.column(name) for name in names]
    if every_s is None:
        some = " OR ".join(f"{column} IS NOT NULL" for column in columns)
        return f"SELECT ts_ms, {', '.join(columns)} {source} AND ({some}) ORDER BY ts_ms LIMIT ?"
    means = ", ".join(f"AVG({column})" for column in columns)
    some = " OR ".join(f"COUNT({column}) > 0" for column in columns)
    window = f"ts_ms / {every_s * 1000} * {every_s * 1000}"
    return f"SELECT {window} AS start_ms, {means} {source} GROUP BY start_ms HAVING {some} ORDER BY start_ms LIMIT ?"


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
def _translated(path: Path) -> Iterator[None]:
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
