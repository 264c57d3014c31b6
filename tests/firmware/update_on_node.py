# ruff: noqa: UP031, T201 - runs on MicroPython: the report is its output
"""Takes an update on real MicroPython as the application does: blocks come through the wire module.

Arguments: root folder with ota.pub and bytecode in /a, bundle, version, class. Prints the state, the blocks asked for,
the heap in use between blocks [bytes] and the longest time of verifying [ms]; exit 0 when the update is ready.
"""

import binascii
import gc
import json
import sys
import time

sys.path.insert(0, sys.argv[1] + "/a")

from firmware import wire
from firmware.core import p256
from firmware.update import Updater
from tests.firmware.both.rooted import Rooted

verify = p256.verify
took = []


def timed(*arguments):
    start = time.ticks_us()  # type: ignore[attr-defined]
    verdict = verify(*arguments)
    took.append(time.ticks_diff(time.ticks_us(), start))  # type: ignore[attr-defined]
    return verdict


p256.verify = timed


class Nvs:
    def __init__(self):
        self.values = {"ver": 10000, "floor": 10000}

    def get(self, key, default=None):
        return self.values.get(key, default)

    def set(self, key, value):
        self.values[key] = value

    def commit(self):
        pass


class Config:
    low_mv = 3500

    def __init__(self, kind):
        self.kind = kind


def main(root, bundle_path, version, kind):
    gc.collect()
    base = gc.mem_alloc()  # type: ignore[attr-defined]
    updater = Updater(Rooted(root), Nvs(), None, Config(kind), free_bytes=lambda: 500000)
    with open(bundle_path, "rb") as bundle:  # noqa: PTH123 - there is no pathlib
        size = bundle.seek(0, 2)
        offer = {"v": 1, "offer": int(version), "type": "app", "class": kind, "size": size}
        updater.take(wire.decode_ota_down(json.dumps(offer).encode()))
        blocks = most = 0
        while True:
            intake = updater.look()
            if intake is None:
                break
            while intake.next() is not None:
                at, n = intake.next()
                bundle.seek(at)
                text = binascii.b2a_base64(bundle.read(n)).decode().strip()
                payload = json.dumps({"v": 1, "ver": int(version), "at": at, "of": size, "data": text}).encode()
                del text
                intake.take(wire.decode_ota_down(payload)["data"])
                del payload
                blocks += 1
                gc.collect()
                most = max(most, gc.mem_alloc() - base)  # type: ignore[attr-defined]
    print("%s %d %d %d" % ("ready" if updater.whole else "loading", blocks, most, max(took) // 1000))
    return 0 if updater.apply() else 1


sys.exit(main(*sys.argv[1:]))
