"""What RTC memory holds between two wakes: gone with the power, kept over sleep and resets. Damage makes it None."""

import struct
from binascii import crc32

VERSION = 2
_NAMES = (
    "boot",
    "next_seq",
    "up_s",
    "unix_s",
    "sleep_s",
    "synced_up_s",
    "fails",
    "no_ack",
    "tls_refused",
    "since_sent",
    "override_s",
    "override_until_s",
    "last_state",
    "clock_ok",
    "pin_wakes",
    "next_up_s",
    "loads",
    "battery_mv",
    "seen_cfg",
    "again_boot",
    "again_to",
    "tight",
)
_MAX_HISTORY = 16


class Record:
    """The state of one boot; every number is a u32.

    boot, next_seq: identity of the next reading. up_s, unix_s: uptime and clock when it was saved; sleep_s how long
    the node meant to sleep then. synced_up_s, clock_ok: when a time server was last asked, and whether the time is
    believed. fails, no_ack, tls_refused: talks that failed, sends without an ack, both in a row; certificates refused
    in this boot. since_sent, last_state (0 = none, else 1 + index in wire.STATES): of the last send. override_s,
    override_until_s: the command `interval`. pin_wakes: less timer ones. again_boot, again_to: what a `resend` asked
    for, up to which seq (0 = nothing); boot 0: several boots at once. tight: the last talk ended for want of memory.
    history: of core/interval.
    """

    def __init__(self, boot):
        self.boot = boot
        self.next_seq = 1
        self.up_s = self.unix_s = self.sleep_s = self.synced_up_s = 0
        self.fails = self.no_ack = self.tls_refused = 0
        self.since_sent = self.last_state = 0
        self.override_s = self.override_until_s = 0
        self.clock_ok = self.pin_wakes = 0
        self.next_up_s = self.loads = self.battery_mv = self.seen_cfg = 0
        self.again_boot = self.again_to = self.tight = 0
        self.history = ()


def pack(record):
    """Make the bytes for RTC memory."""
    numbers = [getattr(record, name) & 0xFFFFFFFF for name in _NAMES] + list(record.history[:_MAX_HISTORY])
    data = struct.pack("<BB%dI" % len(numbers), VERSION, len(numbers), *numbers)
    return data + struct.pack("<I", crc32(data))


def unpack(data):
    """Return the record, or None when it is not whole."""
    if len(data) < 6 or data[0] != VERSION or len(data) != 2 + 4 * data[1] + 4 or data[1] < len(_NAMES):
        return None
    if struct.unpack("<I", data[-4:])[0] != crc32(data[:-4]):
        return None
    numbers = struct.unpack("<%dI" % data[1], data[2:-4])
    record = Record(numbers[0])
    for index in range(len(_NAMES)):
        setattr(record, _NAMES[index], numbers[index])
    record.history = tuple(numbers[len(_NAMES) :])
    return record
