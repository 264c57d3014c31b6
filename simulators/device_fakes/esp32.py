"""`esp32` as on an ESP32 with the OTA partition table: NVS, the two firmware slots, waking by pins."""

import binascii
import json
import os

import machine
import wiring
from flash import ERASED

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_DATA = 4
HEAP_EXEC = 1
_ext0 = []
_ext1 = []
_committed = None
_NOT_FOUND = 0x1102
_KEY_TOO_LONG = 0x1109
_INVALID_LENGTH = 0x110C
_OTA_VALIDATE_FAILED = 0x1503
_NOT_SUPPORTED = 0x106


def _load(name, default):
    try:
        with open(wiring.folder + "/" + name) as file:
            return json.loads(file.read())
    except OSError:
        return default


def _store(name, content):
    path = wiring.folder + "/" + name
    with open(path + ".new", "w") as file:
        json.dump(content, file)
    os.rename(path + ".new", path)


def idf_heap_info(capabilities):
    """(total, free, largest free block, lowest free ever) of each region; figures of a node with Wi-Fi up."""
    return [(7288, 0, 0, 0), (15072, 2392, 2304, 2392), (82168, 48712, 31744, 44000), (113840, 61616, 61440, 58000)]


def _checked(pins):
    for pin in pins:
        if pin.number not in machine._RTC_PINS:
            raise ValueError("invalid pin")
    return [pin.number for pin in pins]


def wake_on_ext0(pin, level):
    global _ext0
    _ext0 = [] if pin is None else [(n, 1 if level else 0) for n in _checked([pin])]
    machine.wake_pins = _ext0 + _ext1


def wake_on_ext1(pins, level):
    global _ext1
    if pins and not level and len(pins) > 1:
        raise ValueError("ALL_LOW of several pins is modelled for one pin only")
    _ext1 = [(n, 1 if level else 0) for n in _checked(pins or [])]
    machine.wake_pins = _ext0 + _ext1


class NVS:
    """What was not committed is gone after a reset. Several handles of a namespace see and keep each other's values."""

    def __init__(self, namespace):
        if len(namespace) > 15:
            raise OSError(-_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        self._namespace = namespace
        self._pending = {}  # key -> value, None to erase

    def _put(self, key, value):
        if len(key) > 15:
            raise OSError(-_KEY_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        self._pending[key] = value

    def _get(self, key, kind):
        if key in self._pending:
            value = self._pending[key]
        else:
            value = _committed.get(self._namespace, {}).get(key)
        if not isinstance(value, kind):
            raise OSError(-_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return value

    def get_i32(self, key):
        return self._get(key, int)

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._put(key, value)

    def get_blob(self, key, buffer):
        data = binascii.unhexlify(self._get(key, str))
        if len(data) > len(buffer):
            raise OSError(-_INVALID_LENGTH, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, value):
        self._put(key, binascii.hexlify(bytes(value)).decode())

    def erase_key(self, key):
        self._get(key, (int, str))
        self._pending[key] = None

    def commit(self):
        whole = _committed
        values = whole.setdefault(self._namespace, {})
        for key, value in self._pending.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        self._pending = {}
        _store("nvs.json", whole)


_FACTORY = {"running": 0, "boot": 0, "states": ["valid", "undefined"]}
_ota = None


def bootloader():
    """Choose the firmware slot as the bootloader does at every start: an image that was not confirmed is left."""
    global _ota, _committed
    _committed = _load("nvs.json", {})  # nobody else writes it while the node runs
    _ota = _load("ota.json", dict(_FACTORY))
    slot = _ota["boot"]
    if _ota["states"][slot] == "pending-verify":
        _ota["states"][slot] = "aborted"
        slot = 1 - slot
        _ota["boot"] = slot
    elif _ota["states"][slot] == "new":
        _ota["states"][slot] = "pending-verify"
    changed = _ota["running"] != slot or _ota["states"][slot] == "pending-verify" or "aborted" in _ota["states"]
    _ota["running"] = slot
    if changed:
        _store("ota.json", _ota)


class Partition:
    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1
    SIZE = 0x180000
    _BLOCK = 4096

    def __init__(self, which):
        if which == self.RUNNING:
            self._slot = _ota["running"]
        elif which == self.BOOT:
            self._slot = _ota["boot"]
        elif which in ("ota_0", "ota_1"):
            self._slot = int(which[-1])
        else:
            raise OSError(2)
        self._path = wiring.folder + "/ota_%d.bin" % self._slot

    def info(self):
        return (0, 16 + self._slot, 0x10000 + self._slot * self.SIZE, self.SIZE, "ota_%d" % self._slot, False)

    def get_next_update(self):
        return Partition("ota_%d" % (1 - _ota["running"]))

    def set_boot(self):
        head = bytearray(1)
        self.readblocks(0, head, 0)
        if head[0] != 0xE9:  # first byte of every image
            raise OSError(-_OTA_VALIDATE_FAILED, "ESP_ERR_OTA_VALIDATE_FAILED")
        _ota["boot"] = self._slot
        _ota["states"][self._slot] = "new"
        _store("ota.json", _ota)

    @staticmethod
    def mark_app_valid_cancel_rollback():
        if not _ota.get("rollback", True):
            raise OSError(-261)  # a build without rollback
        if _ota["states"][_ota["running"]] != "valid":
            _ota["states"][_ota["running"]] = "valid"
            _store("ota.json", _ota)

    def _open(self):
        try:
            return open(self._path, "r+b")
        except OSError:
            with open(self._path, "wb") as file:
                for _ in range(self.SIZE // self._BLOCK):
                    file.write(ERASED)
            return open(self._path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        with self._open() as file:
            file.seek(block * self._BLOCK + offset)
            file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Without an offset whole blocks are erased first; with one, bits can only be cleared."""
        if block * self._BLOCK + (offset or 0) + len(buffer) > self.SIZE:
            raise OSError(-0x102, "ESP_ERR_INVALID_ARG")
        with self._open() as file:
            if offset is None:
                file.seek(block * self._BLOCK)
                for _ in range((len(buffer) + self._BLOCK - 1) // self._BLOCK):
                    file.write(ERASED)
                file.seek(block * self._BLOCK)
                file.write(buffer)
                return
            file.seek(block * self._BLOCK + offset)
            old = file.read(len(buffer))
            file.seek(block * self._BLOCK + offset)
            file.write(bytes([a & b for a, b in zip(old, buffer)]))

    def ioctl(self, op, argument=0):
        if op == 4:
            return self.SIZE // self._BLOCK
        if op == 5:
            return self._BLOCK
        if op == 6:
            self.writeblocks(argument, ERASED)
        return 0
