"""Finds out at a start what lies on flash: segments, pointer, the end of the data. In memory only meanwhile."""

import struct
from binascii import crc32

from firmware.core.files import read
from firmware.core.queue import POINTER, POINTER_MARK, RANGE


def begin(queue):
    """Fill a new queue with what the files say."""
    queue.segments = _read_index(queue)
    _read_pointer(queue)
    _find_tail(queue)
    if queue.ranges:
        queue.advance()  # power may have failed between a drop and the ranges without it


def _ordinal(name):
    try:
        return int(name, 16) if len(name) == 8 else -1
    except ValueError:
        return -1


def _is_there(queue, name):
    try:
        queue.files.stat(queue.path_of(name))
    except OSError:
        return False
    return True


def _listed(queue):
    """Names of the segments as the folder has them; makes it when there is none."""
    try:
        names = queue.files.listdir(queue.folder + "/s")
    except OSError:
        for folder in (queue.folder, queue.folder + "/s"):
            try:
                queue.files.mkdir(folder)
            except OSError:
                pass  # the power went between the two
        return []
    return sorted([_ordinal(name) for name in names if _ordinal(name) >= 0])


def _read_index(queue):
    """Names of the segments without a look at the folder, which costs LittleFS 8,000 reads of flash.

    It is written when a segment begins: segments removed since are its first ones, and one may have begun after it.
    """
    data = read(queue.files, queue.folder + "/index")
    if not data or len(data) % 4 or struct.unpack("<I", data[-4:])[0] != crc32(data[:-4]):
        return _listed(queue)
    names = list(struct.unpack("<%dI" % (len(data) // 4 - 1), data[:-4]))
    while names and not _is_there(queue, names[0]):
        names.pop(0)
    return names


def _read_pointer(queue):
    queue.segment, queue.at, queue.passed = (queue.segments or [0])[0], 0, 0
    data = read(queue.files, queue.folder + "/pointer")
    size = struct.calcsize(POINTER)
    if data is None or len(data) < size + 4 or data[0] != POINTER_MARK:
        return
    if struct.unpack("<I", data[-4:])[0] != crc32(data[:-4]):
        return  # then everything on flash counts as un-acked
    _, queue.segment, queue.at, queue.passed, queue.dropped, count = struct.unpack_from(POINTER, data)
    queue.ranges = [struct.unpack_from(RANGE, data, size + 12 * index) for index in range(count)]


def _find_tail(queue):
    """Find the end of the data, the last sound record, and the head among the segments that are there."""
    queue.tail = queue.segment + queue.passed
    is_listed = False
    while True:
        if queue.segments:
            name = queue.segments[-1]
            queue.size, count = _scan(queue, name)
            # Never append behind bytes that are no record. A segment without any still uses up its own name.
            queue.sealed = queue.size < queue.length
            queue.tail = max(name + count, name + 1 if queue.sealed else 0)
            if name == queue.segment and queue.at > queue.size:
                # Acked readings are gone. New ones go behind the pointer, or they would pass for these.
                queue.sealed = True
                queue.tail = queue.segment + queue.passed
            if queue.tail == name:
                break
            if queue.sealed and not is_listed:  # the next name cannot be told from a damaged segment
                is_listed = True
                queue.segments = _listed(queue)
                continue
        if not _is_there(queue, queue.tail):
            break
        queue.segments.append(queue.tail)
    for name in reversed(queue.segments):
        if queue.last[1]:
            break
        _scan(queue, name)
    for name in queue.segments:
        if name >= queue.segment:
            if name > queue.segment:
                queue.segment, queue.at, queue.passed = name, 0, 0
            break
    else:
        queue.tail = max(queue.tail, queue.segment + queue.passed)
        queue.sealed = True
        queue.segment, queue.at, queue.passed = queue.tail, 0, 0


def _scan(queue, name):
    """Look through a segment for the last sound record; returns its end and how many there are."""
    at = count = 0
    queue.load(name)
    while True:
        found = queue.find(at)
        if found is None:
            return at, count
        queue.last_place = (name, found[0])
        queue.last = found[2:]
        at = found[1]
        count += 1
