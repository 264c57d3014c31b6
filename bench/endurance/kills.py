"""Checks in which processes are killed without a word: ingest, broker, gateway, store, workers that share the load."""

import json
import shutil
import sqlite3
import time
import urllib.request
from pathlib import Path

from bench.endurance import checker
from bench.endurance.ledger import Identity
from bench.endurance.parts import Part, readings_judged, start_all, wait_for
from bench.endurance.stage import Stage

RESUME_LIMIT_S = 5.0
DEAD_MAN_LIMIT_S = 120.0
IN_MESSAGE = 20


def _resumed(part: Part, count: str) -> float:
    """Start a part that was killed; return after how many seconds it did something [s]."""
    started_s = time.monotonic()
    part.launch()
    wait_for(lambda: part.counts().get(count, 0) > 0, 60, f"{part.name} to work again")
    return time.monotonic() - started_s


def ingest_killed(stage: Stage) -> None:
    """Check 1: kill -9 of ingest at random points of a flow."""
    chain = stage.chain
    kills, wanted = stage.sized(20, 2), stage.sized(100_000, 2_000)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port)
    fleet.flow(2_500 if stage.scale == 1 else 1_000, IN_MESSAGE)
    slowest_s = 0.0
    for number in range(kills):
        stage.say(f"kill {number + 1} of {kills}, {stage.ledger.count:,} readings made")
        wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "a flow")
        time.sleep(stage.random.uniform(0.1, 0.8))
        ingest.kill()
        stage.fault()
        slowest_s = max(slowest_s, _resumed(ingest, "stored"))
    wait_for(lambda: stage.ledger.count >= wanted, 120, "enough readings")
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.note(
        f"stores again at most {slowest_s:.1f} s after a kill (limit {RESUME_LIMIT_S:g} s), start of Python included"
    )
    stage.expect(slowest_s <= RESUME_LIMIT_S, f"ingest took {slowest_s:.1f} s to store again")


def broker_killed(stage: Stage) -> None:
    """Check 2: kill -9 of the broker, which forgets every session and every message."""
    chain = stage.chain
    kills, wanted = stage.sized(10, 2), stage.sized(50_000, 2_000)
    broker, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port)
    fleet.flow(2_000 if stage.scale == 1 else 1_000, IN_MESSAGE)
    for number in range(kills):
        stage.say(f"kill {number + 1} of {kills}, {stage.ledger.count:,} readings made")
        acked = stage.ledger.acked_count
        wait_for(lambda acked=acked: stage.ledger.acked_count > acked, 60, "a flow")  # type: ignore[misc]
        time.sleep(stage.random.uniform(0.1, 0.8))
        broker.kill()
        stage.fault()
        broker.start()
        forgotten = number + 1
        wait_for(
            lambda forgotten=forgotten: gateway.counts().get("session_lost", 0) >= forgotten,  # type: ignore[misc]
            60,
            f"the gateway to suspect loss {forgotten} times",
        )
    wait_for(lambda: stage.ledger.count >= wanted, 120, "enough readings")
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    suspected = gateway.log.read_text().count("forgot the session of gateway-gw-utama:")
    stage.expect(
        suspected == kills, f"loss was suspected {suspected} times on the side of the devices, not {kills} times"
    )
    stage.note(
        f"loss suspected by the gateway after {suspected} of {kills} kills; "
        f"devices sent {fleet.resent:,} readings again"
    )
    stage.expect(fleet.resent > 0, "no device had to send anything again: the kills hit nothing")
    stage.expect(gateway.is_running and ingest.is_running, "gateway or ingest ended by itself")


def spooled(path: Path, copy: Path) -> tuple[str, set[Identity]]:
    """Return what SQLite says of a copy of the spool, and the readings in it."""
    for ending in ("", "-wal"):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + ending))
    connection = sqlite3.connect(copy)
    try:
        said = str(connection.execute("PRAGMA quick_check").fetchone()[0])
        rows = set(connection.execute("SELECT device, boot, seq FROM rows WHERE kind = 'bin'"))
    finally:
        connection.close()
        for ending in ("", "-wal", "-shm"):
            copy.with_name(copy.name + ending).unlink(missing_ok=True)
    return said, rows


