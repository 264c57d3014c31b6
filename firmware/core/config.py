"""What a node is told: config.json from provisioning, and settings that the gateway sends, on trial until they work.

`check` runs on the node and on the host. It names every fault as `key: what is wrong, what to do`.
"""

import json

from firmware import wire
from firmware.core import wiring
from firmware.core.files import discard, read, replace

TRIES = 3

# Tables are text and parsed when they are needed, which is once in a wake: as objects they would hold 8 KB of RAM.
# Entries are key, default, lowest and highest value; the gateway may set those with a mark
# at the end, and * puts the set on trial: it could cut the node off.
_INTEGERS = (
    "v=1,1,1 broker_port=8883,1,65535* floor_s=1795000000,1,4294967295"
    " interval_s=600,10,86400+ fast_interval_s=120,10,86400+ night_interval_s=1800,10,86400+"
    " night_from_min=1380,0,1439+ night_to_min=270,0,1439+ utc_offset_min=420,-720,840"
    " low_mv=3500,0,20000+ critical_mv=3300,0,20000+ send_every=1,1,144+ fast_rise_pct_h=20,1,100+"
    " near_full_mm=0,0,10000+ pings=7,1,15+ queue_kib=128,16,128 watchdog_s=120,60,600+ awake_max_s=90,30,600+"
    " ack_wait_s=20,5,120+ battery_mah=3000,1,1000000 active_ma=120,1,5000 sleep_ua=100,1,1000000"
)
# Entries are key, default (! when it must be there), shortest and longest text.
_TEXTS = (
    "site=!,3,32 device=!,3,32 kind=!,3,3 wifi_ssid=!,1,32* wifi_psk=!,0,63* broker_host=!,1,64*"
    " broker_name=,0,64* ntp_host=pool.ntp.org,0,64+ sleep=deep,4,5"
)
_CHOICES = {"kind": ("bin", "air"), "sleep": ("deep", "awake")}


class ConfigError(ValueError):
    """A node cannot start with this configuration; `faults` says why."""

    def __init__(self, faults):
        super().__init__("; ".join(faults))
        self.faults = faults


# -- checking ------------------------------------------------------------------------------------


def is_loopback(host):
    """Whether a broker at `host` is on this machine, where it may be plain."""
    numbers = host.split(".")
    return host == "localhost" or (len(numbers) == 4 and numbers[0] == "127" and "".join(numbers).isdigit())


def _is_text(value):
    if not isinstance(value, str):
        return False
    for character in value:
        if not " " <= character <= "~" or character in '"\\':
            return False
    return True


def _rules(table):
    rules = {}
    for entry in table.split():
        key, rule = entry.split("=")
        default, low, high = rule.split(",")
        rules[key] = (default, int(low), int(high.rstrip("+*")))
    return rules


def settable(marks="+*"):
    """Return the keys that the gateway may set."""
    return [entry.split("=")[0] for table in (_INTEGERS, _TEXTS) for entry in table.split() if entry[-1] in marks]


def _integer_fault(value, default, low, high):
    if not wire.is_int(value) or not low <= value <= high:
        return "not an integer %d..%d, the usual value is %s" % (low, high, default)
    return None


def _text_fault(key, value, low, high):
    if key in _CHOICES:
        return None if value in _CHOICES[key] else "unknown, write " + " or ".join(_CHOICES[key])
    if not _is_text(value) or not low <= len(value) <= high:
        return "not %d..%d characters of plain ASCII, correct it" % (low, high)
    if key in ("site", "device") and not wire.is_id(value):
        return "not a-z 0-9 and hyphen, correct it"
    if key == "wifi_psk" and 0 < len(value) < 8:
        return "shorter than 8, correct it or leave it empty for an open network"
    if key in ("broker_host", "broker_name", "ntp_host") and " " in value:
        return "holds a space, correct it"
    return None


def check(config):
    """Return every fault of a configuration as `key: what, what to do`; an empty list when a node can run with it."""
    if not isinstance(config, dict):
        return ["config: not an object, write it again"]
    faults = []
    integers, texts = _rules(_INTEGERS), _rules(_TEXTS)
    for key, value in config.items():
        fault = None
        if key in integers:
            fault = _integer_fault(value, *integers[key])
        elif key in texts:
            fault = _text_fault(key, value, texts[key][1], texts[key][2])
        elif key == "broker_tls":
            if not isinstance(value, bool):
                fault = "not true or false, leave it out for TLS"
        elif key != "parts":
            fault = "unknown, remove it"
        if fault:
            faults.append(key + ": " + fault)
    faults += [key + ": missing, add it" for key in texts if texts[key][0] == "!" and key not in config]
    if config.get("kind") in _CHOICES["kind"]:
        faults += wiring.unknown(config["kind"], config.get("parts", {}))
    if not faults:
        if not config.get("broker_tls", True) and not is_loopback(config["broker_host"]):
            faults.append("broker_tls: only a broker on 127.* or localhost may be plain, leave it out")
        critical_mv, low_mv = [config.get(key, int(integers[key][0])) for key in ("critical_mv", "low_mv")]
        if critical_mv > low_mv:
            faults.append("critical_mv: above low_mv, lower it")
    return faults


