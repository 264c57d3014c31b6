"""Enters arrived messages into the spool, inside a transaction that the spool opens and commits.

Nothing here touches the spool's memory: marks are copied before they are changed, and the spool adopts the
copies only after the commit. A rolled-back transaction therefore leaves no trace.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from firmware import wire
from gateway.clock import ANCHOR_MOVE_MAX_MS, ANCHOR_SLACK_MS, anchor_ms, anchored_ts_s
from gateway.envelope import Reading
from gateway.messages import Poison, Presence, Readings, Uplinks, UpMessage, poison
from gateway.tail import READING_COLUMNS
from gateway.watermark import Range, Watermark, intersect

MAX_RANGES = 1000
"""Holes that one boot of one device may have; a message that would pass it is kept as poison."""

POISON_BURST = 2000
"""Poison of one device that is kept at once: as many letters as ingest keeps of a device, if not told otherwise."""

POISON_PER_HOUR = 60
"""What a device gets back of its burst in an hour of square time; poison beyond is counted and let go."""

HOLE_IS_GAP_AFTER_MS = 600_000
"""A hole that stands for 10 minutes is reported as a gap."""

Key = tuple[str, int]

_point_ms: Callable[[int, int, int], int] = wire.point_ms

_INSERT = """INSERT OR IGNORE INTO rows (id, device, kind, boot, seq, ts_ms, arrived_ms, time, topic, code, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_READINGS = "INSERT OR IGNORE INTO rows (id, device, kind, boot, seq, ts_ms, arrived_ms, time, body) VALUES "
FIND_REPEAT = (
    "SELECT 1 FROM rows WHERE device = ? AND boot = ? AND seq BETWEEN ? AND ?"
    " AND kind NOT IN ('bin', 'air') LIMIT 1"  # in these words the index is for it
)
_REPLACE_MARKS = "INSERT OR REPLACE INTO watermarks VALUES "

ROWS_AT_ONCE = (64, 16, 4, 1)
"""Rows in one statement: each statement costs two changes of the interpreter's lock, which is dear beside other busy
threads. Few sizes, so that all of them stay prepared."""


class Mark(msgspec.Struct, gc=False):
    """Watermark of one boot of one device, as memory holds it.

    Attributes
    ----------
    watermark
        What arrived.
    hole_since_ms
        Since when a hole stands without progress below it [ms], None without holes.
    anchor_ms
        Boot instant for un-timed readings [ms], None until one was needed.
    is_new
        Whether the spool had never heard of this boot.
    """

    watermark: Watermark
    hole_since_ms: int | None = None
    anchor_ms: int | None = None
    is_new: bool = False

    def copy(self) -> "Mark":
        """Make a copy that can be changed without touching this one."""
        return Mark(self.watermark.copy(), self.hole_since_ms, self.anchor_ms, self.is_new)


LiveRow = tuple[int, int]
"""Point time [ms] and id of the newest row of a device and kind, a candidate for the live lane."""


def keep_newest(live: dict[tuple[str, str], LiveRow], whose: tuple[str, str], row: LiveRow) -> None:
    """Keep a row unless a newer one of the same device and kind is known; of two at one time the later stays."""
    newest = live.get(whose)
    if newest is None or row[0] >= newest[0]:
        live[whose] = row


class PoisonLevel(msgspec.Struct, frozen=True):
    """How much of its burst a device has used up, as of a moment: a bucket that leaks."""

    used: float
    at_ms: int

    def left_at(self, now_ms: int) -> float:
        """Return what is still used up at `now_ms`; a clock that went back gives nothing back."""
        return max(0.0, self.used - max(0, now_ms - self.at_ms) * POISON_PER_HOUR / 3_600_000)


class Arrivals:
    """One transaction's worth of messages.

    Parameters
    ----------
    connection
        The spool's connection, inside a transaction.
    marks
        Marks in memory; read, never written.
    next_id
        First free row id.
    created_ms
        When the spool file began [ms since 1970].
    poisoned
        What devices have used up of their burst of poison; read, never written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        marks: dict[Key, Mark],
        next_id: int,
        created_ms: int,
        poisoned: dict[str, PoisonLevel],
    ) -> None:
        self._connection = connection
        self._known = marks
        self._created_ms = created_ms
        self.written: list[Any] = []
        """Columns of the readings that `finish` wrote, row after row; none when the file knew some of them."""
        self._pending: list[Any] = []
        self._n_pending = 0
        self.next_id = next_id
        self.moved: dict[Key, int] = {}
        """New upper end of marks without holes that only moved up; these are not in `changed`."""
        self.changed: dict[Key, Mark] = {}
        self.touched: dict[Key, list[int]] = {}
        self.live: dict[tuple[str, str], LiveRow] = {}
        self.offered = 0
        self.readings = 0
        self.inserted = 0
        self.duplicates = 0
        self.poison = 0
        self.poison_let_go = 0
        self.presence = 0
        self._poisoned = poisoned
        self.poisoned: dict[str, PoisonLevel] = {}

    def enter_all(self, messages: Iterable[UpMessage]) -> None:
        """Enter messages; `finish` writes what is pending."""
        for message in messages:
            if type(message) is not Readings or not self._enter_next(message):
                self._enter(message)

    def _enter(self, message: UpMessage) -> None:
        if isinstance(message, Readings):
            self._enter_readings(message)
        elif isinstance(message, Presence):
            self._enter_presence(message)
        elif isinstance(message, Uplinks):
            self._enter_uplinks(message)
        else:
            self._enter_poison(message)

    def finish(self) -> None:
        """Write readings and marks; the spool commits afterwards."""
        written = self._write_rows(_INSERT_READINGS, READING_COLUMNS, self._pending)
        self.inserted += written
        self.duplicates += self._n_pending - written
        self.written = self._pending if written == self._n_pending else []
        marks: list[object] = []
        for (device, boot), upto in self.moved.items():
            marks += (device, boot, upto, "[]", None)
        for (device, boot), mark in self.changed.items():
            watermark = mark.watermark
            above = _ranges_to_text(watermark.above) if watermark.n_ranges else "[]"
            marks += (device, boot, watermark.upto, above, mark.hole_since_ms)
        self._write_rows(_REPLACE_MARKS, 5, marks)

    def _write_rows(self, statement: str, columns: int, values: list[object]) -> int:
        """Write rows of so many columns, many in one statement; return how many the database took."""
        at = written = 0
        one = f"({', '.join('?' * columns)})"
        for size in ROWS_AT_ONCE:
            step = size * columns
            text = statement + ", ".join([one] * size)
            while len(values) - at >= step:
                written += self._connection.execute(text, values[at : at + step]).rowcount
                at += step
        return written

    # -- readings -------------------------------------------------------------------------------

    def _enter_next(self, message: Readings) -> bool:
        """Enter what almost every message is: the next readings, with their times, of a device that misses none.

        Nothing but the mark's upper end changes then, so it is not copied. False, and nothing done, for all others.
        """
        device, boot = message.device, message.boot
        key = device, boot
        upto = self.moved.get(key)
        if upto is None:
            mark = self._known.get(key)
            if mark is None or key in self.changed or mark.is_new or mark.watermark.n_ranges:
                return False
            upto = mark.watermark.upto
        before = upto
        kind, arrived_ms, row_id = message.kind, message.arrived_ms, self.next_id
        newest_ms = newest_id = -1
        rows: list[object] = []
        for reading in message.readings:
            upto += 1
            seq, ts_s = reading.seq, reading.ts_s
            if seq != upto or ts_s is None:
                return False
            ts_ms = _point_ms(ts_s, boot, seq)
            rows += (row_id, device, kind, boot, seq, ts_ms, arrived_ms, "device", reading.body)
            if ts_ms >= newest_ms:
                newest_ms, newest_id = ts_ms, row_id
            row_id += 1
        oldest_seq = message.oldest_seq
        if oldest_seq is not None and oldest_seq > upto + 1:
            return False
        self.moved[key] = upto
        self.next_id = row_id
        self._pending += rows
        self._n_pending += upto - before
        self.offered += upto - before
        self.readings += upto - before
        keep_newest(self.live, (device, kind), (newest_ms, newest_id))
        return True

    def _enter_readings(self, message: Readings) -> None:
        key = (message.device, message.boot)
        mark = self._mark(key)
        watermark = mark.watermark
        if watermark.n_ranges + len(message.readings) > MAX_RANGES and any(
            not watermark.covers(reading.seq) for reading in message.readings
        ):
            self._enter_poison(poison(message.topic, message.raw, "too-many", message.arrived_ms))
            return
        upto_before, had_holes = watermark.upto, watermark.n_ranges > 0
        touched = self.touched.setdefault(key, [])
        n_readings = len(message.readings)
        self.offered += n_readings
        self.readings += n_readings
        for reading in message.readings:
            seq = reading.seq
            touched.append(seq)
            if not watermark.add(seq) and not self._was_given_up(key, seq):
                self.duplicates += 1
                continue
            self._append(message, mark, reading, seq)
        has_holes = watermark.n_ranges > 0
        oldest_seq = message.oldest_seq
        if oldest_seq is not None and (has_holes or oldest_seq > watermark.upto + 1):
            self._note_lost(message, mark, oldest_seq)
            has_holes = watermark.n_ranges > 0
        if not has_holes:
            mark.hole_since_ms = None
        elif mark.hole_since_ms is None or watermark.upto > upto_before:
            mark.hole_since_ms = message.arrived_ms
        if had_holes:
            self._shrink_late(key, watermark.holes())
        mark.is_new = False

    def _append(self, message: Readings, mark: Mark, reading: Reading, seq: int) -> None:
        device, kind, boot, ts_s, how = message.device, message.kind, message.boot, reading.ts_s, "device"
        if ts_s is None:
            assert reading.up_s is not None, "checked by the envelope"
            how = "anchor"
            ts_s = anchored_ts_s(self._anchor(message, mark), reading.up_s)
        ts_ms = _point_ms(ts_s, boot, seq)
        row_id = self._take_id()
        self._pending += (row_id, device, kind, boot, seq, ts_ms, message.arrived_ms, how, reading.body)
        self._n_pending += 1
        keep_newest(self.live, (device, kind), (ts_ms, row_id))

    def _anchor(self, message: Readings, mark: Mark) -> int:
        if mark.anchor_ms is None:
            key = (message.device, message.boot)
            row = self._connection.execute(
                "SELECT anchor_ms FROM anchors WHERE device = ? AND boot = ?", key
            ).fetchone()
            if row is not None:
                mark.anchor_ms = int(row[0])
            else:
                assert message.sent_up_s is not None, "the envelope check demands up_s beside un-timed readings"
                mark.anchor_ms = anchor_ms(message.arrived_ms, message.sent_up_s)
                self._connection.execute("INSERT INTO anchors VALUES (?, ?, ?)", (*key, mark.anchor_ms))
        if message.sent_up_s is not None:
            shown_ms = anchor_ms(message.arrived_ms, message.sent_up_s)
            late_ms = mark.anchor_ms - shown_ms
            if late_ms > ANCHOR_MOVE_MAX_MS:
                return shown_ms
            if late_ms > ANCHOR_SLACK_MS:
                mark.anchor_ms = shown_ms
                self._connection.execute(
                    "UPDATE anchors SET anchor_ms = ? WHERE device = ? AND boot = ?",
                    (shown_ms, message.device, message.boot),
                )
        return mark.anchor_ms

    # -- gaps -----------------------------------------------------------------------------------

    def _note_lost(self, message: Readings, mark: Mark, oldest_seq: int) -> None:
        lost = mark.watermark.pass_below(oldest_seq)
        if not lost:
            return
        reason = "lost"
        if mark.is_new and message.sent_up_s is not None:
            booted_ms = anchor_ms(message.arrived_ms, message.sent_up_s)
            if booted_ms < self._created_ms:
                reason = "before-spool"
        self._connection.executemany(
            "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?, ?)",
            [(message.device, message.boot, low, high, message.arrived_ms, reason) for low, high in lost],
        )

    def _was_given_up(self, key: Key, seq: int) -> bool:
        """Whether `seq` lies in a gap that the mark has passed; if so, take it out of the gap.

        A reading can overtake the news of its own loss when the broker reorders. It was never stored,
        so it must not be taken for a duplicate.
        """
        row = self._connection.execute(
            "SELECT from_seq, to_seq, noticed_ms, reason FROM gaps WHERE device = ? AND boot = ?"
            " AND from_seq <= ? AND to_seq >= ? AND reason <> 'late'",
            (*key, seq, seq),
        ).fetchone()
        if row is None:
            return False
        low, high, noticed_ms, reason = row
        self._connection.execute("DELETE FROM gaps WHERE device = ? AND boot = ? AND from_seq = ?", (*key, low))
        rest = [(low, seq - 1), (seq + 1, high)]
        self._connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, start, end, noticed_ms, reason) for start, end in rest if start <= end],
        )
        return True

    def _shrink_late(self, key: Key, holes: list[Range]) -> None:
        late = self._connection.execute(
            "SELECT from_seq, to_seq, noticed_ms FROM gaps WHERE device = ? AND boot = ? AND reason = 'late'"
            " ORDER BY from_seq",
            key,
        ).fetchall()
        if not late:
            return
        left = [(low, high, at) for low, high, at in late for low, high in intersect([(low, high)], holes)]
        if left == late:
            return
        self._connection.execute("DELETE FROM gaps WHERE device = ? AND boot = ? AND reason = 'late'", key)
        self._connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, 'late')", [(*key, low, high, at) for low, high, at in left]
        )

    # -- the rest -------------------------------------------------------------------------------

    def _enter_presence(self, message: Presence) -> None:
        self.offered += 1
        seq = None if message.up_s is None else -1 - message.up_s
        kind = "status" if message.online else "will"
        # A sign of presence has no time of its own: it is as old as its arrival.
        written = self._connection.execute(_INSERT, (
            self.next_id, message.device, kind, message.boot, seq, message.arrived_ms, message.arrived_ms, "anchor",
            None, None, message.body,
        )).rowcount  # fmt: skip
        if written:
            self.presence += 1
            self.inserted += 1
            keep_newest(self.live, (message.device, kind), (message.arrived_ms, self._take_id()))
        else:
            self.duplicates += 1

    def _enter_uplinks(self, message: Uplinks) -> None:
        """Enter readings of another make. Nothing is missing between two of them: there is no number that runs on."""
        for row in message.rows:
            self.offered += 1
            self.readings += 1
            near = (row.device, row.boot, row.seq - row.repeat_within_s, row.seq + row.repeat_within_s)
            if self._connection.execute(FIND_REPEAT, near).fetchone() is not None:
                self.duplicates += 1
                continue
            row_id = self._take_id()
            self._connection.execute(_INSERT, (
                row_id, row.device, "uplink", row.boot, row.seq, row.ts_ms, message.arrived_ms, row.time,
                message.topic, None, row.body,
            ))  # fmt: skip
            self.inserted += 1
            keep_newest(self.live, (row.device, "uplink"), (row.ts_ms, row_id))

    def _enter_poison(self, message: Poison) -> None:
        self.offered += 1
        level = self.poisoned.get(message.device) or self._poisoned.get(message.device)
        used = level.left_at(message.arrived_ms) if level is not None else 0.0
        if used >= POISON_BURST:
            self.poison_let_go += 1  # so many samples say what is wrong; more would only fill the disk
            return
        written = self._connection.execute(_INSERT, (
            self.next_id, message.device, "poison", -1, message.key, message.arrived_ms, message.arrived_ms,
            "device", message.topic, message.code, message.raw,
        )).rowcount  # fmt: skip
        if written:
            self._take_id()
            self.poison += 1
            self.inserted += 1
            self.poisoned[message.device] = PoisonLevel(used + 1, message.arrived_ms)
        else:
            self.duplicates += 1

    def _take_id(self) -> int:
        """Use up an id, for a row that is new: an id without a row would split a range of settled ones for 48 h."""
        self.next_id += 1
        return self.next_id - 1

    def _mark(self, key: Key) -> Mark:
        mark = self.changed.get(key)
        if mark is None:
            known = self._known.get(key)
            mark = known.copy() if known is not None else load_mark(self._connection, key)
            upto = self.moved.pop(key, None)
            if upto is not None:
                mark.watermark.upto = upto
            self.changed[key] = mark
        return mark


def load_mark(connection: sqlite3.Connection, key: Key) -> Mark:
    """Read the mark of (device, boot) from the file; a new one when there is none."""
    row = connection.execute(
        "SELECT upto, above, hole_since_ms FROM watermarks WHERE device = ? AND boot = ?", key
    ).fetchone()
    if row is None:
        return Mark(Watermark(), is_new=True)
    return Mark(Watermark(row[0], ranges_from_text(row[1])), row[2])


def ranges_from_text(text: str) -> list[Range]:
    """Read `watermarks.above`."""
    return [(low, high) for low, high in json.loads(text)]


def _ranges_to_text(ranges: list[Range]) -> str:
    return json.dumps(ranges, separators=(",", ":"))


def note_late(connection: sqlite3.Connection, now_ms: int, after_ms: int = HOLE_IS_GAP_AFTER_MS) -> int:
    """Report holes that stand for `after_ms` as gaps; return how many are new.

    The mark does not pass them: the device may still send what is missing, and then the gap goes away.
    """
    marks = connection.execute(
        "SELECT device, boot, upto, above FROM watermarks WHERE hole_since_ms IS NOT NULL AND hole_since_ms <= ?",
        (now_ms - after_ms,),
    ).fetchall()
    new = 0
    for device, boot, upto, above in marks:
        noted = connection.execute(
            "SELECT from_seq, to_seq FROM gaps WHERE device = ? AND boot = ? AND reason = 'late' ORDER BY from_seq",
            (device, boot),
        ).fetchall()
        for hole in Watermark(upto, ranges_from_text(above)).holes():
            if not intersect(noted, [hole]):
                connection.execute(
                    "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?, 'late')", (device, boot, *hole, now_ms)
                )
                new += 1
    return new
