"""The spool file: tables, pragmas, and what happens when it is opened.

There is ONE connection to the file, and SQLite enforces it: `locking_mode=EXCLUSIVE` keeps every other
process out and needs no shared-memory file. That also rules out the WAL-reset bug of SQLite 3.7.0 to
3.51.2, which needs a second connection (https://sqlite.org/wal.html#walresetbug).
"""

import logging
import secrets
import sqlite3
from pathlib import Path

from gateway.disk import disk_bytes
from gateway.errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked, SpoolTooNew
from square.sqlite import transaction

SCHEMA_VERSION = 5

_log = logging.getLogger(__name__)

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- AUTOINCREMENT: an id is never reused, so an old acknowledgement can never settle a new row.
-- seq: a reading's number; -(1 + uptime) of a status message; hash of a poison message (boot -1);
-- NULL for a last will, which has no identity: NULLs are distinct under UNIQUE.
CREATE TABLE rows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device TEXT NOT NULL,
  kind TEXT NOT NULL,
  boot INTEGER NOT NULL,
  seq INTEGER,
  ts_ms INTEGER NOT NULL,
  arrived_ms INTEGER NOT NULL,
  time TEXT NOT NULL,
  topic TEXT,
  code TEXT,
  body BLOB NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  settled_ms INTEGER,
  UNIQUE (device, boot, seq)
);
CREATE INDEX rows_waiting ON rows (id) WHERE state = 0;
CREATE INDEX rows_settled ON rows (settled_ms) WHERE state > 0;
-- above: JSON [[low, high], ...] beyond the first hole; hole_since_ms: since when a hole stands
CREATE TABLE watermarks (
  device TEXT NOT NULL,
  boot INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  above TEXT NOT NULL,
  hole_since_ms INTEGER,
  PRIMARY KEY (device, boot)
) WITHOUT ROWID;
CREATE INDEX watermarks_with_hole ON watermarks (hole_since_ms) WHERE hole_since_ms IS NOT NULL;
CREATE TABLE anchors (
  device TEXT NOT NULL, boot INTEGER NOT NULL, anchor_ms INTEGER NOT NULL,
  PRIMARY KEY (device, boot)
) WITHOUT ROWID;
-- reason: lost (the device no longer holds it), late (a hole stands; it may still be filled),
-- before-spool (the device booted before this spool file began: an earlier file may have had it)
CREATE TABLE gaps (
  device TEXT NOT NULL, boot INTEGER NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
  noticed_ms INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (device, boot, from_seq)
) WITHOUT ROWID;
"""

_VERSION_2 = """
-- one row: what went through this file since it began, see totals.py; of an older file what still lies in it
CREATE TABLE totals (
  offered INTEGER NOT NULL, duplicates INTEGER NOT NULL, let_go INTEGER NOT NULL, spooled INTEGER NOT NULL,
  stored INTEGER NOT NULL, dead INTEGER NOT NULL, replayed INTEGER NOT NULL
);
INSERT INTO totals SELECT COUNT(*), 0, 0, COUNT(*), COALESCE(SUM(state = 1), 0),
  COALESCE(SUM(state > 1), 0), 0 FROM rows;
"""

_VERSION_3 = ""  # was a copy of the rows, as the one of version 5; what it made is brought on by 4 and 5

_VERSION_4 = """
-- Which rows are stored upstream, as ranges of ids; settled_ms: end of the minute in which that was, see settled.py.
-- A mark in each row meant that every row was written twice, and its entries in two indexes.
-- Ids of rows that are gone belong to the range around them: dead letters would split it into thousands.
CREATE TABLE settled (from_id INTEGER PRIMARY KEY, to_id INTEGER NOT NULL, settled_ms INTEGER NOT NULL);
INSERT INTO settled SELECT MIN(id), MAX(id), (minute + 1) * 60000
  FROM (SELECT id, settled_ms / 60000 AS minute,
        ROW_NUMBER() OVER (ORDER BY id) - ROW_NUMBER() OVER (PARTITION BY settled_ms / 60000 ORDER BY id) AS island
        FROM rows)
  WHERE minute IS NOT NULL GROUP BY minute, island;
DROP INDEX rows_waiting;
DROP INDEX rows_settled;
CREATE VIEW waiting AS SELECT * FROM rows WHERE id >
  COALESCE((SELECT to_id FROM settled WHERE from_id <= rows.id ORDER BY from_id DESC LIMIT 1), 0);
