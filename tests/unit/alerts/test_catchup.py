"""Readings come back from the store as they went in."""

from collections.abc import Iterator, Sequence

import msgspec

from alerts.catchup import AHEAD_MS, CHUNK, missed
from ingest.readings import reading_of
from ingest.store import Point
from tests.unit.alerts.readings import HOUR_MS, SITE, T0_MS, air_reading, bin_reading


class Store:
    """Answers ``readings`` from a list and remembers what was asked."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = points
        self.asked: tuple[int, int] | None = None

    def readings(self, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        assert site == SITE
        self.asked = (start_ms, end_ms)
        return iter(self.points)


def test_a_point_is_the_reading_it_was_made_of() -> None:
    """Everything but the time of arrival survives, state and missing fill included."""
    for reading in (bin_reading(1, 0.0), bin_reading(2, None, state="no-echo"), air_reading(3, 12.5)):
        assert reading_of(reading.point()) == msgspec.structs.replace(reading, arrived_ms=reading.ts_ms)


def test_everything_up_to_the_limit_is_read_again() -> None:
    """Hours of backlog may be lost behind one fresh reading, so the newest reading seen is no place to begin."""
    store = Store([])
    now_ms = T0_MS + 100 * HOUR_MS
    assert list(missed(store, SITE, now_ms=now_ms, max_h=48)) == []  # type: ignore[arg-type]
    assert store.asked == (now_ms - 48 * HOUR_MS, now_ms + AHEAD_MS)


def test_chunks_hold_everything_once_and_in_order() -> None:
    """One more reading than two chunks gives three chunks, none lost."""
    points = [bin_reading(k / 10, 10.0, seq=k + 1).point() for k in range(2 * CHUNK + 1)]
    chunks = list(missed(Store(points), SITE, now_ms=T0_MS, max_h=48))  # type: ignore[arg-type]
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 1]
    assert [reading.seq for chunk in chunks for reading in chunk] == list(range(1, 2 * CHUNK + 2))
