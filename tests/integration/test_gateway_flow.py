"""The gateway between real brokers: custody, repeats, stale acks, poison, latency."""

import base64
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gateway_process import (
    SITE,
    Fleet,
    GatewayProcess,
    Ingest,
    closing_all,
    start_broker,
    wait_settled,
)
from tests.services import Server, wait_until

pytestmark = pytest.mark.service


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Give each of the two brokers."""
    server = start_broker(request.param, tmp_path / "broker")
    yield server
    server.stop()


def test_readings_flow_and_custody_moves_with_the_acks(broker: Server, tmp_path: Path) -> None:
    """Device to ingest: all arrive once, all are acked, nothing waits at the end, counters agree."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port), Ingest(broker.port)
    with closing_all(gateway, fleet, ingest):
        for _ in range(20):
            fleet.measure(3)
            time.sleep(0.01)
        wait_until(lambda: fleet.held == 0, 10, "application acks")
        wait_until(lambda: len(ingest.keys()) == 300, 10, "300 readings at ingest")
        wait_settled(gateway)
        assert ingest.keys() == fleet.acked
        assert all(len(ids) == 1 for ids in ingest.ids_by_key().values())
        counts = gateway.counts()
        assert (counts["received"], counts["spooled"], counts["settled_stored"]) == (300, 300, 300)
        assert gateway.health()["ok"]
    assert gateway.process is not None
    assert gateway.process.returncode == 0


def test_publish_to_ingest_is_quick(broker: Server, tmp_path: Path) -> None:
    """A lone reading is at ingest well below 100 ms (median of 30), commit included."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port)
    with closing_all(gateway, fleet, ingest):
        ages_s = []
        for seq in range(1, 31):
            start_s = time.monotonic()
            fleet.measure()
            wait_until(lambda seq=seq: ("rsk-b001", 7, seq) in ingest.arrival_s, 5, "the reading")  # type: ignore[misc]
            ages_s.append(ingest.arrival_s["rsk-b001", 7, seq] - start_s)
            time.sleep(0.02)
        median_ms = 1000 * sorted(ages_s)[15]
        print(f"publish to ingest: median {median_ms:.1f} ms, worst {1000 * max(ages_s):.1f} ms")  # noqa: T201
        assert median_ms < 100


def test_a_repeat_is_acked_again_and_stored_once(broker: Server, tmp_path: Path) -> None:
    """A device that missed its ack gets another one; ingest never sees the reading twice."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port)
    message = b'{"v":1,"boot":9,"oldest_seq":1,"r":[{"seq":1,"ts":1795488752,"distance_mm":700}]}'
    with closing_all(gateway, fleet, ingest):
        fleet.publish("rsk-b009", "bin", message)
        wait_until(lambda: fleet.ack_messages == 1, 5, "the first ack")
        wait_settled(gateway)
        fleet.publish("rsk-b009", "bin", message)
        wait_until(lambda: fleet.ack_messages == 2, 5, "the second ack")
        time.sleep(0.3)
        assert len(ingest.rows) == 1
        assert gateway.counts()["duplicates"] == 1


