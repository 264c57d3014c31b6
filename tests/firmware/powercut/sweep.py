# ruff: noqa: T201, UP031, BLE001, ARG002, I001 - runs on MicroPython; what it finds is its output
"""Cuts the power at every flash operation of a long history of the queue, and looks at what is left.

The history runs once on LittleFS2 over a chip that keeps a journal. Then each image is rebuilt, whole up to an
operation and again with half of the next one, mounted, opened and drained. Usage: `sweep.py OPERATIONS VARIANT`.
"""

import sys
import vfs
from binascii import crc32

from tests.firmware.both.rooted import Rooted
from firmware.core import queue_writing
from firmware.core.queue import FlashQueue
from tests.firmware.powercut.flash import Flash, Image

LIMIT_BYTES = 8192
SEGMENT_BYTES = 1024


class PointerFirst(FlashQueue):
    """Says that a reading is queued when only the pointer is written; the data follow with the next call."""

    late = None

    def append(self, boot, seq, body):
        self.dirty = True
        self.flush()
        if self.late:
            FlashQueue.append(self, *self.late)
        self.late = (boot, seq, body)
        return True


class RemoveFirst(FlashQueue):
    """Removes the oldest segment before it counts what is lost with it."""

    def append(self, boot, seq, body):
        queue_writing.drop = remove_first
        try:
            return FlashQueue.append(self, boot, seq, body)
        finally:
            queue_writing.drop = right_drop


right_drop = queue_writing.drop


def remove_first(queue):
    path = queue.path_of(queue.segments[0])
    data = queue.files.open(path, "rb").read()
    queue.files.remove(path)
    queue.loaded = -1
    with KeptFile(queue, data):
        right_drop(queue)


class KeptFile:
    """While it is open, the removed segment is read from RAM and its second removal does nothing."""

    def __init__(self, queue, data):
        self.queue = queue
        self.files = queue.files
        self.data = data
        self.rename, self.mkdir = self.files.rename, self.files.mkdir

    def __enter__(self):
        self.queue.files = self
        self.path = self.queue.path_of(self.queue.segments[0])

    def __exit__(self, *_):
        self.queue.files = self.files

    def open(self, path, mode="r"):
        import io

        return io.BytesIO(self.data) if path == self.path else self.files.open(path, mode)

    def remove(self, path):
        if path != self.path:
            self.files.remove(path)


class FlushesTooMuch(FlashQueue):
    """Writes a pointer that stands behind everything, acked or not."""

    def flush(self):
        if self.segments:
            self.segment, self.at, self.passed = self.segments[-1], self.size, self.tail - self.segments[-1]
        FlashQueue.flush(self)


VARIANTS = {
    "right": FlashQueue,
    "pointer-first": PointerFirst,
    "remove-first": RemoveFirst,
    "flushes-too-much": FlushesTooMuch,
    "dead-chip": FlashQueue,
}


def body_of(boot, seq):
    """Body of a reading, which its identity determines."""
    return b'{"seq":%d,"ts":%d,"distance_mm":%d,"battery_mv":3710,"state":"ok"}' % (
        seq,
        1795000000 + seq * 600,
        (boot * 31 + seq * 7) % 4000,
    )


class Random:
    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % limit


class History:
    """Runs the operations; `steps` holds for each the journal length after it and what must then be on flash."""

    def __init__(self, variant, operations):
        self.flash = Flash(64)
        vfs.VfsLfs2.mkfs(self.flash)
        self.variant = variant
        self.flash.journal = []
        self.base = bytes(self.flash.data)
        vfs.mount(vfs.VfsLfs2(self.flash), "/live")
        self.queue = self.open("/live")
        self.boot = 1000
        self.seq = 0
        self.made = []  # every (boot, seq) in order
        self.acked = set()
        self.steps = [(0, [], None)]
        self.known = set()
        self.counts = {}
        random = Random(7)
        for number in range(operations):
            # a third of the time nobody acks, so that the ring comes round
            kind = random.below(70 if number % 300 > 180 else 100)
            making = None
            if kind < 58:
                self.seq += 1
                making = (self.boot, self.seq)
                name = "append"
            elif kind < 68:
                name = "reopen"
            elif kind < 70:
                name = "restart"
            elif kind < 86:
                name = "ack"
            elif kind < 97:
                name = "flush"
            else:
                name = "rewind"
            self.counts[name] = self.counts.get(name, 0) + 1
            must = [one for one in self.made if one not in self.acked]
            self.steps.append((len(self.flash.journal), must, making))
            getattr(self, name)(random)
            if making:
                self.made.append(making)
        self.steps.append((len(self.flash.journal), [one for one in self.made if one not in self.acked], None))
        vfs.umount("/live")
        self.end = bytes(self.flash.data)

    def open(self, root):
        return self.variant(Rooted(root), "/q", LIMIT_BYTES, SEGMENT_BYTES)

    def append(self, random):
        assert self.queue.append(self.boot, self.seq, body_of(self.boot, self.seq))

    def reopen(self, random):
        if self.variant is not PointerFirst:  # which would lose its late reading without any power cut
            self.queue = self.open("/live")

    def restart(self, random):
        self.boot += 1
        self.seq = 0

    def ack(self, random):
        window = self.queue.window(4000, 1 + random.below(30))
        if window is None:
            return
        boot, bodies, first = window
        upto = first + random.below(len(bodies) + 1) - 1
        also = []
        newest = self.queue.window(4000, 1, newest=True)
        if newest and newest[0] == boot and random.below(2):
            also.append((self.queue.last_seq(boot), self.queue.last_seq(boot)))
        self.queue.ack(boot, upto, also)
        for one in self.made:
            if one[0] == boot and (one[1] <= upto or (also and one[1] == also[0][0])):
                self.acked.add(one)

    def flush(self, random):
        self.queue.flush()

    def rewind(self, random):
        self.queue.rewind(self.boot, max(1, self.seq - random.below(40)))


