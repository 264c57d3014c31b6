"""`machine` as on an ESP32, for what the firmware's HAL uses. What is on a pin or bus is decided by `wiring`."""

import os
import struct
import sys

import time
import virtual
import wiring

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4

_PINS = set(range(24)) - {20} | {25, 26, 27} | set(range(32, 40))
_RTC_PINS = {0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39}
_ADC2_PINS = {0, 2, 4, 12, 13, 14, 15, 25, 26, 27}
_RTC_BYTES = 2048
wake_pins = []  # (pin number, level), set by esp32.wake_on_ext0 and _ext1
wifi_on = False  # set by network
_rtc = bytearray(8 + _RTC_BYTES)  # as in its file; made with the fakes: in the heap of a node it takes nothing
_rtc_used = 0


def reset_cause():
    return int(os.getenv("RESIK_CAUSE") or PWRON_RESET)


def wake_reason():
    return int(os.getenv("RESIK_WAKE") or 0)


def reset():
    virtual.die("@RESET")


def deepsleep(time_ms=-1):
    """Never returns."""
    pins = ";".join(["%d,%d" % pair for pair in wake_pins])
    virtual.die("@SLEEP %d %s" % (time_ms, pins))


def time_pulse_us(pin, level, timeout_us=1000000):
    """Length of the pulse; -2: it did not begin, -1: it did not end in time."""
    us = wiring.pulse_us(pin.number)
    if us > timeout_us:
        us = -1
    virtual.advance_us(us if us >= 0 else timeout_us)
    return us


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2

    def __init__(self, number, mode=-1, pull=-1, value=None):
        if number not in _PINS:
            raise ValueError("invalid pin")
        if number >= 34 and mode in (self.OUT, self.OPEN_DRAIN):
            raise ValueError("pin can only be input")
        self.number = number
        self._pull = pull
        if value is not None:
            self(value)

    def __call__(self, value=None):
        if value is None:
            level = wiring.level(self.number)
            return level if level is not None else 1 if self._pull == self.PULL_UP else 0
        wiring.written(self.number, 1 if value else 0)

    def value(self, *value):
        return self(*value)

    def on(self):
        self(1)

    def off(self):
        self(0)


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    _TOP_MV = (1100, 1500, 2200, 3100)

    def __init__(self, pin, atten=ATTN_0DB):
        self._number = pin.number if isinstance(pin, Pin) else pin
        if self._number not in _ADC2_PINS and not 32 <= self._number <= 39:
            raise ValueError("invalid pin")
        self._top_uv = self._TOP_MV[atten] * 1000

    def read_uv(self):
        if wifi_on and self._number in _ADC2_PINS:
            raise OSError(-263, "ESP_ERR_TIMEOUT")  # the radio owns ADC2
        return max(0, min(self._top_uv, wiring.microvolts(self._number)))


class I2C:
    def __init__(self, number, scl, sda, freq=400000, timeout=50000):
        self._bus = wiring.bus("i2c%d" % number)
        self._freq = freq

    def _device(self, address, size):
        wiring.refresh()
        virtual.advance_us((size + 1) * 9 * 1000000 // self._freq)
        device = self._bus.get(address)
        if device is None:
            raise OSError(19)  # ENODEV: nobody acknowledged
        return device

    def scan(self):
        return sorted(self._bus)

    def writeto(self, address, data, stop=True):
        self._device(address, len(data)).write(bytes(data))
        return len(data)

    def readfrom(self, address, size, stop=True):
        return self._device(address, size).read(size)

    def readfrom_into(self, address, buffer, stop=True):
        buffer[:] = self._device(address, len(buffer)).read(len(buffer))

    def writeto_mem(self, address, register, data, addrsize=8):
        self._device(address, len(data) + 1).write(_register(register, addrsize) + bytes(data))

    def readfrom_mem(self, address, register, size, addrsize=8):
        device = self._device(address, size + 2)
        device.write(_register(register, addrsize))
        return device.read(size)

    def readfrom_mem_into(self, address, register, buffer, addrsize=8):
        buffer[:] = self.readfrom_mem(address, register, len(buffer), addrsize=addrsize)


def _register(register, addrsize):
    return register.to_bytes(addrsize // 8, "big")


class UART:
    def __init__(self, number, baudrate=115200, tx=None, rx=None, bits=8, parity=None, stop=1, timeout=0, rxbuf=256):
        self._name = "uart%d" % number
        self._waiting = b""
        self._rxbuf = rxbuf

    def _pull(self):
        wiring.refresh()
        part = wiring.bus(self._name)
        if part:
            self._waiting = (self._waiting + part.produce(part.now_ms()))[: self._rxbuf]
        return part

    def any(self):
        self._pull()
        return len(self._waiting)

    def read(self, size=-1):
        self._pull()
        if not self._waiting:
            return None
        size = len(self._waiting) if size < 0 else size
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def readinto(self, buffer):
        data = self.read(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def write(self, data):
        part = self._pull()
        if part:
            part.write(bytes(data))
        return len(data)


class WDT:
    def __init__(self, id=0, timeout=5000):
        if timeout < 1000:
            raise ValueError("WDT timeout too short")
        print("@WDT %d" % timeout)
        virtual.arm(timeout)

    def feed(self):
        sys.stdout.write("@FEED\n")  # in one piece: whoever reads wakes up once
        virtual.arm(None)


class RTC:
    """Keeps time and 2048 bytes while anything but the supply fails: a file with the clock's error [ms], then the bytes."""

    def memory(self, data=None):
        if data is None:
            return bytes(memoryview(_rtc)[8:_rtc_used])
        if len(data) > _RTC_BYTES:
            raise ValueError("buffer too long")
        _keep(data)

    def datetime(self, parts=None):
        if parts is None:
            ms = time.time_ns() // 1000000
            y, m, d, h, mi, s, wd, _ = time.gmtime(ms // 1000)
            return (y, m, d, wd, h, mi, s, ms % 1000 * 1000)
        y, m, d, _, h, mi, s, us = parts
        wanted_s = time.mktime((y, m, d, h, mi, s))
        time.rtc_ahead_ms += wanted_s * 1000 + us // 1000 - time.time_ns() // 1000000
        _keep(None)


def _keep(data):
    """Write the clock's error, and new content of the memory unless it is None."""
    global _rtc_used
    before = _rtc_used
    struct.pack_into("<q", _rtc, 0, time.rtc_ahead_ms)
    if data is not None:
        _rtc_used = 8 + len(data)
        _rtc[8:_rtc_used] = data.encode() if isinstance(data, str) else data
    # Emptying a file first costs some file systems more than all the rest of a boot's writing.
    with open(wiring.folder + "/rtc.bin", "r+b" if _rtc_used >= before > 0 else "wb") as file:
        file.write(memoryview(_rtc)[:_rtc_used])


def start_clock():
    """At a boot: go on with the clock that ran through the sleep, or begin in 2000 as after power-on."""
    global _rtc_used
    try:
        with open(wiring.folder + "/rtc.bin", "rb") as file:
            _rtc_used = file.readinto(_rtc)
    except OSError:
        pass
    if _rtc_used >= 8:
        time.rtc_ahead_ms = struct.unpack("<q", _rtc)[0]
    else:
        _keep(b"")
