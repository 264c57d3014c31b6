"""Readings on flash, from the moment they are made until the gateway has said that it holds them.

A segment is a file of records, named by the ordinal of its first one, so that names alone say how many records there
are. A record is `mark, length, boot, seq, CRC32` and the body, in which the usual JSON keys are one byte each. Nothing
is changed in place: records are appended, whole segments are removed. What was acked stays as history until the ring
needs the room.

The pointer (first un-acked record, acked ranges beyond it, readings dropped) always follows the data: after a power cut
a reading may be sent again, but none is skipped. A drop is counted on flash before its segment goes.

Wear, measured on LittleFS2 with 240 blocks of 4,096 bytes: a reading with its ack and its pointer costs 1.1 erases, and
the most worn block (directory) 0.04. At 144 readings a day and 100,000 erases a block that is more than 50 years.
"""

import struct
from binascii import crc32

from firmware.core.files import discard, read, replace

_RECORD = "<BHIII"
_HEAD_BYTES = 15
_CRC_AT = 11
_MARK = 0xA7
_POINTER = "<BIHHIB"
_POINTER_MARK = 0xB1
_RANGE = "<III"
_MAX_RANGES = 8  # with these the pointer stays under 128 bytes, which LittleFS keeps beside the name, without a block
_ENOSPC = 28
_NOTHING = (0, 0)  # no (boot, seq): seq begins at 1

# The place in this list is the byte on flash: only ever add at its end. One object, split when needed, is small.
_WORDS = (
    b'"seq":|"ts":|"up_s":|"distance_mm":|"fill_pct":|"temp_cdeg":|"tilt_deg":|"weight_g":|"battery_mv":|"rssi_dbm":|'
    b'"quality":|"state":"ok"|"state":"|"pm1_ngm3":|"pm25_ngm3":|"pm10_ngm3":|"rh_cpct":|"no2_ppt":|"o3_ppt":|"voc_raw":|'
    b'"nh3_mv":|"h2s_mv":|"pressure_pa":'
)


def _shorten(body):
    code = 128
    for word in _WORDS.split(b"|"):
        body = body.replace(word, bytes((code,)))
        code += 1
    return body


def _restore(data):
    code = 128
    for word in _WORDS.split(b"|"):
        data = data.replace(bytes((code,)), word)
        code += 1
    return data


def _ordinal(name):
    try:
        return int(name, 16) if len(name) == 8 else -1
    except ValueError:
        return -1


