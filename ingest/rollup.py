"""The roll-up job: hours and days that are over, into series that are kept for years. The same for every store.

It keeps nothing of its own: how far it came and what is due again stands in the store, as points.

* ``rollup_mark``: the end of the hours that are rolled up without a gap. The job goes on from there, at most up to the
  hours that ended ``late_s`` ago.
* ``rollup_due``: :class:`LateMarks` adds one to every write that holds readings of an hour that may be rolled up
  already, in the same batch, so that no reading is stored without it. The job rolls such an hour up again and copies
  the mark to ``rollup_done``. A mark is a random number: only whether both agree matters, no clock.

Everything is written as whole points that depend on the readings alone, so doing it twice, or in two processes at
once, gives the same. A point is never replaced by one of fewer readings: these are what retention has left.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from ingest.errors import StoreRefused
from ingest.folding import DAY_MS, HOUR_MS, MEASUREMENTS, day_points, floor_day, floor_hour, hour_points
from ingest.store import FieldValue, Point, Rejected, TimeSeriesStore, Writable, WriteResult
from ingest.stores.series import count_of
from ingest.stores.shelves import DAILY, DONE, DUE, HOURLY, MARK, NOBODY

_log = logging.getLogger(__name__)

LATE_S: Final = 900
"""How long after its end an hour is rolled up [s]: most readings are there by then, none needs to be."""

OFFSET_S: Final = 7 * 3600
"""Days are those of Western Indonesia Time, UTC+7 without daylight saving [s ahead of UTC]."""

CHUNK_MS: Final = 6 * HOUR_MS
"""What is rolled up before the mark moves on; a day is a whole number of them."""

WRITE_POINTS: Final = 1_000
HELD_POINTS: Final = 5_000
"""Hourly points that are held before they are written: bounds the memory of a large site."""

FAR_MS: Final = 7_258_118_400_000
"""Year 2200: later than every point, and a time that InfluxDB's 64-bit nanoseconds can still hold [ms]."""


class Rolling(msgspec.Struct):
    """What a run did.

    Attributes
    ----------
    hours, days : int
        Points written.
    same : int
        Points that stood there already.
    kept : int
        Points that stood there and were made of more readings than are left.
    late_hours : int
        Hours done again because readings came late.
    expired : int
        Points removed because of their age.
    until_ms : int | None
        End of the hours that are rolled up without a gap; None before the first.
    """

    hours: int = 0
    days: int = 0
    same: int = 0
    kept: int = 0
    late_hours: int = 0
    expired: int = 0
    until_ms: int | None = None


