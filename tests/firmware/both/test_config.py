"""Configuration: what is refused and how it is said, and what is filled in."""

from firmware import wire  # the largest source: compiled while the heap is whole
from firmware.core import config

PARTS = {
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18},
    "tilt": {"type": "lis3dh", "bus": "i2c0", "int": 27},
    "lid": {"type": "switch", "pin": 25},
    "battery": {"pin": 34},
    "i2c0": {"scl": 22, "sda": 21},
}
GOOD = {
    "v": 1,
    "site": "alun-alun",
    "device": "rsk-b001",
    "kind": "bin",
    "wifi_ssid": "square",
    "wifi_psk": "12345678",
    "broker_host": "broker.example",
    "parts": PARTS,
}


def changed(**changes):
    made = dict(GOOD)
    made.update(changes)
    return made


def only_fault(made):
    faults = config.check(made)
    assert len(faults) == 1, faults
    key, text = faults[0].split(": ", 1)
    assert ", " in text, "no remedy: " + text
    return key


def test_a_whole_node_is_accepted():
    """A configuration with all that is required has no fault."""
    assert wire.is_id(GOOD["site"])
    assert config.check(GOOD) == []


def test_defaults_are_filled_in_parts_too():
    """What was left out has its default, a given value stays."""
    whole = config.complete(changed(interval_s=300))
    assert (whole["interval_s"], whole["broker_port"], whole["broker_tls"], whole["sleep"]) == (300, 8883, True, "deep")
    assert whole["parts"]["distance"]["blind_mm"] == 250
    assert whole["parts"]["tilt"]["addr"] == 24
    assert whole["parts"]["lid"]["active"] == 1
    assert whole["parts"]["battery"] == {"pin": 34, "ratio_milli": 2000}
    assert GOOD["parts"]["battery"] == {"pin": 34}


def test_each_fault_names_its_key():
    """One wrong value gives one fault, which begins with the key."""
    for key, value in (
        ("v", 2),
        ("site", "Alun Alun"),
        ("device", "x"),
        ("kind", "tree"),
        ("wifi_ssid", ""),
        ("wifi_psk", "1234567"),
        ("wifi_psk", "1234567\n"),
        ("broker_host", ""),
        ("broker_host", "a b"),
        ("broker_host", 5),
        ("broker_port", 0),
        ("broker_port", "8883"),
        ("broker_tls", 1),
        ("broker_tls", False),
        ("interval_s", 9),
        ("interval_s", True),
        ("interval_s", 600.0),
        ("interval_s", None),
        ("sleep", "light"),
        ("critical_mv", 3600),
        ("watchdog_s", 10),
        ("parts", []),
        ("intervall_s", 600),
    ):
        assert only_fault(changed(**{key: value})) == key, key


def test_every_fault_is_told_at_once():
    """Missing keys, a wrong value and an unknown key come together."""
    faults = config.check({"v": 1, "interval_s": 1, "x": 1})
    assert sorted([fault.split(":")[0] for fault in faults]) == [
        "broker_host",
        "device",
        "interval_s",
        "kind",
        "site",
        "wifi_psk",
        "wifi_ssid",
        "x",
    ]
    for nonsense in ([], None, 5, "x"):
        assert len(config.check(nonsense)) == 1


def test_a_plain_broker_is_for_loopback_only():
    """Without TLS only 127.* and localhost are accepted, not a name that merely begins alike."""
    for host in ("127.0.0.1", "127.1.2.3", "localhost"):
        assert config.check(changed(broker_tls=False, broker_host=host)) == []
    for host in ("10.0.0.1", "localhost.example", "127.0.0.1.example", "127.example", "broker.example"):
        assert only_fault(changed(broker_tls=False, broker_host=host)) == "broker_tls", host


def test_unknown_parts_are_refused_on_a_node_too():
    """A part of another kind or type is named, with the types that there are."""
    assert only_fault(changed(parts={"pm": {"type": "sps30"}})) == "parts.pm"
    assert config.check(changed(parts={"tilt": {"type": "x"}})) == [
        "parts.tilt: unknown for bin, give it a type: lis3dh, switch"
    ]