def test_a_gap_that_the_device_admits_is_counted(broker: Server, tmp_path: Path) -> None:
    """oldest_seq beyond what arrived: the mark passes, the missing readings are a number in health."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port)
    with closing_all(gateway, fleet, ingest):
        fleet.publish("rsk-b009", "bin", b'{"v":1,"boot":9,"up_s":0,"r":[{"seq":1,"ts":1795488752,"fill_pct":0}]}')
        fleet.publish(
            "rsk-b009", "bin", b'{"v":1,"boot":9,"oldest_seq":41,"r":[{"seq":41,"ts":1795488800,"fill_pct":0}]}'
        )
        wait_until(lambda: gateway.counts()["missing_lost"] == 39, 5, "the gap 2..40")
        assert gateway.counts()["gaps"] == 1


def test_poison_goes_up_once_and_blocks_nothing(broker: Server, tmp_path: Path) -> None:
    """Unreadable messages reach ingest as evidence, one row each, and the flow goes on around them."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port, answers=False)
    with closing_all(gateway, fleet, ingest):
        for _ in range(3):
            fleet.publish("rsk-b009", "bin", b"\xff\xfe{")
        fleet.publish("rsk-b009", "bin", b'{"v":1,"boot":1,"r":[{"seq":1,"ts":NaN}]}')
        fleet.publish("rsk-b009", "status", b'{"v":1,"boot":9,"up_s":5,"fw":"1.0.0"}')
        fleet.measure()
        wait_until(lambda: len(ingest.rows) >= 4, 5, "two poisons, a status, a reading")
        wait_until(lambda: gateway.counts()["messages"] == 6, 5, "the repeats")
        assert gateway.counts()["spooled"] == 4
        for batch in list(ingest.batches):
            ingest.ack(batch)
        wait_settled(gateway)
        poison = [row for row in ingest.rows if row["kind"] == "poison"]
        assert sorted(base64.b64decode(row["raw"])[:2] for row in poison) == [b'{"', b"\xff\xfe"]
        assert {row["topic"] for row in poison} == {f"resik/{SITE}/rsk-b009/up/bin"}
        assert [row["body"]["fw"] for row in ingest.rows if row["kind"] == "status"] == ["1.0.0"]
        counts = gateway.counts()
        assert (counts["poison"], counts["presence"], counts["settled_dead"]) == (2, 1, 2)
        assert counts["spooled"] == counts["settled_stored"] + counts["settled_dead"] + counts["waiting"]


def test_a_quiet_gateway_is_heard_and_one_without_devices_broker_is_not(tmp_path: Path) -> None:
    """Without a single reading a heartbeat comes within 10 s; with the device broker away they end."""
    edge, city = start_broker("mosquitto", tmp_path / "edge"), start_broker("mosquitto", tmp_path / "city")
    ingest = Ingest(city.port)
    gateway = GatewayProcess(tmp_path, edge.port, uplink_port=city.port).start()
    with closing_all(edge, city, ingest, gateway):
        wait_until(lambda: ingest.heartbeats >= 2, 15, "two heartbeats")
        assert ingest.batches == []
        edge.stop()
        wait_until(lambda: not gateway.counts()["edge_connected"], 10, "the gateway to notice")
        before = gateway.counts()["heartbeats"]
        time.sleep(11)
        assert gateway.counts()["heartbeats"] == before
        assert gateway.counts()["uplink_connected"]


