"""How much room the spool has left on its disk.

What ingest has not taken over is never deleted to make room, so a full disk is met by taking nothing more in:
devices keep what they are not acknowledged. Pages that SQLite holds free inside the file count as room.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "stop"]


class Space(msgspec.Struct, frozen=True):
    """Room for the spool.

    Attributes
    ----------
    free_pct
        Free part of the disk, free pages of the spool included [%, 0..100].
    level
        ok; warn: tell people; stop: take nothing in.
    """

    free_pct: float
    level: Level


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Size of the disk that holds `folder`, and what an ordinary process may still use [bytes]."""
    stat = os.statvfs(folder)
    return stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize


class DiskWatch:
    """Judges free space against two marks.

    Parameters
    ----------
    folder
        A folder on the disk in question.
    warn_pct, stop_pct
        Below these parts of the disk [%] the level is warn or stop.
    measure
        Returns (total, free) of a folder [bytes]; tests give their own.
    """

    def __init__(
        self,
        folder: Path,
        warn_pct: float = 15.0,
        stop_pct: float = 5.0,
        measure: Callable[[Path], tuple[int, int]] = disk_bytes,
    ) -> None:
        self._folder = folder
        self._warn_pct = warn_pct
        self._stop_pct = stop_pct
        self._measure = measure

    def look(self, reusable_bytes: int = 0) -> Space:
        """Measure now.

        Parameters
        ----------
        reusable_bytes
            Room inside the spool file that its free pages give [bytes].
        """
        total, free = self._measure(self._folder)
        free_pct = min(100.0, 100.0 * (free + reusable_bytes) / total) if total else 100.0
        level: Level = "stop" if free_pct < self._stop_pct else "warn" if free_pct < self._warn_pct else "ok"
        return Space(round(free_pct, 1), level)
