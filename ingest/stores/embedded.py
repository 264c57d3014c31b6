"""Embedded time-series store: one SQLite file, no server.

Layout (schema 2): a wide table per measurement, keyed ``(series_id, ts_ms)``; ``series`` holds the tags;
``field_types`` holds the type of each column; ``latest`` holds the newest point of each asset, changed in the
same transaction as the points; ``retention`` holds how many days each shelf is kept, none for ever.

Durability: WAL with ``synchronous=FULL`` and one commit per :meth:`EmbeddedStore.write`. Ingest tells the gateway to
forget a reading as soon as the write returns; with ``NORMAL`` a power cut may undo a commit that was already
answered for (https://sqlite.org/pragma.html#pragma_synchronous). Batches pay for the sync, not rows.

One process writes, any number read: only the writer checkpoints, and no memory map is used, because of the
WAL-reset bug of SQLite 3.7.0 to 3.51.2 (https://sqlite.org/wal.html#walresetbug). A lock file beside the
database turns a second writer away.
"""

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point, Rejected, Writable, WriteResult
from ingest.stores import schema, sqlite_reads
from ingest.stores.points import FieldType, PointError, check_name, check_tags, check_time, field_type
from ingest.stores.shelves import SHELVES, Shelf, shelf_of
from ingest.stores.sqlite_reads import SqliteReads, read_types, translated
from square.sqlite import transaction

EXPIRE_ROWS: Final = 2_000
"""Rows deleted in one transaction: readings that arrive meanwhile wait for a few milliseconds only."""

_encode_point = msgspec.json.Encoder().encode

_Tags = tuple[str, str, str, str]


class EmbeddedStore(SqliteReads):
    """Time-series store in one SQLite file. Safe to use from several threads.

    Parameters
    ----------
    path : Path
        The file. Its folder is made by :meth:`prepare` unless ``read_only``.
    read_only : bool
        Never create, change or lock anything: for the dashboard and the alert engine.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path)
        self.read_only = read_only
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._lock_file: TextIO | None = None
        self._series_ids: dict[tuple[str, _Tags], int] = {}
        self._types: dict[str, dict[str, FieldType]] = {}

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
        with self._writing, translated(self.path):
            connection = self._open_writer()
            schema.check_integrity(connection, self.path)
            schema.create_or_upgrade(connection, self.path)

    def write(self, points: Sequence[Writable]) -> WriteResult:
        """Write a batch in one durable transaction. See :meth:`ingest.store.TimeSeriesStore.write`."""
        if self.read_only:
            raise StoreRefused(f"{self.path} was opened read-only: only ingest writes points")
        with self._writing, translated(self.path):
            connection = self._open_writer()
            self._take_writer_lock()
            try:
                with transaction(connection):
                    rejected = self._write_batch(connection, [item.point() for item in points])
            except BaseException:  # what the caches learned was rolled back
                self._series_ids.clear()
                self._types.clear()
                raise
        return WriteResult(stored=len(points) - len(rejected), rejected=tuple(rejected))

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

    # -- retention ----------------------------------------------------------------------------------------------

    def retention(self) -> dict[Shelf, int]:
        """Return how long each shelf is kept [days]; one that is kept for ever is not there."""
        with self._reader() as reader:
            held = _read_retention(reader)
        return {shelf: held[shelf] for shelf in SHELVES if shelf in held}

    def keep(self, shelf: Shelf, days: int | None) -> None:
        """Set how long a shelf is kept [days], None for ever. Takes the file from other writers, as a write does."""
        with self._writing, translated(self.path):
            connection = self._open_writer()
            self._take_writer_lock()
            with transaction(connection):
                connection.execute("DELETE FROM retention WHERE shelf = ?", (shelf,))
                if days is not None:
                    connection.execute("INSERT INTO retention VALUES (?, ?)", (shelf, days))

    def expire(self, *, site: str, now_ms: int, rolled_ms: int) -> int:
        """Delete at most :data:`EXPIRE_ROWS` points. See :meth:`ingest.store.TimeSeriesStore.expire`."""
        with self._writing, translated(self.path):
            connection = self._open_writer()
            self._take_writer_lock()
            kept_d = _read_retention(connection)
            names = [row[0] for row in connection.execute("SELECT DISTINCT measurement FROM field_types")]
            for name in names:
                shelf = shelf_of(name)
                if shelf not in kept_d:
                    continue
                before_ms = now_ms - kept_d[shelf] * 86_400_000
                if shelf == "raw":
                    before_ms = min(before_ms, rolled_ms)
                # Whole hours only: what is left of an hour could not be told from the hour.
                deleted = _delete(connection, name, site, before_ms // 3_600_000 * 3_600_000)
                if deleted:
                    return deleted
        return 0

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
                connection.execute(f"PRAGMA busy_timeout = {sqlite_reads.BUSY_TIMEOUT_MS}")
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
            types = self._types[point.measurement] = read_types(connection, point.measurement)
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


def _read_retention(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT shelf, keep_d FROM retention"))


def _delete(connection: sqlite3.Connection, measurement: str, site: str, before_ms: int) -> int:
    with transaction(connection):
        return connection.execute(
            f"DELETE FROM {schema.table(measurement)} WHERE (series_id, ts_ms) IN (SELECT series_id, ts_ms "  # noqa: S608
            f"FROM {schema.table(measurement)} WHERE ts_ms < ? AND series_id IN "
            f"(SELECT id FROM series WHERE site = ?) ORDER BY ts_ms LIMIT {EXPIRE_ROWS})",
            (before_ms, site),
        ).rowcount
