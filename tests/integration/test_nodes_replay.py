"""A recording replayed through a real broker: nothing lost, in time order, at the speed asked for."""

import threading
from collections import defaultdict

import pytest

from simulators import replay
from simulators.errors import ReplayError
from simulators.node import checksum
from simulators.replay import load_map, read_files, run_replay
from square.clock import ClockDriver, SharedClock
from tests.fakes.ledger import read_ledger
from tests.fakes.stub_gateway import StubGateway, broker_with_acl, gateway_thread

pytestmark = pytest.mark.service
START_S = 1_600_000_000
MAP = """\
schema = 1
name = "uji"
kind = "air"
[time]
column = "t"
format = "unix"
[device]
column = "d"
id = "uji-{value}"
[fields.pm25_ngm3]
column = "pm"
scale = 1000
[clock]
max_lag_s = 600
[site]
id = "uji-site"
name_id = "Uji"
name_en = "Test"
lon_column = "lon"
lat_column = "lat"
"""
DEVICES = tuple(f"uji-{d}" for d in "abcde")


@pytest.fixture
def chain(tmp_path):
    """Give a broker, credentials, a driven clock and the shared view of it."""
    passwords = {device: f"secret-{device}" for device in DEVICES}
    broker = broker_with_acl(tmp_path / "broker", passwords, "uji-site")
    driver = ClockDriver(tmp_path / "clock.bin")
    driver.set(START_S - 1, 0.0)
    yield broker, passwords, driver, SharedClock(tmp_path / "clock.bin")
    driver.close()
    broker.stop()


def record(tmp_path, minutes, step_s=60):
    rows = [f"{START_S + m * step_s},{d},{m % 70}.{m % 10},9.0,48.0" for m in range(minutes) for d in "abcde"]
    (tmp_path / "map.toml").write_text(MAP)
    (tmp_path / "data.csv").write_text("t,d,pm,lon,lat\n" + "\n".join(rows) + "\n")
    doc = load_map(tmp_path / "map.toml")
    return doc, read_files(doc, [tmp_path / "data.csv"])


def test_everything_arrives_in_order_through_a_broker_kill(tmp_path, chain):
    """2,000 rows over a broker kill: all stored, exact, in time order, flight bounded in number and time."""
    broker, passwords, driver, clock = chain
    doc, recording = record(tmp_path, 400)
    order, lags, flights = defaultdict(list), [], []
    killed = threading.Event()

    def seen(device, reading):
        order[device].append(reading["ts"])
        lags.append(clock.now_s() - reading["ts"])
        if len(lags) == 700:
            killed.set()

    def fault():
        assert killed.wait(60)
        broker.kill()
        broker.start()

    gateway = StubGateway(broker.port, "secret-gateway", site="uji-site", seen=seen)
    breaker = threading.Thread(target=fault)
    breaker.start()
    with gateway_thread(gateway):
        report = run_replay(
            doc,
            recording,
            broker_url=broker.url,
            passwords=passwords,
            driver=driver,
            ledger_file=tmp_path / "ledger.csv",
            in_flight_max=40,
            progress=lambda p: flights.append(p.sent - p.acked),
        )
    breaker.join(10)
    assert (report.rows_in, report.published, report.acked, report.rejected) == (2000, 2000, 2000, ())
    assert report.repeated > 0  # the kill did hit readings on their way
    ledger = read_ledger(tmp_path / "ledger.csv")
    assert {(e.device, e.boot, e.seq): (e.ts, e.values) for e in ledger} == {
        key: (r["ts"], checksum(r)) for key, r in gateway.stored.items()
    }
    expected = sorted((row.ts_s, row.device, row.fields["pm25_ngm3"]) for row in recording.rows)
    assert sorted((r["ts"], d, r["pm25_ngm3"]) for (d, _, _), r in gateway.stored.items()) == expected
    for times in order.values():
        first_seen = list(dict.fromkeys(times))
        assert first_seen == sorted(first_seen)
    assert max(flights) <= 40
    assert min(lags) >= -0.001  # no reading from the square's future
    assert max(lags) <= 600.001
    assert clock.now_s() == recording.end_s
    assert clock.speed() == 0.0


def test_speed_sets_the_pace(tmp_path, chain):
    """30 minutes at 600 x take 3 s of wall time, and the shared clock runs with them."""
    broker, passwords, driver, clock = chain
    doc, recording = record(tmp_path, 31)
    speeds = set()
    gateway = StubGateway(broker.port, "secret-gateway", site="uji-site", seen=lambda _d, _r: speeds.add(clock.speed()))
    with gateway_thread(gateway):
        report = run_replay(doc, recording, broker_url=broker.url, passwords=passwords, driver=driver, speed=600.0)
    assert report.acked == 155
    assert 2.9 <= report.wall_s < 8.0
    assert 600.0 in speeds


def test_a_long_step_of_the_clock_waits_for_what_is_downstream(tmp_path, chain):
    """Daily rows: before each day the replay asks what waits behind the gateway, and waits until nothing does."""
    broker, passwords, driver, clock = chain
    doc, recording = record(tmp_path, 4, step_s=86_400)
    asked = []

    def waiting():
        asked.append(clock.now_s())
        return 1 if len(asked) % 3 else 0

    with gateway_thread(StubGateway(broker.port, "secret-gateway", site="uji-site")):
        report = run_replay(
            doc,
            recording,
            broker_url=broker.url,
            passwords=passwords,
            driver=driver,
            downstream_waiting=waiting,
        )
    assert report.acked == 20
    assert len(asked) == 9  # three steps, the third answer lets each go on
    assert {round(at - START_S) // 86_400 for at in asked} == {0, 1, 2}


def test_the_same_recording_has_the_same_identities(tmp_path, chain):
    """Replayed twice, a recording gives the same (device, boot, seq), so that the second replay changes nothing."""
    broker, passwords, driver, _ = chain
    doc, recording = record(tmp_path, 5)
    stored = []
    for _ in range(2):
        gateway = StubGateway(broker.port, "secret-gateway", site="uji-site")
        with gateway_thread(gateway):
            run_replay(doc, recording, broker_url=broker.url, passwords=passwords, driver=driver)
        stored.append(gateway.stored)
    assert stored[0] == stored[1]


def test_a_dead_chain_ends_the_replay_with_a_reason(tmp_path, chain, monkeypatch):
    """Without a gateway the replay gives up after the stall limit and says how far it came."""
    monkeypatch.setattr(replay, "STALLED_AFTER_S", 1.0)
    broker, passwords, driver, _ = chain
    doc, recording = record(tmp_path, 5)
    with pytest.raises(ReplayError, match="after 0 of 25 readings"):
        run_replay(doc, recording, broker_url=broker.url, passwords=passwords, driver=driver)
