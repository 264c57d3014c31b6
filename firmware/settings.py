"""The configuration in force. The code that checks and changes it (core/config) is in memory only while it works."""

import json

from firmware.core.files import read, replace
from firmware.modules import empty

NEW = "/config.new"


class Values:
    """Every key of a complete configuration as an attribute."""

    def __init__(self, values):
        self.values = values

    def __getattr__(self, name):
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name)  # noqa: B904 - MicroPython warns at "from"


class Settings:
    """`active`, `version`, `trial`, `refused` and `bad` as of core/config.Settings, which decides at a start."""

    def __init__(self, files):
        self._files = files
        self._load(None)

    def _load(self, message):
        from firmware.core import config

        whole = config.Settings(self._files)
        if message is not None:
            whole.offer(message)
        self.active = Values(whole.active)
        self.version = whole.version
        self.trial = whole.trial
        self.refused = whole.refused
        self.bad = whole.bad
        del config, whole
        empty("core.config", "core.wiring")

    def offer(self, message):
        """Take a set from the gateway; `bad` says what was wrong with it."""
        self._load(message)

    def attempt(self):
        """On trial, count an attempt to connect on flash before it is made: one that ends in a reset counts, too."""
        if self.trial:
            stored = json.loads(read(self._files, NEW) or b"{}")
            stored["tries"] = stored.get("tries", 0) + 1
            try:
                replace(self._files, NEW, json.dumps(stored).encode())
            except OSError:
                pass  # a full flash: no reason to stay away from the broker

    def failed_once(self):
        """After a failed attempt, look whether it was the last one."""
        if self.trial:
            self._load(None)

    def confirm(self):
        """Keep what is on trial: the gateway has acked a reading over it."""
        if self.trial:
            self._files.rename(NEW, "/config.good")
            self.trial = False
