"""Reads the ledger of the simulators with everything in it, for comparison value by value."""

from pathlib import Path
from typing import NamedTuple


class LedgerEntry(NamedTuple):
    """One line of a ledger: a reading's identity, kind, time [s, None without clock], checksum, first publication."""

    device: str
    boot: int
    seq: int
    kind: str
    ts: int | None
    values: str
    published_ns: int


def read_ledger(path: Path) -> list[LedgerEntry]:
    """Return the lines of a ledger file; a torn last line (the writer was killed) is left out."""
    entries: list[LedgerEntry] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            device, boot, seq, kind, ts, values, at_ns = line.rstrip("\n").split(",")
            entries.append(LedgerEntry(device, int(boot), int(seq), kind, int(ts) if ts else None, values, int(at_ns)))
    return entries
