"""`time` as on an ESP32: whole seconds, an epoch of its own, ticks that wrap at 2^30; sleeping costs nothing."""

import os

import utime
import virtual

TICKS_PERIOD = 1 << 30
_HALF = TICKS_PERIOD >> 1
_epoch_s = 946684800
_ticks_us = 0  # ticks at this boot
rtc_ahead_ms = 0  # node's clock minus true time; machine.RTC sets it


def begin():
    """Begin a boot."""
    global _epoch_s, _ticks_us, rtc_ahead_ms
    if os.getenv("RESIK_EPOCH") == "1970":
        _epoch_s = 0
    _ticks_us = int(os.getenv("RESIK_TICKS") or 0) * 1000
    rtc_ahead_ms = 946684800000 - virtual.unix_ms()


def _clock_ms():
    return virtual.unix_ms() + rtc_ahead_ms


def time():
    return _clock_ms() // 1000 - _epoch_s


def time_ns():
    return (_clock_ms() - _epoch_s * 1000) * 1000000


def gmtime(seconds=None):
    return utime.gmtime((time() if seconds is None else seconds) + _epoch_s)[:8]


localtime = gmtime  # an ESP32 knows no zones


def mktime(parts):
    y, m, d, h, mi, s = parts[:6]  # not the host's mktime: that one is in the host's zone
    if m <= 2:
        y, m = y - 1, m + 12
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m - 457) // 5 + d - 719469
    return ((days * 24 + h) * 60 + mi) * 60 + s - _epoch_s


def sleep(seconds):
    virtual.advance_us(int(seconds * 1000000))


def sleep_ms(ms):
    virtual.advance_us(int(ms) * 1000)


def sleep_us(us):
    virtual.advance_us(int(us))


def ticks_ms():
    virtual.check()
    return ((virtual.elapsed_us() + _ticks_us) // 1000) & (TICKS_PERIOD - 1)


def ticks_us():
    virtual.check()
    return (virtual.elapsed_us() + _ticks_us) & (TICKS_PERIOD - 1)


def ticks_cpu():
    return ticks_us() * 240 & (TICKS_PERIOD - 1)


def ticks_add(ticks, delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & (TICKS_PERIOD - 1)


def ticks_diff(end, start):
    return ((end - start + _HALF) & (TICKS_PERIOD - 1)) - _HALF
