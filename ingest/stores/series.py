"""Values of one asset over time, taken from readings or roll-ups: which, is decided here for every store alike.

* A measurement of roll-ups (``bin_1h``) is read as it stands.
* Without windows, or with windows that are no whole hours, readings are taken. Where the first of them stand later than
  the range begins, hourly means fill the front; where these begin late, daily ones. A reading that never was has no
  roll-up either, so an outage stays a gap.
* Windows of whole hours are made of hourly means, weighted by their counts, up to where the roll-up job came; what is
  newer, and the parts of hours at both ends, come from the readings. Windows of whole days that begin at the site's
  midnight are made of daily means in the same manner.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import msgspec

from ingest.errors import StoreRefused
from ingest.store import Point, Series
from ingest.stores.points import check_series_request
from ingest.stores.shelves import DAILY, HOURLY, MARK, is_reading

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

MARK_KEPT_S: Final = 30.0
"""How long an answer on how far the roll-up job came is used again [s]. An old one only means more readings."""

_Row = tuple[int, list[tuple[float, float] | None]]
"""Time [ms], and (sum, count) of each wanted field."""


def sum_of(field: str) -> str:
    """Return the column of the sums of a field."""
    return f"{field}_sum"


def count_of(field: str) -> str:
    """Return the column of the counts of a field; in a roll-up it is a field, too."""
    return f"{field}_count"


def mean_of(field: str) -> str:
    """Return the field of a roll-up that holds the mean of a field."""
    return f"{field}_mean"


class Rolled(msgspec.Struct, frozen=True):
    """How far the roll-up job of a site came.

    Attributes
    ----------
    until_ms : int
        End of the hours that are rolled up without a gap [ms]; 0 when none is.
    offset_s : int
        How far the days of the site are ahead of UTC [s].
    """

    until_ms: int = 0
    offset_s: int = 0


class _Level(msgspec.Struct, frozen=True):
    """One of the three series that hold an asset, the finest first: its ending, its unit and where units begin [ms]."""

    ending: str
    unit_ms: int = 1
    offset_ms: int = 0

    def floor(self, ts_ms: int) -> int:
        return (ts_ms + self.offset_ms) // self.unit_ms * self.unit_ms - self.offset_ms

    def ceil(self, ts_ms: int) -> int:
        return self.floor(ts_ms + self.unit_ms - 1)


class _Question(msgspec.Struct, frozen=True):
    """What is asked of which asset, and the levels that may answer, which hold whole units up to ``until_ms``."""

    measurement: str
    site: str
    asset: str
    fields: tuple[str, ...]
    every_s: int | None
    offset_s: int
    limit: int
    levels: tuple[_Level, ...] = (_Level(""),)
    until_ms: int = 0

    def top(self) -> int:
        """Return the coarsest level whose units fill the windows."""
        fitting = 0
        for index, level in enumerate(self.levels):
            fits = self.every_s is not None and self.every_s * 1000 % level.unit_ms == 0
            if fits and (self.offset_s * 1000 - level.offset_ms) % level.unit_ms == 0:
                fitting = index
        return fitting


class SeriesReads(ABC):
    """The method ``series`` of :class:`ingest.store.TimeSeriesStore` over two reads of an adapter."""

    def __init__(self) -> None:
        self._rolled: dict[str, tuple[float, Rolled]] = {}

    def series(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        every_s: int | None = None,
        offset_s: int = 0,
        limit: int = 20_000,
    ) -> Series:
        """Values of one asset. See :meth:`ingest.store.TimeSeriesStore.series`; text fields read as ``None``."""
        check_series_request(fields, every_s)
        names = tuple(dict.fromkeys(fields))
        of = _Question(measurement, site, asset, names, every_s, offset_s, limit)
        if is_reading(measurement) and (rolled := self.rolled(site)).until_ms > start_ms:
            levels = (_Level(""), _Level(HOURLY, HOUR_MS), _Level(DAILY, DAY_MS, rolled.offset_s * 1000))
            of = msgspec.structs.replace(of, levels=levels, until_ms=rolled.until_ms)
        return _answer(self._split(of, of.top(), start_ms, end_ms), of)

    def rolled(self, site: str, *, fresh: bool = False) -> Rolled:
        """Return how far the roll-up job of a site came; ``fresh`` asks the store even if the last answer is new."""
        now_s = time.monotonic()
        asked_s, found = self._rolled.get(site, (-MARK_KEPT_S, Rolled()))
        if fresh or now_s - asked_s >= MARK_KEPT_S:
            try:
                newest = self.latest(MARK, site=site)
            except StoreRefused:  # a server that does not look back so far has no roll-ups; a wrong token shows below
                newest = []
            found = Rolled(newest[0].ts_ms, int(newest[0].fields.get("mark", 0))) if newest else Rolled()
            self._rolled[site] = (now_s, found)
        return found

    def _split(self, of: _Question, level: int, start_ms: int, end_ms: int) -> list[_Row]:
        """Take whole units of a level from it, and both ends from the finer ones."""
        if level == 0:
            return self._read(of, 0, start_ms, end_ms)
        first_ms = of.levels[level].ceil(start_ms)
        last_ms = of.levels[level].floor(min(end_ms, of.until_ms))
        if first_ms >= last_ms:
            return self._split(of, level - 1, start_ms, end_ms)
        rows: list[_Row] = []
        if start_ms < first_ms:
            rows += self._split(of, level - 1, start_ms, first_ms)
        rows += self._read(of, level, first_ms, last_ms)
        if last_ms < end_ms:
            rows += self._split(of, level - 1, last_ms, end_ms)
        return rows

    def _read(self, of: _Question, level: int, start_ms: int, end_ms: int) -> list[_Row]:
        """Read one level; where its first point stands later than the range begins, the next one fills the front."""
        rows = self._rows_of(of, of.levels[level], start_ms, end_ms)
        if level + 1 < len(of.levels):
            coarser = of.levels[level + 1]
            first_ms = rows[0][0] if rows else end_ms
            if rows and level == 0 and of.every_s is not None:
                first_ms = self._first_ms(of, start_ms, end_ms)
            edge_ms = coarser.floor(first_ms)
            if edge_ms - start_ms >= coarser.unit_ms:
                rows = self._read(of, level + 1, start_ms, edge_ms) + rows
        return rows

    def _first_ms(self, of: _Question, start_ms: int, end_ms: int) -> int:
        """Return the time of the first reading; a window may begin long before it."""
        found = self._rows(
            of.measurement,
            site=of.site,
            asset=of.asset,
            fields=of.fields,
            start_ms=start_ms,
            end_ms=end_ms,
            limit=1,
        )
        return found.ts_ms[0] if found.ts_ms else end_ms

    def _rows_of(self, of: _Question, level: _Level, start_ms: int, end_ms: int) -> list[_Row]:
        measurement = of.measurement + level.ending
        if level.ending:
            means, counts = [mean_of(name) for name in of.fields], [count_of(name) for name in of.fields]
            found = self._rows(
                measurement,
                site=of.site,
                asset=of.asset,
                fields=[*means, *counts],
                start_ms=start_ms,
                end_ms=end_ms,
                limit=(end_ms - start_ms) // level.unit_ms + 1,
            )
            return _rows_from(found, means, counts, weighted=True)
        if of.every_s is None:
            found = self._rows(
                measurement,
                site=of.site,
                asset=of.asset,
                fields=of.fields,
                start_ms=start_ms,
                end_ms=end_ms,
                limit=of.limit,
            )
            return _rows_from(found, of.fields, None)
        found = self._sums(
            measurement,
            site=of.site,
            asset=of.asset,
            fields=of.fields,
            start_ms=start_ms,
            end_ms=end_ms,
            every_s=of.every_s,
            offset_s=of.offset_s,
            limit=of.limit,
        )
        return _rows_from(found, [sum_of(name) for name in of.fields], [count_of(name) for name in of.fields])

    @abstractmethod
    def latest(self, measurement: str, *, site: str) -> list[Point]:
        """Newest point of each asset of a site."""

    @abstractmethod
    def _rows(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        limit: int,
    ) -> Series:
        """Points with a value in any of the fields, as they stand."""

    @abstractmethod
    def _sums(
        self,
        measurement: str,
        *,
        site: str,
        asset: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        every_s: int,
        offset_s: int,
        limit: int,
    ) -> Series:
        """Sum and count of each field by window, in columns named by :func:`sum_of` and :func:`count_of`."""


def _rows_from(
    found: Series, values: Sequence[str], counts: Sequence[str] | None, *, weighted: bool = False
) -> list[_Row]:
    """Return rows of (sum, count): of plain values, of sums with counts, or of means ``weighted`` by counts."""
    of_values = [found.columns[name] for name in values]
    of_counts = [found.columns[name] for name in counts] if counts is not None else None
    rows: list[_Row] = []
    for i, ts_ms in enumerate(found.ts_ms):
        row: list[tuple[float, float] | None] = []
        for j, column in enumerate(of_values):
            value, count = column[i], 1.0 if of_counts is None else of_counts[j][i]
            row.append((value * count if weighted else value, count) if value is not None and count else None)
        rows.append((ts_ms, row))
    return rows


def _answer(rows: list[_Row], of: _Question) -> Series:
    """Return rows as the answer: each a mean, or all of a window as one mean; the oldest up to the limit."""
    if of.every_s is not None:
        rows = _windows(rows, of.every_s * 1000, of.offset_s * 1000)
    rows = [row for row in rows if any(total is not None for total in row[1])][: of.limit]
    return Series(
        ts_ms=[row[0] for row in rows],
        columns={
            name: [None if (total := row[1][i]) is None else total[0] / total[1] for row in rows]
            for i, name in enumerate(of.fields)
        },
    )


def _windows(rows: list[_Row], every_ms: int, offset_ms: int) -> list[_Row]:
    """Add up the rows of each window."""
    windows: dict[int, list[tuple[float, float] | None]] = {}
    for ts_ms, totals in rows:
        start_ms = (ts_ms + offset_ms) // every_ms * every_ms - offset_ms
        held = windows.get(start_ms)
        windows[start_ms] = totals if held is None else [_add(a, b) for a, b in zip(held, totals, strict=True)]
    return sorted(windows.items(), key=lambda item: item[0])


def _add(a: tuple[float, float] | None, b: tuple[float, float] | None) -> tuple[float, float] | None:
    if a is None or b is None:
        return a or b
    return a[0] + b[0], a[1] + b[1]
