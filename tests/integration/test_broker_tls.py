"""TLS of a generated broker: who is let in, who is refused, how it is renewed, and 200 nodes that come at once."""

import asyncio
import random
import socket
import ssl
import time

import pytest

from firmware import wire
from resik import broker_tls
from simulators.errors import LinkError
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable
from square.mqtt import MqttConnection
from tests.fakes import certificates
from tests.fakes.stub_gateway import until
from tests.firmware.net.talk import talk
from tests.integration.broker_bench import SITE, BrokerBench
from tests.services import require

pytestmark = pytest.mark.service

NODES = [f"rsk-n{number:04}" for number in range(1, 201)]
JITTER_S = 3.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Start a broker for 200 nodes more."""
    bench = BrokerBench(tmp_path_factory.mktemp("tls"), bins=len(NODES)).start()
    yield bench
    bench.stop()


def shown_certificate(bench):
    """Return the certificate that the broker shows, DER."""
    with (
        socket.create_connection(("127.0.0.1", bench.tls_port), 5) as sock,
        bench.trust().wrap_socket(sock, server_hostname="127.0.0.1") as tls,
    ):
        return tls.getpeercert(binary_form=True)


def service(bench, name, root, host="127.0.0.1"):
    """Return a connection of a service by TLS."""
    endpoint = MqttEndpoint(host, bench.tls_port, tls=True, username=name, password=bench.secret(name), ca_file=root)
    return MqttConnection(endpoint, name, clean=True)


def test_a_service_connects_with_the_root_and_refuses_another_in_one_sentence(bench, tmp_path):
    """Our root is enough; with another root, or none, nothing is sent, and the sentence names the setting."""
    connection = service(bench, "ingest", bench.folder.papers.root)
    connection.start()
    connection.wait_connected()
    connection.stop()
    other = broker_tls.Papers(tmp_path)
    broker_tls.make_root(other, "small")  # same name, other key
    for root in (other.root, None):
        connection = service(bench, "ingest", root)
        connection.start()
        with pytest.raises(BrokerUnavailable, match=r"certificate that is not trusted \(.*\): check broker_ca_file"):
            connection.wait_connected(0.3)
        assert not connection.connected
        connection.stop()


def test_a_service_refuses_a_wrong_name(bench, monkeypatch):
    """The right root under a name that is not in the certificate is refused."""
    resolve = socket.getaddrinfo

    def here(host, *rest, **options):
        return resolve("127.0.0.1" if host == "elsewhere.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    connection = service(bench, "ingest", bench.folder.papers.root, "elsewhere.test")
    connection.start()
    with pytest.raises(BrokerUnavailable, match=r"not trusted \(.*elsewhere\.test.*and the name in broker_url"):
        connection.wait_connected(0.3)
    connection.stop()


def test_a_service_that_meets_no_tls_says_so(bench):
    """`mqtts://` at the plain port is told apart from a wrong certificate."""
    endpoint = MqttEndpoint("127.0.0.1", bench.port, tls=True, username="ingest", ca_file=bench.folder.papers.root)
    connection = MqttConnection(endpoint, "ingest", clean=True)
    connection.start()
    with pytest.raises(BrokerUnavailable, match=r"(speaks no TLS that we accept|accepts connections but no MQTT)"):
        connection.wait_connected(0.3)
    connection.stop()


def test_old_tls_and_plain_text_are_refused_by_the_broker(bench):
    """TLS 1.1 gets the alert that it is not spoken, TLS 1.2 a session with forward secrecy, plain text none."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", bench.tls_port), 5) as sock, pytest.raises(ssl.SSLError) as caught:
        old.wrap_socket(sock)
    assert "ALERT_PROTOCOL_VERSION" in str(caught.value)
    new = bench.trust()
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", bench.tls_port), 5) as sock,
        new.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        assert tls.version() == "TLSv1.2"
        assert tls.cipher()[0].startswith("ECDHE-ECDSA-")

    async def plain():
        bench.port, port = bench.tls_port, bench.port
        try:
            with pytest.raises(LinkError):
                await bench.link(NODES[0])
        finally:
            bench.port = port

    asyncio.run(plain())


def test_the_node_itself_accepts_our_certificate_and_no_other(bench, tmp_path):
    """The node's own client on MicroPython comes as far as the login with our ca.der, and nowhere with another."""
    other = broker_tls.Papers(tmp_path)
    broker_tls.make_root(other, "small")
    plan = {"port": bench.tls_port, "name": ""}
    right, wrong = talk(
        plan | {"ca": str(bench.folder.papers.root_der)}, plan | {"ca": str(other.root_der), "id": "never-seen"}
    )
    assert (right["error"], right["step"]) == ("Refused", "connack")  # it has no user name
    assert wrong["error"] == "TlsRefused"
    assert "never-seen" not in bench.log


