"""The file of orders: tables, pragmas, and what happens when it is opened.

Unlike the spool, this file has several users: the gateway, and the command line while the gateway runs. So it has a
rollback journal. A write-ahead log would be faster, but with more than one connection SQLite 3.7.0 to 3.51.2
can corrupt it (https://sqlite.org/wal.html#walresetbug), and a few writes a minute need no speed.
"""

import sqlite3
from pathlib import Path

from gateway.errors import OrdersError
from square.sqlite import transaction

SCHEMA_VERSION = 2
BUSY_S = 5.0

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- the last status of each node, as it was understood (JSON), and when anything was last heard of it
CREATE TABLE nodes (
  device TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL, status_ms INTEGER, status TEXT
) WITHOUT ROWID;
-- what a node is meant to have on top of its provisioned configuration; cfg grows with each change
CREATE TABLE configs (
  device TEXT PRIMARY KEY, cfg INTEGER NOT NULL, changes TEXT NOT NULL, made_ms INTEGER NOT NULL, sent_ms INTEGER
) WITHOUT ROWID;
-- body: JSON of the command and its numbers
CREATE TABLE commands (
  device TEXT NOT NULL, id INTEGER NOT NULL, body TEXT NOT NULL, made_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
  sent_ms INTEGER, done_ms INTEGER, PRIMARY KEY (device, id)
) WITHOUT ROWID;
CREATE TABLE releases (
  id INTEGER PRIMARY KEY, class TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL,
  sha256 TEXT NOT NULL, made_ms INTEGER NOT NULL, bundle BLOB NOT NULL, UNIQUE (class, version)
);
-- plan and run: JSON, see gateway.rollout
CREATE TABLE rollouts (
  id INTEGER PRIMARY KEY, release_id INTEGER NOT NULL REFERENCES releases (id), made_ms INTEGER NOT NULL,
  plan TEXT NOT NULL, run TEXT NOT NULL
);
CREATE TABLE tracks (
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id), device TEXT NOT NULL, track TEXT NOT NULL,
  PRIMARY KEY (rollout_id, device)
) WITHOUT ROWID;
"""

_VERSION_2 = """
-- missing readings that the gateway asked a node for by itself, each range once; outcome NULL while nothing is known
CREATE TABLE resends (
  device TEXT NOT NULL, boot INTEGER NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
  command_id INTEGER NOT NULL, asked_ms INTEGER NOT NULL, settled_ms INTEGER, outcome TEXT,
  came INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (device, boot, from_seq)
) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
"""Script n brings a file from version n to n + 1; each runs in one transaction and only forwards."""


def as_orders_error(error: sqlite3.Error, path: Path) -> OrdersError:
    """Translate what SQLite says into what is done about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return OrdersError(
            f"the file of orders {path} is damaged ({error}): move it away; configurations, commands and roll-outs "
            "are given anew",
            retryable=False,
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return OrdersError(f"the file of orders {path} is held by another process: try again")
    if code == sqlite3.SQLITE_FULL:
        return OrdersError(f"the disk of {path} is full: free space")
    return OrdersError(f"the file of orders {path} cannot be used ({error}): check folder and permissions")


def open_orders(path: Path) -> sqlite3.Connection:
    """Open the file of orders, making or migrating it if need be.

    Raises
    ------
    OrdersError
        When the file cannot be used, is damaged, or was written by a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # a remote configuration may hold the password of a network
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    except OSError as error:
        raise OrdersError(f"the file {path} cannot be made ({error.strerror}): check orders_file") from error
    except sqlite3.Error as error:
        raise as_orders_error(error, path) from error
    try:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        with transaction(connection):
            version = _version(connection, path)
            for script in MIGRATIONS[version:]:
                for statement in script.split(";\n"):
                    connection.execute(statement)
            if version < SCHEMA_VERSION:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
    except sqlite3.Error as error:
        connection.close()
        raise as_orders_error(error, path) from error
    except OrdersError:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    row = None
    if "meta" in tables:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not row[0].isdigit() or "rollouts" not in tables:
        raise OrdersError(f"{path} is a database of something else: set another orders_file", retryable=False)
    version = int(row[0])
    if version > SCHEMA_VERSION:
        raise OrdersError(
            f"{path} has orders of schema {version}, this version knows up to {SCHEMA_VERSION}: install the newer "
            "gateway again, or set another orders_file",
            retryable=False,
        )
    return version
