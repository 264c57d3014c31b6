"""The durable boundary of Resik: what is committed here is acknowledged to devices, and nothing else is.

SQLite in WAL mode with `synchronous=FULL`, one connection, many messages per commit. A row is kept until
ingest says that it is stored or dead; a stored one 48 hours longer, so that a restored store can be completed by
replay. Rows are never dropped by age or count; a full disk stops intake instead.

Unit of time: milliseconds of square time since 1970 UTC.
"""

import logging
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter
from pathlib import Path

import msgspec

from gateway import schema
from gateway.acks import AppAck
from gateway.arrivals import HOLE_IS_GAP_AFTER_MS, Arrivals, Key, LiveRow, Mark, PoisonLevel, keep_newest, note_late
from gateway.disk import DiskWatch, Space
from gateway.errors import SpoolFull
from gateway.messages import UpMessage
from gateway.missing import Fate, Hole, fate, holes, last_arrivals
from gateway.settled import load_settled
from gateway.tail import Row, Tail
from gateway.totals import load_totals
from square.sqlite import transaction

SETTLED_KEEP_MS = 48 * 3600 * 1000
"""How long settled rows stay for a restore by replay [ms]."""

MARKS_IN_MEMORY = 10_000
"""Marks kept in memory; above it the oldest are read from the file when needed."""

POISONERS_IN_MEMORY = 1_000
"""Above this, devices that have all of their burst of poison again are forgotten."""

_COLUMNS = "id, device, kind, boot, seq, ts_ms, arrived_ms, time, body, topic, code"

_id_of = attrgetter("id")

_log = logging.getLogger(__name__)


class Put(msgspec.Struct, frozen=True):
    """What one commit brought.

    Attributes
    ----------
    plain, ranged
        One ack per (device, boot) among the messages: the upper end of those without a hole, and the others.
    offered
        Readings, signs of presence and poison among the messages: inserted + duplicates + poison_let_go.
    readings, inserted, duplicates, poison, poison_let_go, presence
        Readings seen; rows written (all kinds); readings or messages that were known; new poison rows;
        poison beyond a device's share, of which nothing is kept; new presence rows.
    """

    plain: dict[Key, int]
    ranged: list[AppAck]
    offered: int
    readings: int
    inserted: int
    duplicates: int
    poison: int
    poison_let_go: int
    presence: int

    @property
    def acks(self) -> list[AppAck]:
        """All acks."""
        return [*(AppAck(*key, upto) for key, upto in self.plain.items()), *self.ranged]


class Backlog(msgspec.Struct, frozen=True):
    """What waits in the spool, and what is missing.

    Attributes
    ----------
    waiting
        Rows not yet settled.
    oldest_arrived_ms
        Arrival of the oldest of them [ms], None when nothing waits.
    gaps
        Ranges of readings that never arrived.
    lost, late, before_spool
        Readings in them, by reason.
    """

    waiting: int
    oldest_arrived_ms: int | None
    gaps: int
    lost: int
    late: int
    before_spool: int