def complete(config):
    """Return a sound configuration with its defaults, those of its parts included."""
    whole = {}
    for key, rule in _rules(_INTEGERS).items():
        whole[key] = int(rule[0])
    for key, rule in _rules(_TEXTS).items():
        whole[key] = rule[0]
    whole["broker_tls"] = True
    whole.update(config)
    whole["parts"] = wiring.complete(config["kind"], config.get("parts", {}))
    return whole


def merge(config, changes):
    """Return a copy of a configuration with the changes of the gateway on top."""
    merged = dict(config)
    merged.update(changes)
    return merged


# -- on a node -----------------------------------------------------------------------------------


def load(files, path="/config.json"):
    """Read, check and complete a configuration; raises `ConfigError` with all faults."""
    config = _read(files, path)
    if config is None:
        raise ConfigError(["config: %s is missing or no JSON object, provision the node again" % path])
    faults = check(config)
    if faults:
        raise ConfigError(faults)
    return complete(config)


def _read(files, path):
    data = read(files, path, 8192)
    try:
        value = json.loads(data.decode()) if data else None
    except (ValueError, RuntimeError):
        return None
    return value if isinstance(value, dict) else None


class Settings:
    """The configuration in force. What the gateway sets replaces what it set before, never what was provisioned.

    A set that changes the way to the broker is on trial: in `/config.new`, with a count of attempts, until it becomes
    `/config.good` (firmware/settings.py). After three attempts the good one is back and `bad` says why.
    """

    def __init__(self, files, path="/config.json"):
        self._files = files
        self._base = load(files, path)
        self.bad = ""
        self.refused = 0
        """Number of a set that this node does not take; 0 = none."""
        good = self._stored("/config.good") or {"cfg": 0, "set": {}}
        self._good = good
        self.refused = good.get("bad", 0)
        if self.refused:
            self.bad = str(good.get("why", "unreachable"))[:32]
        self._take(good)
        new = self._stored("/config.new")
        if new is not None:
            if new["cfg"] <= good["cfg"] or new["cfg"] == self.refused:
                discard(files, "/config.new")  # the power went between the two files
            else:
                self._take(new, trial=True)
                self._fall_back(new)

    def _stored(self, path):
        """Read one of the two files; what is no sound set is removed and reported."""
        found = _read(self._files, path)
        if found is not None and self._fault(found) is None and wire.is_int(found.get("tries", 0)):
            return found
        try:
            self._files.stat(path)
        except OSError:
            return None
        self.bad = "damaged " + path
        discard(self._files, path)
        return None

    def _take(self, stored, trial=False):
        self.version = stored["cfg"]
        self.active = merge(self._base, stored["set"])
        self.trial = trial

    def _fault(self, message):
        version, changes = message.get("cfg"), message.get("set")
        if not wire.is_int(version) or not 0 <= version <= wire.U32_MAX or not isinstance(changes, dict):
            return "bad-message"
        allowed = settable()
        for key in changes:
            if key not in allowed:
                return ("bad-key " + key)[:32]
        faults = check(merge(self._base, changes))
        return ("bad-value " + faults[0].split(":")[0])[:32] if faults else None

    def offer(self, message):
        """Take a set from the gateway (a dict with cfg and set): `ok`, or `bad-...`, which `bad` keeps for the status.

        The message is retained and comes at every connect: the version in force and the one refused change nothing.
        """
        fault = self._fault(message)
        version = message.get("cfg")
        if fault is None:
            if version == self.version:
                return "ok"
            if version == self.refused and self.bad.endswith("unreachable"):
                return "bad-unreachable"
            if version < self.version:
                fault = "bad-old"
        if fault is not None:
            self.bad = fault
            if wire.is_int(version) and self.version < version <= wire.U32_MAX and version != self.refused:
                self._refuse(version)
            return fault
        changes = message["set"]
        stored = {"cfg": version, "set": changes, "tries": 0}
        before, after = merge(self._base, self._good["set"]), merge(self._base, changes)
        trial = [key for key in settable("*") if before[key] != after[key]]
        try:
            self._write("/config.new" if trial else "/config.good", stored)
            if not trial:
                self._good = stored
                discard(self._files, "/config.new")
        except OSError:
            self.bad = "bad-flash"
            return self.bad
        self.bad = ""
        self._take(stored, trial=bool(trial))
        return "ok"

    def _write(self, path, stored):
        replace(self._files, path, json.dumps(stored).encode())

    def _fall_back(self, stored):
        if stored.get("tries", 0) < TRIES:
            return
        version = stored["cfg"]
        self.bad = "%d unreachable" % version
        if self._refuse(version):
            discard(self._files, "/config.new")  # else the next start falls back again
        self._take(self._good)

    def _refuse(self, version):
        """Note on flash which set is refused, and why: it comes at every connect. False when the flash is full."""
        self.refused = version
        self._good = {"cfg": self._good["cfg"], "set": self._good["set"], "bad": version, "why": self.bad}
        try:
            self._write("/config.good", self._good)
        except OSError:
            return False
        return True
