"""Picks the application slot and starts it; goes back to the other one when a new version fails. Never updated itself.

It trusts nothing it reads: any content of NVS, any missing or half-written slot and any crash end in a slot that runs,
or in a pause and another try. A slot is complete when its file `version` holds a number; that number is what is
reported.
"""

import gc
import sys

TRIES = 3
"""Starts that a version on trial has to get its application ack."""

CRASHES = 5
"""Crashes in a row after which also a confirmed version makes way for the other slot."""

REST_MS = 60000
"""Pause after a crash [ms]; it doubles with each in a row, to 16 min: a crash loop must not empty the battery."""

PACKAGE = "firmware"
FOLDERS = ("/a", "/b")
CRASH_FILE = "/crash.txt"
_ROLLED_BACK = 2


class Memory:
    """The integers of NVS; when NVS does not work, nothing is remembered and the node runs all the same."""

    def __init__(self, nvs):
        self._nvs = nvs
        self.works = nvs is not None

    def get(self, key):
        """Return an integer, 0 when there is none."""
        try:
            return self._nvs.get_i32(key)
        except Exception:
            return 0

    def put(self, *pairs):
        """Set in this order what differs, and commit; False when it did not last."""
        try:
            changed = False
            for key, value in pairs:
                if self.get(key) != value:
                    self._nvs.set_i32(key, value)
                    changed = True
            if changed:
                self._nvs.commit()
        except Exception:
            self.works = False
        return self.works


def version_of(folder):
    """Version of a complete slot, else None."""
    try:
        with open(folder + "/version") as file:
            version = int(file.read(12))
        return version if 0 < version < 0x80000000 else None
    except (OSError, ValueError):
        return None


def choose(memory, versions):
    """Pick the slot to start and count the try of a version on trial. `versions` has both slots', None = incomplete."""
    slot = memory.get("slot")
    floor = memory.get("floor")
    known = [version for version in versions if version]
    if not known:
        return 1 if slot == 1 else 0
    if slot not in (0, 1) or floor <= 0 or floor > max(known):
        # Nothing known (a new node, or NVS is gone): the newest goes on trial while there is another to fall back to.
        slot = 1 if (versions[1] or 0) > (versions[0] or 0) else 0
        floor = min(known)
        memory.put(("trial", 0), ("tries", 0), ("slot", slot), ("floor", floor))
    other = 1 - slot
    if versions[slot] is None:
        slot, other = other, slot
        memory.put(("slot", slot), ("trial", 0))
    elif versions[slot] == memory.get("bad") and versions[other]:
        return go_back(memory, slot, versions)  # a power cut stopped it on the way
    if versions[slot] <= floor:
        memory.put(("trial", 0))
        return slot
    tries = memory.get("tries")
    if versions[other] is None:
        memory.put(("trial", 1))  # nothing to go back to: it may try for ever
        return slot
    if not 0 <= tries < TRIES:
        return go_back(memory, slot, versions)
    # a try that cannot be counted is none: a new version must not loop for ever
    return slot if memory.put(("trial", 1), ("tries", tries + 1)) else other


def go_back(memory, slot, versions):
    """Leave the version in `slot` for ever. `bad` comes late: without it the next start does it again."""
    failed = versions[slot] or 0
    memory.put(("want", 0), ("otaver", failed), ("ota", _ROLLED_BACK), ("bad", failed), ("slot", 1 - slot))
    memory.put(("fails", 0), ("tries", 0), ("trial", 0))
    return 1 - slot


def load(folder):
    """Import the application of a slot, or return the exception that came instead."""
    for name in list(sys.modules):
        if name.split(".", 1)[0] == PACKAGE:
            del sys.modules[name]
    gc.collect()
    sys.path[:] = [folder] + [path for path in sys.path if path not in FOLDERS]
    try:
        __import__(PACKAGE + ".app")
        return sys.modules[PACKAGE + ".app"]
    except Exception as error:
        return error


def start(memory, versions):
    """Load the chosen slot, or the other one; returns the application (None: neither works) and its slot."""
    slot = choose(memory, versions)
    for attempt in (slot, 1 - slot):
        found = load(FOLDERS[attempt])
        if not isinstance(found, Exception):
            break
        note(found)
    else:
        return None, slot
    if attempt != slot:
        if memory.get("trial"):
            go_back(memory, slot, versions)
        memory.put(("slot", attempt), ("trial", 0))
    memory.put(("ver", versions[attempt] or 0))
    return found, attempt


def crashed(memory, slot, versions):
    """Count a crash of the application; too many in a row, and a confirmed version makes way, too."""
    other = versions[1 - slot]
    crashes = memory.get("fails") + 1
    if not 0 < crashes < CRASHES and not memory.get("trial") and other and other != memory.get("bad"):
        memory.put(("slot", 1 - slot), ("fails", 0))
    else:
        memory.put(("fails", crashes if 0 < crashes < CRASHES else CRASHES))


def note(error):
    """Keep a crash for the status message, in the application's own format where that still works."""
    sys.print_exception(error)
    try:
        __import__(PACKAGE + ".core.crash", None, None, ("store",)).store(error)
    except Exception:
        count = 0
        try:
            with open(CRASH_FILE) as file:
                count = int(file.readline())
        except (OSError, ValueError):
            pass
        try:
            with open(CRASH_FILE, "w") as file:
                file.write(("%d\n%s loader\n%s" % (count + 1, type(error).__name__, error))[:512])
        except OSError:
            pass


def open_memory():
    """Open NVS, or something that remembers nothing."""
    try:
        import esp32

        return Memory(esp32.NVS("resik"))
    except Exception:
        return Memory(None)


def rest(crashes):
    """Sleep, then start again."""
    import machine

    machine.deepsleep(REST_MS << max(0, min(crashes, CRASHES) - 1))


_AT_START = ("choose", "go_back", "load", "open_memory", "start", "version_of")


def main():
    """Run the application; it ends in a sleep or a reset, so whatever comes back from it is a crash."""
    memory = open_memory()
    versions = [version_of(folder) for folder in FOLDERS]
    application, slot = start(memory, versions)
    if application is not None:
        if sys.implementation.name == "micropython":  # other tests of a process on CPython still want them
            for name in _AT_START:
                globals().pop(name, None)  # their memory is the application's now
        gc.collect()
        try:
            application.run()
        except Exception as error:
            note(error)
        crashed(memory, slot, versions)
    rest(memory.get("fails"))
