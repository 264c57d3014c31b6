"""The time of the square.

Real devices live in wall time. A simulated square may run thirty times faster and a replay stands in
the year of its data, so everything that judges the square (ages, shifts, silence, verification) asks a
:class:`Clock`. Network timeouts and retries do not: they use ``time.monotonic()``.

Several processes share one square time through a 40-byte file that one :class:`ClockDriver` writes and any
number of :class:`SharedClock` read. It is anchored on the machine's monotonic clock, which all processes share: a
correction of the wall clock must not move a fast square by hours.
"""

import mmap
import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from square.errors import SettingsError

WIB = ZoneInfo("Asia/Jakarta")
"""Western Indonesia Time, UTC+7, no daylight saving: the zone of everything people read."""

_LAYOUT = struct.Struct("<QqqdQ")
# version (odd while being written), monotonic anchor [ns], square anchor [ns], speed, version again
_SIZE = _LAYOUT.size


def clock_words(at: datetime) -> str:
    """Return a moment as people at the square read it, such as ``24-11-2026 17.05 WIB``."""
    zone = "WIB" if at.utcoffset() == datetime.now(WIB).utcoffset() else at.strftime("%Z")
    return f"{at:%d-%m-%Y %H.%M} {zone}"


class Clock(Protocol):
    """A source of square time."""

    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""

    def speed(self) -> float:
        """Square seconds per wall second: 1.0 is real time, 0.0 is paused."""


class WallClock:
    """Square time is wall time: real devices."""

    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""
        return time.time()

    def speed(self) -> float:
        """Return 1.0."""
        return 1.0


class FixedClock:
    """A clock that moves only when told to: for tests and for pure replays in one process."""

    def __init__(self, now_s: float, speed: float = 0.0) -> None:
        self._now_s = now_s
        self._speed = speed

    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""
        return self._now_s

    def speed(self) -> float:
        """Return the speed given at construction."""
        return self._speed

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        self._now_s += seconds

    def set(self, now_s: float) -> None:
        """Move to ``now_s``."""
        self._now_s = now_s


def _square_s(at_ns: int, square_ns: int, speed: float) -> float:
    return square_ns / 1e9 + (time.monotonic_ns() - at_ns) / 1e9 * speed


class ClockDriver:
    """Writes the square time that other processes read.

    There MUST be one driver per file. Each :meth:`set` takes effect in every process at once; a reader
    never sees half of it, because the version before and after the values must agree.

    Parameters
    ----------
    path : Path
        The clock file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if os.fstat(self._fd).st_size != _SIZE:
            os.ftruncate(self._fd, _SIZE)
        self._map = mmap.mmap(self._fd, _SIZE)
        version, _at_ns, square_ns, _speed, _version = _LAYOUT.unpack(self._map[:])
        self._version = version + (version & 1)
        self.resumed_s: float | None = square_ns / 1e9 if version else None
        """Square time [s] of the last :meth:`set` of an earlier driver, None for a new file."""
        self._anchor = (0, 0, 0.0)

    def set(self, now_s: float, speed: float) -> None:
        """Make it ``now_s`` [s since 1970 UTC] now, moving on at ``speed`` square seconds per wall second."""
        if speed < 0:
            raise ValueError(f"the square cannot run backwards: speed {speed}")
        self._version += 2
        values = self._anchor = (time.monotonic_ns(), round(now_s * 1e9), float(speed))
        self._map[:8] = struct.pack("<Q", self._version + 1)  # readers retry from here
        self._map[:] = _LAYOUT.pack(self._version + 1, *values, self._version)
        self._map[:8] = struct.pack("<Q", self._version)

    def now_s(self) -> float:
        """Square time [s since 1970 UTC] as this driver set it."""
        return _square_s(*self._anchor)

    def speed(self) -> float:
        """Square seconds per wall second as this driver set them."""
        return self._anchor[2]

    def close(self) -> None:
        """Let go of the file; the time in it stays."""
        self._map.close()
        os.close(self._fd)


class SharedClock:
    """Square time as a :class:`ClockDriver`, here or in another process, has set it.

    Parameters
    ----------
    path : Path
        The clock file.

    Raises
    ------
    SettingsError
        If the file is missing or was never set.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), _SIZE, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"the clock file {path} cannot be read ({error}): start the square with `resik up`, or leave "
                "clock_file unset to live in real time"
            ) from error
        if self._read()[0] == 0:
            raise SettingsError(f"the clock file {path} was never set: start the square with `resik up`")

    def _read(self) -> tuple[int, int, int, float]:
        while True:
            before, at_ns, square_ns, speed, after = _LAYOUT.unpack(self._map[:])
            if before == after:
                return before, at_ns, square_ns, speed
            time.sleep(0)

    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""
        _version, at_ns, square_ns, speed = self._read()
        return _square_s(at_ns, square_ns, speed)

    def speed(self) -> float:
        """Square seconds per wall second."""
        return self._read()[3]


def open_clock(path: Path | None) -> Clock:
    """Return the shared clock in ``path``, or wall time when ``path`` is None."""
    return WallClock() if path is None else SharedClock(path)


def utc(now_s: float) -> datetime:
    """Return ``now_s`` [s since 1970] as an aware UTC instant."""
    return datetime.fromtimestamp(now_s, tz=UTC)


def now_ms(clock: Clock) -> int:
    """Return the square time of ``clock`` in whole milliseconds since 1970 UTC."""
    return int(clock.now_s() * 1000)
