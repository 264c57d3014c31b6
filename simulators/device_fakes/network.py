"""`network` as on an ESP32: connecting takes its time and says how it went through `status`."""

import json

import machine
import virtual
import wiring

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = STAT_CONNECT_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204
_ENDS = {"up": STAT_GOT_IP, "no-ap": STAT_NO_AP_FOUND, "wrong-password": STAT_WRONG_PASSWORD}

_ready_ms = None
_state = None
_given = None


def conditions():
    """What the node's surroundings are like now: net.json of the node's folder, each key optional."""
    try:
        with open(wiring.folder + "/net.json") as file:
            return json.loads(file.read())
    except OSError:
        return {}


def is_up():
    return bool(_ready_ms is not None and virtual.elapsed_ms() >= _ready_ms and _state == "up")


class WLAN:
    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("only a station")

    def active(self, on=None):
        global _ready_ms
        if on is None:
            return machine.wifi_on
        machine.wifi_on = bool(on)
        if not on:
            _ready_ms = None

    def connect(self, ssid=None, password=None, bssid=None):
        """Returns at once; whether it works shows later."""
        global _ready_ms, _state, _given
        if not machine.wifi_on:
            raise OSError("WiFi Not Started")
        wifi = conditions().get("wifi", {})
        _state = wifi.get("state", "up")
        if wifi.get("ssid", ssid) != ssid:
            _state = "no-ap"
        elif wifi.get("psk", password) != password:
            _state = "wrong-password"
        _given = wifi
        _ready_ms = virtual.elapsed_ms() + wifi.get("connect_ms", 1500)

    def disconnect(self):
        global _ready_ms
        _ready_ms = None

    def isconnected(self):
        return is_up()

    def status(self, what=None):
        if what == "rssi":
            if not is_up():
                raise OSError("Wifi Not Connected")
            return _given.get("rssi_dbm", -67)
        if what is not None:
            raise ValueError("unknown status param")
        if _ready_ms is None:
            return STAT_IDLE
        if virtual.elapsed_ms() < _ready_ms:
            return STAT_CONNECTING
        return _ENDS.get(_state, STAT_CONNECTING)

    def config(self, *names, **values):
        if names == ("mac",):
            return b"\x24\x0a\xc4\x00\x00\x01"
        return None

    def ifconfig(self):
        return ("192.0.2.17", "255.255.255.0", "192.0.2.1", "192.0.2.1") if is_up() else ("0.0.0.0",) * 4
