"""Schema of the embedded points file: versions, identifiers, integrity."""

import logging
import sqlite3
from pathlib import Path
from typing import Final

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.stores.points import FieldType, check_name
from square.sqlite import transaction

log = logging.getLogger(__name__)

VERSION: Final = 2
"""``user_version`` of the files that this code writes. Versions only go forward."""

APPLICATION_ID: Final = 0x52534B50
"""``RSKP`` in the file header, so that another program's file is never taken for ours."""

QUICK_CHECK_LIMIT_BYTES: Final = 2 * 1024**3
"""``quick_check`` reads the whole file; above this size it would delay every start by many seconds."""

_VERSION_1: Final = f"""
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    measurement TEXT NOT NULL, site TEXT NOT NULL, asset TEXT NOT NULL, device TEXT NOT NULL, zone TEXT NOT NULL,
    UNIQUE (measurement, site, asset, device, zone)
);
CREATE TABLE field_types (
    measurement TEXT NOT NULL, field TEXT NOT NULL, type TEXT NOT NULL CHECK (type IN ('float', 'int', 'str')),
    PRIMARY KEY (measurement, field)
) WITHOUT ROWID;
CREATE TABLE latest (
    measurement TEXT NOT NULL, site TEXT NOT NULL, asset TEXT NOT NULL,
    ts_ms INTEGER NOT NULL, seq INTEGER NOT NULL, point BLOB NOT NULL,
    PRIMARY KEY (measurement, site, asset)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""

_VERSION_2: Final = """
CREATE TABLE retention (
    shelf TEXT PRIMARY KEY CHECK (shelf IN ('raw', 'hourly', 'daily')), keep_d INTEGER NOT NULL CHECK (keep_d > 0)
) WITHOUT ROWID;
PRAGMA user_version = 2;
"""

_STEPS: Final = {0: _VERSION_1, 1: _VERSION_2}
"""Version before -> statements to the next one. Add steps, never change one."""

_COLUMN_TYPES: Final[dict[FieldType, str]] = {"float": "REAL", "int": "INTEGER", "str": "TEXT"}


def table(measurement: str) -> str:
    """Return the quoted table of a measurement."""
    return f'"points_{check_name(measurement)}"'


def column(field: str) -> str:
    """Return the quoted column of a field; the prefix keeps fields apart from the key columns."""
    return f'"f_{check_name(field)}"'


def damaged(path: Path, finding: str) -> str:
    """Return the sentence that tells an operator what to do with a damaged file."""
    return f"{path} is damaged ({finding}): stop Resik, move the file aside with its -wal, and restore the last backup"


def check(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a points file.

    Raises
    ------
    StoreRefused
        When the file is another program's or a newer Resik's.
    StoreUnavailable
        When it is still empty: ingest is about to fill it.
    """
    version = _version(connection, path)
    if version == 0:
        raise StoreUnavailable(f"{path} is still empty: ingest fills it when it starts", retry_after_s=1.0)
    return version


def create_or_upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to :data:`VERSION` in one transaction; nothing is written when it is there already."""
    while _version(connection, path) < VERSION:
        with transaction(connection):
            version = _version(connection, path)  # another process may have been faster
            if version < VERSION:
                for statement in filter(str.strip, _STEPS[version].split(";")):
                    connection.execute(statement)


def check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    """Run SQLite's ``quick_check``.

    Raises
    ------
    StoreRefused
        With the first finding, when the file is damaged.
    """
    if path.stat().st_size > QUICK_CHECK_LIMIT_BYTES:
        log.warning("%s is larger than 2 GiB: integrity not checked at start", path)
        return
    finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise StoreRefused(damaged(path, str(finding)))


def add_field(connection: sqlite3.Connection, measurement: str, field: str, kind: FieldType) -> FieldType:
    """Add a column where missing and return the type it really has."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table(measurement)} (series_id INTEGER NOT NULL, ts_ms INTEGER NOT NULL, "
        "PRIMARY KEY (series_id, ts_ms)) WITHOUT ROWID"
    )
    connection.execute(
        f'CREATE INDEX IF NOT EXISTS "points_{measurement}_by_time" ON {table(measurement)} (ts_ms, series_id)'
    )
    added = connection.execute("INSERT OR IGNORE INTO field_types VALUES (?, ?, ?)", (measurement, field, kind))
    if added.rowcount:
        connection.execute(f"ALTER TABLE {table(measurement)} ADD COLUMN {column(field)} {_COLUMN_TYPES[kind]}")
        return kind
    row = connection.execute(
        "SELECT type FROM field_types WHERE measurement = ? AND field = ?", (measurement, field)
    ).fetchone()
    held: FieldType = row[0]
    return held


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise StoreRefused(f"{path} is another program's database: give store_url a file of its own")
    if version > VERSION:
        raise StoreRefused(
            f"{path} was written by a newer Resik (schema {version}, this one knows {VERSION}): upgrade Resik"
        )
    return version
