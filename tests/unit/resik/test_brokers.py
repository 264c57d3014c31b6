"""Configuration of the brokers: who gets in, and where each may speak."""

import tomllib

from firmware import wire
from resik.brokers import access_list, embedded_configuration


def test_embedded_broker_listens_on_loopback_and_knows_each_user():
    """Every principal has its own password, nobody else gets in, and only this machine can knock."""
    text = embedded_configuration(1883, {"rsk-b001": "one", "gateway": "two"})
    document = tomllib.loads(text)
    assert document["v4"]["1"]["listen"] == "127.0.0.1:1883"
    assert document["v4"]["1"]["connections"]["auth"] == {"rsk-b001": "one", "gateway": "two"}


def test_access_list_follows_the_grammar():
    """A device writes only below its own name, and every topic of the grammar has exactly the writers it needs."""
    lines = access_list("alun", ["rsk-b001", "rsk-b002"]).splitlines()
    rights = {}
    for line in lines:
        if line.startswith("user "):
            user = line.removeprefix("user ")
            rights[user] = set()
        else:
            _topic, right, pattern = line.split(" ")
            rights[user].add((right, pattern))
    assert rights["rsk-b001"] == {("write", "resik/alun/rsk-b001/up/+"), ("read", "resik/alun/rsk-b001/down/+")}
    writers = {user for user, found in rights.items() if ("write", "resik/alun/gw/+/batch") in found}
    assert writers == {"gateway-uplink"}
    assert ("write", "resik/alun/gw/+/ack") in rights["ingest"]
    assert not any(right != "read" and "gw" in pattern for right, pattern in rights["alerts"])
    for service in ("gateway", "ingest", "alerts"):
        assert ("readwrite", wire.topic_probe("alun", service).replace(f"/{service}/", "/+/")) in rights[service]
