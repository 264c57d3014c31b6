"""What the engine missed while it was away, read back from the time-series store in event-time order."""

from collections.abc import Iterator
from typing import Final

from alerts.domain.model import HOUR_MS
from ingest.readings import Reading, reading_of
from ingest.store import TimeSeriesStore

AHEAD_MS: Final = 120_000
"""Device clocks may be ahead by this much [ms]."""
CHUNK: Final = 2_000
"""Readings in memory at a time."""


def missed(store: TimeSeriesStore, site_id: str, *, now_ms: int, max_h: float) -> Iterator[list[Reading]]:
    """Yield the stored readings of the last ``max_h`` hours in chunks, oldest first.

    Everything and not only what is newer than the newest reading seen: after an outage the gateway sends the newest
    reading of each device first, so what the broker lost may be hours older. What was seen already changes nothing.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    chunk: list[Reading] = []
    start_ms = now_ms - round(max_h * HOUR_MS)
    for point in store.readings(site=site_id, start_ms=start_ms, end_ms=now_ms + AHEAD_MS):
        chunk.append(reading_of(point))
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
