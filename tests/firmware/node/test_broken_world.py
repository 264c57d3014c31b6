"""What the world does to a node: clocks, certificates, brokers and sensors that fail; it says so, and recovers."""

import itertools
from pathlib import Path

import pytest

from tests.fakes import certificates
from tests.fakes.hostile_broker import HostileBroker
from tests.firmware.node import rig
from tests.services import Server, start_mosquitto

pytestmark = pytest.mark.service


def readings_of(gateway: rig.Gateway, device: str) -> list[dict]:
    return [reading for name, _, reading in gateway.readings if name == device]


def statuses_of(gateway: rig.Gateway, device: str) -> list[dict]:
    return [status for name, status in gateway.statuses if name == device]


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ntp", ["absent", "wrong"])
def test_without_a_time_the_uptime_is_told(tmp_path: Path, broker: Server, gateway: rig.Gateway, ntp: str) -> None:
    """No time server, or one that says 2020: readings carry the uptime, which counts over sleep, and no time."""
    device = f"rsk-ntp-{ntp}"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port)
    node.folder.set_net(ntp=ntp)
    for _ in range(3):
        node.boot()
    found = readings_of(gateway, device)
    assert [reading["seq"] for reading in found] == [1, 2, 3]
    assert all("ts" not in reading for reading in found)
    steps = [later["up_s"] - earlier["up_s"] for earlier, later in itertools.pairwise(found)]
    assert all(597 <= step <= 603 for step in steps), steps
    assert all(status["faults"] & 4 for status in statuses_of(gateway, device))
    node.folder.set_net(ntp="answer")
    node.boot()
    node.boot()
    last = readings_of(gateway, device)[-1]
    assert abs(last["ts"] - (rig.NOON_S + 4 * 600)) <= 5


def test_a_power_cut_begins_a_new_boot_and_repeats_nothing(
    tmp_path: Path, broker: Server, gateway: rig.Gateway
) -> None:
    """Without battery RTC memory is gone: numbers begin again under another boot, old readings keep theirs."""
    node = rig.node(tmp_path / "node", rig.config("rsk-cut"), port=broker.port)
    node.boot()
    node.folder.set_net(wifi={"state": "no-ap"})
    node.boot()
    node.power_cut()
    node.folder.set_net(wifi={"state": "up"})
    node.boot()
    found = [(boot, seq) for name, boot, seq in gateway.identities() if name == "rsk-cut"]
    assert len(set(found)) == len(found) == 3
    first, second = found[0][0], next(boot for boot, _ in found if boot != found[0][0])
    assert set(found) == {(first, 1), (first, 2), (second, 1)}


# -- brokers --------------------------------------------------------------------------------------


