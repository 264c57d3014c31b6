"""The node's own time, its watchdog and its way out. Every other fake asks here.

Virtual time is real time plus what was skipped. A sleep is skipped at once; so a night costs milliseconds.
"""

import gc
import os

import utime

_real_us = utime.ticks_us  # 62 bits on the host: never wraps here
_start_us = _skipped_us = 0
_unix_ms = 0
_dog_us = None
_dog_every_us = 0
_end_us = 0  # when the power fails; 0: it does not
_reserve = bytearray(4096)  # a program that used up the heap must not take the way out with it
at_end = []  # called before the last line, each returns a line or None


def begin():
    """Begin a boot."""
    global _start_us, _unix_ms, _end_us
    _start_us = _real_us()
    _unix_ms = int(os.getenv("RESIK_UNIX_MS") or 946684800000)
    _end_us = int(os.getenv("RESIK_LOST_MS") or 0) * 1000


def elapsed_us():
    """Virtual time since this boot began."""
    return _real_us() - _start_us + _skipped_us


def elapsed_ms():
    return elapsed_us() // 1000


def unix_ms():
    """True time of the world; the node's own clock may stand elsewhere."""
    return _unix_ms + elapsed_us() // 1000


def loop_ms():
    """The axis of asyncio: its C part stamps tasks with real milliseconds, so it must be real plus skipped."""
    return utime.ticks_ms() + _skipped_us // 1000


def advance_us(us):
    """Skip time; the watchdog bites when its moment lies inside."""
    global _skipped_us
    us = max(0, us)
    then_us = elapsed_us() + us
    if _end_us and then_us >= _end_us and (_dog_us is None or _end_us <= _dog_us):
        _skipped_us += max(0, _end_us - elapsed_us())
        die("@LOST")
    if _dog_us is not None and then_us >= _dog_us:
        _skipped_us += max(0, _dog_us - elapsed_us())
        die("@BITE")
    _skipped_us += us


def check():
    """A program that never sleeps is bitten too, as soon as it looks at the time."""
    advance_us(0)


def arm(timeout_ms):
    """Start the watchdog, or feed it. There is no way to stop it."""
    global _dog_us, _dog_every_us
    if timeout_ms is not None:
        _dog_every_us = timeout_ms * 1000
    _dog_us = elapsed_us() + _dog_every_us


def dog_left_ms():
    """Time until the watchdog bites, None when it was never started."""
    return None if _dog_us is None else max(0, _dog_us - elapsed_us()) // 1000


def die(line):
    """Say why the processor stops, and stop: nothing of the program runs any more, no `finally`, no finaliser.

    Whoever runs this process kills it when it reads the line; without such a parent it ends itself.
    """
    global _reserve
    _reserve = None
    gc.collect()
    for hook in at_end:
        text = hook()
        if text:
            print(text)
    print("@T %d" % unix_ms())
    print(line)
    for _ in range(100):
        utime.sleep_ms(50)
    os.system("kill -9 $PPID")
