"""The relational store: addresses, migrations, transactions. SQLite and PostgreSQL run the same tests."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from alerts.adapters import database as database_module
from alerts.adapters.database import Database, fetch, open_database
from alerts.adapters.tables import CHANGES, CURSORS, TASKS, Base
from alerts.errors import DatabaseError, DatabaseRefused, DatabaseUnavailable, SchemaTooNew
from tests.integration.relational import database, database_url, postgres, running_postgres
from tests.services import Server, free_port, wait_until

__all__ = ["database", "database_url", "postgres"]


def migrate(url: str) -> str | None:
    """Open and close a store, and return its revision."""
    opened = open_database(url)
    with opened.reading() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    opened.close()
    return revision


def ask(opened: Database) -> None:
    with opened.reading() as connection:
        connection.execute(sa.text("SELECT 1"))


def change(text: str) -> dict[str, object]:
    return {"site": "s", "at_ms": 0, "kind": "bin", "entity_id": text, "payload": {}}


def test_the_migrations_build_the_declared_tables(database: Database) -> None:
    """Tables, columns, types, indexes and constraints of the migrations equal the declared ones."""
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(database_url: str) -> None:
    """A second start finds the schema current and keeps the rows."""
    first = migrate(database_url)
    opened = open_database(database_url)
    with opened.writing() as connection:
        connection.execute(sa.insert(CHANGES), [change("a")])
    opened.close()
    assert migrate(database_url) == first
    opened = open_database(database_url)
    with opened.reading() as connection:
        assert connection.execute(sa.select(CHANGES.c.entity_id)).scalars().all() == ["a"]
    opened.close()


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    """Four concurrent starts on an empty store all succeed with one schema."""
    results: list[object] = []

    def start() -> None:
        try:
            results.append(migrate(database_url))
        except DatabaseError as error:
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(str, results))) == 1
    assert not any(isinstance(result, Exception) for result in results)


def test_a_newer_schema_is_refused_in_one_sentence(database_url: str) -> None:
    """A store of a later release is left alone, and the text says what to do."""
    opened = open_database(database_url)
    with opened.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    opened.close()
    with pytest.raises(SchemaTooNew, match="install the newer release") as caught:
        open_database(database_url)
    assert "\n" not in str(caught.value)
    assert caught.value.retryable is False


@pytest.mark.parametrize("die", [True, False], ids=["killed", "raising"])
def test_a_migration_that_ends_half_way_leaves_nothing(database_url: str, tmp_path: Path, die: bool) -> None:
    """Killed after half of its tables, or failing there, a migration is as if it had never begun."""
    script = tmp_path / "half.py"
    script.write_text(
        textwrap.dedent(f"""
        import pathlib, time
        from alembic import op
        from alerts.adapters.database import open_database
        real = op.create_table
        def create_table(name, *columns, **options):
            if name == "tasks":
                if not {die}:
                    raise RuntimeError("half way")
                pathlib.Path({str(tmp_path / "half")!r}).touch()
                time.sleep(60)
            return real(name, *columns, **options)
        op.create_table = create_table
        open_database({database_url!r})
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    if die:
        wait_until(lambda: (tmp_path / "half").exists() or process.poll() is not None, 30, "the migration to begin")
        process.send_signal(signal.SIGKILL)
    assert process.wait(30) != 0
    engine = sa.create_engine(database_url)
    wait_until(lambda: not sa.inspect(engine).get_table_names(), 10, "the server to roll back")
    engine.dispose()
    open_database(database_url).close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("resik.sqlite3", "no database address"),
        ("sqlite://", "names no file"),
        ("sqlite:////nonexistent-folder/resik.sqlite3", "does not exist"),
        ("mysql://u@h/resik", "neither sqlite"),
        ("postgresql://u@h/resik", "neither sqlite"),
    ],
)
def test_a_wrong_address_is_one_sentence_for_a_person(url: str, says: str) -> None:
    """Each kind of wrong address is told apart, and waiting is not suggested."""
    with pytest.raises(DatabaseRefused, match=says) as caught:
        open_database(url)
    assert "\n" not in str(caught.value)
    assert caught.value.retryable is False


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Some other file at the address is named, not overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("belanja: sapu lidi\n" * 100)
    with pytest.raises(DatabaseRefused, match=r"notes\.txt"):
        open_database(f"sqlite:///{path}")
    assert path.read_text().startswith("belanja")


def test_a_full_disk_is_worth_a_retry_and_keeps_what_there_was(tmp_path: Path) -> None:
    """No room: a retryable sentence that says so, and nothing of that transaction; with room it goes on."""
    opened = open_database(f"sqlite:///{tmp_path}/a.sqlite3")
    with opened.writing() as connection:
        connection.execute(sa.insert(CHANGES), [change("before")])
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    large = change("x") | {"payload": {"text": "x" * 100_000}}
    with pytest.raises(DatabaseUnavailable, match="make room") as caught, opened.writing() as connection:
        connection.execute(sa.insert(CHANGES), [change("lost"), large])
    assert caught.value.retryable is True
    with opened.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        connection.execute(sa.insert(CHANGES), [large | {"entity_id": "after"}])
    with opened.reading() as connection:
        assert list(connection.scalars(sa.select(CHANGES.c.entity_id))) == ["before", "after"]
    opened.close()


def test_a_server_that_is_down_is_worth_a_retry() -> None:
    """Nothing listens there: retryable, with a time."""
    with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
        open_database(f"postgresql+psycopg://resik:secret@127.0.0.1:{free_port()}/resik")
    assert caught.value.retryable is True
    assert caught.value.retry_after_s is not None
    assert "secret" not in str(caught.value)