def drain(queue):
    """Everything a queue still wants to send: identities in order; a wrong body is an error."""
    sent = []
    while True:
        window = queue.window(1 << 30, 1 << 30)
        if window is None:
            return sent
        boot, bodies, _ = window
        seq = 0
        for body in bodies:
            seq = int(body[7 : body.find(b",")])
            if body != body_of(boot, seq):
                raise ValueError("%d %r" % (boot, body))
            sent.append((boot, seq))
        if queue.ack(boot, seq) != len(bodies):
            raise ValueError("an ack freed another number than was sent")


class Sweep:
    """`is_dead` loses both superblocks in each cut, which no file system survives."""

    def __init__(self, history, is_dead):
        self.history = history
        self.cuts = self.states = self.mount_failures = self.missing = self.wrong = 0
        self.seen = None
        self.is_dead = is_dead

    def look(self, image, must, making):
        """Mount one image, open its queue and compare with what must be there."""
        self.cuts += 1
        try:
            vfs.mount(vfs.VfsLfs2(image), "/cut")
        except OSError:
            self.mount_failures += 1
            return
        vfs.umount("/cut")
        vfs.mount(vfs.VfsLfs2(image, readsize=256), "/cut")  # reads the same in a third of the time
        try:
            state = self.fingerprint()
            if state != self.seen:  # the queue is a function of its files: the same files need no second look
                self.seen = state
                self.states += 1
                self.compare(must, making)
                if self.states % 4 == 0:
                    self.go_on(image)
        except Exception as error:
            self.wrong += 1
            if self.wrong < 4:
                sys.print_exception(error)
        finally:
            vfs.umount("/cut")

    def fingerprint(self):
        files = Rooted("/cut")
        names = []
        crc = 0
        for folder in ("/q", "/q/s"):
            try:
                found = sorted(files.listdir(folder))
            except OSError:
                found = []
            for name in found:
                names.append(folder + name)
                if name != "s":
                    with files.open(folder + "/" + name, "rb") as file:
                        crc = crc32(file.read(), crc)
        return names, crc

    def compare(self, must, making):
        queue = self.history.open("/cut")
        dropped = queue.dropped
        waiting = queue.waiting
        sent = drain(queue)
        if len(sent) != waiting:
            raise ValueError("%d waited, %d were sent" % (waiting, len(sent)))
        if len(set(sent)) != len(sent):
            raise ValueError("sent twice")
        held = set(sent)
        for one in held:
            if one not in self.history.known and one != making:
                raise ValueError("nobody made %r" % (one,))
        lost = [one for one in must if one not in held]
        # what may be missing is the oldest, and was counted
        if lost != must[: len(lost)] or len(lost) > dropped:
            self.missing += 1

    def go_on(self, image):
        """After the cut the node lives on: one more reading, one more start."""
        vfs.umount("/cut")
        vfs.mount(vfs.VfsLfs2(image), "/cut")
        queue = self.history.open("/cut")
        assert queue.append(5000, 1, body_of(5000, 1))
        queue.flush()
        vfs.umount("/cut")
        vfs.mount(vfs.VfsLfs2(image), "/cut")
        queue = self.history.open("/cut")
        assert queue.last_seq(5000) == 1
        assert (5000, 1) in drain(queue)

    def run(self):
        flash = self.history.flash
        journal = flash.journal
        flash.journal = None
        flash.data[:] = self.history.base
        steps = self.history.steps
        for index in range(len(steps) - 1):
            begin, must, making = steps[index]
            self.seen = None
            if self.mount_failures + self.missing + self.wrong > 9:
                break
            for at in range(begin, steps[index + 1][0]):
                self.look(Image(flash), must, making)
                torn = Image(flash)
                torn.tear(*journal[at])
                if self.is_dead:
                    torn.changed[0] = torn.changed[1] = bytearray(4096)
                self.look(torn, must, making)
                flash.change(*journal[at])
            if making:
                self.history.known.add(making)
        else:
            assert bytes(flash.data) == self.history.end  # the journal is complete
        self.seen = None
        self.look(Image(flash), steps[-1][1], None)


def main(operations, variant):
    history = History(VARIANTS[variant], operations)
    sweep = Sweep(history, variant == "dead-chip")
    flash_operations = len(history.flash.journal)
    sweep.run()
    print("operations", sorted(history.counts.items()))
    print("dropped %d waiting %d" % (history.queue.dropped, history.queue.waiting))
    print(
        "flash_operations %d cuts %d states %d mount_failures %d missing %d wrong %d"
        % (flash_operations, sweep.cuts, sweep.states, sweep.mount_failures, sweep.missing, sweep.wrong)
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
