"""What the spool knows of readings that never arrived, as questions to its file."""

import json
import sqlite3

import msgspec

from gateway.arrivals import Key, load_mark
from gateway.watermark import Range, Watermark, intersect

RECENT_ROWS = 100_000
"""So many of the newest rows are looked through for who was heard when."""


class Hole(msgspec.Struct, frozen=True):
    """Readings `low` to `high` of a boot that did not arrive although later ones did."""

    device: str
    boot: int
    low: int
    high: int


class Fate(msgspec.Struct, frozen=True):
    """What became of a range of readings: how many came, are gone for good, and are still missing."""

    came: int
    gone: int
    missing: int


def holes(connection: sqlite3.Connection) -> list[Hole]:
    """Return everything that is missing and may still come, by device, boot and number."""
    return [
        Hole(device, boot, low, high)
        for device, boot, upto, above in connection.execute(
            "SELECT device, boot, upto, above FROM watermarks WHERE hole_since_ms IS NOT NULL ORDER BY device, boot"
        )
        for low, high in Watermark(upto, [(low, high) for low, high in json.loads(above)]).holes()
    ]


def fate(connection: sqlite3.Connection, key: Key, low: int, high: int) -> Fate:
    """Return what became of the readings `low` to `high` of (device, boot)."""
    watermark = load_mark(connection, key).watermark
    passed: list[Range] = [(1, watermark.upto)] if watermark.upto else []
    asked: list[Range] = [(low, high)]
    given_up = connection.execute(
        "SELECT from_seq, to_seq FROM gaps WHERE device = ? AND boot = ? AND reason <> 'late' ORDER BY from_seq", key
    ).fetchall()
    gone = _count(intersect(asked, given_up))
    here = _count(intersect(asked, passed)) + _count(intersect(asked, watermark.above))
    return Fate(came=here - gone, gone=gone, missing=high - low + 1 - here)


def last_arrivals(connection: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Return (device, kind, last arrival) of every device and kind among the newest rows."""
    newest = connection.execute("SELECT COALESCE(MAX(id), 0) FROM rows").fetchone()[0]
    return connection.execute(
        "SELECT device, kind, MAX(arrived_ms) FROM rows WHERE id > ? AND kind <> 'poison' GROUP BY device, kind",
        (newest - RECENT_ROWS,),
    ).fetchall()


def _count(ranges: list[Range]) -> int:
    return sum(high - low + 1 for low, high in ranges)
