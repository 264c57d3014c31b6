"""The relational store: open it, bring its schema up to date, read and write in transactions.

Address forms: ``sqlite:////var/lib/resik/resik.sqlite3`` (four slashes = absolute path) and
``postgresql+psycopg://user@host:5432/resik`` (password by ``PGPASSWORD`` or a passfile, as libpq does).

Two promises that both kinds of store keep, and that the change log needs:

* a writing transaction is alone: SQLite takes its one write lock at the start, PostgreSQL an advisory lock.
  So the ids of the change log become visible in the order of the ids, and a reader that remembers the
  last id it saw never misses a line;
* a reading transaction sees one moment.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from alerts.errors import DatabaseError, DatabaseRefused, DatabaseUnavailable, SchemaTooNew

#: Advisory lock keys: "RESIK" in ASCII plus a purpose.
_MIGRATE_LOCK: Final = 0x52_45_53_49_4B_01
_WRITE_LOCK: Final = 0x52_45_53_49_4B_02
_BUSY_TIMEOUT_MS: Final = 10_000
_RETRY_AFTER_S: Final = 2.0
POSTGRES_ARGUMENTS: Final = {
    "connect_timeout": 5,
    "application_name": "resik",
    # A writer that hangs, or a machine that vanished without closing its connection, holds the others up for seconds
    # and not for the two hours of the system's defaults.
    "options": f"-c lock_timeout={_BUSY_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000",
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
#: libpq reports these in words only; both need a person, waiting does not help.
_REFUSED_WORDS: Final = ("password authentication failed", "does not exist", "no password supplied", "pg_hba.conf")
#: SQLite on a full disk, and on one that takes no writes: over as soon as there is room.
_FULL_WORDS: Final = ("disk is full", "disk I/O error")


class Database:
    """An open relational store.

    Attributes
    ----------
    engine : sqlalchemy.Engine
        The pool; use :meth:`reading` and :meth:`writing` instead wherever possible.
    is_sqlite : bool
        Whether the store is one file on this machine.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection whose statements all see the same moment.

        Raises
        ------
        DatabaseError
            With ``retryable`` set where waiting helps.
        """
        with translated(self.engine.url), self.engine.connect() as raw:
            options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            connection = raw.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the one writing connection; commit at the end, roll back on any error.

        Raises
        ------
        DatabaseError
            With ``retryable`` set where waiting helps; nothing was written then.
        """
        with translated(self.engine.url), self.engine.connect() as raw:
            connection = raw.execution_options(resik_write=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITE_LOCK})
                yield connection

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()


def open_database(url: str, *, checkpoints: bool = False) -> Database:
    """Open a store and bring its schema up to date.

    Parameters
    ----------
    url : str
        See the module's first lines.
    checkpoints : bool
        SQLite only: whether this process moves the write-ahead log into the file. Exactly one process
        (the engine) does: SQLite 3.7.0 to 3.51.2 can corrupt a file when two connections reset the log at
        the same moment (sqlite.org/wal.html, "WAL-reset bug").

    Returns
    -------
    Database
        Ready to use.

    Raises
    ------
    DatabaseRefused
        The address is wrong or the credentials are.
    DatabaseUnavailable
        Nothing answers at the address.
    SchemaTooNew
        A newer release has migrated the store.
    """
    engine = open_engine(url, checkpoints=checkpoints)
    try:
        _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def _migrate(engine: Engine) -> None:
    """Bring the schema up to date in one transaction.

    A process that is killed half way leaves the old schema. Two processes that start together wait for each other.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells its internals at each start
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    if head is None:  # pragma: no cover - a broken installation
        raise DatabaseRefused("no schema migrations in this installation: install Resik again")
    known = {revision.revision for revision in script.walk_revisions()}
    with translated(engine.url), engine.connect() as raw:
        connection = raw.execution_options(resik_write=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATE_LOCK})
            current = MigrationContext.configure(connection).get_current_revision()
            if current is not None and current not in known:
                raise SchemaTooNew(
                    f"{_shown(engine.url)} has schema {current}, this Resik knows up to {head}: "
                    "install the newer release or open the backup made before the upgrade"
                )
            if current != head:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")


def open_engine(url: str, *, checkpoints: bool = False) -> Engine:
    """Return the pool of an address; nothing is connected yet. Arguments and errors as of :func:`open_database`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseRefused(
            f"database_url {url!r} is no database address: use sqlite:////folder/resik.sqlite3 "
            "or postgresql+psycopg://user@host:5432/name"
        ) from None
    try:
        if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
            return _sqlite_engine(parsed, checkpoints=checkpoints)
        if parsed.drivername == "postgresql+psycopg":
            return sa.create_engine(
                parsed,
                pool_pre_ping=True,
                json_serializer=_json_text,
                json_deserializer=msgspec.json.decode,
                connect_args=POSTGRES_ARGUMENTS,
            )
    except (NoSuchModuleError, ImportError):
        raise DatabaseRefused(
            f"no driver for {parsed.drivername}: install the extra resik-kota[postgres] or use a sqlite:/// address"
        ) from None
    raise DatabaseRefused(
        f"database_url {_shown(parsed)} is neither sqlite:/// nor postgresql+psycopg://: "
        "these two kinds of store are tested, choose one of them"
    )


def _sqlite_engine(url: URL, *, checkpoints: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise DatabaseRefused(
            "database_url names no file: use sqlite:////folder/resik.sqlite3; several processes share this store"
        )
    folder = Path(url.database).parent
    if not folder.is_dir():
        raise DatabaseRefused(f"folder {folder} of database_url does not exist: create it or correct the address")
    engine = sa.create_engine(url, json_serializer=_json_text, json_deserializer=msgspec.json.decode)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a crew's tap that was answered survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA wal_autocheckpoint={1000 if checkpoints else 0}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and then writes would fail instead of waiting.
        writes = connection.get_execution_options().get("resik_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def fetch(connection: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query as plain dictionaries."""
    return [row._asdict() for row in connection.execute(query)]


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn driver errors into one sentence that says what, where and what to do."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailable(
            f"every connection to {_shown(url)} is in use: trying again", retry_after_s=_RETRY_AFTER_S
        ) from error
    except OperationalError as error:
        raise _of_operational(url, error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(url, _first_line(error)) from error
        if type(error) is sa.exc.DatabaseError:  # SQLite: no database at all, or a damaged one
            raise DatabaseRefused(
                f"{_shown(url)} is not a usable database ({_first_line(error)}): correct database_url, or move the "
                "file away and restore the last backup"
            ) from error
        raise


def _of_operational(url: URL, error: OperationalError) -> DatabaseError:
    text = _first_line(error)
    where = _shown(url)
    if url.drivername.startswith("sqlite"):
        if "locked" in text or "busy" in text:
            return _unavailable(url, "another process holds it")
        if any(word in text for word in _FULL_WORDS):
            return DatabaseUnavailable(
                f"{where} takes nothing ({text}): make room on its disk; trying again", retry_after_s=_RETRY_AFTER_S
            )
        return DatabaseRefused(f"{where} cannot be used ({text}): check the folder's rights")
    if any(word in str(error.orig) for word in _REFUSED_WORDS):
        return DatabaseRefused(f"{where} refused the connection ({text}): check user, password and database name")
    if "lock timeout" in text:
        return _unavailable(url, "another process holds it")
    return _unavailable(url, text)


def _unavailable(url: URL, why: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"{_shown(url)} does not answer ({why}): start the server or correct database_url; trying again",
        retry_after_s=_RETRY_AFTER_S,
    )


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0][:200] if str(error.orig).strip() else type(error.orig).__name__


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
