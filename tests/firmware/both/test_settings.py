"""Settings from the gateway: in force at once, gone when they are bad."""

import json

from firmware import wire  # the largest source: compiled while the heap is whole
from firmware.core import config
from tests.firmware.both.ram_files import RamFiles

GOOD = {
    "v": 1,
    "site": "alun-alun",
    "device": "rsk-b001",
    "kind": "bin",
    "wifi_ssid": "square",
    "wifi_psk": "12345678",
    "broker_host": "broker.example",
}


def node(**files):
    made = RamFiles()
    made.content["/config.json"] = json.dumps(GOOD).encode()
    for name, data in files.items():
        made.content["/config." + name] = data
    return made


def test_a_node_without_sound_provisioning_says_why():
    """Missing, broken and wrong config.json raise with the faults; nothing is guessed."""
    for data in (None, b"", b"{", b"[]", b"\xff\xfe", b'{"v":1}', json.dumps(dict(GOOD, pins=1)).encode()):
        files = node()
        if data is None:
            files.remove("/config.json")
        else:
            files.content["/config.json"] = data
        try:
            config.Settings(files)
        except config.ConfigError as error:
            assert error.faults
            continue
        raise AssertionError("was accepted")


def test_provisioning_alone_is_complete():
    """Without a set of the gateway every key has the value of provisioning or its default."""
    settings = config.Settings(node())
    assert (settings.active["interval_s"], settings.version, settings.trial, settings.bad) == (600, 0, False, "")


def test_a_sound_set_holds_at_once_and_after_a_restart():
    """A set without a new way to the broker is good from now on; the next one replaces it whole."""
    files = node()
    settings = config.Settings(files)
    assert settings.offer({"v": 1, "cfg": 3, "set": {"interval_s": 300, "low_mv": 3600}}) == "ok"
    for one in (settings, config.Settings(files)):
        assert (one.version, one.active["interval_s"], one.active["low_mv"], one.trial) == (3, 300, 3600, False)
    assert settings.offer({"v": 1, "cfg": 4, "set": {"low_mv": 3550}}) == "ok"
    assert config.Settings(files).active["interval_s"] == 600


def test_a_wrong_set_changes_nothing_and_is_reported():
    """Wrong type, unknown key, provisioned key, older number, nonsense: refused by name, the good one stays."""
    files = node()
    settings = config.Settings(files)
    settings.offer({"cfg": 5, "set": {"interval_s": 300}})
    for message, code in (
        ({"cfg": 6, "set": {"interval_s": "300"}}, "bad-value interval_s"),
        ({"cfg": 6, "set": {"interval_s": 5}}, "bad-value interval_s"),
        ({"cfg": 6, "set": {"critical_mv": 9000}}, "bad-value critical_mv"),
        ({"cfg": 6, "set": {"device": "rsk-b002"}}, "bad-key device"),
        ({"cfg": 6, "set": {"broker_tls": False}}, "bad-key broker_tls"),
        ({"cfg": 6, "set": {"x" * 60: 1}}, "bad-key " + "x" * 24),
        ({"cfg": 6, "set": [1]}, "bad-message"),
        ({"cfg": "6", "set": {}}, "bad-message"),
        ({"cfg": wire.U32_MAX + 1, "set": {}}, "bad-message"),
        ({"set": {}}, "bad-message"),
        ({"cfg": 4, "set": {}}, "bad-old"),
    ):
        assert settings.offer(message) == code
        assert settings.bad == code and len(code) <= 32
        assert (settings.version, settings.active["interval_s"]) == (5, 300)
    assert settings.offer({"cfg": 6, "set": {"interval_s": 200}}) == "ok"
    assert settings.bad == ""


def test_damage_on_flash_ends_on_what_is_sound():
    """Broken, empty or unsound files of either kind are removed and reported; provisioning stands."""
    for data in (
        b"",
        b"{",
        b"[]",
        b'{"cfg":1}',
        b'{"cfg":1,"set":{"interval_s":1}}',
        b'{"cfg":1,"set":{},"tries":"x"}',
    ):
        for name in ("good", "new"):
            settings = config.Settings(node(**{name: data}))
            assert (settings.version, settings.active["interval_s"], settings.trial) == (0, 600, False)
            assert settings.bad == "damaged /config." + name


def test_a_full_flash_refuses_and_keeps():
    """A set that cannot be written is refused, not half kept."""
    files = node()
    settings = config.Settings(files)
    files.room = 0
    assert settings.offer({"cfg": 1, "set": {"interval_s": 300}}) == "bad-flash"
    assert (settings.version, settings.active["interval_s"]) == (0, 600)
    files.room = None
    assert settings.offer({"cfg": 1, "set": {"interval_s": 300}}) == "ok"