def test_renewing_needs_no_node(bench):
    """A new certificate is shown after `renew` without a restart; who is connected stays, who pins the root gets in."""
    before = shown_certificate(bench)
    root = bench.folder.papers.root_der.read_bytes()

    async def scenario():
        node = await bench.link(NODES[0], tls=True)
        await asyncio.to_thread(bench.run, "renew")
        after = before
        for _ in range(100):
            after = await asyncio.to_thread(shown_certificate, bench)
            if after != before:
                break
            await asyncio.sleep(0.05)
        assert after != before
        await node.link.publish(wire.topic_up(SITE, NODES[0], "bin"), b"x")
        assert node.lost_at is None
        (await bench.link(NODES[1], tls=True)).link.close()

    asyncio.run(scenario())
    assert bench.folder.papers.root_der.read_bytes() == root


def test_check_warns_a_month_before_the_end_and_init_renews(bench, monkeypatch):
    """29 days: a warning that names the day; an hour after the end: wrong; `init` makes a new one by itself."""
    for days, code, words in ((30, 0, "ends on"), (1, 1, "expired on")):
        # certificates begin a day early: 30 days are 29 from now, and one day is over in this moment
        monkeypatch.setattr(broker_tls, "SERVER_DAYS", days)
        bench.run("renew")
        said = bench.run("check", code=code)
        assert words in said
        assert ("awas" if code == 0 else "salah") in next(line for line in said.splitlines() if words in line)
    monkeypatch.undo()
    bench.run("init")
    said = bench.run("check")
    assert "ends on" not in said
    assert "expired" not in said


def test_two_hundred_nodes_come_back_together(bench):
    """A broker killed under 200 TLS nodes: with full jitter all are back and heard within the jitter and 20 s."""
    tls = bench.trust()
    bench.trust = lambda: tls  # one context for all, as reading the root 200 times is not what is measured
    chance = random.Random(5)

    async def come(name):
        for _attempt in range(20):
            await asyncio.sleep(chance.uniform(0, JITTER_S))
            try:
                return await bench.link(name, tls=True)
            except (LinkError, OSError):
                continue
        raise AssertionError(f"{name} did not come back")

    async def scenario():
        first = await asyncio.gather(*(bench.link(name, tls=True) for name in NODES))
        await asyncio.to_thread(bench.server.kill)
        await until(lambda: all(user.lost_at is not None for user in first), 10, "all to notice")
        await asyncio.to_thread(bench.server.start)
        gateway = await bench.link("gateway")
        await gateway.link.subscribe([f"resik/{SITE}/+/up/+"])
        started = time.monotonic()
        users = await asyncio.gather(*(come(name) for name in NODES))
        for user in users:
            await user.link.publish(wire.topic_up(SITE, user.name, "bin"), b"back")
        await until(lambda: len(gateway.heard) >= len(NODES), 10, "all to be heard")
        took_s = time.monotonic() - started
        assert {topic.split("/")[2] for topic, _ in gateway.heard} == set(NODES)
        assert all(user.lost_at is None for user in users)
        assert took_s < JITTER_S + 20
        print(f"200 TLS nodes back and heard in {took_s:.1f} s")  # noqa: T201 - shown by -rP
        for user in (*users, gateway):
            user.link.close()

    asyncio.run(scenario())


def test_a_certificate_from_elsewhere_is_seen_through_before_it_is_taken(tmp_path):
    """A pair that fits is taken with its root for the nodes; one that cannot work is refused, and nothing changes."""
    require("mosquitto")
    bench = BrokerBench(tmp_path / "bench")
    root = certificates.authority()
    (tmp_path / "root.crt").write_bytes(root.certificate.public_bytes(certificates.serialization.Encoding.PEM))
    good = certificates.server(tmp_path, "good", root)
    other = certificates.server(tmp_path, "other", certificates.authority())
    past = certificates.server(tmp_path, "past", root, valid_days=(-30, -1))
    before = {path: path.read_bytes() for path in bench.folder.papers.folder.iterdir()}

    def init(certificate, key, *more, code=2):
        return bench.run("init", "--tls-cert", str(certificate), "--tls-key", str(key), *more, code=code)

    ca = ("--tls-ca", str(tmp_path / "root.crt"))
    assert "is not the key of" in init(good[0], other[1], *ca)
    assert "name it with --tls-ca" in init(*good)
    assert "does not lead to the root" in init(*other, *ca)
    assert "expired on" in init(*past, *ca)
    assert {path: path.read_bytes() for path in bench.folder.papers.folder.iterdir()} == before
    init(*good, *ca, code=0)
    assert bench.folder.papers.root_der.read_bytes() == root.der
    assert bench.folder.papers.server.read_bytes() == good[0].read_bytes()
    assert "the certificate" in bench.run("check")
    assert "comes from elsewhere" in bench.run("renew", code=2)