def test_stale_and_foreign_acks_settle_nothing(broker: Server, tmp_path: Path) -> None:
    """Answers for another spool, for rows that do not exist, or in no known shape leave custody alone."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port, answers=False)
    with closing_all(gateway, fleet, ingest):
        fleet.measure(5)
        wait_until(lambda: bool(ingest.batches), 5, "a batch")
        batch = ingest.batches[0]
        ingest.ack(batch, spool="0123456789abcdef")
        ingest.ack(batch, stored=[10**6])
        ingest.ack(batch, stored="all of them")
        wait_until(lambda: gateway.counts()["acks_foreign"] == 1, 5, "the foreign ack to be counted")
        wait_until(lambda: gateway.counts()["acks_bad"] == 1, 5, "the bad ack to be counted")
        assert gateway.counts()["waiting"] == 5
        wait_until(lambda: len(ingest.batches) >= 2, 10, "the batch to be sent again")
        assert ingest.batches[1]["batch"] == batch["batch"]
        ingest.ack(batch)
        wait_settled(gateway)


def test_an_untimed_reading_keeps_its_timestamp_across_a_restart(broker: Server, tmp_path: Path) -> None:
    """The anchor of a boot survives the gateway: readings of the boot keep their spacing."""
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port, devices=1), Ingest(broker.port, answers=False)
    with closing_all(gateway, fleet, ingest):
        fleet.publish("rsk-b009", "bin", b'{"v":1,"boot":9,"up_s":100,"r":[{"seq":1,"up_s":100,"fill_pct":1}]}')
        wait_until(lambda: len(ingest.rows) == 1, 5, "the first reading")
        gateway.kill()
        time.sleep(1.1)
        gateway.start()
        wait_until(lambda: len(ingest.rows) >= 2, 5, "the first reading again, from the spool")
        fleet.publish("rsk-b009", "bin", b'{"v":1,"boot":9,"up_s":101,"r":[{"seq":2,"up_s":101,"fill_pct":1}]}')
        wait_until(lambda: any(row["seq"] == 2 for row in ingest.rows), 5, "the second reading")
        times = {(row["seq"], row["ts_ms"]) for row in ingest.rows}
        assert len(times) == 2, "each reading has one time, before and after"
        first, second = (ts for _, ts in sorted(times))
        assert second - first == 1001  # 1 s of uptime, 1 ms of seq: not the 2.5 s that passed in between
        assert {row["time"] for row in ingest.rows} == {"anchor"}


def test_uplink_down_is_a_normal_state(tmp_path: Path) -> None:
    """With the city broker away readings are taken and acked; when it returns everything goes up once."""
    edge, city = start_broker("mosquitto", tmp_path / "edge"), start_broker("mosquitto", tmp_path / "city")
    gateway = GatewayProcess(tmp_path, edge.port, uplink_port=city.port).start()
    fleet = Fleet(edge.port)
    with closing_all(edge, city, gateway, fleet):
        city.stop()
        fleet.measure(10)
        wait_until(lambda: fleet.held == 0, 10, "acks without an uplink")
        wait_until(lambda: not gateway.counts()["uplink_connected"], 10, "the gateway to notice")
        health = gateway.health()
        assert health["ok"]
        assert "city broker" in health["reason"]
        city.start()
        ingest = Ingest(city.port)
        with closing_all(ingest):
            wait_until(lambda: len(ingest.keys()) == 50, 45, "the backlog")
            wait_settled(gateway)
            assert ingest.keys() == fleet.acked


def test_a_broker_that_loses_everything_costs_nothing(tmp_path: Path) -> None:
    """A broker killed with its state loses what is on the wire; devices and gateway send it again."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet, ingest = Fleet(broker.port), Ingest(broker.port)
    with closing_all(broker, gateway, fleet, ingest):
        for _ in range(3):
            fleet.measure(20)
            broker.kill()
            for state in (tmp_path / "broker").glob("*.db"):
                state.unlink()
            broker.start()
            wait_until(lambda: bool(gateway.counts()["edge_connected"]), 40, "the gateway to be back")
        fleet.settle(40)
        wait_settled(gateway)
        wait_until(lambda: fleet.acked <= ingest.keys(), 10, "everything acked at ingest")
        assert len(fleet.acked) == 300


def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    """Health names the broker, the user and the settings to check; the process keeps trying."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    (tmp_path / "wrong").write_text("not the password")
    gateway = GatewayProcess(tmp_path, broker.port, {"BROKER_PASSWORD_FILE": str(tmp_path / "wrong")})
    with closing_all(broker, gateway):
        gateway.start(wait=False)
        wait_until(lambda: "broker_password_file" in gateway.reason(), 20, "the reason in health")
        assert "'gateway'" in gateway.reason()
        assert not gateway.health()["ok"]


def test_the_commit_precedes_every_ack_on_the_wire(tmp_path: Path) -> None:
    """Each acked reading is found in the file as it was at the moment of the kill that followed the ack."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet = Fleet(broker.port)
    with closing_all(broker, gateway, fleet):
        for _ in range(10):
            fleet.measure(5)
        wait_until(lambda: len(fleet.acked) > 20, 10, "some acks")
        gateway.kill()
        acked = set(fleet.acked)
        connection = sqlite3.connect(gateway.spool_file)
        stored = set(connection.execute("SELECT device, boot, seq FROM rows"))
        connection.close()
        assert acked <= stored
