"""Dead letters: what could not be stored, why, and how often. One SQLite file.

A dead letter is custody: ingest tells the gateway to forget the row, so the letter is committed with
``synchronous=FULL`` before that. The same content from the same device with the same fault is one letter with a
count; a device that floods is kept to a quota, beyond which its letters are counted and not kept one by one.

Only ingest writes; several workers on one machine share the file, one at a time: a lock beside it keeps two from
checkpointing at once (https://sqlite.org/wal.html#walresetbug). Reading for the command line and the office opens the
file read-only.
"""

import contextlib
import fcntl
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, TextIO

import msgspec

from ingest.deadletter_schema import APPLICATION_ID, SCHEMA_VERSION, key_of, migrate
from ingest.errors import StoreRefused, StoreUnavailable
from ingest.refused import RAW_LIMIT_BYTES
from square.sqlite import transaction

OVER_QUOTA: Final = "over-quota"
"""Code of the letter that counts what a flooding device sent beyond its quota."""

_COLUMNS: Final = (
    "id, device, topic, code, reason, raw, count, first_ms, last_ms, boot, seq, kind, ts_ms, arrived_ms, time"
)
_NO_RAW: Final = "x''"
LOCKED_FOR_S: Final = 5.0
"""How long another worker may hold the file before that is said [s]."""

_FOR_A_PERSON: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
)
"""Primary result codes that waiting does not cure. A full disk, a lock and an I/O error pass."""


class DeadLetter(msgspec.Struct, frozen=True):
    """Something that could not be stored, as it is handed in.

    Attributes
    ----------
    device : str
        Device id, or an empty string when it is not known.
    topic : str
        Where it came in.
    code, reason : str
        See docs/protocol.md section 8, and one sentence.
    raw : bytes
        What was sent; cut to ``RAW_LIMIT_BYTES``.
    same_as : str
        What makes two letters one, where it is not the payload.
    boot, seq : int | None
        With ``device`` the identity of the reading; None for what is none, as poison.
    kind, ts_ms, arrived_ms, time : str, int | None, int | None, str
        What else its row said, for :mod:`ingest.replay`; "reading" is one that the store refused.
    """

    device: str
    topic: str
    code: str
    reason: str
    raw: bytes
    same_as: str = ""
    boot: int | None = None
    seq: int | None = None
    kind: str = ""
    ts_ms: int | None = None
    arrived_ms: int | None = None
    time: str = ""


class StoredLetter(msgspec.Struct, frozen=True):
    """A dead letter as it is kept. ``raw`` is empty in lists.

    ``count`` is how often it was seen; a batch that the gateway had to repeat is seen again.
    """

    id: int
    device: str
    topic: str
    code: str
    reason: str
    raw: bytes
    count: int
    first_ms: int
    last_ms: int
    boot: int | None
    seq: int | None
    kind: str
    ts_ms: int | None
    arrived_ms: int | None
    time: str


