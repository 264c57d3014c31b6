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

from firmware.core.files import replace
from firmware.modules import drop

RECORD = "<BHIII"
HEAD_BYTES = 15
_CRC_AT = 11
MARK = 0xA7
POINTER = "<BIHHIB"
POINTER_MARK = 0xB1
RANGE = "<III"
_MAX_RANGES = 8  # with these the pointer stays under 128 bytes, which LittleFS keeps beside the name, without a block
NOTHING = (0, 0)  # no (boot, seq): seq begins at 1

OPENING = "core.queue_opening"
WRITING = "core.queue_writing"

# The place in this list is the byte on flash: only ever add at its end. One object, split when needed, is small.
WORDS = (
    b'"seq":|"ts":|"up_s":|"distance_mm":|"fill_pct":|"temp_cdeg":|"tilt_deg":|"weight_g":|"battery_mv":|"rssi_dbm":|'
    b'"quality":|"state":"ok"|"state":"|"pm1_ngm3":|"pm25_ngm3":|"pm10_ngm3":|"rh_cpct":|"no2_ppt":|"o3_ppt":|"voc_raw":|'
    b'"nh3_mv":|"h2s_mv":|"pressure_pa":'
)


def restore(data):
    """Return a body with its JSON keys written out."""
    code = 128
    for word in WORDS.split(b"|"):
        data = data.replace(bytes((code,)), word)
        code += 1
    return data


