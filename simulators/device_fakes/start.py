"""One boot of one node: mounts its flash, puts the fakes in place, runs /boot.py and /main.py as the device does.

The interpreter is made ready once: it loads the fakes, says so, and waits on standard input for its fork (see
simulators/real_forks.py). What belongs to one node or one boot is looked up after that. The host's files stay reachable
for the fakes below /host. Environment: MICROPYPATH (this folder first), RESIK_PARTS (types of parts whose fakes are
wanted), and for each boot RESIK_NODE, RESIK_UNIX_MS and others that simulators/real_node.py sets.
"""

import gc
import json
import os
import sys

_FAKES = os.getenv("MICROPYPATH").split(":")[0]
_STAY = ("time", "machine", "network", "esp32", "onewire", "socket")
_BUILT_IN = ("binascii", "errno", "hashlib", "io", "json", "os", "struct")


def _load():
    """Load asyncio with the host's time, then everything that stands in for the device; return how big asyncio is."""
    sys.path[:] = [".frozen"]
    import asyncio

    gc.collect()
    own = gc.mem_alloc()
    sys.path[:] = [_FAKES, _FAKES + "/parts", ".frozen"]
    import time
    import aio, catalog, esp32, flash, machine, network, onewire, socket, virtual, wiring

    for part_type in (os.getenv("RESIK_PARTS") or "").split(","):
        catalog.load(part_type)
    return own


def _mount(flash, folder_os):
    """Mount the flash of the node: an image if there is one, else a folder."""
    import vfs

    node = os.getenv("RESIK_NODE")
    try:
        os.stat("/host" + node + "/flash.img")
    except OSError:
        folder_os.root = node + "/flash"
        vfs.mount(vfs.VfsPosix(folder_os.root), "/")
        sys.modules["os"] = folder_os
    else:
        device = flash.Image("/host" + node + "/flash.img", int(os.getenv("RESIK_CUT") or 0))
        vfs.mount(vfs.VfsLfs2(device), "/")
    os.chdir("/")


def _connect(wiring, catalog):
    try:
        with open("/config.json") as file:
            config = json.loads(file.read())
    except (OSError, ValueError):
        return  # a node without a configuration has no parts that anybody could know
    if config.get("parts"):
        sys.path[:] = ["/host" + _FAKES + "/parts", ".frozen"]
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
    gc.disable()  # a request that cannot be met is no reason to collect here
    kept = [None] * 32
    room = bytearray(size)
    for chunk in (32768, 4096, 512, 96):
        try:
            while True:
                if kept[-1] is not None:
                    kept = [kept] + [None] * 31  # short ones: of a long one the collector loses its way
                kept[kept.index(None)] = bytearray(chunk)
        except MemoryError:
            pass
    room = None
    gc.enable()
    gc.collect()
    return kept


def _watch_output(text, virtual):
    """Let the power fail right after a printed line that begins with `text`."""
    import builtins

    say = builtins.print

    def watched(*words, **options):
        say(*words, **options)
        if " ".join([str(word) for word in words]).startswith(text):
            virtual.die("@LOST")

    builtins.print = watched


def main():
    import vfs

    own = _load()
    import aio, catalog, esp32, flash, machine, time, virtual, wiring

    posix = vfs.VfsPosix()
    vfs.umount("/")
    vfs.mount(posix, "/host")
    folder_os = flash.FolderOs(posix)
    for name in list(sys.modules):
        if name not in _STAY and not name.startswith("asyncio"):
            del sys.modules[name]
    for name in _BUILT_IN:  # else the interpreter looks for a file of that name in every folder first, at every import
        sys.modules[name] = __import__(name)
    gc.collect()
    sys.stdout.write("@READY")
    sys.stdin.read(1)
    virtual.begin()
    time.begin()
    aio.begin()
    wiring.begin("/host" + os.getenv("RESIK_NODE"))
    _mount(flash, folder_os)
    esp32.bootloader()
    machine.start_clock()
    _connect(wiring, catalog)
    if os.getenv("RESIK_LOST_AT"):
        _watch_output(os.getenv("RESIK_LOST_AT"), virtual)
    sys.path[:] = ["", ".frozen", "/lib"]
    ballast = _leave(int(os.getenv("RESIK_HEAP_KIB") or 96) * 1024 - own)
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