"""

_VERSION_5 = """
-- Without the mark of version 1. The identity of readings is kept by their watermarks alone: an index over them was as
-- large as the rows, and each reading changed another page of it: nine tenths of what was written to disk.
DROP VIEW waiting;
CREATE TABLE rows_5 (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device TEXT NOT NULL,
  kind TEXT NOT NULL,
  boot INTEGER NOT NULL,
  seq INTEGER,
  ts_ms INTEGER NOT NULL,
  arrived_ms INTEGER NOT NULL,
  time TEXT NOT NULL,
  topic TEXT,
  code TEXT,
  body BLOB NOT NULL
);
INSERT INTO rows_5 SELECT id, device, kind, boot, seq, ts_ms, arrived_ms, time, topic, code, body FROM rows ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'rows_5';
INSERT INTO sqlite_sequence SELECT 'rows_5', seq FROM sqlite_sequence WHERE name = 'rows';
DROP TABLE rows;
ALTER TABLE rows_5 RENAME TO rows;
CREATE UNIQUE INDEX rows_identity ON rows (device, boot, seq) WHERE kind NOT IN ('bin', 'air');
CREATE VIEW waiting AS SELECT * FROM rows WHERE id >
  COALESCE((SELECT to_id FROM settled WHERE from_id <= rows.id ORDER BY from_id DESC LIMIT 1), 0);
"""

_COPIED_AT = 5
"""The script to this version copies the rows. On a disk without room for that the file stays one behind, and works."""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5)
"""Script n brings a file from version n to n + 1; all run in one transaction and only forwards."""


def as_spool_error(error: sqlite3.Error, path: Path) -> SpoolError:
    """Translate what SQLite says into what the gateway does about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return SpoolFull(f"the disk of the spool {path} is full: free space; intake resumes by itself")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return SpoolCorrupt(f"the spool {path} is damaged ({error}): restart the gateway, it moves the file aside")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return SpoolLocked(f"the spool {path} is held by another process: stop the other gateway")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return SpoolError(f"the spool {path} cannot be opened for writing ({error}): check folder and permissions")
    if code == sqlite3.SQLITE_IOERR:  # a full disk can show itself as a failed write too
        return SpoolError(f"the disk of the spool {path} does not take writes ({error}): check disk and space")
    return SpoolError(f"the spool {path} failed ({error})")


def open_database(path: Path, now_ms: int) -> sqlite3.Connection:
    """Open, check and if need be create the spool file. A damaged one is moved aside, and a new one remembers it.

    Parameters
    ----------
    path
        The spool file.
    now_ms
        Square time [ms since 1970], noted when a file is created.

    Raises
    ------
    SpoolTooNew, SpoolLocked, SpoolError
        When the file cannot be used and starting a new one would be wrong.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(
            f"the spool folder {path.parent} cannot be made ({error.strerror}): check spool_file"
        ) from error
    try:
        return _open(path, now_ms, replaced=None)
    except SpoolCorrupt as error:
        aside = _move_aside(path)
        _log.error("SPOOL DAMAGED: %s. Moved to %s; a new spool starts. Devices send again what they hold.",
                   error, aside)  # fmt: skip
        return _open(path, now_ms, replaced=aside)


def _open(path: Path, now_ms: int, replaced: Path | None) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    except sqlite3.Error as error:
        raise as_spool_error(error, path) from error
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA mmap_size=0")
        connection.execute("PRAGMA journal_size_limit=67108864")
        # In a flood the same pages change in every commit: brought home every 16 MB, most of that work falls away.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise SpoolCorrupt(f"the check of {path} at start found: {verdict}")
        _migrate(connection, path, now_ms, replaced)
    except sqlite3.Error as error:
        connection.close()
        told = as_spool_error(error, path)
        if isinstance(told, SpoolFull):  # nothing runs yet that could resume by itself
            told = SpoolFull(f"the disk of the spool {path} has no room to open it: free space, then start again")
        raise told from error
    except SpoolError:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, now_ms: int, replaced: Path | None) -> None:
    with transaction(connection):
        version = _version(connection, path)
        target = SCHEMA_VERSION
        if 0 < version < _COPIED_AT and not _has_room_for_copies(path):
            target = _COPIED_AT - 1
            _log.warning("the disk of the spool %s has no room to renew the file: its rows stay as they are", path)
        for script in MIGRATIONS[version:target]:
            for statement in _statements(script):
                connection.execute(statement)
        if version == 0:
            facts = {"spool_id": secrets.token_hex(8), "created_ms": str(now_ms)}
            if replaced is not None:
                facts["replaced"] = str(replaced)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))
        if version < target:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(target),))


def _has_room_for_copies(path: Path) -> bool:
    """Whether the rows fit on the disk twice more: in the write-ahead log, and in the file beside the old ones."""
    size = sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.exists())
    _, free = disk_bytes(path.parent)
    return free > 3 * size


def _version(connection: sqlite3.Connection, path: Path) -> int:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    if "meta" not in tables:
        raise SpoolError(f"{path} is a database of something else: set another spool_file", retryable=False)
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not row[0].isdigit():
        raise SpoolError(f"{path} names no schema version: set another spool_file", retryable=False)
    version = int(row[0])
    if version > SCHEMA_VERSION:
        raise SpoolTooNew(
            f"{path} has spool schema {version}, this version knows up to {SCHEMA_VERSION}: "
            "install the newer gateway again, or set another spool_file"
        )
    return version


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