class Spool:
    """The gateway's queue on disk. All methods may be called from any thread.

    Parameters
    ----------
    path
        The SQLite file; made when missing.
    now_ms
        Square time now [ms since 1970].
    disk
        Watches the disk of `path`; the default marks are 15 % and 5 %.

    Raises
    ------
    SpoolTooNew, SpoolLocked, SpoolError
        When the file cannot be used. A damaged file is not an error: it is moved aside, see `replaced`.
    """

    def __init__(self, path: Path, *, now_ms: int, disk: DiskWatch | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = schema.open_database(path, now_ms)
        facts = dict(self._connection.execute("SELECT key, value FROM meta"))
        self.id: str = facts["spool_id"]
        self._created_ms = int(facts["created_ms"])
        self._replaced = facts.get("replaced")
        sequence = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
        self._next_id = sequence[0] + 1 if sequence else 1
        self._settled = load_settled(self._connection)
        self._waiting = sum(self._count(low, high) for low, high in self._settled.gaps(0, self.newest_id))
        self._nothing_upto = 0  # no row waits up to this id: what lies there is looked through once, not every second
        self.totals = load_totals(self._connection)
        """What went through this file since it began, as of the last commit."""
        self._marks: dict[Key, Mark] = {}
        self._poisoned: dict[str, PoisonLevel] = {}
        self._tail = Tail()
        self._live: dict[tuple[str, str], LiveRow] = {}
        for gap in self._settled.gaps(0, self.newest_id):
            for device, kind, ts_ms, row_id in self._connection.execute(
                "SELECT device, kind, MAX(ts_ms), id FROM rows WHERE id BETWEEN ? AND ? AND kind <> 'poison'"
                " GROUP BY device, kind",
                gap,
            ):
                keep_newest(self._live, (device, kind), (ts_ms, row_id))
        self._disk = disk or DiskWatch(path.parent)
        self.space: Space = self._disk.look()
        self.check_space()

    def close(self) -> None:
        """Close the file; what was not committed is gone, as after a crash."""
        with self._lock:
            self._connection.close()

    @property
    def replaced(self) -> Path | None:
        """Where a damaged predecessor lies, as long as somebody has not dealt with it."""
        if self._replaced is not None and Path(self._replaced).exists():
            return Path(self._replaced)
        return None

    @property
    def waiting(self) -> int:
        """Rows not yet settled; read from memory, for health."""
        return self._waiting

    @property
    def newest_id(self) -> int:
        """Id of the last row that was ever written; read from memory."""
        return self._next_id - 1

    # -- in -------------------------------------------------------------------------------------

    def put(self, messages: Sequence[UpMessage]) -> Put:
        """Store messages in one commit. When this returns, they are on disk and may be acknowledged.

        Raises
        ------
        SpoolFull
            If there is no room; nothing was stored.
        SpoolError
            If SQLite failed; everything was rolled back. `retryable` says whether to try again.
        """
        with self._lock:
            if self.space.level == "stop":
                raise SpoolFull(
                    f"the disk of {self.path} has {self.space.free_pct} % free: intake waits until space returns",
                    retry_after_s=1.0,
                )
            with self._transaction():
                arrivals = Arrivals(self._connection, self._marks, self._next_id, self._created_ms, self._poisoned)
                arrivals.enter_all(messages)
                arrivals.finish()
                totals = self.totals.plus(
                    self._connection,
                    offered=arrivals.offered,
                    duplicates=arrivals.duplicates,
                    let_go=arrivals.poison_let_go,
                    spooled=arrivals.inserted,
                )
            self._adopt(arrivals)
            self.totals = totals
            return Put(
                plain=arrivals.moved,
                ranged=[
                    AppAck(device, boot, mark.watermark.upto, mark.watermark.also(arrivals.touched[device, boot]))
                    for (device, boot), mark in arrivals.changed.items()
                    if (device, boot) in arrivals.touched
                ],
                offered=arrivals.offered,
                readings=arrivals.readings,
                inserted=arrivals.inserted,
                duplicates=arrivals.duplicates,
                poison=arrivals.poison,
                poison_let_go=arrivals.poison_let_go,
                presence=arrivals.presence,
            )

    def _adopt(self, arrivals: Arrivals) -> None:
        self._next_id = arrivals.next_id
        self._waiting += arrivals.inserted
        self._tail.add(arrivals.written)
        self._poisoned.update(arrivals.poisoned)
        marks = self._marks
        for key, upto in arrivals.moved.items():
            marks[key].watermark.upto = upto
        marks.update(arrivals.changed)
        while len(self._marks) > MARKS_IN_MEMORY:
            del self._marks[next(iter(self._marks))]
        for whose, row in arrivals.live.items():
            keep_newest(self._live, whose, row)

    # -- out ------------------------------------------------------------------------------------

    def take_live(self, limit: int, max_bytes: int) -> list[Row]:
        """Take the newest waiting row of each device and kind that was not taken yet.

        Parameters
        ----------
        limit, max_bytes
            At most so many rows, and so many bytes of bodies (at least one row).
        """
        with self._lock:
            candidates = list(islice(self._live.items(), limit))
            if not candidates:
                return []
            covers = self._settled.covers
            rows = self._rows_of(sorted(row_id for _, (_, row_id) in candidates if not covers(row_id)))
            taken = _fit(rows, max_bytes)
            if len(taken) == len(rows):  # also forgets candidates that were settled meanwhile
                for whose, _ in candidates:
                    del self._live[whose]
            else:
                self._forget_live(taken)
            return taken

    def take_backlog(
        self, after_id: int, limit: int, max_bytes: int, exclude: Collection[int], *, upto_id: int | None = None
    ) -> list[Row]:
        """Take waiting rows in order of arrival.

        Parameters
        ----------
        after_id
            Only rows above this id.
        limit, max_bytes
            At most so many rows, and so many bytes of bodies (at least one row).
        exclude
            Ids that are on their way already.
        upto_id
            Only rows up to this id; None for no limit.
        """
        last_id = self.newest_id if upto_id is None else upto_id
        with self._lock:
            ids: list[int] = []
            for row_id in self._waiting_ids(after_id, last_id):
                if row_id not in exclude:
                    ids.append(row_id)
                    if len(ids) == limit:
                        break
            taken = _fit(self._rows_of(ids), max_bytes)
            self._forget_live(taken)
            return taken

    def has_live(self) -> bool:
        """Whether a row waits that is the newest of its device and was not taken."""
        return bool(self._live)

    def settle(self, stored: Iterable[int], dead: Iterable[int], now_ms: int) -> tuple[int, int]:
        """Note what ingest has taken over; return how many rows that settled as (stored, dead).

        Stored rows stay for 48 h; dead ones go at once, as no restored store wants them. Ids that are unknown or
        settled already change nothing: an old acknowledgement is harmless.
        """
        with self._lock:
            settled, newest_id = self._settled.copy(), self.newest_id
            dead = [row_id for row_id in dead if not settled.covers(row_id)]
            changes = settled.add({row_id for row_id in (*stored, *dead) if 0 < row_id <= newest_id}, now_ms)
            if not changes.fresh:
                return 0, 0
            with self._transaction():
                n_dead = 0
                if dead:
                    n_dead = self._connection.execute(
                        "DELETE FROM rows WHERE id IN (SELECT value FROM json_each(?))", (_as_json(dead),)
                    ).rowcount
                n_stored = sum(self._count(low, high) for low, high in changes.fresh)
                changes.write(self._connection)
                totals = self.totals.plus(self._connection, stored=n_stored, dead=n_dead)
            self._settled = settled
            self._waiting -= n_stored + n_dead
            self.totals = totals
            return n_stored, n_dead

    def replay_settled(self, since_ms: int) -> int:
        """Make rows that were stored since `since_ms` [ms], or less than a minute before, wait again.

        It completes a restored store. Call it on a spool that no forwarder uses yet. Returns the number of rows.
        """
        with self._lock:
            settled, count = self._settled.copy(), 0
            with self._transaction():
                for low, high, settled_ms in self._settled.ranges:
                    if settled_ms >= since_ms:
                        settled.drop(low, high).write(self._connection)
                        count += self._count(low, high)
                totals = self.totals.plus(self._connection, replayed=count)
            self._settled, self._nothing_upto = settled, 0
            self._waiting += count
            self.totals = totals
            return count

    # -- upkeep ---------------------------------------------------------------------------------

    def check_space(self) -> Space:
        """Measure the disk; below the stop mark `put` refuses until a later check finds room."""
        with self._lock:
            with self._as_spool_error():
                page_bytes = self._connection.execute("PRAGMA page_size").fetchone()[0]
                free_pages = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            before = self.space.level
            self.space = self._disk.look(page_bytes * free_pages)
        if self.space.level != before:
            level = logging.INFO if self.space.level == "ok" else logging.ERROR
            _log.log(level, "disk of %s: %.1f %% free, %s", self.path, self.space.free_pct, self.space.level)
        return self.space

    def note_late_gaps(self, now_ms: int, after_ms: int = HOLE_IS_GAP_AFTER_MS) -> int:
        """Report holes older than 10 minutes (`after_ms`) as gaps; return the number of new ones."""
        with self._lock, self._transaction():
            return note_late(self._connection, now_ms, after_ms)

    def holes(self) -> list[Hole]:
        """Return everything that is missing and may still come."""
        with self._lock, self._as_spool_error():
            return holes(self._connection)

    def fate(self, hole: Hole) -> Fate:
        """Return what became of readings that were missing once."""
        with self._lock, self._as_spool_error():
            return fate(self._connection, (hole.device, hole.boot), hole.low, hole.high)

    def last_arrivals(self) -> list[tuple[str, str, int]]:
        """Return (device, kind, last arrival) of every device and kind among the newest rows."""
        with self._lock, self._as_spool_error():
            return last_arrivals(self._connection)

    def prune(self, now_ms: int, limit: int = 500) -> int:
        """Delete at most `limit` rows that were settled more than 48 h ago; return how many."""
        with self._lock:
            if len(self._poisoned) > POISONERS_IN_MEMORY:
                self._poisoned = {name: level for name, level in self._poisoned.items() if level.left_at(now_ms)}
            old = [each for each in self._settled.ranges if each[2] < now_ms - SETTLED_KEEP_MS]
            if not old:
                return 0
            settled, count = self._settled.copy(), 0
            with self._transaction():
                for low, high, _ in old:
                    if count == limit:
                        break
                    last = self._connection.execute(
                        "SELECT id FROM rows WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?",
                        (low, high, limit - count - 1),
                    ).fetchone()
                    upto_id = high if last is None else last[0]
                    settled.drop(low, upto_id).write(self._connection)
                    count += self._connection.execute(
                        "DELETE FROM rows WHERE id BETWEEN ? AND ?", (low, upto_id)
                    ).rowcount
            self._settled = settled
            return count

    def backlog(self) -> Backlog:
        """Count what waits and what is missing."""
        with self._lock, self._as_spool_error():
            oldest_id = next(self._waiting_ids(self._nothing_upto, self.newest_id), None)
            self._nothing_upto = self.newest_id if oldest_id is None else oldest_id - 1
            oldest = self._connection.execute("SELECT arrived_ms FROM rows WHERE id = ?", (oldest_id,)).fetchone()
            missing = {
                reason: (count, readings)
                for reason, count, readings in self._connection.execute(
                    "SELECT reason, COUNT(*), SUM(to_seq - from_seq + 1) FROM gaps GROUP BY reason"
                )
            }
            return Backlog(
                waiting=self._waiting,
                oldest_arrived_ms=oldest[0] if oldest else None,
                gaps=sum(count for reason, (count, _) in missing.items() if reason != "before-spool"),
                lost=missing.get("lost", (0, 0))[1],
                late=missing.get("late", (0, 0))[1],
                before_spool=missing.get("before-spool", (0, 0))[1],
            )

    # -- inside ---------------------------------------------------------------------------------

    def _waiting_ids(self, after_id: int, upto_id: int) -> Iterator[int]:
        """Give the ids of waiting rows in order; most of them may be on their way already."""
        with self._as_spool_error():
            for gap in self._settled.gaps(after_id, upto_id):
                for (row_id,) in self._connection.execute("SELECT id FROM rows WHERE id BETWEEN ? AND ?", gap):
                    yield row_id

    def _count(self, low: int, high: int) -> int:
        """Count the rows between two ids."""
        found = self._connection.execute("SELECT COUNT(*) FROM rows WHERE id BETWEEN ? AND ?", (low, high)).fetchone()
        return int(found[0])

    def _rows_of(self, ids: list[int]) -> list[Row]:
        """Return those of some rows, ascending by id, that are there."""
        rows, missing = self._tail.take(ids)
        if not missing:
            return rows
        values: Sequence[int | str]
        which, values = "id IN (SELECT value FROM json_each(?))", [_as_json(missing)]
        if missing[-1] - missing[0] + 1 == len(missing):
            which, values = "id BETWEEN ? AND ?", [missing[0], missing[-1]]
        query = f"SELECT {_COLUMNS} FROM rows WHERE {which} ORDER BY id"  # noqa: S608
        with self._as_spool_error():
            read = [Row(*row) for row in self._connection.execute(query, values)]
        return sorted(rows + read, key=_id_of) if rows else read

    def _forget_live(self, rows: Iterable[Row]) -> None:
        for row in rows:
            newest = self._live.get((row.device, row.kind))
            if newest is not None and newest[1] == row.id:
                del self._live[row.device, row.kind]

    @contextmanager
    def _as_spool_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise schema.as_spool_error(error, self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._as_spool_error(), transaction(self._connection, self._commit):
            yield

    def _commit(self) -> None:
        self._connection.execute("COMMIT")


def _as_json(ids: Iterable[int]) -> str:
    return msgspec.json.encode(list(ids)).decode()


def _fit(rows: list[Row], max_bytes: int) -> list[Row]:
    total = 0
    for count, row in enumerate(rows):
        total += len(row.body)
        if total > max_bytes and count:
            return rows[:count]
    return rows