def gateway_killed(stage: Stage) -> None:
    """Check 3: kill -9 of the gateway while its uplink is cut; the spool is looked into after each."""
    chain = stage.chain
    kills, wanted = stage.sized(20, 2), stage.sized(20_000, 1_000)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    uplink = chain.gate(port)
    gateway, ingest = chain.gateway(port, uplink.port), chain.ingest(port, store_port)
    ingest.launch()
    uplink.cut()
    gateway.start()
    ingest.wait_ready()
    fleet = stage.fleet(port)
    fleet.flow(800, IN_MESSAGE // 2)
    sound = missing = 0
    for number in range(kills):
        stage.say(f"kill {number + 1} of {kills}, {stage.ledger.acked_count:,} readings acknowledged")
        acked = stage.ledger.acked_count
        wait_for(lambda acked=acked: stage.ledger.acked_count > acked, 60, "a flow")  # type: ignore[misc]
        time.sleep(stage.random.uniform(0.1, 0.8))
        gateway.kill()
        stage.fault()
        time.sleep(0.05)  # the last acks are still on their way to the devices
        promised = stage.ledger.acked()
        said, rows = spooled(chain.spool, stage.folder / "copy.sqlite3")
        sound += said == "ok"
        missing += len(promised - rows)
        gateway.start()
    wait_for(lambda: stage.ledger.acked_count >= wanted, 120, "enough readings")
    stage.expect(sound == kills, f"quick_check was ok {sound} of {kills} times")
    stage.expect(not missing, f"{missing} acknowledged readings were not in the spool after a kill")
    stage.expect(not checker.read_rows(store_port), "something was stored although the uplink was cut")
    uplink.open()
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.note(f"quick_check ok {sound}/{kills}; {missing} acknowledged readings missing in the spool after a kill")


def store_killed(stage: Stage) -> None:
    """Check 7: InfluxDB is away for ten minutes of square time; ingest and InfluxDB are killed while they catch up."""
    chain = stage.chain
    chain.set_time(time.time(), 20.0)
    away_s = 30.0 if stage.scale == 1 else 3.0
    kills = stage.sized(5, 2)
    _, port = chain.broker()
    influxd, store_port = chain.influxd()
    gateway, ingest, alerts = chain.gateway(port), chain.ingest(port, store_port), chain.alerts(port, store_port)
    watched = [gateway, ingest, alerts] if stage.scale == 1 else [gateway, ingest]
    start_all(*watched)
    fleet = stage.fleet(port)
    fleet.flow(1_000, IN_MESSAGE)
    wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "a flow")
    influxd.kill()
    stage.fault()
    until_s = time.monotonic() + away_s
    oldest_decision_s = 0.0
    decided = alerts.counts().get("batches", 0)
    while time.monotonic() < until_s:
        stage.say(f"InfluxDB is away for {until_s - time.monotonic():.0f} s more, {stage.ledger.count:,} readings made")
        oldest_decision_s = max(oldest_decision_s, alerts.counts().get("decided_age_s", 0))
        time.sleep(0.5)
    stage.expect(not ingest.counts().get("store_ok", 1), "ingest did not notice that the store is away")
    if alerts in watched:
        decided = int(alerts.counts().get("batches", 0) - decided)
        stage.expect(decided > 0, "the alert engine got no batch while the store was away")
        stage.note(f"alert engine: {decided} batches decided meanwhile, never older than {oldest_decision_s:.1f} s")
    waited = int(gateway.counts().get("waiting", 0))
    influxd.start()
    for number in range(kills):
        stage.say(f"kill {number + 1} of {kills} while it catches up")
        victim = (ingest, influxd)[number % 2]
        time.sleep(stage.random.uniform(0.1, 0.6))
        victim.kill()
        stage.fault()
        victim.start()
        wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "ingest to store again")
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.note(
        f"{away_s:.0f} s away, {away_s / 3:.0f} min of square time; {waited:,} rows waited; "
        f"{kills} kills while catching up"
    )