class FlashQueue:
    """Readings in the order of their making; RAM holds the segment names, one segment and no reading."""

    def __init__(self, files, folder="/q", limit_bytes=262144, segment_bytes=4096):
        self._files = files
        self._folder = folder
        self._most = max(2, limit_bytes // segment_bytes)
        self._buffer = bytearray(segment_bytes)
        self._view = memoryview(self._buffer)
        self._loaded = -1
        self._length = 0
        self._ranges = []  # (boot, low, high): acked, although something before them is not
        self._front_boot = None
        self._head = _NOTHING  # (boot, seq) of the first un-acked record, once it was looked up
        self._dirty = False
        self.dropped = 0
        self._names = self._read_index()
        self._read_pointer()
        self._find_tail()
        if self._ranges:
            self._advance()  # power may have failed between a drop and the ranges without it

    # -- opening ---------------------------------------------------------------------------------

    def _path(self, name):
        return "%s/s/%08x" % (self._folder, name)

    def _exists(self, name):
        try:
            self._files.stat(self._path(name))
        except OSError:
            return False
        return True

    def _list(self):
        """Names of the segments as the folder has them; makes it when there is none."""
        try:
            names = self._files.listdir(self._folder + "/s")
        except OSError:
            for folder in (self._folder, self._folder + "/s"):
                try:
                    self._files.mkdir(folder)
                except OSError:
                    pass  # the power went between the two
            return []
        return sorted([_ordinal(name) for name in names if _ordinal(name) >= 0])

    def _read_index(self):
        """Names of the segments without a look at the folder, which costs LittleFS 8,000 reads of flash.

        It is written when a segment begins: segments removed since are its first ones, and one may have begun after it.
        """
        data = read(self._files, self._folder + "/index")
        if not data or len(data) % 4 or struct.unpack("<I", data[-4:])[0] != crc32(data[:-4]):
            return self._list()
        names = list(struct.unpack("<%dI" % (len(data) // 4 - 1), data[:-4]))
        while names and not self._exists(names[0]):
            names.pop(0)
        return names

    def _write_index(self):
        data = struct.pack("<%dI" % len(self._names), *self._names)
        try:
            replace(self._files, self._folder + "/index", data + struct.pack("<I", crc32(data)))
        except OSError:
            discard(self._files, self._folder + "/index")  # then the next start looks at the folder

    def _read_pointer(self):
        self._segment, self._at, self._passed = (self._names or [0])[0], 0, 0
        data = read(self._files, self._folder + "/pointer")
        size = struct.calcsize(_POINTER)
        if data is None or len(data) < size + 4 or data[0] != _POINTER_MARK:
            return
        if struct.unpack("<I", data[-4:])[0] != crc32(data[:-4]):
            return  # then everything on flash counts as un-acked
        _, self._segment, self._at, self._passed, self.dropped, count = struct.unpack_from(_POINTER, data)
        self._ranges = [struct.unpack_from(_RANGE, data, size + 12 * index) for index in range(count)]

    def _find_tail(self):
        """Find the end of the data, the last sound record, and the head among the segments that are there."""
        self._tail = self._segment + self._passed
        self._size = 0
        self._last = _NOTHING
        self._last_place = (0, 0)
        self._sealed = True
        is_listed = False
        while True:
            if self._names:
                name = self._names[-1]
                self._size, count = self._scan(name)
                # Never append behind bytes that are no record. A segment without any still uses up its own name.
                self._sealed = self._size < self._length
                self._tail = max(name + count, name + 1 if self._sealed else 0)
                if name == self._segment and self._at > self._size:
                    # Acked readings are gone. New ones go behind the pointer, or they would pass for these.
                    self._sealed = True
                    self._tail = self._segment + self._passed
                if self._tail == name:
                    break
                if self._sealed and not is_listed:  # the next name cannot be told from a damaged segment
                    is_listed = True
                    self._names = self._list()
                    continue
            if not self._exists(self._tail):
                break
            self._names.append(self._tail)
        for name in reversed(self._names):
            if self._last[1]:
                break
            self._scan(name)
        for name in self._names:
            if name >= self._segment:
                if name > self._segment:
                    self._segment, self._at, self._passed = name, 0, 0
                break
        else:
            self._tail = max(self._tail, self._segment + self._passed)
            self._sealed = True
            self._segment, self._at, self._passed = self._tail, 0, 0

    def _scan(self, name):
        """Look through a segment for the last sound record; returns its end and how many there are."""
        at = count = 0
        self._load(name)
        while True:
            found = self._find(at)
            if found is None:
                return at, count
            self._last_place = (name, found[0])
            self._last = found[2:]
            at = found[1]
            count += 1

    # -- segments --------------------------------------------------------------------------------

    def _load(self, name):
        if name != self._loaded:
            self._loaded = -1
            self._length = 0
            try:
                with self._files.open(self._path(name), "rb") as file:
                    self._length = file.readinto(self._buffer) or 0
            except OSError:
                return  # an unreadable segment is a damaged one: its records are counted when the head passes
            self._loaded = name

    def _find(self, at):
        """First sound record at or after `at` in the loaded segment: (start, end, boot, seq), or None."""
        while at + _HEAD_BYTES <= self._length:
            if self._buffer[at] == _MARK:
                _, size, boot, seq, crc = struct.unpack_from(_RECORD, self._buffer, at)
                end = at + _HEAD_BYTES + size
                if end <= self._length:
                    sum_ = crc32(self._view[at + _HEAD_BYTES : end], crc32(self._view[at : at + _CRC_AT]))
                    if sum_ == crc:
                        return at, end, boot, seq
            at += 1
        return None

    def _body(self, start, end):
        return _restore(bytes(self._view[start + _HEAD_BYTES : end]))

    def _after(self, name):
        """Name of the segment after `name`, or None."""
        index = self._names.index(name) + 1
        return self._names[index] if index < len(self._names) else None

    # -- acked ranges ----------------------------------------------------------------------------

    def _covered(self, boot, seq):
        for owner, low, high in self._ranges:
            if owner == boot and low <= seq <= high:
                return True
        return False

    def _cover(self, boot, low, high):
        if boot == self._last[0]:
            high = min(high, self._last[1])  # an ack of what was never made must not cover it when it is
        low = max(low, self._head[1] if boot == self._head[0] else 1)
        if low > high:
            return
        kept = []
        for one in self._ranges:
            if one[0] == boot and one[1] <= high + 1 and low <= one[2] + 1:
                low, high = min(low, one[1]), max(high, one[2])
            else:
                kept.append(one)
        kept.append((boot, low, high))
        if len(kept) > _MAX_RANGES:  # forgetting a range only means that its readings are sent again
            kept.remove(min(kept, key=lambda one: one[2] - one[1]))
        if kept != self._ranges:
            self._ranges = kept
            self._dirty = True

    def _meet(self, boot):
        """Come to a record of `boot`; ranges of the boot that is now behind have no more use."""
        if boot != self._front_boot:
            self._ranges = [one for one in self._ranges if one[0] != self._front_boot]
            self._front_boot = boot

    def _pass(self, end):
        self._at = end
        self._passed += 1
        self._dirty = True

    def _advance(self):
        """Move the head to the first record that no ack covers, and look up which one it is."""
        self._head = _NOTHING
        while self._segment + self._passed < self._tail and self._names:
            self._load(self._segment)
            found = self._find(self._at)
            if found is None:
                following = self._after(self._segment)
                end = self._tail if following is None else following
                self.dropped += max(0, end - self._segment - self._passed)  # damaged beyond reading
                if following is None:
                    self._at, self._passed = self._length, end - self._segment
                else:
                    self._segment, self._at, self._passed = following, 0, 0
                self._dirty = True
                continue
            _, end, boot, seq = found
            self._meet(boot)
            if not self._covered(boot, seq):
                self._head = (boot, seq)
                self._ranges = [
                    (one[0], max(one[1], seq), one[2]) if one[0] == boot else one
                    for one in self._ranges
                    if one[0] != boot or one[2] > seq
                ]
                return
            self._pass(end)
        self._ranges = []

    # -- what a node does with it ----------------------------------------------------------------

    @property
    def waiting(self):
        """How many readings no ack covers yet."""
        held = self._tail - self._segment - self._passed
        if held <= 0:
            return 0
        for _, low, high in self._ranges:
            held -= high - low + 1
        return max(1, held)

    def last_seq(self, boot):
        """Highest `seq` on flash when the last reading is of this boot, else 0: numbers below are taken."""
        return self._last[1] if self._last[0] == boot else 0

    def append(self, boot, seq, body):
        """Put one reading on flash; True once it is there, False when there is no room at all (then it is counted)."""
        if seq <= self.last_seq(boot):
            raise ValueError("seq %d is taken" % seq)
        short = _shorten(body)
        if _restore(short) != body or len(short) + _HEAD_BYTES > len(self._buffer):
            raise ValueError("no reading")
        head = struct.pack("<BHII", _MARK, len(short), boot, seq)
        record = head + struct.pack("<I", crc32(short, crc32(head))) + short
        while True:
            fresh = self._sealed or self._size + len(record) > len(self._buffer)
            while fresh and len(self._names) >= self._most:
                self._drop()
            name = self._tail if fresh else self._names[-1]
            self._loaded = -1
            try:
                with self._files.open(self._path(name), "wb" if fresh else "ab") as file:
                    file.write(record)
                break
            except OSError as error:
                if error.errno == _ENOSPC and (len(self._names) > 1 or (self._names and not self.waiting)):
                    self._drop()
                elif error.errno != _ENOSPC and not fresh:
                    self._sealed = True  # a bad place in this segment, or half a record at its end: begin a new one
                else:
                    self.dropped += 1
                    self._dirty = True
                    return False
        if fresh:
            self._names.append(name)
            self._write_index()
            self._size = 0
            self._sealed = False
        self._last = (boot, seq)
        self._last_place = (name, self._size)
        self._size += len(record)
        self._tail += 1
        return True

    def _drop(self):
        """Give up the oldest segment. Readings that nobody acked are counted, on flash, before it goes."""
        oldest = self._names[0]
        if oldest == self._segment:
            self._head = _NOTHING
            self._load(oldest)
            found = self._find(self._at)
            expected = (self._after(oldest) or self._tail) - oldest - self._passed
            while found is not None:
                self._meet(found[2])
                if self._covered(found[2], found[3]):
                    expected -= 1
                self._pass(found[1])
                found = self._find(self._at)
            self.dropped += max(0, expected)
            self._segment, self._at, self._passed = self._after(oldest) or self._tail, 0, 0
            self._dirty = True
            self.flush()
        if self._loaded == oldest:
            self._loaded = -1
        self._names.pop(0)
        discard(self._files, self._path(oldest))  # worn-out flash may keep it: no reason to stop measuring
        if not self._names:
            self._sealed = True
        if self._ranges:
            self._advance()  # ranges of what is gone would count against what still waits
            self._dirty = True
        self.flush()  # again, when there was no room even for the pointer

    def window(self, max_bytes, max_count, newest=False):
        """Un-acked readings of one boot, oldest first: (boot, bodies, lowest un-acked seq of that boot), or None.

        `newest` asks for the last reading alone: None when it is acked. When an older boot still waits, the lowest
        `seq` is given as 1, since too low a number only makes the gateway patient.
        """
        self._advance()
        if not self._head[1]:
            return None
        boot, first = self._head
        if newest:
            if self._covered(self._last[0], self._last[1]):
                return None
            self._load(self._last_place[0])
            found = self._find(self._last_place[1])
            if found is None:
                return None
            start, end, owner, _ = found
            return owner, [self._body(start, end)], first if owner == boot else 1
        bodies = []
        name = self._segment
        at = self._at
        room = max_bytes
        while name is not None and len(bodies) < max_count:
            self._load(name)
            found = self._find(at)
            if found is None:
                name = self._after(name)
                at = 0
                continue
            start, at, owner, seq = found
            if owner != boot:
                break
            if self._covered(boot, seq):
                continue
            body = self._body(start, at)
            room -= len(body) + 1
            if bodies and room < 0:
                break
            bodies.append(body)
        return boot, bodies, first

    def last_body(self, boot):
        """Return the last reading of a boot on flash, acked or not, or None. Slow: may look through all segments."""
        for name in reversed(self._names):
            self._load(name)
            last = None
            found = self._find(0)
            while found is not None:
                if found[2] == boot:
                    last = found
                found = self._find(found[1])
            if last is not None:
                return self._body(last[0], last[1])
        return None

    def ack(self, boot, upto, also=()):
        """Free what the gateway holds: `seq` up to `upto` and the ranges `also`; returns how many this freed.

        Only the boots of the oldest and the newest reading can have been sent: an ack of another boot is an old one.
        """
        self._advance()
        if not self._head[1] or (boot != self._head[0] and boot != self._last[0]):
            return 0
        before = self.waiting + self.dropped
        self._cover(boot, 1, upto)
        for low, high in also:
            self._cover(boot, low, high)
        self._advance()
        return before - self.waiting - self.dropped

    def flush(self):
        """Write the pointer, if it moved, after the data it speaks of. A full disk only means sending again."""
        if not self._dirty:
            return
        data = struct.pack(
            _POINTER, _POINTER_MARK, self._segment, self._at, self._passed, self.dropped, len(self._ranges)
        )
        for one in self._ranges:
            data += struct.pack(_RANGE, one[0], one[1], one[2])
        try:
            replace(self._files, self._folder + "/pointer", data + struct.pack("<I", crc32(data)))
            self._dirty = False
        except OSError:
            pass

    def rewind(self, boot, from_seq):
        """Take back the acks of `boot` from `from_seq` on, as far as flash still has the readings; returns how many."""
        before = self.waiting
        self._ranges = [
            (one[0], one[1], min(one[2], from_seq - 1)) if one[0] == boot else one
            for one in self._ranges
            if one[0] != boot or one[1] < from_seq
        ]
        for name in self._names:
            if name > self._segment:
                break
            at = passed = 0
            self._load(name)
            found = self._find(0)
            while found is not None and (name, at) < (self._segment, self._at):
                if found[2] == boot and found[3] >= from_seq:
                    self._segment, self._at, self._passed = name, at, passed
                    self._front_boot = None
                    break
                at = found[1]
                passed += 1
                found = self._find(at)
            if name == self._segment:
                break
        self._dirty = True
        return self.waiting - before