class FlashQueue:
    """Readings in the order of their making; RAM holds the segment names, one segment and no reading."""

    def __init__(self, files, folder="/q", limit_bytes=262144, segment_bytes=4096):
        self.files = files
        self.folder = folder
        self.most = max(2, limit_bytes // segment_bytes)
        self.buffer = bytearray(segment_bytes)
        self._view = memoryview(self.buffer)
        self.loaded = -1
        self.length = 0
        self.ranges = []  # (boot, low, high): acked, although something before them is not
        self.front_boot = None
        self.head = NOTHING  # (boot, seq) of the first un-acked record, once it was looked up
        self.dirty = False
        self.dropped = 0
        self.segments = []  # names, oldest first
        self.segment = self.at = self.passed = 0  # where the head is: segment, place in it, records before it
        self.tail = self.size = 0  # ordinal of the next record; bytes of the last segment
        self.last = self.last_place = NOTHING  # (boot, seq) of the newest record, and where it is
        self.sealed = True
        from firmware.core import queue_opening

        queue_opening.begin(self)
        del queue_opening
        drop(OPENING)

    # -- segments --------------------------------------------------------------------------------

    def path_of(self, name):
        """Path of a segment."""
        return "%s/s/%08x" % (self.folder, name)

    def load(self, name):
        """Have a segment in the buffer."""
        if name != self.loaded:
            self.loaded = -1
            self.length = 0
            try:
                with self.files.open(self.path_of(name), "rb") as file:
                    self.length = file.readinto(self.buffer) or 0
            except OSError:
                return  # an unreadable segment is a damaged one: its records are counted when the head passes
            self.loaded = name

    def find(self, at):
        """First sound record at or after `at` in the loaded segment: (start, end, boot, seq), or None."""
        while at + HEAD_BYTES <= self.length:
            if self.buffer[at] == MARK:
                _, size, boot, seq, crc = struct.unpack_from(RECORD, self.buffer, at)
                end = at + HEAD_BYTES + size
                if end <= self.length:
                    sum_ = crc32(self._view[at + HEAD_BYTES : end], crc32(self._view[at : at + _CRC_AT]))
                    if sum_ == crc:
                        return at, end, boot, seq
            at += 1
        return None

    def _body(self, start, end):
        return restore(bytes(self._view[start + HEAD_BYTES : end]))

    def after(self, name):
        """Name of the segment after `name`, or None."""
        index = self.segments.index(name) + 1
        return self.segments[index] if index < len(self.segments) else None

    # -- acked ranges ----------------------------------------------------------------------------

    def covered(self, boot, seq):
        """Whether an ack beyond the head covers a reading."""
        for owner, low, high in self.ranges:
            if owner == boot and low <= seq <= high:
                return True
        return False

    def _cover(self, boot, low, high):
        if boot == self.last[0]:
            high = min(high, self.last[1])  # an ack of what was never made must not cover it when it is
        low = max(low, self.head[1] if boot == self.head[0] else 1)
        if low > high:
            return
        kept = []
        for one in self.ranges:
            if one[0] == boot and one[1] <= high + 1 and low <= one[2] + 1:
                low, high = min(low, one[1]), max(high, one[2])
            else:
                kept.append(one)
        kept.append((boot, low, high))
        if len(kept) > _MAX_RANGES:  # forgetting a range only means that its readings are sent again
            kept.remove(min(kept, key=lambda one: one[2] - one[1]))
        if kept != self.ranges:
            self.ranges = kept
            self.dirty = True

    def meet(self, boot):
        """Come to a record of `boot`; ranges of the boot that is now behind have no more use."""
        if boot != self.front_boot:
            self.ranges = [one for one in self.ranges if one[0] != self.front_boot]
            self.front_boot = boot

    def step_over(self, end):
        """Move the head behind a record that ends there."""
        self.at = end
        self.passed += 1
        self.dirty = True

    def advance(self):
        """Move the head to the first record that no ack covers, and look up which one it is."""
        self.head = NOTHING
        while self.segment + self.passed < self.tail and self.segments:
            self.load(self.segment)
            found = self.find(self.at)
            if found is None:
                following = self.after(self.segment)
                end = self.tail if following is None else following
                self.dropped += max(0, end - self.segment - self.passed)  # damaged beyond reading
                if following is None:
                    self.at, self.passed = self.length, end - self.segment
                else:
                    self.segment, self.at, self.passed = following, 0, 0
                self.dirty = True
                continue
            _, end, boot, seq = found
            self.meet(boot)
            if not self.covered(boot, seq):
                self.head = (boot, seq)
                self.ranges = [
                    (one[0], max(one[1], seq), one[2]) if one[0] == boot else one
                    for one in self.ranges
                    if one[0] != boot or one[2] > seq
                ]
                return
            self.step_over(end)
        self.ranges = []

    # -- what a node does with it ----------------------------------------------------------------

    @property
    def waiting(self):
        """How many readings no ack covers yet."""
        held = self.tail - self.segment - self.passed
        if held <= 0:
            return 0
        for _, low, high in self.ranges:
            held -= high - low + 1
        return max(1, held)

    def last_seq(self, boot):
        """Highest `seq` on flash when the last reading is of this boot, else 0: numbers below are taken."""
        return self.last[1] if self.last[0] == boot else 0

    def append(self, boot, seq, body):
        """Put one reading on flash; True once it is there, False when there is no room at all (then it is counted)."""
        from firmware.core import queue_writing

        return queue_writing.append(self, boot, seq, body)

    def rewind(self, boot, from_seq):
        """Take back the acks of `boot` from `from_seq` on, as far as flash still has the readings; returns how many."""
        from firmware.core import queue_rewinding

        return queue_rewinding.rewind(self, boot, from_seq)

    def window(self, max_bytes, max_count, newest=False):
        """Un-acked readings of one boot, oldest first: (boot, bodies, lowest un-acked seq of that boot), or None.

        `newest` asks for the last reading alone: None when it is acked. When an older boot still waits, the lowest
        `seq` is given as 1, since too low a number only makes the gateway patient.
        """
        self.advance()
        if not self.head[1]:
            return None
        boot, first = self.head
        if newest:
            if self.covered(self.last[0], self.last[1]):
                return None
            self.load(self.last_place[0])
            found = self.find(self.last_place[1])
            if found is None:
                return None
            start, end, owner, _ = found
            return owner, [self._body(start, end)], first if owner == boot else 1
        bodies = []
        name = self.segment
        at = self.at
        room = max_bytes
        while name is not None and len(bodies) < max_count:
            self.load(name)
            found = self.find(at)
            if found is None:
                name = self.after(name)
                at = 0
                continue
            start, at, owner, seq = found
            if owner != boot:
                break
            if self.covered(boot, seq):
                continue
            body = self._body(start, at)
            room -= len(body) + 1
            if bodies and room < 0:
                break
            bodies.append(body)
        return boot, bodies, first

    def last_body(self, boot):
        """Return the last reading of a boot on flash, acked or not, or None. Slow: may look through all segments."""
        for name in reversed(self.segments):
            self.load(name)
            last = None
            found = self.find(0)
            while found is not None:
                if found[2] == boot:
                    last = found
                found = self.find(found[1])
            if last is not None:
                return self._body(last[0], last[1])
        return None

    def ack(self, boot, upto, also=()):
        """Free what the gateway holds: `seq` up to `upto` and the ranges `also`; returns how many this freed.

        Only the boots of the oldest and the newest reading can have been sent: an ack of another boot is an old one.
        """
        self.advance()
        if not self.head[1] or (boot != self.head[0] and boot != self.last[0]):
            return 0
        before = self.waiting + self.dropped
        self._cover(boot, 1, upto)
        for low, high in also:
            self._cover(boot, low, high)
        self.advance()
        return before - self.waiting - self.dropped

    def is_past(self, boot, seq):
        """Whether nothing of a boot waits any more up to a number; behind another boot it may."""
        return not self.waiting or (self.head[0] == boot and self.head[1] > seq)

    def flush(self):
        """Write the pointer, if it moved, after the data it speaks of. A full disk only means sending again."""
        if not self.dirty:
            return
        data = struct.pack(POINTER, POINTER_MARK, self.segment, self.at, self.passed, self.dropped, len(self.ranges))
        for one in self.ranges:
            data += struct.pack(RANGE, one[0], one[1], one[2])
        try:
            replace(self.files, self.folder + "/pointer", data + struct.pack("<I", crc32(data)))
            self.dirty = False
        except OSError:
            pass
