"""What the engine missed while it was away, read back from the time-series store in event-time order."""

from collections.abc import Iterator
from typing import Final

from ingest.readings import Reading
from ingest.store import Point, TimeSeriesStore

OVERLAP_MS: Final = 3_600_000
"""Read again this much [ms] before the cursor: readings that came late. What was seen already changes nothing."""
AHEAD_MS: Final = 120_000
"""Device clocks may be ahead by this much [ms]."""
CHUNK: Final = 2_000
_PRIVATE: Final = frozenset({"state", "quality", "flags", "boot", "seq"})


def reading_of(point: Point) -> Reading:
    """Return the reading that a stored point was made of; when it arrived is not stored, its own time stands in."""
    fields = point.fields
    return Reading(
        site=point.tags["site"],
        device=point.tags["device"],
        asset=point.tags["asset"],
        zone=point.tags.get("zone", ""),
        kind=point.measurement,
        boot=int(fields.get("boot", 0)),
        seq=int(fields.get("seq", 0)),
        ts_ms=point.ts_ms,
        arrived_ms=point.ts_ms,
        values={
            name: float(value)
            for name, value in fields.items()
            if name not in _PRIVATE and isinstance(value, int | float)
        },
        state=str(fields.get("state", "ok")),
        quality=int(fields.get("quality", 0)),
        flags=int(fields.get("flags", 0)),
    )


def missed(
    store: TimeSeriesStore, site_id: str, *, cursor_ms: int, now_ms: int, max_h: float
) -> Iterator[list[Reading]]:
    """Yield the stored readings since ``cursor_ms`` in chunks, oldest first, at most ``max_h`` back.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    start_ms = max(cursor_ms - OVERLAP_MS, now_ms - round(max_h * 3_600_000))
    chunk: list[Reading] = []
    for point in store.readings(site=site_id, start_ms=start_ms, end_ms=now_ms + AHEAD_MS):
        chunk.append(reading_of(point))
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
