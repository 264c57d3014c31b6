"""A node in RAM for update tests: flash, NVS and firmware partitions that lose power at any operation."""

import io
import stat
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.core import slots
from firmware.device import loader
from firmware.update import Updater
from resik import release

IMAGE_BYTES = 0x1F0000
"""Of a firmware partition of 4 MB of flash [bytes]."""

KEY = ec.derive_private_key(20261124, ec.SECP256R1())
PUBLIC = release.public_bytes(KEY)


class PowerCut(BaseException):
    """The power failed."""


class Power:
    """Counts operations; `left` of them happen, then the power fails. How an operation in progress ends is `torn`."""

    def __init__(self, left=None, torn="before"):
        self.left = left
        self.torn = torn
        self.count = 0

    def use(self, act, half=None):
        """Carry out `act`, or as much of it as the cut leaves."""
        self.count += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                if self.torn == "after":
                    act()
                elif self.torn == "half" and half is not None:
                    half()
                raise PowerCut
        act()


class _Writing(io.BytesIO):
    """A file being written: its content reaches the flash at close, as on LittleFS."""

    def __init__(self, flash, path, before):
        super().__init__()
        self.flash = flash
        self.path = path
        self.before = before
        self.write(before)

    def close(self):
        if not self.closed:
            content = self.getvalue()
            super().close()
            torn = content[: (len(self.before) + len(content)) // 2]
            self.flash.write(self.path, content, torn)


class Flash:
    """The files of a node, with the interface of core/files.py."""

    def __init__(self, power, capacity_bytes=960 * 1024):
        self.power = power
        self.files: dict[str, bytes] = {}
        self.folders = {"/"}
        self.capacity_bytes = capacity_bytes

    def write(self, path, content, torn):
        rest = sum(len(data) for name, data in self.files.items() if name != path)
        if rest + len(content) > self.capacity_bytes:
            raise OSError(28, "ENOSPC")
        self.power.use(lambda: self.files.update({path: content}), lambda: self.files.update({path: torn}))

    def open(self, path, mode="r"):
        if mode == "rb":
            if path not in self.files:
                raise OSError(2, path)
            return io.BytesIO(self.files[path])
        assert path.rsplit("/", 1)[0] in {folder.rstrip("/") for folder in self.folders}
        return _Writing(self, path, self.files.get(path, b"") if mode == "ab" else b"")

    def remove(self, path):
        if path not in self.files:
            raise OSError(2, path)
        self.power.use(lambda: self.files.pop(path))

    def rename(self, old, new):
        if old not in self.files:
            raise OSError(2, old)
        self.power.use(lambda: self.files.update({new: self.files.pop(old)}))

    def mkdir(self, path):
        if path in self.folders:
            raise OSError(17, path)
        self.power.use(lambda: self.folders.add(path))

    def listdir(self, path):
        below = path.rstrip("/") + "/"
        names = {name[len(below) :].split("/")[0] for name in [*self.files, *self.folders] if name.startswith(below)}
        return sorted(names - {""})

    def stat(self, path):
        if path in self.folders:
            return (stat.S_IFDIR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        if path not in self.files:
            raise OSError(2, path)
        return (stat.S_IFREG, 0, 0, 0, 0, 0, len(self.files[path]), 0, 0, 0)

    def free_bytes(self):
        return self.capacity_bytes - sum((len(data) + 4095) // 4096 * 4096 for data in self.files.values())


class Nvs:
    """Integers that last: each write at once, or all of them at `commit`. Has the HAL's names and the loader's."""

    def __init__(self, power, at_once=True):
        self.power = power
        self.kept: dict[str, int] = {}
        self.fresh: dict[str, int] = {}
        self.at_once = at_once

    def get(self, key, default=None):
        return self.fresh.get(key, self.kept.get(key, default))

    def _set(self, key, value):
        if self.at_once:
            self.power.use(lambda: self.kept.update({key: value}))
        else:
            self.fresh[key] = value

    def commit(self):
        if self.fresh:
            self.power.use(lambda: self.kept.update(self.fresh))
            self.fresh = {}

    def get_i32(self, key):
        if self.get(key) is None:
            raise OSError(-0x1102)
        return self.get(key)

    set = set_i32 = _set


class Partitions:
    """Two firmware partitions and the bootloader: NEW -> PENDING_VERIFY -> VALID, or back (ABORTED)."""

    SIZE = 64 * 4096

    def __init__(self, power):
        self.power = power
        self.data = [bytearray(b"\xe9" + b"old image".ljust(self.SIZE - 1)), bytearray(b"\0" * self.SIZE)]
        self.states = ["valid", "undefined"]
        self.boot = self.running = 0

    def start(self):
        """Do what the bootloader does at each start."""
        if self.states[self.boot] == "pending":
            self.states[self.boot] = "aborted"
            self.boot = 1 - self.boot
        elif self.states[self.boot] == "new":
            self.states[self.boot] = "pending"
        self.running = self.boot

    def idle(self):
        return Idle(self, 1 - self.running)


class Idle:
    """The HAL's adapter of the idle partition."""

    def __init__(self, partitions, number):
        self._all = partitions
        self._number = number
        self.label = f"ota_{number}"
        self.size = partitions.SIZE

    def write_block(self, block, data):
        flash = self._all.data[self._number]
        at = block * 4096
        assert len(data) <= 4096

        def erase():
            flash[at : at + 4096] = b"\xff" * 4096

        def program():
            erase()
            flash[at : at + len(data)] = data

        self._all.power.use(program, erase)

    def read_block(self, block, buffer):
        buffer[:] = self._all.data[self._number][block * 4096 : block * 4096 + len(buffer)]

    def activate(self):
        if self._all.data[self._number][0] != 0xE9:
            raise OSError(-0x1503)

        def switch():
            self._all.boot = self._number
            self._all.states[self._number] = "new"

        self._all.power.use(switch)

    def mark_valid(self):
        self._all.states[self._all.running] = "valid"


class Config:
    def __init__(self, kind="bin", low_mv=3500):
        self.kind = kind
        self.low_mv = low_mv


class Node:
    """A node with version `version` in slot a. `start` is a reset; `download` plays the gateway."""

    def __init__(self, version=10300, power=None, at_once=True, kind="bin"):
        self.power = power or Power()
        self.flash = Flash(self.power)
        self.nvs = Nvs(self.power, at_once)
        self.partitions = Partitions(self.power)
        self.config = Config(kind)
        self.crashing: set[int] = set()
        self.deaf: set[int] = set()
        self.flash.folders |= {"/a", "/a/firmware"}
        self.flash.files |= {"/a/firmware/app.mpy": b"old", "/a/version": b"%d\n" % version}
        self.flash.files["/ota.pub"] = PUBLIC
        left, self.power.left = self.power.left, None
        self.restart()
        self.power.left = left

    def restart(self):
        """Reset: the bootloader, then the loader's choice. Returns the version that runs."""
        self.nvs.fresh = {}
        self.partitions.start()
        versions: list[Any] = [None, None]
        for slot, folder in enumerate("ab"):
            if f"/{folder}/version" in self.flash.files:
                versions[slot] = int(self.flash.files[f"/{folder}/version"])
        memory = loader.Memory(self.nvs)
        slot = loader.choose(memory, versions)
        memory.put(("ver", versions[slot] or 0))
        self.slot = slot
        self.version = versions[slot]
        self.fed: list[int] = []
        self.updater = Updater(
            self.flash, self.nvs, self.partitions.idle, self.config, lambda: self.fed.append(1),
            free_bytes=self.flash.free_bytes, mpy="6.3",
        )  # fmt: skip
        return self.version

    def wake(self):
        """Reset, and an application ack unless this version crashes or is deaf. Returns the version that runs."""
        version = self.restart()
        if version not in self.crashing | self.deaf:
            slots.confirm(self.nvs, self.partitions.idle)
        return version

    def offer(self, bundle, version, update_type="app", kind="bin", size=None):
        self.updater.take({"offer": version, "type": update_type, "class": kind, "size": size or len(bundle)})

    def download(self, bundle, most=10000):
        """Answer requests from `bundle` until there is none; returns how many were answered."""
        done = 0
        while True:
            intake = self.updater.look()  # what each boot does first
            if intake is None or done >= most:
                return done
            while done < most and (request := intake.next()) is not None:
                at, length = request
                done += 1
                try:
                    intake.take(bundle[at : at + length])
                except OSError:
                    break  # ends the link

    def wanted(self):
        """Return offset and length of the next request, None when there is none."""
        intake = self.updater.look()
        return intake.next() if intake else None

    def at(self, bundle):
        """Return how far the download is [bytes]."""
        request = self.wanted()
        return request[0] if request else len(bundle) if self.updater.whole else 0

    def report(self):
        return slots.report(self.nvs)


def contents(seed=1, sizes=(5000, 35, 4096, 1, 9000, 700)):
    """Files for a bundle."""
    names = ("app", "__init__", "core/queue", "core/__init__", "net/mqtt", "hal/esp32")
    return {
        f"firmware/{name}.mpy": bytes((seed * 31 + size + at * at) % 251 for at in range(size))
        for name, size in zip(names, sizes, strict=True)
    }


def bundle_of(version, **changes):
    """Return a small signed bundle and its files."""
    files = changes.pop("files", None) or contents(version)
    return release.build(files, **{"kind": "bin", "version": version, "key": KEY, "min_mv": 3500, **changes}), files


def image_bundle(version, blocks=9, key=KEY):
    image = b"\xe9" + bytes((version + at * at) % 253 for at in range(blocks * 4096 - 1000))
    return release.build_image(image, "bin", version, key), image
