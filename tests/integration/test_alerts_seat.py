"""Two alert engines for one site: one decides, the other takes over, and nothing is decided twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from alerts import standby
from alerts.adapters.database import Database, fetch, open_database
from alerts.adapters.seat import FileSeat, Seat, open_seat
from alerts.adapters.tables import AUDIT, INCIDENTS, TASKS
from alerts.engine import Engine
from alerts.errors import DatabaseRefused, DatabaseUnavailable, SeatLost
from alerts.plan import policy_of
from alerts.standby import Standby
from ingest.decode import decode_batch
from resik.process import ask_health
from square.clock import ClockDriver
from square.endpoint import MqttEndpoint
from square.health import Health
from square.mqtt import MqttConnection
from square.registry import Registry
from square.site import load_site
from tests.integration.relational import database_url, postgres  # noqa: F401 - fixtures
from tests.integration.test_alerts_service import BINS, PLAN, SITE, START, T0_S, TOPIC, payload, row
from tests.services import Server, free_port, start_mosquitto, wait_until

TAKEN_OVER_WITHIN_S = 10.0


@pytest.fixture
def seats(database_url: str) -> Iterator[tuple[Seat, Seat]]:  # noqa: F811 - a fixture
    """Yield the seat of one site as two processes have it."""
    pair = open_seat(database_url, SITE), open_seat(database_url, SITE)
    yield pair
    for seat in pair:
        seat.leave()


def break_session(url: str) -> int:
    """Have PostgreSQL end the sessions that hold seats, as a broken network does; return how many."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'resik alerts seat'"
            )
        ).all()
    engine.dispose()
    return len(found)


def test_a_seat_is_held_by_one(seats: tuple[Seat, Seat]) -> None:
    """The second gets it when the first leaves, the first may ask twice, and who has none is told so."""
    first, second = seats
    assert (first.take(), first.take(), second.take()) == (True, True, False)
    first.check()
    with pytest.raises(SeatLost):
        second.check()
    first.leave()
    with pytest.raises(SeatLost):
        first.check()
    wait_until(second.take, 5, "the seat")  # a server frees it once it has seen the end of the session
    second.check()


def test_sites_have_seats_of_their_own(database_url: str) -> None:  # noqa: F811 - a fixture
    """Two sites in one store do not wait for each other."""
    one, other = open_seat(database_url, SITE), open_seat(database_url, "alun-alun-bangil")
    assert one.take()
    assert other.take()
    one.leave()
    other.leave()


def test_a_file_that_was_removed_is_a_lost_seat(tmp_path: Path) -> None:
    """Without the name, a second engine would lock another file: the first one stops."""
    path = tmp_path / "resik.sqlite3.square.lock"
    first, second = FileSeat(path), FileSeat(path)
    assert first.take()
    path.unlink()
    assert second.take()
    with pytest.raises(SeatLost, match="removed"):
        first.check()
    second.check()
    second.leave()
    with pytest.raises(DatabaseRefused, match="rights"):
        FileSeat(tmp_path / "nowhere" / "lock").take()


def _engine(database: Database, seat: Seat, folder: Path) -> Engine:
    policy = policy_of(load_site(SITE), max_open_tasks=2, ispu_top=500)
    return Engine(database, PLAN, policy, links_file=folder / "links.json", check_seat=seat.check)


@pytest.mark.service
def test_who_lost_the_seat_writes_nothing(postgres: Server, tmp_path: Path) -> None:  # noqa: F811 - a fixture
    """The session of the holder is ended: its next turn writes nothing, and the next holder decides instead."""
    url = postgres.url
    first, second = open_seat(url, SITE), open_seat(url, SITE)
    database = open_database(url)
    readings = [
        placed.reading
        for placed in decode_batch(payload([row(1, BINS[0][0], T0_S, 92, 1)]), Registry.load(SITE), TOPIC).readings
    ]
    assert first.take()
    old, new = _engine(database, first, tmp_path), _engine(database, second, tmp_path)
    old.load(T0_S * 1000)
    assert not second.take()
    assert break_session(url) == 1
    with pytest.raises(SeatLost, match="gone"):
        old.apply(readings, [], T0_S * 1000)
    for act in (lambda: old.load(0), lambda: old.tick(T0_S * 1000), lambda: old.prune(keep_changes=1)):
        with pytest.raises(SeatLost):
            act()
    assert second.take()
    new.load(T0_S * 1000)
    assert new.apply(readings, [], T0_S * 1000).incidents_opened == 1
    with database.reading() as connection:
        assert len(fetch(connection, sa.select(INCIDENTS))) == 1
    second.leave()
    database.close()


