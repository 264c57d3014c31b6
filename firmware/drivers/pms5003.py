"""PMS5003 particle sensor (Plantower manual): 9600 baud, frames of 32 bytes.

Values settle 30 s after waking. In the field frames come torn off after 30 bytes, the next header right behind:
the parser looks for the header again inside what it took for a frame.
"""

from firmware.drivers import SensorError, sleep_ms

_HEADER = b"BM"
_LENGTH = 32
_LIMIT_UGM3 = 5000  # specified to 1,000; far beyond is a fault
_POLL_MS = 50
_POLLS = 80  # 4 s: in clean, still air a frame comes every 2.3 s

_WAKE = b"\x42\x4d\xe4\x00\x01\x01\x74"
_SLEEP = b"\x42\x4d\xe4\x00\x00\x01\x73"
_PASSIVE = b"\x42\x4d\xe1\x00\x00\x01\x70"
_ACTIVE = b"\x42\x4d\xe1\x00\x01\x01\x71"
_ASK = b"\x42\x4d\xe2\x00\x00\x01\x71"


class Parser:
    """Finds frames in a stream. `skipped` counts the headers that led to no valid frame."""

    def __init__(self):
        self._buffer = b""
        self._code = None
        self.skipped = 0

    def feed(self, data):
        """Take bytes; return (pm1_ngm3, pm25_ngm3, pm10_ngm3) of the last valid frame in them, or None."""
        self._buffer += data
        found = None
        while True:
            start = self._buffer.find(_HEADER)
            if start < 0:
                self._buffer = self._buffer[-1:] if self._buffer[-1:] == b"B" else b""
                return found
            self._buffer = self._buffer[start:]
            if len(self._buffer) < 4:
                return found
            try:
                if self._buffer[2] or self._buffer[3] != _LENGTH - 4:
                    raise SensorError("bad-frame")  # an answer to a command, or noise
                if len(self._buffer) < _LENGTH:
                    return found
                found = decode(self._buffer[:_LENGTH])
                self._buffer = self._buffer[_LENGTH:]
            except SensorError as error:
                self.skipped += 1
                self._code = error.code
                self._buffer = self._buffer[2:]

    def drop(self):
        """Forget what was received, but not the counters."""
        self._buffer = b""
        self._code = None

    def why(self):
        """Return the code for not having found a frame."""
        return self._code or ("bad-frame" if self._buffer else "no-answer")


class PMS5003:
    """`uart` has any, read and write; `set_pin(level)` is optional: low sends the sensor to sleep."""

    def __init__(self, uart, set_pin=None, sleep_ms=sleep_ms):
        self._uart = uart
        self._set_pin = set_pin
        self._sleep_ms = sleep_ms
        self._parser = Parser()

    @property
    def skipped(self):
        """Frames thrown away since the start."""
        return self._parser.skipped

    def wake(self):
        """Start fan and laser. Values are good 30 s later."""
        if self._set_pin:
            self._set_pin(1)
        self._uart.write(_WAKE)

    def sleep(self):
        """Stop fan and laser: 0.2 mA instead of 100."""
        self._uart.write(_SLEEP)
        if self._set_pin:
            self._set_pin(0)

    def passive(self, on=True):
        """Send frames only when asked, or (on=False) by itself."""
        self._uart.write(_PASSIVE if on else _ACTIVE)

    def ask(self):
        """Ask for one frame in passive mode."""
        self._uart.write(_ASK)

    async def read(self):
        """Return (pm1_ngm3, pm25_ngm3, pm10_ngm3) of the next frame; what waits in the UART is too old."""
        while self._uart.any():
            self._uart.read()
        self._parser.drop()
        for _ in range(_POLLS):
            await self._sleep_ms(_POLL_MS)
            if self._uart.any():
                found = self._parser.feed(self._uart.read() or b"")
                if found:
                    return found
        raise SensorError(self._parser.why())


def decode(frame):
    """One frame to (pm1_ngm3, pm25_ngm3, pm10_ngm3), from the words for outdoor air."""
    if len(frame) != _LENGTH or frame[:4] != b"BM\x00\x1c":
        raise SensorError("bad-frame")
    if sum(frame[:30]) != frame[30] << 8 | frame[31]:
        raise SensorError("bad-crc")
    found = tuple((frame[at] << 8 | frame[at + 1]) * 1000 for at in (10, 12, 14))
    if max(found) > _LIMIT_UGM3 * 1000:
        raise SensorError("out-of-range")
    return found
