"""Configuration of the brokers: who gets in, and where each may speak."""

import tomllib

import pytest

import square.site
from resik.brokers import embedded_configuration
from resik.errors import StackError
from resik.folder import DataFolder
from resik.stack import Stack, StackSettings


def test_embedded_broker_listens_on_loopback_and_knows_each_user():
    """Every principal has its own password, nobody else gets in, and only this machine can knock."""
    text = embedded_configuration(1883, {"rsk-b001": "one", "gateway": "two"})
    document = tomllib.loads(text)
    assert document["v4"]["1"]["listen"] == "127.0.0.1:1883"
    assert document["v4"]["1"]["connections"]["auth"] == {"rsk-b001": "one", "gateway": "two"}


@pytest.mark.parametrize("asked", [{"tls": True}, {"listen": "192.0.2.1:8883"}])
def test_only_mosquitto_listens_with_tls(tmp_path, asked):
    """A TLS listener that the chosen broker cannot have is refused, never left away in silence."""
    stack = Stack(StackSettings(broker="embedded", port=1, **asked), DataFolder(tmp_path / "data", "real"))
    with pytest.raises(StackError, match="use --broker mosquitto"), stack.running():
        pass
    assert stack.node_address is None


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [({"broker": "embedded"}, "--broker mosquitto"), ({"broker": "mosquitto"}, "--store influx1")],
)
def test_several_ingest_workers_need_a_broker_and_a_store_for_them(tmp_path, asked, remedy):
    """The embedded broker dies of shared subscriptions and the embedded store has one writer: refused at once."""
    with pytest.raises(StackError, match=remedy):
        Stack(StackSettings(port=1, ingest_workers=2, **asked), DataFolder(tmp_path / "data", "real"))


def test_a_stack_reads_its_site_once(tmp_path, monkeypatch):
    """Plan and registry are of one reading, so that they never differ."""
    read = []
    real = square.site.read_site
    monkeypatch.setattr(square.site, "read_site", lambda path: read.append(path) or real(path))
    stack = Stack(StackSettings(broker="embedded", port=1), DataFolder(tmp_path / "data", "real"))
    assert (len(read), len(stack.registry)) == (1, len(stack.site.devices))