class Silent:
    """Stands for what decides: it works until the seat is gone or it is stopped."""

    def __init__(self, stop: threading.Event, seat: Seat) -> None:
        self._stop = stop
        self._seat = seat

    def serve(self) -> int:
        while not self._stop.wait(0.01):
            self._seat.check()
        return 0

    def health(self) -> Health:
        return Health("alerts", ok=True, reason="", counts={"readings": 1})


def test_a_lost_seat_is_waited_for_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standing by is healthy and says so; the seat comes, is lost, and comes again; a store that is down is told."""
    monkeypatch.setattr(standby, "LOOK_EVERY_S", 0.01)
    path = tmp_path / "lock"
    other, ours, stop = FileSeat(path), FileSeat(path), threading.Event()
    is_down = threading.Event()

    def opened() -> Database:
        if is_down.is_set():
            raise DatabaseUnavailable("the store is away")
        return open_database(f"sqlite:///{tmp_path}/resik.sqlite3")

    watched = Standby(
        ours, opened, lambda _database: contextlib.nullcontext(Silent(stop, ours)), service="alerts", stop=stop
    )
    codes: list[int] = []
    assert other.take()
    thread = threading.Thread(target=lambda: codes.append(watched.serve()), daemon=True)
    thread.start()
    wait_until(lambda: "stands by" in watched.health().reason, 5, "the standby")
    assert (watched.health().ok, watched.health().counts) == (True, {"active": 0, "seats_lost": 0})
    other.leave()
    wait_until(lambda: watched.health().counts["active"] == 1, 5, "the takeover")
    assert watched.health().counts["readings"] == 1
    is_down.set()
    path.unlink()
    assert other.take()
    wait_until(lambda: watched.health().counts["seats_lost"] == 1, 5, "the loss")
    other.leave()
    wait_until(lambda: "the store is away" in watched.health().reason, 5, "the outage")
    assert not watched.health().ok
    is_down.clear()
    wait_until(lambda: watched.health().counts["active"] == 1, 5, "the second takeover")
    stop.set()
    thread.join(5)
    assert codes == [0]
    assert other.take()  # let go at the end
    other.leave()


class Pair:
    """Two alert engines as processes, one broker, one store."""

    def __init__(self, folder: Path, url: str, broker: Server) -> None:
        self.url = url
        self.clock = ClockDriver(folder / "clock.bin")
        self.clock.set(T0_S, 1.0)
        self.database = open_database(url)
        self.publisher = MqttConnection(MqttEndpoint.from_url(broker.url), "publisher", clean=True)
        self.publisher.start()
        self.publisher.wait_connected()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports = [free_port(), free_port()]
        for number, port in enumerate(self.ports):
            values = {
                "site": SITE,
                "clock_file": str(folder / "clock.bin"),
                "broker_url": broker.url,
                "database_url": url,
                "store_url": f"sqlite:///{folder}/points.sqlite3",
                "crew_links_file": str(folder / "links.json"),
                "tick_s": 0.1,
                "health_port": port,
            }
            config = folder / f"engine-{number}.toml"
            config.write_text("[alerts]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in values.items()))
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", START, str(config)],
                    stderr=(folder / f"engine-{number}.log").open("ab"),
                    cwd=Path(__file__).parents[2],
                    env=os.environ,
                )
            )

    def active(self) -> list[int]:
        """Return which of them decide, and hear the broker."""
        healths = [ask_health(port) for port in self.ports]
        return [n for n, one in enumerate(healths) if one is not None and one.ok and one.counts.get("active")]

    def wait_for(self, numbers: list[int]) -> None:
        wait_until(lambda: self.active() == numbers, TAKEN_OVER_WITHIN_S, f"engines {numbers} to decide")

    def publish(self, number: int, device: str, fill_pct: int) -> None:
        self.publisher.publish(TOPIC, payload([row(number, device, T0_S, fill_pct, 1)])).wait_for_publish(10)

    def opened(self) -> Counter[tuple[str, str]]:
        """Return how often each incident was opened, by asset and rule."""
        with self.database.reading() as connection:
            rows = fetch(connection, sa.select(INCIDENTS.c.asset_id, INCIDENTS.c.rule))
        return Counter((one["asset_id"], one["rule"]) for one in rows)

    def tasks(self) -> Counter[str]:
        with self.database.reading() as connection:
            return Counter(one["asset_id"] for one in fetch(connection, sa.select(TASKS.c.asset_id)))

    def written_down(self) -> Counter[str]:
        """Return how often the audit says that an incident was opened, by asset."""
        with self.database.reading() as connection:
            rows = fetch(connection, sa.select(AUDIT.c.detail).where(AUDIT.c.action == "incident.opened"))
        return Counter(one["detail"]["asset_id"] for one in rows)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
            process.wait(15)
        self.publisher.stop()
        self.database.close()
        self.clock.close()


@contextlib.contextmanager
def running_pair(folder: Path, url: str) -> Iterator[Pair]:
    """Run two engines of which one decides."""
    broker = start_mosquitto(folder / "broker")
    made = Pair(folder, url, broker)
    try:
        wait_until(lambda: len(made.active()) == 1, 20, "one engine to decide")
        yield made
    finally:
        made.close()
        broker.stop()


@pytest.mark.service
def test_the_standby_takes_over_within_seconds_and_nothing_is_done_twice(tmp_path: Path, database_url: str) -> None:  # noqa: F811 - a fixture
    """Kill -9 with batches on the way: each full bin is one incident and one task, before, during and after."""
    with running_pair(tmp_path, database_url) as pair:
        (first,) = pair.active()

        def stands_by() -> bool:
            health = ask_health(pair.ports[1 - first])
            return health is not None and health.ok and "stands by" in health.reason

        wait_until(stands_by, 20, "the other one to stand by")
        bins = BINS[:6]
        for number in (0, 1):
            pair.publish(number + 1, bins[number][0], 92)
        wait_until(lambda: len(pair.opened()) == 2, 10, "the first incidents")
        for number in (2, 3):
            pair.publish(number + 1, bins[number][0], 92)  # some of it dies with the engine, unacknowledged
        pair.processes[first].send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        pair.wait_for([1 - first])
        took_s = time.monotonic() - killed_s
        assert took_s < TAKEN_OVER_WITHIN_S
        for number in (4, 5):
            pair.publish(number + 1, bins[number][0], 92)
        asked = {asset for _, asset in bins}
        wait_until(lambda: set(pair.tasks()) == asked, 15, "a task for each bin")
        assert pair.opened() == Counter({(asset, "full"): 1 for asset in asked})
        assert pair.tasks() == Counter(dict.fromkeys(asked, 1))
        assert pair.written_down() == Counter(dict.fromkeys(asked, 1))


@pytest.mark.service
def test_a_holder_whose_connection_breaks_stops_and_one_goes_on(tmp_path: Path, postgres: Server) -> None:  # noqa: F811 - a fixture
    """The session with the lock is ended: one engine alone decides soon, the loser says so, and no task is doubled."""
    with running_pair(tmp_path, postgres.url) as pair:
        (first,) = pair.active()
        pair.publish(1, BINS[0][0], 92)
        wait_until(lambda: len(pair.tasks()) == 1, 10, "the first task")
        assert break_session(pair.url) == 1

        def lost() -> int:
            health = ask_health(pair.ports[first])
            return 0 if health is None else int(health.counts["seats_lost"])

        wait_until(lambda: lost() == 1, 10, "the loss to be noticed")
        wait_until(lambda: len(pair.active()) == 1, TAKEN_OVER_WITHIN_S, "one engine to decide")
        for number in range(1, 4):
            pair.publish(number + 1, BINS[number][0], 92)
        wait_until(lambda: len(pair.tasks()) == 4, 15, "a task for each bin")
        assert set(pair.opened().values()) == {1}
        assert set(pair.tasks().values()) == {1}