def engine_killed(stage: Stage) -> None:
    """Check 7, the engine: it is away for ten minutes of square time; people are told, and nothing is judged twice."""
    chain = stage.chain
    chain.set_time(time.time(), 20.0)
    away_s = 30.0 if stage.scale == 1 else 3.0
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest, alerts = chain.gateway(port), chain.ingest(port, store_port), chain.alerts(port, store_port)
    start_all(gateway, ingest, alerts)
    dashboard, map_port = chain.dashboard(store_port, watched=[alerts])
    dashboard.start()

    fleet = stage.fleet(port)
    fleet.flow(500, IN_MESSAGE)
    wait_for(lambda: readings_judged(alerts) > 0, 60, "a decision")
    wait_for(lambda: _is_well(map_port, "alerts"), 30, "the map to say that all is well")
    fleet.flow(0)  # so that what was judged before is known to the reading
    wait_for(lambda: readings_judged(alerts) >= stage.ledger.count, 60, "the engine to judge what was made")
    before = readings_judged(alerts)
    alerts.kill()
    stage.fault()
    killed_s = time.monotonic()
    fleet.flow(500, IN_MESSAGE)
    wait_for(lambda: not _is_well(map_port, "alerts"), DEAD_MAN_LIMIT_S, "the map to say that nothing is judged")
    told_s = time.monotonic() - killed_s
    while time.monotonic() < killed_s + away_s:
        stage.say(f"the engine is away for {killed_s + away_s - time.monotonic():.0f} s more")
        time.sleep(0.5)
    stored = ingest.counts().get("stored", 0)
    wait_for(lambda: ingest.counts().get("stored", 0) > stored, 30, "readings to be stored meanwhile")
    alerts.start()
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    wait_for(lambda: before + readings_judged(alerts) >= stage.ledger.count, 90, "the engine to judge what it missed")
    judged_all = before + readings_judged(alerts)
    stage.expect(judged_all == stage.ledger.count, f"{judged_all:,} readings judged, {stage.ledger.count:,} made")
    wait_for(lambda: _is_well(map_port, "alerts"), 30, "the map to say that all is well again")
    began = _episodes(chain.board)
    stage.expect(bool(began), "no episode began: this run proves nothing")
    stage.expect(len(began) == len(set(began)), "an episode began twice")
    stage.note(
        f"engine away for {time.monotonic() - killed_s:.0f} s; the map said so after {told_s:.1f} s (limit "
        f"{DEAD_MAN_LIMIT_S:g} s); {stage.ledger.count:,} readings judged, {len(began)} episodes, none twice"
    )


def _is_well(map_port: int, service: str) -> bool:
    """Whether the map says that a service works."""
    with urllib.request.urlopen(f"http://127.0.0.1:{map_port}/api/v1/state", timeout=10) as reply:
        services = json.load(reply)["health"]["services"]
    return any(entry["service"] == service and entry["ok"] for entry in services)


def _episodes(board: Path) -> list[tuple[str, str, int]]:
    """Return asset, rule and beginning of all episodes."""
    connection = sqlite3.connect(f"{board.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT asset_id, rule, opened_ms FROM incidents").fetchall()
    finally:
        connection.close()


def workers_killed(stage: Stage) -> None:
    """Two ingest workers share the batches; one or the other is killed."""
    chain = stage.chain
    kills = stage.sized(6, 2)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway = chain.gateway(port)
    workers = [chain.ingest(port, store_port, number) for number in (1, 2)]
    start_all(gateway, *workers)
    fleet = stage.fleet(port)
    fleet.flow(2_000, IN_MESSAGE)
    shares = {worker.name: 0 for worker in workers}
    for number in range(kills):
        stage.say(f"kill {number + 1} of {kills}, {stage.ledger.count:,} readings made")
        wait_for(lambda: all(w.counts().get("stored", 0) > 0 for w in workers), 60, "both workers to store something")
        time.sleep(stage.random.uniform(0.1, 0.8))
        victim = workers[number % 2]
        shares[victim.name] += int(victim.counts().get("stored", 0))
        victim.kill()
        stage.fault()
        time.sleep(stage.random.uniform(0.1, 0.8))
        victim.start()
    stage.settle(fleet, gateway)
    for worker in workers:
        shares[worker.name] += int(worker.counts().get("stored", 0))
    stage.reconcile(store_port)
    stage.note("stored by each: " + ", ".join(f"{name} {count:,}" for name, count in shares.items()))
    least, made = min(shares.values()), stage.ledger.count
    stage.expect(least > made // 10, f"one worker stored only {least:,} of {made:,} readings")
    stage.expect(sum(shares.values()) < 1.5 * made, "both workers stored the same batches: nothing was shared")
