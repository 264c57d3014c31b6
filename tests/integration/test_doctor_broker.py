"""What the doctor says of a real broker: who may log in, whether a message comes back, until when it is trusted."""

import pytest

from resik import broker_check, checkup_broker
from resik.inspection import read_card, write_card
from square.site import load_site
from tests.fakes import certificates
from tests.services import start_mosquitto
from tests.unit.resik.test_doctor import chain_in

pytestmark = pytest.mark.service

SITE = load_site("alun-alun-pasuruan").id
PROBE = f"resik/{SITE}/sv/monitor/probe"


def chain_at(folder, url, password="right", ca_file=None, kind="external", **healths):  # noqa: S107 - of a test broker
    """Make a chain with this broker, and the password that the doctor has."""
    chain = chain_in(folder, **healths)
    card = folder / "run" / "stack.json"
    write_card(card, type(read_card(folder))(**{
        **{name: getattr(chain.card, name) for name in chain.card.__struct_fields__},
        "broker": kind, "broker_url": url, "broker_ca_file": None if ca_file is None else str(ca_file),
    }))  # fmt: skip
    chain.card = read_card(folder)
    if password is not None:
        (folder / "secrets").mkdir(exist_ok=True)
        (folder / "secrets" / "monitor").write_text(password)
    return chain


@pytest.fixture
def quick(monkeypatch):
    """Wait half a second where a person waits five."""
    monkeypatch.setattr(checkup_broker, "ANSWER_S", 0.6)


def states(chain):
    return [(found.link, found.state) for found in checkup_broker.login_and_probe(chain)]


def test_login_and_probe_are_told_apart(tmp_path, quick):
    """A wrong password is the login; a swallowed message is the probe, a remark while the gateway's own return."""
    acl = f"user monitor\ntopic readwrite {PROBE}\n"
    server = start_mosquitto(tmp_path / "open", users={"monitor": "right"}, acl=acl)
    try:
        assert states(chain_at(tmp_path / "1", server.url)) == [("credentials", "ok"), ("probe", "ok")]
        assert states(chain_at(tmp_path / "2", server.url, "wrong")) == [("credentials", "broken")]
        assert states(chain_at(tmp_path / "3", server.url, None)) == [("credentials", "unknown")]
        assert checkup_broker.broker(chain_at(tmp_path / "4", server.url)).state == "ok"
    finally:
        server.stop()
    assert checkup_broker.broker(chain_at(tmp_path / "5", server.url)).state == "broken"
    server = start_mosquitto(tmp_path / "shut", users={"monitor": "right"}, acl="user other\ntopic readwrite x\n")
    try:
        assert states(chain_at(tmp_path / "6", server.url)) == [("credentials", "ok"), ("probe", "broken")]
        well = {"counts": {"edge_connected": 1, "uplink_connected": 1}}
        assert states(chain_at(tmp_path / "7", server.url, gateway=well)) == [("credentials", "ok"), ("probe", "note")]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("days", "state", "words"), [(90, "ok", "valid for 8"), (10, "note", "valid for 9"), (-1, "broken", "expired")]
)
def test_certificates_are_seen_before_they_end(tmp_path, days, state, words):
    """Three weeks ahead it is a remark; one that ended is a break, whatever else answers."""
    root = certificates.authority()
    ca_file = tmp_path / "root.pem"
    ca_file.write_bytes(root.certificate.public_bytes(certificates.serialization.Encoding.PEM))
    papers = certificates.server(tmp_path, "mine", root, valid_days=(-10, days))
    server = start_mosquitto(tmp_path / "broker", tls=papers)
    try:
        chain = chain_at(tmp_path / "data", f"mqtts://127.0.0.1:{server.port}", ca_file=ca_file)
        found = checkup_broker.certificates(chain)
    finally:
        server.stop()
    assert found is not None
    assert found.state == state
    assert words in found.what.en


def test_without_tls_there_is_nothing_to_date(tmp_path):
    """A plain broker on loopback and a file have no certificates."""
    assert checkup_broker.certificates(chain_at(tmp_path, "mqtt://127.0.0.1:1")) is None


def test_a_mosquitto_of_the_stack_is_heard_speaking_of_itself(tmp_path):
    """Its access list gives our user nothing but that."""
    server = start_mosquitto(tmp_path / "b", users={"monitor": "right"}, acl="user monitor\ntopic read $SYS/#\n")
    try:
        chain = chain_at(tmp_path / "data", server.url, kind="mosquitto")
        assert states(chain) == [("credentials", "ok"), ("probe", "ok")]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("levels", "state"), [(["good", "warn", "bad"], "broken"), (["good", "warn"], "note"), (["good"], "ok")]
)
def test_the_files_of_a_mosquitto_are_judged_by_the_worst(tmp_path, monkeypatch, levels, state):
    """What `resik broker check` calls bad is a break, what it warns of a remark; of other brokers nothing is said."""
    found = [broker_check.Finding(level, f"this is {level}") for level in levels]
    monkeypatch.setattr(broker_check, "findings", lambda _folder: found)
    looked = checkup_broker.broker_files(chain_at(tmp_path, "mqtt://127.0.0.1:1", kind="mosquitto"))
    assert looked.state == state
    assert state == "ok" or f"this is {levels[-1]}" in looked.what.en
    assert checkup_broker.broker_files(chain_at(tmp_path, "mqtt://127.0.0.1:1")) is None
