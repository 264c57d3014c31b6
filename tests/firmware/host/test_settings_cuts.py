"""Settings of a node when the power fails at each change of its files."""

import json

import pytest

from firmware.settings import Settings
from tests.firmware.host.test_queue_model import FailingFiles, PowerCut

PROVISIONED = {
    "v": 1,
    "site": "alun-alun",
    "device": "rsk-b001",
    "kind": "bin",
    "wifi_ssid": "square",
    "wifi_psk": "12345678",
    "broker_host": "broker.example",
}
FIRST = {"cfg": 1, "set": {"interval_s": 300}}
TRIAL = {"cfg": 2, "set": {"interval_s": 200, "broker_host": "new.example"}}
PLAIN = {"cfg": 3, "set": {"interval_s": 100}}


def start(files: FailingFiles) -> tuple[int, bool, str, int]:
    """Start a node; returns version, trial, broker and interval in force, which MUST belong together."""
    settings = Settings(files)
    state = settings.version, settings.trial, settings.active.broker_host, settings.active.interval_s
    of_version = {
        0: ("broker.example", 600),
        1: ("broker.example", 300),
        2: ("new.example", 200),
        3: ("broker.example", 100),
    }
    assert state[2:] == of_version[state[0]]
    return state


def fall_back(files: FailingFiles) -> None:
    """Start after start whose connection fails."""
    for _ in range(3):
        settings = Settings(files)
        settings.attempt()
        settings.failed_once()


STORIES = {
    "offer": (lambda files: Settings(files).offer(TRIAL), {(1, False), (2, True)}),
    "confirm": (lambda files: Settings(files).confirm(), {(2, True), (2, False)}),
    "fall-back": (fall_back, {(2, True), (1, False)}),
    "replace": (lambda files: Settings(files).offer(PLAIN), {(2, True), (3, False)}),
}


@pytest.mark.parametrize("name", STORIES)
def test_every_cut_ends_on_a_whole_configuration(name: str) -> None:
    """Wherever the power fails, the next start has the state before or after, never a mixture, and can go on."""
    story, allowed = STORIES[name]
    seen = set()
    cut = 0
    while True:
        files = FailingFiles()
        files.content["/config.json"] = json.dumps(PROVISIONED).encode()
        Settings(files).offer(FIRST)
        if name != "offer":
            Settings(files).offer(TRIAL)
        files.changes_left = cut
        try:
            story(files)
        except PowerCut:
            is_over = False
        else:
            is_over = True
        files.changes_left = None
        state = start(files)
        assert state[:2] in allowed
        assert Settings(files).bad in ("", "2 unreachable")
        seen.add(state[:2])
        Settings(files).offer({"cfg": 4, "set": {"interval_s": 60}})
        assert Settings(files).version == 4
        if is_over:
            break
        cut += 1
    assert cut >= 1
    assert seen == allowed
