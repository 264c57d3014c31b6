"""The one seat of a site's alert engine: who holds it decides, everybody else waits for it.

Nobody hands it over and no clock is compared: PostgreSQL, or the kernel for a SQLite file, takes it from a process that
is gone. PostgreSQL: an advisory lock of a session, on a connection of its own that is asked within each transaction of
the engine. SQLite: an exclusive lock on a file beside the database.

Why a holder that lost it can spoil nothing: the engine asks :meth:`Seat.check` *after* its transaction has taken the
write lock of the store. Whoever takes the seat next begins with a transaction of its own, and so sees whatever the
last one committed.
"""

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Final, Protocol, TextIO

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from alerts.adapters.database import POSTGRES_ARGUMENTS, open_engine, translated
from alerts.errors import DatabaseRefused, SeatLost

#: A machine that vanished frees the seat after 5 + 3 * 2 s: the server watches us, and we the server.
_WATCHED_ARGUMENTS: Final = {
    **POSTGRES_ARGUMENTS,
    "application_name": "resik alerts seat",
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "tcp_user_timeout": 11_000,
}


class Seat(Protocol):
    """The right to decide for one site. Used from one thread."""

    def take(self) -> bool:
        """Take it if it is free; whether we have it now. Taking it twice is harmless.

        Raises
        ------
        DatabaseError
            If the store cannot be asked.
        """

    def check(self) -> None:
        """Return if it is still ours.

        Raises
        ------
        SeatLost
            If it is not: nothing MUST be decided until :meth:`take` gave it back.
        """

    def leave(self) -> None:
        """Let go of it."""


def open_seat(database_url: str, site: str) -> Seat:
    """Return the seat of a site in a store; it is not taken, and nothing is opened yet.

    Raises
    ------
    DatabaseRefused
        If the address is wrong.
    """
    engine = open_engine(database_url)
    engine.dispose()
    url = make_url(database_url)
    if engine.dialect.name == "sqlite":
        return FileSeat(Path(f"{url.database}.{site}.lock"))
    return PostgresSeat(url, site)


class PostgresSeat:
    """Seat in a PostgreSQL database.

    Parameters
    ----------
    url : URL
        The database itself: a pooler that lends a session for one transaction cannot keep a lock.
    site : str
        Whose.
    """

    def __init__(self, url: URL, site: str) -> None:
        self._site = site
        self._key = seat_key(site)
        self._engine = sa.create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_WATCHED_ARGUMENTS
        )
        self._connection: Connection | None = None
        self._is_ours = False

    def take(self) -> bool:
        """See :meth:`Seat.take`."""
        if self._is_ours:
            return True
        try:
            with translated(self._engine.url):
                if self._connection is None:
                    self._connection = self._engine.connect()
                found = self._connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key})
                self._is_ours = bool(found.scalar_one())
        except BaseException:
            self.leave()
            raise
        return self._is_ours

    def check(self) -> None:
        """See :meth:`Seat.check`: a session that answers holds its locks."""
        if not self._is_ours or self._connection is None:
            raise SeatLost(f"the seat of the alert engine of {self._site} is not ours")
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except DBAPIError as error:
            self.leave()
            raise SeatLost(
                f"the connection that holds the seat of the alert engine of {self._site} is gone "
                f"({str(error.orig).strip().splitlines()[0][:120] if str(error.orig).strip() else 'no reason given'})"
            ) from error

    def leave(self) -> None:
        """See :meth:`Seat.leave`: the lock ends with its session."""
        self._is_ours = False
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.invalidate()  # closes the socket without a word to a server that may not answer
            with contextlib.suppress(DBAPIError):
                connection.close()


class FileSeat:
    """Seat beside a SQLite file.

    Parameters
    ----------
    path : Path
        Its lock file; made when missing, and never removed: two processes could lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def take(self) -> bool:
        """See :meth:`Seat.take`."""
        if self._file is not None:
            return True
        try:
            file = self._path.open("a", encoding="ascii")
        except OSError as error:
            raise DatabaseRefused(f"{self._path} cannot be opened ({error}): check the folder's rights") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def check(self) -> None:
        """See :meth:`Seat.check`: the lock lasts as long as we do, unless somebody took its file away."""
        if self._file is None:
            raise SeatLost(f"the seat {self._path} is not ours")
        try:
            is_there = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            is_there = False
        if not is_there:
            self.leave()
            raise SeatLost(f"somebody removed {self._path}: leave it alone, it keeps two engines from deciding at once")

    def leave(self) -> None:
        """See :meth:`Seat.leave`."""
        if self._file is not None:
            self._file.close()
            self._file = None


def seat_key(site: str) -> int:
    """Return the key of a site's advisory lock: 64 bits with a sign, the same everywhere.

    Examples
    --------
    >>> seat_key("alun-alun-pasuruan") == seat_key("alun-alun-bangil")
    False
    """
    digest = hashlib.blake2b(f"resik alerts {site}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
