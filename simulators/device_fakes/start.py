"""One boot of one node: mounts its flash, puts the fakes in place, runs /boot.py and /main.py as the device does.

The host's files stay reachable for the fakes below /host. Environment: MICROPYPATH (this folder first), RESIK_NODE,
RESIK_UNIX_MS and others that simulators/real_node.py sets.
"""

import gc
import json
import os
import sys

HEAP = int(os.getenv("RESIK_HEAP_KIB") or 96) * 1024
_FAKES = os.getenv("MICROPYPATH").split(":")[0]
_STAY = ("time", "machine", "network", "esp32", "onewire", "socket")


def _load():
    """Load asyncio with the host's time, then everything that stands in for the device."""
    sys.path[:] = [".frozen"]
    import asyncio

    gc.collect()
    own = gc.mem_alloc()
    sys.path[:] = [_FAKES, ".frozen"]
    import time
    import aio, esp32, flash, machine, network, onewire, socket, virtual, wiring

    return own, machine, esp32, flash, virtual, wiring


def _mount(flash):
    import vfs

    node = os.getenv("RESIK_NODE")
    root = vfs.VfsPosix()
    vfs.umount("/")
    vfs.mount(root, "/host")
    try:
        os.stat("/host" + node + "/flash.img")
    except OSError:
        vfs.mount(flash.Folder(root, node + "/flash"), "/")
    else:
        device = flash.Image("/host" + node + "/flash.img", int(os.getenv("RESIK_CUT") or 0))
        vfs.mount(vfs.VfsLfs2(device), "/")
    os.chdir("/")


def _connect(wiring):
    try:
        with open("/config.json") as file:
            config = json.loads(file.read())
    except (OSError, ValueError):
        return  # a node without a configuration has no parts that anybody could know
    if config.get("parts"):
        sys.path[:] = ["/host" + _FAKES, "/host" + _FAKES + "/parts", ".frozen"]
        import catalog

        wiring.connect(config, catalog)


def _run(path):
    """Run a file of the root as the device does; False when it ended in an exception that nobody caught."""
    try:
        with open(path) as file:
            code = compile(file.read(), path, "exec")
    except OSError:
        return True
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit:
        raise
    except BaseException as error:
        sys.print_exception(error)
        return False
    return True


def _leave(size):
    """Occupy the whole heap but `size` bytes in one piece: the heap of a node, fakes not counted."""
    gc.collect()
    kept = [None] * 600
    room = bytearray(size)
    at = 0
    for chunk in (32768, 4096, 512, 96):
        try:
            while at < len(kept):
                kept[at] = bytearray(chunk)
                at += 1
        except MemoryError:
            pass
    room = None
    gc.collect()
    return kept


def _watch_output(text):
    """Let the power fail right after a printed line that begins with `text`."""
    import builtins
    import virtual

    say = builtins.print

    def watched(*words, **options):
        say(*words, **options)
        if " ".join([str(word) for word in words]).startswith(text):
            virtual.die("@LOST")

    builtins.print = watched


def main():
    own, machine, esp32, flash, virtual, wiring = _load()
    _mount(flash)
    esp32.bootloader()
    machine.start_clock()
    _connect(wiring)
    if os.getenv("RESIK_LOST_AT"):
        _watch_output(os.getenv("RESIK_LOST_AT"))
    for name in list(sys.modules):
        if name not in _STAY and not name.startswith("asyncio"):
            del sys.modules[name]
    sys.path[:] = ["", ".frozen", "/lib"]
    ballast = _leave(HEAP - own)
    print("@HEAP %d" % gc.mem_free())
    try:
        _run("/boot.py")
        _run("/main.py")
    except SystemExit:
        virtual.die("@SOFT")
    ballast = None
    # Both files ended: the device waits at its prompt, until its watchdog, if there is one, has had enough.
    left = virtual.dog_left_ms()
    if left is not None:
        virtual.advance_us(left * 1000 + 1000)
    virtual.die("@END")


main()
