"""Puts readings on flash, and gives up the oldest when there is no room. In memory only meanwhile."""

import struct
from binascii import crc32

from firmware.core.files import discard, replace
from firmware.core.queue import HEAD_BYTES, MARK, NOTHING, WORDS, restore

_ENOSPC = 28


def _shorten(body):
    code = 128
    for word in WORDS.split(b"|"):
        body = body.replace(word, bytes((code,)))
        code += 1
    return body


def _write_index(queue):
    data = struct.pack("<%dI" % len(queue.segments), *queue.segments)
    try:
        replace(queue.files, queue.folder + "/index", data + struct.pack("<I", crc32(data)))
    except OSError:
        discard(queue.files, queue.folder + "/index")  # then the next start looks at the folder


def append(queue, boot, seq, body):
    """Put one reading on flash; True once it is there, False when there is no room at all (then it is counted)."""
    if seq <= queue.last_seq(boot):
        raise ValueError("seq %d is taken" % seq)
    short = _shorten(body)
    if restore(short) != body or len(short) + HEAD_BYTES > len(queue.buffer):
        raise ValueError("no reading")
    head = struct.pack("<BHII", MARK, len(short), boot, seq)
    record = head + struct.pack("<I", crc32(short, crc32(head))) + short
    while True:
        fresh = queue.sealed or queue.size + len(record) > len(queue.buffer)
        while fresh and len(queue.segments) >= queue.most:
            drop(queue)
        name = queue.tail if fresh else queue.segments[-1]
        queue.loaded = -1
        try:
            with queue.files.open(queue.path_of(name), "wb" if fresh else "ab") as file:
                file.write(record)
            break
        except OSError as error:
            if error.errno == _ENOSPC and (len(queue.segments) > 1 or (queue.segments and not queue.waiting)):
                drop(queue)
            elif error.errno != _ENOSPC and not fresh:
                queue.sealed = True  # a bad place in this segment, or half a record at its end: begin a new one
            else:
                queue.dropped += 1
                queue.dirty = True
                return False
    if fresh:
        queue.segments.append(name)
        _write_index(queue)
        queue.size = 0
        queue.sealed = False
    queue.last = (boot, seq)
    queue.last_place = (name, queue.size)
    queue.size += len(record)
    queue.tail += 1
    return True


def drop(queue):
    """Give up the oldest segment. Readings that nobody acked are counted, on flash, before it goes."""
    oldest = queue.segments[0]
    if oldest == queue.segment:
        queue.head = NOTHING
        queue.load(oldest)
        found = queue.find(queue.at)
        expected = (queue.after(oldest) or queue.tail) - oldest - queue.passed
        while found is not None:
            queue.meet(found[2])
            if queue.covered(found[2], found[3]):
                expected -= 1
            queue.step_over(found[1])
            found = queue.find(queue.at)
        queue.dropped += max(0, expected)
        queue.segment, queue.at, queue.passed = queue.after(oldest) or queue.tail, 0, 0
        queue.dirty = True
        queue.flush()
    if queue.loaded == oldest:
        queue.loaded = -1
    queue.segments.pop(0)
    discard(queue.files, queue.path_of(oldest))  # worn-out flash may keep it: no reason to stop measuring
    if not queue.segments:
        queue.sealed = True
    if queue.ranges:
        queue.advance()  # ranges of what is gone would count against what still waits
        queue.dirty = True
    queue.flush()  # again, when there was no room even for the pointer
