"""The alert process between a real broker and real stores: what it decides, and what it survives."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alerts import timekeeping
from alerts.adapters.database import Database, open_database
from alerts.adapters.tables import INCIDENTS
from alerts.engine import Engine
from alerts.plan import SquarePlan, policy_of
from alerts.service import run
from alerts.settings import SECTION, AlertsSettings
from firmware import wire
from ingest.decode import decode_batch
from ingest.stores import open_store
from square.clock import ClockDriver
from square.endpoint import MqttEndpoint
from square.mqtt import MqttConnection
from square.registry import Registry
from square.settings import load_settings
from square.site import load_site
from tests.integration.relational import Reader, running_postgres
from tests.services import Server, free_port, start_mosquitto, wait_until

pytestmark = pytest.mark.service

SITE = "alun-alun-pasuruan"
GATEWAY = "gw-utama"
TOPIC = f"resik/{SITE}/gw/{GATEWAY}/batch"
T0_S = 1_795_485_600
"""2026-11-24 09:00 WIB: the morning shift is at work."""
BOOT = 7
PLAN = SquarePlan.from_site(load_site(SITE))
BINS = [(asset.device_id, asset.id) for asset in PLAN.assets.values() if asset.kind == "bin" and asset.device_id]
START = (
    "import sys; from pathlib import Path; from alerts.settings import SECTION, AlertsSettings; "
    "from alerts.service import run; from square.settings import load_settings; "
    "sys.exit(run(load_settings(AlertsSettings, SECTION, Path(sys.argv[1]))))"
)


def row(number: int, device: str, ts_s: int, fill_pct: int, seq: int) -> dict[str, Any]:
    return {
        "id": number,
        "device": device,
        "kind": "bin",
        "boot": BOOT,
        "seq": seq,
        "ts_ms": wire.point_ms(ts_s, BOOT, seq),
        "arrived_ms": ts_s * 1000 + 1000,
        "time": "device",
        "body": {"seq": seq, "ts": ts_s, "fill_pct": fill_pct, "battery_mv": 3700},
    }


def payload(rows: list[Any], **changes: Any) -> bytes:
    number = rows[0]["id"] if rows else "heartbeat"
    message = {"v": 1, "gw": GATEWAY, "spool": "9f2c", "batch": f"b{number}", "sent_ms": T0_S * 1000}
    return json.dumps(message | {"rows": rows} | changes).encode()


class World:
    """A broker, a clock, two stores, and an alert engine as a thread or as a process."""

    def __init__(self, folder: Path, broker: Server, **settings: Any) -> None:
        self.folder = folder
        self.broker = broker
        self.clock = ClockDriver(folder / "clock.bin")
        self.clock.set(T0_S, 1.0)
        self.store_url = f"sqlite:///{folder}/points.sqlite3"
        self.store = open_store(self.store_url)
        self.store.prepare()
        self.config = folder / "resik.toml"
        self.values: dict[str, Any] = {
            "site": SITE,
            "clock_file": str(folder / "clock.bin"),
            "broker_url": broker.url,
            "database_url": f"sqlite:///{folder}/resik.sqlite3",
            "store_url": self.store_url,
            "crew_links_file": str(folder / "links.json"),
            "tick_s": 0.1,
            "health_port": free_port(),
        } | settings
        self.log = folder / "alerts.log"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None
        self.publisher = MqttConnection(MqttEndpoint.from_url(broker.url), "publisher", clean=True)
        self.publisher.start()
        self.publisher.wait_connected()
        self.database = open_database(self.values["database_url"])
        self.desk = Reader.of_plan(self.database, PLAN)

    def settings(self) -> AlertsSettings:
        self.config.write_text("[alerts]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in self.values.items()))
        return load_settings(AlertsSettings, SECTION, self.config)

    def start(self) -> None:
        """Run the engine in a thread and wait for its first sign of life."""
        self._stop = threading.Event()
        settings, stop = self.settings(), self._stop

        def work() -> None:
            self.exit_code = run(settings, stop)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        self._wait_for_life()

    def spawn(self) -> None:
        """Run the engine as a process and wait for its first sign of life."""
        self.settings()
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.config)],
            stderr=self.log.open("ab"),
            cwd=Path(__file__).parents[2],
            env=os.environ,
        )
        self._wait_for_life()

    def _wait_for_life(self) -> None:
        started_s = time.time()
        wait_until(
            lambda: any(one["wall_s"] >= started_s for one in self.desk.heartbeats()), 20, "the engine's heartbeat"
        )

    def stop(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join(10)
            assert not self._thread.is_alive()
            self._thread = None
        self.end(signal.SIGTERM)

    def end(self, number: int) -> int | None:
        if self._process is None:
            return None
        self._process.send_signal(number)
        code = self._process.wait(15)
        self._process = None
        return code

    def close(self) -> None:
        self.stop()
        self.publisher.stop()
        self.store.close()
        self.database.close()
        self.clock.close()

    def publish(self, body: bytes) -> None:
        self.publisher.publish(TOPIC, body).wait_for_publish(10)

    def beat(self) -> None:
        """Say, as a gateway does every ten seconds, that it is there."""
        self.publish(payload([]))

    def now_ms(self) -> int:
        return T0_S * 1000

    def bin(self, asset_id: str) -> dict[str, Any]:
        return next(one for one in self.desk.bins(self.now_ms()) if one["asset_id"] == asset_id)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 15) -> None:
        wait_until(condition, timeout_s, what)

    def health(self) -> dict[str, Any]:
        import urllib.error
        import urllib.request

        url = f"http://127.0.0.1:{self.values['health_port']}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return dict(json.load(reply))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    """Yield a broker that keeps sessions over a restart."""
    server = start_mosquitto(tmp_path / "broker")
    yield server
    server.stop()


@pytest.fixture
def world(tmp_path: Path, broker: Server) -> Iterator[World]:
    """Yield a world whose engine is not started yet."""
    made = World(tmp_path, broker)
    yield made
    made.close()


def test_a_full_bin_reaches_a_crew(world: World) -> None:
    """A batch on the broker becomes state, incident, task and assignment; the health page counts them."""
    world.start()
    (device, asset_id), (other, other_id) = BINS[:2]
    world.publish(payload([row(1, device, T0_S, 92, 1), row(2, other, T0_S, 30, 1)]))
    world.wait(lambda: any(task["state"] == "assigned" for task in world.desk.tasks(world.now_ms())), "a task")
    assert [(one["asset_id"], one["rule"]) for one in world.desk.incidents()] == [(asset_id, "full")]
    assert (world.bin(asset_id)["level"], world.bin(other_id)["level"]) == ("full", "empty")
    health = world.health()
    assert health["ok"] is True
    found = {
        name: health["counts"][name] for name in ("readings", "incidents_opened", "tasks_dispatched", "duplicates")
    }
    assert found == {"readings": 2, "incidents_opened": 1, "tasks_dispatched": 1, "duplicates": 0}
    links = json.loads((world.folder / "links.json").read_text())
    crew_id = world.desk.tasks(world.now_ms())[0]["crew_id"]
    assert world.desk.crew_by_token(links[crew_id], world.now_ms())["open_tasks"] == 1
    world.stop()
    assert world.exit_code == 0


def test_bad_rows_and_bad_batches_stop_nothing(world: World) -> None:
    """An unknown version, no JSON, an unknown device and a broken row: what is good among them is decided."""
    world.start()
    (device, asset_id) = BINS[0]
    world.publish(b"{")
    world.publisher.publish(f"resik/{SITE}/gw/No Gateway!/batch", payload([])).wait_for_publish(10)
    world.publish(payload([row(1, device, T0_S, 10, 1)], v=99))
    broken = row(3, device, T0_S, 10, 2)
    broken["body"]["fill_pct"] = "full"
    world.publish(payload([row(2, "stranger", T0_S, 10, 1), broken, row(4, device, T0_S, 77, 3)]))
    world.wait(lambda: world.bin(asset_id)["fill_pct"] == 77, "the good row")
    counts = world.health()["counts"]
    assert (counts["bad_batches"], counts["dead_rows"], counts["readings"]) == (2, 2, 1)


def episodes(database: Database) -> list[tuple[Any, ...]]:
    """Return every episode that readings began, with begin and end."""
    columns = [INCIDENTS.c[name] for name in ("asset_id", "rule", "episode", "opened_ms", "closed_ms")]
    query = sa.select(*columns).where(INCIDENTS.c.rule.in_(("full", "overflow"))).order_by(*columns[:3])
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_killed_again_and_again_it_misses_nothing(world: World) -> None:
    """Killed five times among 200 batches: newest readings and episodes are those of an engine that never was."""
    rng = random.Random(5)
    sent: dict[str, tuple[int, int]] = {}
    unharmed = open_database(f"sqlite:///{world.folder}/unharmed.sqlite3")
    engine = Engine(unharmed, PLAN, policy_of(load_site(SITE), max_open_tasks=2, ispu_top=150))
    engine.load(world.now_ms())
    registry = Registry.load(SITE)
    numbers = iter(range(1, 100_000))
    kills = set(rng.sample(range(20, 180), 5))
    world.spawn()
    for k in range(200):
        rows = []
        for device, asset_id in BINS[:10]:
            fill = rng.randrange(100)
            rows.append(row(next(numbers), device, T0_S - 1000 + 5 * k, fill, k + 1))
            sent[asset_id] = (wire.point_ms(T0_S - 1000 + 5 * k, BOOT, k + 1), fill)
        world.publish(payload(rows))
        readings = [placed.reading for placed in decode_batch(payload(rows), registry, TOPIC).readings]
        engine.apply(readings, [], world.now_ms())
        if k in kills:
            time.sleep(rng.uniform(0, 0.1))
            world.end(signal.SIGKILL)
            world.spawn()
    world.wait(lambda: all(world.bin(asset_id)["ts_ms"] == ts for asset_id, (ts, _) in sent.items()), "the last batch")
    assert {asset_id: world.bin(asset_id)["fill_pct"] for asset_id in sent} == {
        a: fill for a, (_, fill) in sent.items()
    }
    assert len(episodes(unharmed)) > 10
    assert episodes(world.database) == episodes(unharmed)
    unharmed.close()
    assert world.end(signal.SIGTERM) == 0


def test_what_the_broker_lost_is_read_from_the_store(world: World) -> None:
    """The engine is away, the broker knows no session of it, ingest stored: the engine catches up and decides."""
    device, asset_id = BINS[0]
    world.start()
    world.publish(payload([row(1, device, T0_S - 3000, 40, 1)]))
    world.wait(lambda: world.bin(asset_id)["ts_ms"] is not None, "the first reading")
    world.stop()
    forget = MqttConnection(MqttEndpoint.from_url(world.broker.url), f"alerts-{SITE}", clean=True)
    forget.start()
    forget.wait_connected()
    forget.stop()
    rows = [row(k, device, T0_S - 3000 + 600 * k, 40 + 13 * k, k + 1) for k in range(1, 5)]
    stored = decode_batch(payload(rows), Registry.load(SITE), TOPIC)
    world.store.write([placed.reading.point() for placed in stored.readings])
    world.start()
    world.wait(lambda: world.bin(asset_id)["fill_pct"] == 92, "the stored readings")
    assert world.health()["counts"]["caught_up"] == 5 - 1
    world.wait(lambda: world.desk.tasks(world.now_ms()) != [], "the task of the fresh full bin")


def test_a_time_series_store_that_is_down_pauses_nothing(tmp_path: Path, broker: Server) -> None:
    """Nothing answers at store_url: decisions go on, health stays ok and says what waits."""
    world = World(tmp_path, broker, store_url=f"influx1://resik@127.0.0.1:{free_port()}/resik")
    secret = tmp_path / "token"
    secret.write_text("rahasia-sekali")
    world.values["store_token_file"] = str(secret)
    world.start()
    world.publish(payload([row(1, BINS[0][0], T0_S, 92, 1)]))
    world.wait(lambda: world.desk.tasks(world.now_ms()) != [], "a decision")
    health = world.health()
    assert health["ok"] is True
    assert "catching up waits" in health["reason"]
    world.close()


def test_a_relational_store_that_is_down_delays_and_loses_nothing(tmp_path: Path, broker: Server) -> None:
    """PostgreSQL is killed, batches come, it returns: all of them are decided, and health told the outage."""
    with running_postgres() as postgres:
        world = World(tmp_path, broker, database_url=postgres.url)
        world.start()
        device, asset_id = BINS[0]
        world.publish(payload([row(1, device, T0_S - 60, 30, 1)]))
        world.wait(lambda: world.bin(asset_id)["fill_pct"] == 30, "the first reading")
        postgres.kill()
        for k in range(2, 6):
            world.publish(payload([row(k, device, T0_S - 60 + k, 30 + 10 * k, k)]))
        world.wait(lambda: world.health()["ok"] is False, "the outage to be told")
        assert "does not answer" in world.health()["reason"]
        postgres.start()
        world.wait(lambda: world.bin(asset_id)["fill_pct"] == 80, "the readings of the outage", 30)
        world.wait(lambda: world.health()["ok"] is True, "health to return")
        world.close()


def test_a_broker_that_restarts_is_survived(world: World) -> None:
    """The broker is killed, forgets its sessions and comes back: a batch repeated as gateways do is decided."""
    world.start()
    world.broker.kill()
    world.broker.start()
    world.wait(lambda: world.publisher.connected, "the publisher", 40)
    device, asset_id = BINS[0]

    def is_decided() -> bool:
        world.publish(payload([row(1, device, T0_S, 55, 1)]))
        time.sleep(0.2)
        return bool(world.bin(asset_id)["fill_pct"] == 55)

    world.wait(is_decided, "the batch after the restart", 40)


def test_a_replay_that_steps_raises_no_silence(world: World) -> None:
    """The clock stands and steps a year ahead, then the data follows: nobody was silent; who stays away is."""
    (device, asset_id), (other, other_id) = BINS[:2]
    world.clock.set(T0_S, 0.0)
    world.start()
    world.publish(payload([row(1, device, T0_S, 20, 1), row(2, other, T0_S, 20, 1)]))
    world.wait(lambda: world.bin(other_id)["fill_pct"] == 20, "the first step")
    later_s = T0_S + 365 * 86_400
    world.clock.set(later_s, 0.0)
    time.sleep(1.5)
    assert world.desk.incidents() == []
    world.publish(payload([row(3, device, later_s, 21, 2), row(4, other, later_s, 21, 2)]))
    world.wait(lambda: world.bin(other_id)["fill_pct"] == 21, "the second step")
    time.sleep(1.5)
    silent = {one["asset_id"] for one in world.desk.incidents() if one["rule"] == "silent"}
    assert not silent & {asset_id, other_id}
    assert BINS[2][1] in silent  # known for a year and never heard


def test_a_running_clock_that_jumps_raises_no_silence(world: World) -> None:
    """A day ahead at speed 1: nobody is silent; at x3600 half an hour later everybody is."""
    device, asset_id = BINS[0]
    world.start()
    world.publish(payload([row(1, device, T0_S, 20, 1)]))
    world.wait(lambda: world.bin(asset_id)["fill_pct"] == 20, "the reading")
    world.clock.set(T0_S + 86_400, 1.0)
    time.sleep(1.0)
    assert world.desk.incidents() == []
    world.clock.set(T0_S + 86_401, 3600.0)

    def is_silent() -> bool:
        world.beat()
        return bool(world.bin(asset_id)["silent"])

    world.wait(is_silent, "real silence")


def test_a_gateway_that_is_silent_is_one_incident(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Square hours without a batch: one incident, nobody silent; an empty batch closes it and blames nobody."""
    monkeypatch.setattr(timekeeping, "GATEWAY_SILENT_S", 2.0)
    monkeypatch.setattr(timekeeping, "BREAK_S", 1.0)
    device, asset_id = BINS[0]
    world.start()
    world.publish(payload([row(1, device, T0_S, 20, 1)]))
    world.wait(lambda: world.bin(asset_id)["fill_pct"] == 20, "the reading")
    world.clock.set(T0_S + 1, 3600.0)
    world.wait(lambda: world.desk.incidents() != [], "the incident")
    (incident,) = world.desk.incidents()
    assert (incident["asset_id"], incident["rule"], incident["severity"]) == (GATEWAY, "gateway-silent", "major")
    time.sleep(1.5)  # an hour and a half of the square
    assert [one["id"] for one in world.desk.incidents()] == [incident["id"]]
    world.clock.set(T0_S + 20_000, 1.0)
    world.beat()
    world.wait(lambda: world.desk.incidents() == [], "the end of it")
    time.sleep(0.5)
    assert world.desk.incidents() == []


