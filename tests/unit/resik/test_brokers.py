"""Configuration of the brokers: who gets in, and where each may speak."""

import tomllib

from resik.brokers import embedded_configuration


def test_embedded_broker_listens_on_loopback_and_knows_each_user():
    """Every principal has its own password, nobody else gets in, and only this machine can knock."""
    text = embedded_configuration(1883, {"rsk-b001": "one", "gateway": "two"})
    document = tomllib.loads(text)
    assert document["v4"]["1"]["listen"] == "127.0.0.1:1883"
    assert document["v4"]["1"]["connections"]["auth"] == {"rsk-b001": "one", "gateway": "two"}
