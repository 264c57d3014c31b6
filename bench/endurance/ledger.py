"""What the devices made, and what they were told to forget: the truth of a campaign.

It is written by the devices themselves, before anything is sent, and knows nothing of the parts under test.
"""

import csv
import threading
from pathlib import Path
from typing import NamedTuple

Identity = tuple[str, int, int]
"""Device, boot, seq."""


class Made(NamedTuple):
    """What a device measured: the point time that follows from it [ms since 1970], and the value."""

    ts_ms: int
    distance_mm: int


def made_of(device: str, boot: int, seq: int, ts_s: int) -> Made:
    """Return the reading that a device makes: its value follows from its identity, so that a mix-up shows."""
    value = 300 + (sum(device.encode()) * 31 + boot * 7 + seq * 7919) % 4000
    return Made(ts_s * 1000 + (boot + seq) % 1000, value)


class Ledger:
    """Made and acknowledged readings. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Identity, Made] = {}
        self._acked: set[Identity] = set()

    def enter(self, identity: Identity, made: Made) -> None:
        """Note a reading; MUST come before it is sent."""
        with self._lock:
            self._made[identity] = made

    def promise(self, identity: Identity) -> None:
        """Note that the device was told to forget a reading."""
        with self._lock:
            self._acked.add(identity)

    def made(self) -> dict[Identity, Made]:
        """Return what was made so far."""
        with self._lock:
            return dict(self._made)

    def acked(self) -> set[Identity]:
        """Return what devices were told to forget so far."""
        with self._lock:
            return set(self._acked)

    @property
    def count(self) -> int:
        """How many readings were made so far."""
        return len(self._made)

    @property
    def acked_count(self) -> int:
        """How many of them devices were told to forget so far."""
        return len(self._acked)

    def save(self, path: Path) -> None:
        """Write it down as CSV: for whoever looks into a failure."""
        acked = self.acked()
        with path.open("w", newline="", encoding="ascii") as file:
            lines = csv.writer(file)
            lines.writerow(("device", "boot", "seq", "ts_ms", "distance_mm", "acked"))
            for identity, made in self.made().items():
                lines.writerow((*identity, *made, int(identity in acked)))
