"""Spool files as earlier versions left them, written with their own statements."""

import sqlite3
from pathlib import Path

from gateway import schema
from tests.unit.gateway.fakes import NOW_MS

_VERSION_3 = """
CREATE TABLE rows_3 (
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
  settled_ms INTEGER
);
DROP TABLE rows;
ALTER TABLE rows_3 RENAME TO rows;
CREATE UNIQUE INDEX rows_identity ON rows (device, boot, seq) WHERE kind NOT IN ('bin', 'air');
CREATE INDEX rows_waiting ON rows (id) WHERE state = 0;
CREATE INDEX rows_settled ON rows (settled_ms) WHERE state > 0;
"""

SETTLED_MS = {1: NOW_MS, 2: NOW_MS + 60_000, 3: NOW_MS, 4: NOW_MS, 6: NOW_MS}
"""Rows that were stored upstream, and when: 1 to 4 and 6, the second a minute later than its neighbours."""
WAITING = (5, 7)
DEAD = 8


def old_file(path: Path, version: int) -> Path:
    """Write a file of version 1, 2 or 3 in which readings 1 to 8 of one boot of rsk-b001 arrived; the last is dead."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    for script in (*schema.MIGRATIONS[: min(version, 2)], *([_VERSION_3] if version == 3 else [])):
        connection.executescript(script)
    facts = {"spool_id": "0123456789abcdef", "created_ms": str(NOW_MS - 1000), "schema_version": str(version)}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))
    for seq in (*SETTLED_MS, *WAITING, DEAD):
        body = b'{"seq":%d,"ts":%d,"distance_mm":740,"state":"ok"}' % (seq, NOW_MS // 1000)
        settled_ms = SETTLED_MS.get(seq)
        state = int(settled_ms is not None)
        connection.execute(
            "INSERT INTO rows VALUES (?, 'rsk-b001', 'bin', 7, ?, ?, ?, 'device', NULL, NULL, ?, ?, ?)",
            (seq, seq, NOW_MS, NOW_MS, body, state, settled_ms),
        )
    connection.execute("DELETE FROM rows WHERE id = ?", (DEAD,))
    connection.execute("INSERT INTO watermarks VALUES ('rsk-b001', 7, 8, '[]', NULL)")
    if version > 1:
        connection.execute("DELETE FROM totals")
        connection.execute("INSERT INTO totals VALUES (8, 0, 0, 8, 5, 1, 0)")
    connection.commit()
    connection.close()
    return path