def test_a_lost_session_is_filled_from_the_store_hours_back(world: World) -> None:
    """The broker forgets what waited behind a fresh reading: three hours of it come from the store."""
    device, asset_id = BINS[0]
    world.start()
    world.publish(payload([row(100, device, T0_S, 60, 100)]))
    world.wait(lambda: world.bin(asset_id)["fill_pct"] == 60, "the fresh reading")
    assert world.health()["counts"]["caught_up"] == 0
    rows = [row(k, device, T0_S - 600 * (19 - k), 20 + 2 * k, k) for k in range(1, 19)]
    stored = decode_batch(payload(rows), Registry.load(SITE), TOPIC)
    world.store.write([placed.reading.point() for placed in stored.readings])
    forget = MqttConnection(MqttEndpoint.from_url(world.broker.url), f"alerts-{SITE}", clean=True)
    forget.start()
    forget.wait_connected()
    forget.stop()
    world.wait(lambda: world.health()["counts"]["caught_up"] == len(rows), "three hours of the store", 30)
    counts = world.health()["counts"]
    assert (counts["session_lost"] > 0, counts["readings"], counts["duplicates"]) == (True, len(rows) + 1, 0)
    assert world.bin(asset_id)["fill_rate_pct_h"] == pytest.approx(12.0, abs=0.5)


def test_a_process_that_hears_nothing_more_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is deaf: exit code 1, so that the supervisor starts it again."""
    world.start()
    monkeypatch.setattr(MqttConnection, "is_deaf", lambda _self: True)
    world.wait(lambda: world.exit_code is not None, "the end")
    assert world.exit_code == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"site": "no-such-square"}, "no-such-square"),
        ({"database_url": "mysql://x/y"}, "neither sqlite"),
        ({"store_url": "ftp://x"}, "store_url"),
        ({"broker_url": "http://x"}, "broker_url"),
    ],
)
def test_a_wrong_setting_ends_with_one_sentence(
    world: World, changes: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Exit code 2, one log line that names the setting, no trace."""
    world.values |= changes
    assert run(world.settings(), threading.Event()) == 2
    record = caplog.records[-1]
    assert (record.levelname, record.exc_info) == ("ERROR", None)
    assert says in record.getMessage()
    assert "\n" not in record.getMessage()