class RollUp:
    """Rolls the readings of one site up.

    Parameters
    ----------
    store : TimeSeriesStore
        Prepared.
    site : str
        Tag of its points.
    offset_s : int
        How far its days are ahead of UTC [s, whole hours]. Fixed by the first run: later ones take the store's.
    late_s : int
        See :data:`LATE_S`.
    go_on : Callable[[float], bool]
        Called after each piece of work with how long it took [s]; may sleep; False ends the run.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        site: str,
        *,
        offset_s: int = OFFSET_S,
        late_s: int = LATE_S,
        go_on: Callable[[float], bool] = lambda _took_s: True,
    ) -> None:
        if offset_s % 3600:
            raise ValueError(f"days must begin at a full hour of UTC, got an offset of {offset_s} s")
        self._store = store
        self._site = site
        self._offset_s = offset_s
        self._late_s = late_s
        self._go_on = go_on

    def catch_up(self, now_ms: int) -> Rolling:
        """Roll up what is over and what is due again, then remove what is beyond its retention.

        Parameters
        ----------
        now_ms : int
            Square time [ms since 1970 UTC].
        """
        done = Rolling(until_ms=self._until_ms())
        closed_ms = floor_hour(now_ms - self._late_s * 1000)
        seen, settled = self._marks(DUE), self._marks(DONE)
        touched: set[int] = set()
        if self._redo([hour for hour, mark in seen.items() if settled.get(hour) != mark], seen, done, touched):
            self._advance(closed_ms, done, touched)
        # Another worker may have stored a reading between our reading of its hour and our writing of the roll-up.
        while again := [hour for hour, mark in self._marks(DUE).items() if hour in touched and seen.get(hour) != mark]:
            seen = self._marks(DUE)
            if not self._redo(again, seen, done, touched):
                break
        if done.until_ms is not None:
            self._expire(now_ms, done)
        return done

    def roll(self, start_ms: int, end_ms: int, *, days_until_ms: int) -> Rolling:
        """Roll up the hours of a range again, and its days that end by ``days_until_ms``.

        Parameters
        ----------
        start_ms, end_ms : int
            Range [ms]; hours that it cuts are done whole.
        days_until_ms : int
            A day that is not over is not rolled up.
        """
        done = Rolling(until_ms=self._until_ms())
        at_ms, end_ms = floor_hour(start_ms), floor_hour(end_ms + HOUR_MS - 1)
        while at_ms < end_ms:
            started_s = time.monotonic()
            at_ms, _ = self._roll_chunk(at_ms, end_ms, done)
            if at_ms >= end_ms and floor_day(end_ms, self._offset_s) != end_ms:
                self._roll_days(end_ms, end_ms + 1, days_until_ms, done)  # the rest of its hours may be there already
            if not self._go_on(time.monotonic() - started_s):
                break
        return done

    # -- steps --------------------------------------------------------------------------------------------------

    def _redo(self, hours: Iterable[int], marks: dict[int, int], done: Rolling, touched: set[int]) -> bool:
        """Roll hours up again that readings reached late, day by day; False when told to end."""
        for day_ms, group in groupby(sorted(hours), key=lambda hour: floor_day(hour, self._offset_s)):
            started_s = time.monotonic()
            of_day = list(group)
            for hour_ms in of_day:
                self._roll_hours(hour_ms, hour_ms + HOUR_MS, done)
            self._roll_days(day_ms, day_ms + 1, done.until_ms or 0, done)
            self._write([_mark(DONE, self._site, hour_ms, marks[hour_ms]) for hour_ms in of_day])
            touched.update(of_day)
            done.late_hours += len(of_day)
            if not self._go_on(time.monotonic() - started_s):
                return False
        return True

    def _advance(self, closed_ms: int, done: Rolling, touched: set[int]) -> None:
        """Roll hours up from the mark on, and move it."""
        at_ms = done.until_ms
        if at_ms is None:
            first_ms = self._next_reading_ms(0)
            if first_ms is None:
                return
            at_ms = floor_hour(first_ms)
        while at_ms < closed_ms:
            started_s = time.monotonic()
            end_ms, last_ms = self._roll_chunk(at_ms, closed_ms, done)
            if last_ms is None:
                return
            # The mark goes no further than the readings: should the clock be wrong, the hours to come are still ahead.
            end_ms = min(end_ms, max(floor_hour(last_ms) + HOUR_MS, at_ms))
            self._write([_mark(MARK, self._site, end_ms, self._offset_s)])
            touched.update(range(at_ms, min(end_ms, at_ms + CHUNK_MS), HOUR_MS))
            done.until_ms = at_ms = end_ms
            if not self._go_on(time.monotonic() - started_s):
                return

    def _roll_chunk(self, at_ms: int, limit_ms: int, done: Rolling) -> tuple[int, int | None]:
        """Roll up the hours of a chunk and the days that end in it, and pass over silence.

        Returns
        -------
        tuple[int, int | None]
            Where it ended [ms]; the last reading of the chunk or the first one after the silence, None without either.
        """
        offset_ms = self._offset_s * 1000
        end_ms = min(((at_ms + offset_ms) // CHUNK_MS + 1) * CHUNK_MS - offset_ms, limit_ms)
        seen_ms = self._roll_hours(at_ms, end_ms, done)
        if seen_ms is None:
            seen_ms = self._next_reading_ms(end_ms)
            end_ms = limit_ms if seen_ms is None else max(end_ms, min(floor_hour(seen_ms), limit_ms))
        self._roll_days(at_ms, min(end_ms, at_ms + DAY_MS), end_ms, done)
        return end_ms, seen_ms

    def _roll_hours(self, start_ms: int, end_ms: int, done: Rolling) -> int | None:
        """Write the points of whole hours; return the time of the last reading."""
        readings = (
            point
            for point in self._store.readings(site=self._site, start_ms=start_ms, end_ms=end_ms)
            if point.measurement in MEASUREMENTS
        )
        last_ms: int | None = None
        hours: list[Point] = []
        for hour, group in groupby(readings, key=lambda point: point.ts_ms // HOUR_MS):
            of_hour = list(group)
            last_ms = of_hour[-1].ts_ms
            hours += hour_points(hour * HOUR_MS, of_hour)
            if len(hours) >= HELD_POINTS:
                done.hours += self._put(HOURLY, hours, start_ms, (hour + 1) * HOUR_MS, done)
                hours, start_ms = [], (hour + 1) * HOUR_MS
        done.hours += self._put(HOURLY, hours, start_ms, end_ms, done)
        return last_ms

    def _roll_days(self, start_ms: int, end_ms: int, until_ms: int, done: Rolling) -> None:
        """Write the points of the days that a range touches and that are over."""
        day_ms = floor_day(start_ms, self._offset_s)
        while day_ms < end_ms and day_ms + DAY_MS <= until_ms:
            points = day_points(day_ms, self._rollups(HOURLY, day_ms, day_ms + DAY_MS))
            done.days += self._put(DAILY, points, day_ms, day_ms + DAY_MS, done)
            day_ms += DAY_MS

    def _put(self, ending: str, points: Sequence[Point], start_ms: int, end_ms: int, done: Rolling) -> int:
        """Write those points that say more than what stands there; return how many."""
        if not points:
            return 0
        held = {
            (point.measurement, point.tags["asset"], point.ts_ms): point.fields
            for point in self._rollups(ending, start_ms, end_ms)
        }
        changed: list[Point] = []
        for point in points:
            before = held.get((point.measurement, point.tags["asset"], point.ts_ms))
            if before == point.fields:
                done.same += 1
            elif before is not None and _has_more(before, point.fields):
                done.kept += 1
            else:
                changed.append(point)
        self._write(changed)
        return len(changed)

    def _expire(self, now_ms: int, done: Rolling) -> None:
        while True:
            started_s = time.monotonic()
            removed = self._store.expire(site=self._site, now_ms=now_ms, rolled_ms=done.until_ms or 0)
            done.expired += removed
            if not removed or not self._go_on(time.monotonic() - started_s):
                return

    # -- the store ----------------------------------------------------------------------------------------------

    def _rollups(self, ending: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        for measurement in MEASUREMENTS:
            yield from self._store.points(measurement + ending, site=self._site, start_ms=start_ms, end_ms=end_ms)

    def _until_ms(self) -> int | None:
        newest = self._store.latest(MARK, site=self._site)
        if not newest:
            return None
        held_s = int(newest[0].fields["mark"])
        if held_s != self._offset_s:
            _log.warning("days of %s are rolled up %d s ahead of UTC, not %d", self._site, held_s, self._offset_s)
            self._offset_s = held_s
        return newest[0].ts_ms

    def _marks(self, measurement: str) -> dict[int, int]:
        found = self._store.points(measurement, site=self._site, start_ms=0, end_ms=FAR_MS)
        return {point.ts_ms: int(point.fields["mark"]) for point in found}

    def _next_reading_ms(self, after_ms: int) -> int | None:
        for point in self._store.readings(site=self._site, start_ms=after_ms, end_ms=FAR_MS):
            return point.ts_ms
        return None

    def _write(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), WRITE_POINTS):
            result = self._store.write(points[start : start + WRITE_POINTS])
            if result.rejected:
                _log.warning("%d roll-ups were not taken: %s", len(result.rejected), result.rejected[0].reason)


class LateMarks:
    """The write side of a store, which notes the hours that must be rolled up again.

    Parameters
    ----------
    store : TimeSeriesStore
        Where points go.
    site : str
        Tag of the marks.
    now_ms : Callable[[], int]
        Square time [ms].
    late_s : int
        That of the job. Half of it is left for a write to arrive: a reading of an hour that the job may be about to
        read is marked, too.
    until_ms : Callable[[], int | None]
        How far the job came, as far as this process knows [ms]; beside the clock, in case that was wrong.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        site: str,
        now_ms: Callable[[], int],
        *,
        late_s: int = LATE_S,
        until_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._store = store
        self._site = site
        self._now_ms = now_ms
        self._late_ms = late_s * 1000
        self._until_ms = until_ms
        self._began_ms = 0

    def prepare(self) -> None:
        """See :meth:`ingest.store.PointSink.prepare`; also learns how far the job came before."""
        self._store.prepare()
        try:
            newest = self._store.latest(MARK, site=self._site)
        except StoreRefused as error:  # readings can be written all the same
            _log.warning("how far roll-ups go is not known: %s", error)
        else:
            self._began_ms = newest[0].ts_ms if newest else 0

    def write(self, points: Sequence[Writable]) -> WriteResult:
        """Write a batch with a mark for each hour that is over. See :meth:`ingest.store.PointSink.write`."""
        edge_ms = max(floor_hour(self._now_ms() - self._late_ms // 2), self._until_ms() or self._began_ms)
        hours = sorted({floor_hour(point.ts_ms) for point in points if point.ts_ms < edge_ms})
        if not hours:
            return self._store.write(points)
        marks = [_mark(DUE, self._site, hour_ms, secrets.randbits(52)) for hour_ms in hours]
        result = self._store.write([*points, *marks])
        rejected: list[Rejected] = [r for r in result.rejected if r.index < len(points)]
        return WriteResult(len(points) - len(rejected), tuple(rejected))

    def close(self) -> None:
        """See :meth:`ingest.store.PointSink.close`."""
        self._store.close()


def _mark(measurement: str, site: str, ts_ms: int, mark: int) -> Point:
    tags = {"site": site, "asset": NOBODY, "device": NOBODY, "zone": ""}
    return Point(measurement, tags, ts_ms, {"mark": mark})


def _has_more(before: dict[str, FieldValue], after: dict[str, FieldValue]) -> bool:
    """Whether any count stood higher before: then readings are gone since."""
    ending = count_of("")
    return any(float(value) > float(after.get(name, 0.0)) for name, value in before.items() if name.endswith(ending))