@pytest.mark.service
def test_a_database_that_does_not_exist_needs_a_person(postgres: Server) -> None:
    """The server answers and says no: not retryable."""
    with pytest.raises(DatabaseRefused, match="check user, password and database"):
        open_database(postgres.url.rsplit("/", 1)[0] + "/nowhere")


@pytest.mark.service
def test_a_server_that_goes_away_is_told_and_comes_back() -> None:
    """An open store reports the outage as retryable and works again after it without being opened anew."""
    with running_postgres() as server:
        opened = open_database(server.url)
        ask(opened)
        server.kill()
        with pytest.raises(DatabaseUnavailable):
            ask(opened)
        server.start()
        ask(opened)
        opened.close()


@pytest.mark.service
def test_a_server_waits_for_nobody_for_ever(postgres: Server) -> None:
    """Locks, transactions that stand still and peers that vanished all end by themselves."""
    opened = open_database(postgres.url)
    with opened.reading() as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
        driver = connection.connection.driver_connection
        assert driver is not None
        parameters = driver.info.get_parameters()
    opened.close()
    assert shown == ["10s", "1min"]
    kept = [parameters[name] for name in ("keepalives_idle", "keepalives_interval", "tcp_user_timeout")]
    assert kept == ["30", "10", "60000"]


@pytest.mark.service
def test_a_lock_that_is_not_given_is_worth_a_retry(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer holds on: one retryable sentence instead of waiting for ever."""
    monkeypatch.setitem(database_module.POSTGRES_ARGUMENTS, "options", "-c lock_timeout=200")
    opened = open_database(postgres.url)
    with opened.writing(), pytest.raises(DatabaseUnavailable, match="another process holds it"), opened.writing():
        pass
    opened.close()


def test_a_pool_without_a_free_connection_is_worth_a_retry(tmp_path: Path) -> None:
    """Every connection is in use: a retryable error of ours, and not one of the library."""
    opened = open_database(f"sqlite:///{tmp_path}/a.sqlite3")
    opened.engine = sa.create_engine(
        opened.engine.url, poolclass=sa.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.1
    )
    with opened.reading(), pytest.raises(DatabaseUnavailable, match="is in use") as caught, opened.reading():
        pass
    assert (caught.value.retryable, caught.value.retry_after_s is None) == (True, False)
    opened.close()


def test_a_store_of_the_first_release_is_brought_forward(database_url: str) -> None:
    """Tasks and cursors of schema 0001 stay, with nobody passed over and no gateway known."""
    engine = sa.create_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            sa.text("INSERT INTO tasks (site, asset_id, kind, state, created_ms) VALUES ('s', 'b', 'empty', 'open', 1)")
        )
        connection.execute(sa.text("INSERT INTO cursors VALUES ('s', 1, 2, 3, 4)"))
    engine.dispose()
    opened = open_database(database_url)
    with opened.reading() as connection:
        (task,) = fetch(connection, sa.select(TASKS))
        (cursor,) = fetch(connection, sa.select(CURSORS))
    opened.close()
    assert (task["created_ms"], task["passed_over"]) == (1, [])
    assert (cursor["pruned_id"], cursor["gateway"]) == (4, None)


def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    """An error at the end undoes what came before."""

    def fail_at_the_end() -> None:
        with database.writing() as connection:
            connection.execute(sa.insert(CHANGES), [change("a")])
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail_at_the_end()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(CHANGES)).scalar() == 0


def test_ids_of_the_log_become_visible_in_their_order(database: Database) -> None:
    """Writers of several threads never make a reader that remembers its last id miss a line."""

    def write(name: str) -> None:
        for k in range(25):
            with database.writing() as connection:
                connection.execute(sa.insert(CHANGES), [change(f"{name}-{k}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    last, got = 0, []
    while True:
        is_over = not any(thread.is_alive() for thread in threads)
        with database.reading() as connection:
            rows = connection.execute(
                sa.select(CHANGES.c.id, CHANGES.c.entity_id).where(CHANGES.c.id > last).order_by(CHANGES.c.id)
            ).all()
        got += [name for _, name in rows]
        last = rows[-1][0] if rows else last
        if is_over and not rows:
            break
    assert len(got) == len(set(got)) == 100


def test_ids_are_never_used_again(database: Database) -> None:
    """After the log was emptied the next line still has a higher id."""
    with database.writing() as connection:
        connection.execute(sa.insert(CHANGES), [change("a"), change("b")])
        before = connection.execute(sa.select(sa.func.max(CHANGES.c.id))).scalar() or 0
        connection.execute(sa.delete(CHANGES))
    with database.writing() as connection:
        connection.execute(sa.insert(CHANGES), [change("c")])
        assert (connection.execute(sa.select(sa.func.max(CHANGES.c.id))).scalar() or 0) > before


def test_a_reader_sees_one_moment(database: Database) -> None:
    """What is committed while a reading transaction runs does not appear in it."""
    count = sa.select(sa.func.count()).select_from(CURSORS)
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 0
        with database.writing() as writer:
            writer.execute(sa.insert(CURSORS).values(site="s", event_ms=0, arrived_ms=0, updated_ms=0, pruned_id=0))
        assert connection.execute(count).scalar() == 0
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 1


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    """Write-ahead log, full sync, foreign keys, a busy timeout, and one process that moves the log."""
    keeper = open_database(f"sqlite:///{tmp_path}/a.sqlite3", checkpoints=True)
    other = open_database(f"sqlite:///{tmp_path}/a.sqlite3")
    found = []
    for opened in (keeper, other):
        with opened.reading() as connection:
            found.append(
                [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "wal_autocheckpoint")
                ]
            )
        opened.close()
    assert found == [["wal", 2, 1, 10_000, 1000], ["wal", 2, 1, 10_000, 0]]
