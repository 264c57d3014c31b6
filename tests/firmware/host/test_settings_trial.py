"""Sets that a node refuses, and those that are on trial because they could cut it off."""

import json

import pytest

from firmware import wire  # noqa: F401 - the largest source: compiled while the heap is whole
from firmware.settings import Settings
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


def node():
    made = RamFiles()
    made.content["/config.json"] = json.dumps(GOOD).encode()
    return made


def test_a_refusal_is_told_after_a_restart_and_noted_once():
    """The set is looked at in another boot than the one that reports it, and comes again at every connect."""
    files = node()
    Settings(files).offer({"cfg": 5, "set": {"interval_s": 300}})
    message = {"cfg": 6, "set": {"intervall_s": 60}}
    Settings(files).offer(message)
    settings = Settings(files)
    assert (settings.version, settings.refused, settings.bad) == (5, 6, "bad-key intervall_s")
    files.room = 0  # what writes now, fails
    settings.offer(message)
    assert settings.bad == "bad-key intervall_s"
    files.room = None
    Settings(files).offer({"cfg": 7, "set": {"interval_s": 60}})
    settings = Settings(files)
    assert (settings.version, settings.refused, settings.bad) == (7, 0, "")


def test_attempts_that_end_in_a_reset_count():
    """A trial that kills the node before it can fail is over after three starts."""
    files = node()
    Settings(files).offer({"cfg": 2, "set": {"broker_port": 1}})
    for _ in range(3):
        settings = Settings(files)
        assert settings.trial
        settings.attempt()  # and the watchdog bites
    assert (Settings(files).trial, Settings(files).active.broker_port) == (False, 8883)


def test_an_attempt_is_counted_once():
    """Counting before and failing after are one attempt."""
    settings = Settings(node())
    settings.offer({"cfg": 2, "set": {"broker_port": 1}})
    on_trial = []
    for _ in range(3):
        settings.attempt()
        settings.failed_once()
        on_trial.append(settings.trial)
    assert on_trial == [True, True, False]


def test_a_full_flash_ends_no_attempt():
    """An attempt that cannot be counted is made all the same."""
    files = node()
    settings = Settings(files)
    settings.offer({"cfg": 2, "set": {"broker_port": 1}})
    files.room = 0
    settings.attempt()
    files.room = None
    assert (Settings(files).trial, Settings(files).active.broker_port) == (True, 1)


def test_damage_falls_back_to_provisioning():
    """With a broken good set, a trial that fails ends on what was provisioned."""
    files = node()
    files.content["/config.good"] = b"{"
    files.content["/config.new"] = b'{"cfg":2,"set":{"broker_port":1},"tries":0}'
    settings = Settings(files)
    assert (settings.version, settings.trial) == (2, True)
    for _ in range(3):
        settings.attempt()
    settings.failed_once()
    assert (settings.version, settings.active.broker_port) == (0, 8883)


def test_a_new_broker_is_on_trial_until_the_gateway_acks():
    """The trial is in force at once and over restarts; the confirmation makes it the good one."""
    files = node()
    settings = Settings(files)
    settings.offer({"cfg": 2, "set": {"broker_host": "new.example", "interval_s": 120}})
    assert (settings.trial, settings.version, settings.active.broker_host) == (True, 2, "new.example")
    settings = Settings(files)
    assert (settings.trial, settings.active.interval_s) == (True, 120)
    settings.confirm()
    settings = Settings(files)
    assert (settings.trial, settings.version, settings.active.broker_host) == (False, 2, "new.example")
    settings.offer({"cfg": 3, "set": {"interval_s": 60}})
    assert settings.trial  # the broker of provisioning is another one again, and may be gone


def test_an_unreachable_broker_ends_on_the_good_one():
    """Three failed attempts, each in a new start: back, reported, and the retained message does not try again."""
    files = node()
    Settings(files).offer({"cfg": 1, "set": {"interval_s": 300}})
    message = {"cfg": 2, "set": {"wifi_ssid": "gone"}}
    Settings(files).offer(message)
    for _ in range(3):
        Settings(files).attempt()
    settings = Settings(files)
    assert (settings.trial, settings.version, settings.active.wifi_ssid) == (False, 1, "square")
    assert (settings.active.interval_s, settings.bad) == (300, "2 unreachable")
    settings.offer(message)
    assert not settings.trial
    settings.failed_once()
    assert (settings.version, settings.bad) == (1, "2 unreachable")
    settings.offer({"cfg": 3, "set": {"wifi_ssid": "here"}})
    assert settings.trial


def test_values_are_attributes():
    """The active configuration answers by name; a name that is not there is an AttributeError."""
    settings = Settings(node())
    assert settings.active.interval_s == 600
    with pytest.raises(AttributeError, match="nothing"):
        _ = settings.active.nothing