class Choice(msgspec.Struct, frozen=True):
    """Which letters are meant: those for which everything holds that is given.

    Attributes
    ----------
    device, code : str | None
        Only of this device, only with this code.
    ids : tuple[int, ...] | None
        Only these.
    before_ms : int | None
        Only those last seen before it [ms since 1970 UTC].
    """

    device: str | None = None
    code: str | None = None
    ids: tuple[int, ...] | None = None
    before_ms: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is given."""
        return self == Choice()

    def where(self) -> tuple[str, list[str | int]]:
        """Return the condition in SQL and its arguments."""
        conditions, arguments = ["1"], list[str | int]()
        for condition, argument in (
            ("device = ?", self.device),
            ("code = ?", self.code),
            ("last_ms < ?", self.before_ms),
        ):
            if argument is not None:
                conditions.append(condition)
                arguments.append(argument)
        if self.ids is not None:
            conditions.append(f"id IN ({','.join('?' * len(self.ids))})")
            arguments += self.ids
        return " AND ".join(conditions), arguments


class DeadLetterStore(Protocol):
    """Where dead letters go. Methods raise the errors of :mod:`ingest.errors`."""

    def prepare(self) -> None:
        """Create or check the store."""

    def put(self, letters: Sequence[DeadLetter], now_ms: int) -> None:
        """Take custody of ``letters``: returns only after the commit. All of them or none."""

    def purge(self, *, before_ms: int) -> int:
        """Delete letters last seen before ``before_ms`` and return how many."""

    def close(self) -> None:
        """Let go of the store."""


class SqliteDeadLetters:
    """Dead letters in one SQLite file. Safe to use from several threads.

    Parameters
    ----------
    path : Path
        The file; made by :meth:`prepare`.
    quota_per_device : int
        Letters that are kept one by one for each device [1..].
    read_only : bool
        For everybody but ingest.
    """

    def __init__(self, path: Path, *, quota_per_device: int = 2000, read_only: bool = False) -> None:
        self.path = path
        self.quota_per_device = quota_per_device
        self.read_only = read_only
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._turn: TextIO | None = None

    def prepare(self) -> None:
        """Create or check the file.

        Raises
        ------
        StoreRefused
            If the file is something else, damaged, or written by a newer Resik.
        StoreUnavailable
            If the disk is full or the file is locked.
        """
        if self.read_only:
            with self._use():
                return
        with self._use(writing=True) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                migrate(connection, 0)
                return
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreRefused(f"{self.path} is not a dead-letter file of Resik: change dead_letter_file")
            if version > SCHEMA_VERSION:
                raise StoreRefused(f"{self.path} was written by a newer Resik (schema {version}): update this one")
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise StoreRefused(f"{self.path} is damaged: move it aside, a new one is made at the next start")
            migrate(connection, version)

    def put(self, letters: Sequence[DeadLetter], now_ms: int) -> None:
        """Take custody of ``letters``: returns only after the commit. All of them or none.

        Parameters
        ----------
        letters : Sequence[DeadLetter]
            In order of arrival.
        now_ms : int
            Square time [ms since 1970 UTC], kept as first and last sight.
        """
        if not letters:
            return
        with self._use(writing=True) as connection, transaction(connection):
            held: dict[str, int] = {}
            for letter in letters:
                self._put_one(connection, letter, now_ms, held)

    def _put_one(self, connection: sqlite3.Connection, letter: DeadLetter, now_ms: int, held: dict[str, int]) -> None:
        raw = letter.raw[:RAW_LIMIT_BYTES]
        key = key_of(letter.device, letter.topic, letter.code, letter.same_as.encode() or raw, letter.boot)
        seen_again = connection.execute(
            "UPDATE letters SET count = count + 1, last_ms = ?, reason = ? WHERE key = ?", (now_ms, letter.reason, key)
        )
        if seen_again.rowcount:
            return
        if letter.device not in held:
            held[letter.device] = connection.execute(
                "SELECT count(*) FROM letters WHERE device = ? AND code <> ?", (letter.device, OVER_QUOTA)
            ).fetchone()[0]
        row: tuple[object, ...]
        if held[letter.device] >= self.quota_per_device:
            code, reason = OVER_QUOTA, f"more than {self.quota_per_device} letters of this device; last: {letter.code}"
            key, row = key_of(letter.device, "", code, b""), (None, None, "", None, None, "")
        else:
            code, reason = letter.code, letter.reason
            row = (letter.boot, letter.seq, letter.kind, letter.ts_ms, letter.arrived_ms, letter.time)
            held[letter.device] += 1
        connection.execute(
            "INSERT INTO letters (key, device, topic, code, reason, raw, count, first_ms, last_ms, "
            "boot, seq, kind, ts_ms, arrived_ms, time) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "count = count + 1, last_ms = excluded.last_ms, reason = excluded.reason, raw = excluded.raw",
            (key, letter.device, letter.topic, code, reason[:300], raw, now_ms, now_ms, *row),
        )

    # -- reading ------------------------------------------------------------------------------

    def identities(self) -> list[tuple[str, int, int]]:
        """Return (device, boot, seq) of every reading among the letters, each once, in this order.

        Missing are what has no identity (poison, status messages), what a device sent beyond its quota, and what a
        Resik before schema version 2 kept.
        """
        with self._use() as connection:
            return connection.execute(
                "SELECT DISTINCT device, boot, seq FROM letters WHERE seq IS NOT NULL ORDER BY device, boot, seq"
            ).fetchall()

    def list(
        self, *, device: str | None = None, code: str | None = None, limit: int = 100, before_id: int | None = None
    ) -> list[StoredLetter]:
        """Return letters without their payload, newest first.

        Parameters
        ----------
        device, code : str | None
            Only those.
        limit : int
            At most this many [1..500].
        before_id : int | None
            Only older letters: the last id of the page before.
        """
        if not 1 <= limit <= 500:  # noqa: PLR2004 - said in the docstring
            raise ValueError(f"limit must be 1..500, got {limit}")
        where, arguments = _where(device=device, code=code, before_id=before_id)
        with self._use() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS.replace('raw', _NO_RAW)} FROM letters {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
                (*arguments, limit),
            ).fetchall()
        return [StoredLetter(*row) for row in rows]

    def show(self, letter_id: int) -> StoredLetter | None:
        """Return one letter with its payload, or None."""
        with self._use() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM letters WHERE id = ?",  # noqa: S608 - fixed text
                (letter_id,),
            ).fetchone()
        return StoredLetter(*row) if row is not None else None

    def choose(self, choice: Choice, *, after_id: int = 0, limit: int = 200) -> Sequence[StoredLetter]:
        """Return letters of a choice with their payload, oldest first, from behind ``after_id`` on."""
        where, arguments = choice.where()
        with self._use() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM letters WHERE {where} AND id > ? ORDER BY id LIMIT ?",  # noqa: S608 - fixed text
                (*arguments, after_id, limit),
            ).fetchall()
        return [StoredLetter(*row) for row in rows]

    def resolve(self, done: Sequence[int], faults: Sequence[tuple[int, str, str]] = ()) -> None:
        """Forget letters that need no keeping any more, and note the present fault of others; all of it or nothing.

        Parameters
        ----------
        done : Sequence[int]
            Ids of letters whose content is stored.
        faults : Sequence[tuple[int, str, str]]
            Id, code and reason.
        """
        with self._use(writing=True) as connection, transaction(connection):
            connection.executemany("DELETE FROM letters WHERE id = ?", [(letter_id,) for letter_id in done])
            connection.executemany(
                "UPDATE letters SET code = ?, reason = ? WHERE id = ?",
                [(code, reason[:300], letter_id) for letter_id, code, reason in faults],
            )

    def counts(self) -> dict[str, int]:
        """Return how many letters were seen, repeats included, by code."""
        with self._use() as connection:
            return dict(connection.execute("SELECT code, sum(count) FROM letters GROUP BY code ORDER BY code"))

    def purge(self, *, before_ms: int) -> int:
        """Delete letters last seen before ``before_ms`` and return how many."""
        return self.delete(Choice(before_ms=before_ms))

    def delete(self, choice: Choice) -> int:
        """Delete the letters of a choice and return how many.

        Raises
        ------
        ValueError
            If the choice is everything: nobody deletes that by leaving an argument out.
        """
        if choice.is_everything:
            raise ValueError("a choice that names nothing deletes nothing")
        if self.read_only:
            raise StoreRefused(f"{self.path} was opened read-only")
        where, arguments = choice.where()
        with self._use(writing=True) as connection:
            return connection.execute(f"DELETE FROM letters WHERE {where}", arguments).rowcount  # noqa: S608 - fixed text

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                # the last one to close writes the log into the file
                with contextlib.suppress(sqlite3.Error, StoreUnavailable), self._alone():
                    self._connection.close()
                self._connection = None
            if self._turn is not None:
                self._turn.close()
                self._turn = None

    @contextlib.contextmanager
    def _use(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """Lend the one connection and turn SQLite's errors into those of :mod:`ingest.errors`."""
        with self._lock:
            try:
                with self._alone() if writing or self._connection is None else contextlib.nullcontext():
                    if self._connection is None:
                        self._connection = self._open()
                    yield self._connection
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _FOR_A_PERSON:
                    raise StoreRefused(
                        f"dead-letter file {self.path}: {error}; move a damaged file aside, or change dead_letter_file"
                    ) from error
                raise StoreUnavailable(f"dead-letter file {self.path}: {error}; nothing is acknowledged") from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other workers out of the file; a reader needs no turn."""
        if self.read_only:
            yield
            return
        if self._turn is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._turn = self.path.with_name(self.path.name + ".lock").open("a")
            except OSError as error:
                raise StoreRefused(f"cannot lock {self.path} ({error}): change dead_letter_file") from error
        deadline_s = time.monotonic() + LOCKED_FOR_S
        while True:
            try:
                fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    raise StoreUnavailable(
                        f"dead-letter file {self.path}: another worker holds it; nothing is acknowledged"
                    ) from error
                time.sleep(0.002)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _open(self) -> sqlite3.Connection:
        if self.read_only:
            if not self.path.exists():
                raise StoreUnavailable(f"{self.path} is not there yet: ingest makes it when it starts")
            return sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


def _where(*, device: str | None, code: str | None, before_id: int | None) -> tuple[str, list[str | int]]:
    conditions: list[str] = []
    arguments: list[str | int] = []
    for condition, argument in (("device = ?", device), ("code = ?", code), ("id < ?", before_id)):
        if argument is not None:
            conditions.append(condition)
            arguments.append(argument)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), arguments
