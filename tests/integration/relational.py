"""A fresh relational store for each test, SQLite and PostgreSQL alike."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from alerts.adapters.database import Database, fetch, open_database
from alerts.adapters.tables import DEVICES
from alerts.desk import Desk
from alerts.views import View, device_view
from tests.services import Server, start_postgres


class Reader(Desk):
    """A desk with one list of the snapshot at a time."""

    def bins(self, now_ms: int) -> list[View]:
        return self.snapshot(now_ms).bins

    def air(self, now_ms: int) -> list[View]:
        return self.snapshot(now_ms).air

    def incidents(self) -> list[View]:
        return self.snapshot(0).incidents

    def tasks(self, now_ms: int) -> list[View]:
        return self.snapshot(now_ms).tasks

    def devices(self, now_ms: int) -> list[View]:
        """Return what the engine announces of each device."""
        with self._database.reading() as connection:
            return [device_view(row, now_ms) for row in fetch(connection, sa.select(DEVICES).order_by(DEVICES.c.id))]


@contextmanager
def running_postgres() -> Iterator[Server]:
    """Run PostgreSQL in a folder of its own.

    Not in pytest's: every run of pytest by root closes that folder to other users, and PostgreSQL does not run as root.
    """
    with tempfile.TemporaryDirectory(prefix="resik-postgres-", ignore_cleanup_errors=True) as folder:
        server = start_postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Yield one server for all tests; each test makes a database of its own."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/resik.sqlite3"
    import psycopg

    server: Server = request.getfixturevalue("postgres")
    name = f"resik_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"postgresql://resik@{server.host}:{server.port}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.url.rsplit("/", 1)[0] + "/" + name


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Yield an open store with the current schema."""
    opened = open_database(database_url, checkpoints=True)
    yield opened
    opened.close()