def test_a_gateway_that_never_answers(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Three sends without an ack are a fault in the status; nothing is forgotten, and all of it goes later."""
    node = rig.node(tmp_path / "node", rig.config("rsk-deaf"), port=broker.port)
    gateway.answer = lambda *_: None
    boot = node.boot()
    assert boot.outcome == "sleep"
    assert boot.ended_ms - boot.began_ms <= 90_000, "awake_max_s bounds the wake"
    assert len(readings_of(gateway, "rsk-deaf")) == 3
    node.boot()
    assert statuses_of(gateway, "rsk-deaf")[-1]["faults"] & 1
    gateway.answer = gateway.acknowledge
    node.boot()
    node.boot()
    assert {reading["seq"] for reading in readings_of(gateway, "rsk-deaf")} == {1, 2, 3, 4}
    status = statuses_of(gateway, "rsk-deaf")[-1]
    assert (status["queue"], status["no_ack"], status["faults"] & 1) == (1, 0, 0)


def test_patience_with_a_silent_gateway_is_shorter_than_the_watchdog(
    tmp_path: Path, broker: Server, gateway: rig.Gateway
) -> None:
    """Settings that let it wait for acks longer than its watchdog end in sleep, not in one reset after another."""
    gateway.answer = lambda *_: None
    settings = rig.config("rsk-patient", watchdog_s=60, ack_wait_s=120, awake_max_s=300)
    node = rig.node(tmp_path / "node", settings, port=broker.port)
    assert [node.boot().outcome for _ in range(3)] == ["sleep"] * 3


def test_an_ack_that_comes_twice_and_one_that_is_not_meant(
    tmp_path: Path, broker: Server, gateway: rig.Gateway
) -> None:
    """Acks of another boot free nothing, repeated ones nothing more."""
    node = rig.node(tmp_path / "node", rig.config("rsk-twice"), port=broker.port)

    def odd(device: str, boot: int, readings: list[dict]) -> bytes:
        gateway.send(device, "ack", {"v": 1, "boot": (boot + 1) & 0xFFFFFFFF, "upto": 4_000_000_000})
        ack = gateway.acknowledge(device, boot, readings)
        gateway.send(device, "ack", ack)
        return ack

    gateway.answer = odd
    for _ in range(3):
        assert node.boot().outcome == "sleep"
    assert [reading["seq"] for reading in readings_of(gateway, "rsk-twice")] == [1, 2, 3]


HOSTILE = (
    "silent", "reset", "no-connack", "connack-3", "connack-5", "drip", "no-suback", "suback-128", "no-puback",
    "puback-twice", "puback-wrong-id", "half-close", "half-hold", "flood-0", "flood-1", "huge", "giant", "bad-length",
)  # fmt: skip


@pytest.mark.parametrize("behaviour", HOSTILE)
def test_a_hostile_broker_never_holds_a_node(tmp_path: Path, behaviour: str) -> None:
    """Whatever a broker does, a wake ends within awake_max_s or by the watchdog, and the reading is still on flash."""
    with HostileBroker(behaviour) as broker:
        node = rig.node(tmp_path / "node", rig.config("rsk-hostile"), port=broker.port, pace=1000)
        boot = node.boot()
    assert boot.outcome in {"sleep", "reset"}, node.folder.serial.read_text()
    assert boot.ended_ms - boot.began_ms <= 125_000
    assert boot.lines[0].startswith("reading")
    assert list((node.folder.flash / "q" / "s").iterdir())


# -- certificates ---------------------------------------------------------------------------------


def test_a_cold_clock_and_tls(
    tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int]
) -> None:
    """After power-on the clock stands in 2000: time first, then TLS, in 96 KB; the next reading has its time."""
    server, plain = tls_broker
    gateway = rig.Gateway(plain)
    try:
        node = rig.tls_node(tmp_path / "node", papers, "rsk-tls", server.port)
        begun_s = node.unix_ms // 1000
        boots = [node.boot() for _ in range(3)]
        assert [boot.outcome for boot in boots] == ["sleep"] * 3, node.folder.serial.read_text()
        found = readings_of(gateway, "rsk-tls")
        assert [reading["seq"] for reading in found] == [1, 2, 3]
        assert "ts" not in found[0]
        assert abs(found[1]["ts"] - begun_s - 600) <= 5
        assert statuses_of(gateway, "rsk-tls")[-1]["tls_refused"] == 0
    finally:
        gateway.close()


@pytest.mark.parametrize("device", ["rsk", "rsk-by-the-gate-of-the-old-town1"])
def test_names_of_any_length_fit(
    tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int], device: str
) -> None:
    """The shortest and the longest names that a configuration may have: rounds over TLS go as ever in 96 KB."""
    server, plain = tls_broker
    gateway = rig.Gateway(plain)
    wide = len(device) == 32
    names = {"wifi_ssid": "w" * 32, "wifi_psk": "p" * 63, "ntp_host": "n" * 60 + ".net"} if wide else {"wifi_ssid": "w"}
    try:
        node = rig.tls_node(tmp_path / "node", papers, device, server.port, **names)
        node.folder.write("secret", b"s" * 43)
        for _ in range(4):
            assert node.boot().outcome == "sleep"
        assert [reading["seq"] for reading in readings_of(gateway, device)] == [1, 2, 3, 4]
        assert "memory" not in node.folder.serial.read_text()
    finally:
        gateway.close()


def test_without_any_time_a_certificate_is_judged_by_the_floor(
    tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int]
) -> None:
    """No time server and a cold clock: readings get through over TLS, with their uptime."""
    server, plain = tls_broker
    gateway = rig.Gateway(plain)
    try:
        node = rig.tls_node(tmp_path / "node", papers, "rsk-floor", server.port)
        node.folder.set_net(ntp="absent")
        node.boot()
        node.boot()
        found = readings_of(gateway, "rsk-floor")
        assert [reading["seq"] for reading in found] == [1, 2]
        assert all("ts" not in reading for reading in found)
    finally:
        gateway.close()


@pytest.mark.parametrize("wrong", certificates.WRONG)
def test_a_wrong_certificate_is_refused_and_told(
    tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int], wrong: str
) -> None:
    """Nothing goes to a broker that is not proved; how often that was shows in the status afterwards."""
    good, plain = tls_broker
    bad = start_mosquitto(tmp_path / "bad", tls=papers.servers[wrong])
    device = f"rsk-{wrong}"
    gateway = rig.Gateway(plain)
    try:
        node = rig.tls_node(tmp_path / "node", papers, device, bad.port)
        for _ in range(2):
            assert node.boot().outcome == "sleep"
        log = (tmp_path / "bad" / "mosquitto.log").read_text()
        assert device not in log
        node.folder.set_net(broker={"host": "127.0.0.1", "port": good.port})
        for _ in range(10):  # on a busy machine a handshake may miss its deadline
            node.boot()
            if {1, 2, 3, 4} <= {reading["seq"] for reading in readings_of(gateway, device)}:
                break
        assert {1, 2, 3, 4} <= {reading["seq"] for reading in readings_of(gateway, device)}
        status = statuses_of(gateway, device)[-1]
        assert status["tls_refused"] == 2, "refused twice, and never again"
        assert status["faults"] & 16
    finally:
        gateway.close()
        bad.stop()


# -- sensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "state", "gone"),
    [
        ({"faults": {"distance": "no-echo"}}, "no-echo", "distance_mm"),
        ({"faults": {"distance": "dead"}}, "sensor-fault", "distance_mm"),
        ({"faults": {"distance": "stuck"}}, "sensor-fault", "distance_mm"),
        ({"faults": {"distance": "near"}}, "obstructed", "distance_mm"),
        ({"faults": {"distance": "wild"}}, "no-echo", "distance_mm"),
        ({"faults": {"temp": "all-zero"}}, "ok", "temp_cdeg"),
        ({"faults": {"temp": "power-on"}}, "ok", "temp_cdeg"),
        ({"faults": {"temp": "bad-crc"}}, "ok", "temp_cdeg"),
        ({"faults": {"temp": "dead"}}, "ok", "temp_cdeg"),
        ({"tilt_deg": 90}, "tilted", "distance_mm"),
        ({"water": True}, "water", "distance_mm"),
    ],
)
def test_sick_sensors_of_a_bin(  # noqa: PLR0917
    tmp_path: Path, broker: Server, gateway: rig.Gateway, world: dict, state: str, gone: str
) -> None:
    """The state says what is wrong, no value is invented, and the reading goes out all the same."""
    node = rig.node(tmp_path / "node", rig.config("rsk-sick"), port=broker.port)
    node.folder.set_world(**world)
    assert node.boot().outcome == "sleep"
    reading = readings_of(gateway, "rsk-sick")[-1]
    assert reading["state"] == state
    assert gone not in reading
    assert reading["battery_mv"] == 3900


@pytest.mark.parametrize("fault", ["torn", "bad-checksum", "silent"])
def test_sick_particle_sensors(tmp_path: Path, broker: Server, gateway: rig.Gateway, fault: str) -> None:
    """A torn frame is found again; wrong or no frames give no particles, and the climate is told all the same."""
    node = rig.node(tmp_path / "node", rig.config("rsk-dust", "air"), port=broker.port)
    node.folder.set_world(faults={"pm": fault})
    assert node.boot().outcome == "sleep"
    reading = readings_of(gateway, "rsk-dust")[-1]
    assert (reading["state"], reading["rh_cpct"]) == ("ok", 7000)
    assert ("pm25_ngm3" in reading) == (fault == "torn")


def test_a_flat_battery_saves_itself(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Below the low limit a node sleeps twice as long at least, below the critical one four times."""
    node = rig.node(tmp_path / "node", rig.config("rsk-flat"), port=broker.port)
    waits_s = []
    for battery_mv in (3900, 3450, 3250):
        node.folder.set_world(battery_mv=battery_mv)
        boot = node.boot()
        waits_s.append((boot.sleep_ms or 0) // 1000)
    assert 590 <= waits_s[0] <= 600
    assert waits_s[1] >= 1190
    assert waits_s[2] >= 2390
    assert statuses_of(gateway, "rsk-flat")[-1]["faults"] & 32
