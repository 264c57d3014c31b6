"""Dead letters: what could not be stored, why, and how often. One SQLite file.

A dead letter is custody: ingest tells the gateway to forget the row, so the letter is committed with
``synchronous=FULL`` before that. The same content from the same device with the same fault is one letter with a
count; a device that floods is kept to a quota, beyond which its letters are counted and not kept one by one.

One process writes (ingest). Reading for the command line and the office opens the file read-only.
"""

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.refused import RAW_LIMIT_BYTES
from square.sqlite import transaction

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x52534B44  # "RSKD": tells the file apart from Resik's other SQLite files
OVER_QUOTA: Final = "over-quota"
"""Code of the letter that counts what a flooding device sent beyond its quota."""

_FOR_A_PERSON: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
)
"""Primary result codes that waiting does not cure. A full disk, a lock and an I/O error pass."""

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
_MIGRATIONS: Final = (_VERSION_1, _VERSION_2)
"""Script n brings a file from version n to n + 1; only forwards. Letters of version 1 stay without identity."""


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
    """

    device: str
    topic: str
    code: str
    reason: str
    raw: bytes
    same_as: str = ""
    boot: int | None = None
    seq: int | None = None


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

    def prepare(self) -> None:
        """Create or check the file.

        Raises
        ------
        StoreRefused
            If the file is something else, damaged, or written by a newer Resik.
        StoreUnavailable
            If the disk is full or the file is locked.
        """
        with self._use() as connection:
            if self.read_only:
                return
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                self._migrate(connection, 0)
                return
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreRefused(f"{self.path} is not a dead-letter file of Resik: change dead_letter_file")
            if version > SCHEMA_VERSION:
                raise StoreRefused(f"{self.path} was written by a newer Resik (schema {version}): update this one")
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise StoreRefused(f"{self.path} is damaged: move it aside, a new one is made at the next start")
            self._migrate(connection, version)

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        if version == SCHEMA_VERSION:
            return
        with transaction(connection):
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";")[:-1]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

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
        with self._use() as connection, transaction(connection):
            held: dict[str, int] = {}
            for letter in letters:
                self._put_one(connection, letter, now_ms, held)

    def _put_one(self, connection: sqlite3.Connection, letter: DeadLetter, now_ms: int, held: dict[str, int]) -> None:
        raw = letter.raw[:RAW_LIMIT_BYTES]
        key = _key(letter.device, letter.topic, letter.code, letter.same_as.encode() or raw, letter.boot)
        seen_again = connection.execute(
            "UPDATE letters SET count = count + 1, last_ms = ?, reason = ? WHERE key = ?", (now_ms, letter.reason, key)
        )
        if seen_again.rowcount:
            return
        if letter.device not in held:
            held[letter.device] = connection.execute(
                "SELECT count(*) FROM letters WHERE device = ? AND code <> ?", (letter.device, OVER_QUOTA)
            ).fetchone()[0]
        if held[letter.device] >= self.quota_per_device:
            code, reason = OVER_QUOTA, f"more than {self.quota_per_device} letters of this device; last: {letter.code}"
            key, boot, seq = _key(letter.device, "", code, b""), None, None
        else:
            code, reason, boot, seq = letter.code, letter.reason, letter.boot, letter.seq
            held[letter.device] += 1
        connection.execute(
            "INSERT INTO letters (key, device, topic, code, reason, raw, count, first_ms, last_ms, boot, seq) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "count = count + 1, last_ms = excluded.last_ms, reason = excluded.reason, raw = excluded.raw",
            (key, letter.device, letter.topic, code, reason[:300], raw, now_ms, now_ms, boot, seq),
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
                "SELECT id, device, topic, code, reason, x'', count, first_ms, last_ms, boot, seq "  # noqa: S608 - fixed text
                f"FROM letters {where} ORDER BY id DESC LIMIT ?",
                (*arguments, limit),
            ).fetchall()
        return [StoredLetter(*row) for row in rows]

    def show(self, letter_id: int) -> StoredLetter | None:
        """Return one letter with its payload, or None."""
        with self._use() as connection:
            row = connection.execute(
                "SELECT id, device, topic, code, reason, raw, count, first_ms, last_ms, boot, seq "
                "FROM letters WHERE id = ?",
                (letter_id,),
            ).fetchone()
        return StoredLetter(*row) if row is not None else None

    def counts(self) -> dict[str, int]:
        """Return how many letters were seen, repeats included, by code."""
        with self._use() as connection:
            return dict(connection.execute("SELECT code, sum(count) FROM letters GROUP BY code ORDER BY code"))

    def purge(self, *, before_ms: int | None = None, ids: Sequence[int] | None = None) -> int:
        """Delete letters last seen before ``before_ms``, or those of ``ids``, and return how many.

        Raises
        ------
        ValueError
            If neither is given: nobody deletes everything by leaving an argument out.
        """
        if before_ms is None and ids is None:
            raise ValueError("name before_ms or ids")
        if self.read_only:
            raise StoreRefused(f"{self.path} was opened read-only")
        deleted = 0
        with self._use() as connection:
            if before_ms is not None:
                deleted += connection.execute("DELETE FROM letters WHERE last_ms < ?", (before_ms,)).rowcount
            for letter_id in ids or ():
                deleted += connection.execute("DELETE FROM letters WHERE id = ?", (letter_id,)).rowcount
        return deleted

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Lend the one connection and turn SQLite's errors into those of :mod:`ingest.errors`."""
        with self._lock:
            try:
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

    def _open(self) -> sqlite3.Connection:
        if self.read_only:
            if not self.path.exists():
                raise StoreUnavailable(f"{self.path} is not there yet: ingest makes it when it starts")
            return sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefused(f"cannot make the folder of {self.path} ({error}): change dead_letter_file") from error
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


def _key(device: str, topic: str, code: str, raw: bytes, boot: int | None = None) -> bytes:
    """Return what makes two letters one. A reading holds its seq, but not its boot."""
    digest = hashlib.blake2b(digest_size=16)
    of_boot = [] if boot is None else [str(boot).encode()]
    for part in (device.encode(), topic.encode(), code.encode(), raw, *of_boot):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _where(*, device: str | None, code: str | None, before_id: int | None) -> tuple[str, list[str | int]]:
    conditions: list[str] = []
    arguments: list[str | int] = []
    for condition, argument in (("device = ?", device), ("code = ?", code), ("id < ?", before_id)):
        if argument is not None:
            conditions.append(condition)
            arguments.append(argument)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), arguments
