"""The file of dead letters: its tables and how an older file becomes one of today."""

import hashlib
import sqlite3
from typing import Final

from square.sqlite import transaction

SCHEMA_VERSION: Final = 3
APPLICATION_ID: Final = 0x52534B44  # "RSKD": tells the file apart from Resik's other SQLite files

_VERSION_1 = """
CREATE TABLE letters (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  device TEXT NOT NULL,
  topic TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  raw BLOB NOT NULL,
  count INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX letters_by_device ON letters (device);
CREATE INDEX letters_by_time ON letters (last_ms);
"""
_VERSION_2 = """
ALTER TABLE letters ADD COLUMN boot INTEGER;
ALTER TABLE letters ADD COLUMN seq INTEGER;
"""
_VERSION_3 = """
ALTER TABLE letters ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE letters ADD COLUMN ts_ms INTEGER;
ALTER TABLE letters ADD COLUMN arrived_ms INTEGER;
ALTER TABLE letters ADD COLUMN time TEXT NOT NULL DEFAULT '';
"""
_MIGRATIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Script n brings a file from version n to n + 1; only forwards.

Letters of version 1 stay without identity, those before version 3 without times of their row."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from ``version`` to today's, all of it or nothing."""
    if version == SCHEMA_VERSION:
        return
    with transaction(connection):
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";")[:-1]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def key_of(device: str, topic: str, code: str, raw: bytes, boot: int | None = None) -> bytes:
    """Return what makes two letters one. A reading holds its seq, but not its boot."""
    digest = hashlib.blake2b(digest_size=16)
    of_boot = [] if boot is None else [str(boot).encode()]
    for part in (device.encode(), topic.encode(), code.encode(), raw, *of_boot):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
