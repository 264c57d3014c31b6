"""Read side of every InfluxDB generation: InfluxQL over ``/query``.

1.x serves it natively, 2.x through a DBRP mapping of database to bucket (made by itself for a bucket of the same name),
3.x natively. Sources: docs.influxdata.com, pages ``influxdb/v2/query-data/influxql`` and
``influxdb3/core/query-data/execute-queries/influxdb-v1-api``.
"""

import heapq
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import FieldValue, Point, Series
from ingest.stores.endpoint import Endpoint
from ingest.stores.points import INT_FIELDS, STR_FIELDS, TAGS, PointError, check_name
from ingest.stores.replies import failure, reason
from ingest.stores.series import SeriesReads, count_of, sum_of
from ingest.stores.shelves import Home, Shelf, is_reading, shelf_of

PAGE_ROWS: Final = 10_000
"""Rows asked for at once by the iterators."""

LATEST_WINDOW_S: Final = 14 * 86_400
""":meth:`InfluxQLReads.latest` lists assets heard within this time [s] before the site's newest point."""

HOME_LOOKED_UP_EVERY_S: Final = 60.0
"""How long a shelf that has no home of its own is taken to have none [s]: `resik store init` may make one any time."""

_OK: Final = 200
_FOR_NOW_WORDS: Final = ("timeout", "limit exceeded", "max-concurrent", "shutdown", "engine is closed")
_MISSING: Final = re.compile(
    r"(database|bucket|dbrp|mapping)\b.*not found|not found.*\b(database|bucket)", re.IGNORECASE
)
_PLAIN_TEXT: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n"})
_PLAIN_NAME: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class DatabaseMissing(StoreRefused):
    """The server is fine but does not have the database yet."""


class _Table(msgspec.Struct):
    columns: list[str]
    values: list[list[Any]] = []
    tags: dict[str, str] = {}


class _Statement(msgspec.Struct):
    series: list[_Table] = []
    error: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Statement] = []
    error: str | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def quote_name(name: str) -> str:
    r"""Return an InfluxQL identifier in double quotes.

    >>> print(quote_name('a"b'))
    "a\"b"
    """
    return f'"{name.translate(_PLAIN_NAME)}"'


def quote_text(text: str) -> str:
    r"""Return an InfluxQL string literal in single quotes.

    >>> print(quote_text("it's"))
    'it\'s'
    """
    return f"'{text.translate(_PLAIN_TEXT)}'"


class InfluxQLReads(SeriesReads):
    """The read methods of :class:`ingest.store.TimeSeriesStore` over one endpoint."""

    def __init__(self, endpoint: Endpoint, database: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._database = database
        self._homes: dict[Shelf, tuple[float, Home | None]] = {}

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
        wanted = [name for name in dict.fromkeys(fields) if name not in STR_FIELDS]
        rows = self._select(wanted, "", measurement, site, asset, (start_ms, end_ms), limit) if wanted else []
        return _series(rows, wanted, fields)

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
        wanted = [name for name in dict.fromkeys(fields) if name not in STR_FIELDS]
        columns = [column(name) for name in fields for column in (sum_of, count_of)]
        grouping = f" GROUP BY time({int(every_s)}s, {-int(offset_s)}s) fill(none)"
        rows = self._select(wanted, grouping, measurement, site, asset, (start_ms, end_ms), limit) if wanted else []
        return _series(rows, [column(name) for name in wanted for column in (sum_of, count_of)], columns)

    def _select(  # noqa: PLR0917 - private, called twice
        self,
        names: Sequence[str],
        grouping: str,
        measurement: str,
        site: str,
        asset: str,
        between_ms: tuple[int, int],
        limit: int,
    ) -> list[list[Any]]:
        columns = [quote_name(name) for name in names]
        if grouping:
            columns = [f"{of}({name})" for name in columns for of in ("sum", "count")]
        tables = self._ask(
            ", ".join(columns),
            measurement,
            f'WHERE "site" = {quote_text(site)} AND "asset" = {quote_text(asset)} '
            f"AND {_between(*between_ms)}{grouping} ORDER BY time ASC LIMIT {int(limit)}",
        )
        return tables[0].values if tables else []

    def latest(self, measurement: str, *, site: str) -> list[Point]:
        """Newest point of each asset, in asset order.

        Looks back a bounded time from the newest point of the site, so that it also works on replays and simulated
        years. Costs tens of milliseconds on a server: ask it at start, then keep the values beside it.
        """
        where = f'WHERE "site" = {quote_text(site)}'
        newest = self._ask(
            '"seq"' if is_reading(measurement) else "*", measurement, f"{where} ORDER BY time DESC LIMIT 1"
        )
        if not newest or not newest[0].values:
            return []
        newest_ms = newest[0].values[0][0]
        tables = self._ask(
            "*",
            measurement,
            f"{where} AND {_between(newest_ms - LATEST_WINDOW_S * 1000, newest_ms + 1)} "
            'GROUP BY "asset" ORDER BY time DESC LIMIT 1',
        )
        points = [_point(measurement, table, row) for table in tables for row in table.values]
        return sorted(points, key=lambda point: point.tags["asset"])

    def identities(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[tuple[str, int, int]]:
        """``(device, boot, seq)`` of every stored point. See :meth:`ingest.store.TimeSeriesStore.identities`."""
        for table in self._pages('"boot", "seq", "device"', measurement, site, start_ms, end_ms):
            yield from ((row[3], row[1], row[2]) for row in table.values if row[1] is not None)

    def readings(self, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every reading in time order. See :meth:`ingest.store.TimeSeriesStore.readings`."""
        names = [row[0] for table in self.query("SHOW MEASUREMENTS") for row in table.values]
        ours = [name for name in sorted(names) if _is_ours(name) and is_reading(name)]
        streams = [self.points(name, site=site, start_ms=start_ms, end_ms=end_ms) for name in ours]
        yield from heapq.merge(*streams, key=lambda point: point.ts_ms)

    def points(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every point of one measurement. See :meth:`ingest.store.TimeSeriesStore.points`."""
        for table in self._pages("*", measurement, site, start_ms, end_ms):
            for row in table.values:
                yield _point(measurement, table, row)

    def expire(self, *, site: str, now_ms: int, rolled_ms: int) -> int:  # noqa: ARG002 - the port's arguments
        """Return 0: the server removes by itself what is beyond the retention of a database, bucket or policy."""
        return 0

    def query(
        self, statement: str, *, method: Literal["GET", "POST"] = "GET", database: str | None = None
    ) -> list[_Table]:
        """Return the tables that one InfluxQL statement answers, times in ms.

        GET is what all generations document for reading; 1.x wants POST for a statement that changes something.

        Raises
        ------
        DatabaseMissing
            When the server does not have the database.
        StoreUnavailable, StoreRefused
            As told by :mod:`ingest.stores.replies`, or by the statement's own error.
        """
        reply = self._endpoint.request(
            method, "/query", {"q": statement, "db": database or self._database, "epoch": "ms"}
        )
        place = self._endpoint.place
        if reply.status != _OK:
            error = failure(reply, place)
            if isinstance(error, StoreRefused) and _MISSING.search(reason(reply)):
                raise DatabaseMissing(str(error))
            raise error
        try:
            answer = _decode_answer(reply.body)
        except msgspec.DecodeError as error:
            raise StoreRefused(f"{place} answered no InfluxQL result: correct the address in store_url") from error
        words = answer.error or next((result.error for result in answer.results if result.error), None)
        if words is None:
            return [table for result in answer.results for table in result.series]
        if _MISSING.search(words):
            raise DatabaseMissing(
                f"{place} is not there ({words}): create the {place.container}, or correct its name in store_url"
            )
        if any(word in words for word in _FOR_NOW_WORDS):
            raise StoreUnavailable(f"{place} cannot answer for now ({words}): will try again")
        raise StoreRefused(f"{place} refused a query ({words}): is its version one that store_url names?")

    def close(self) -> None:
        """Close idle connections."""
        self._endpoint.close()

    def _pages(self, columns: str, measurement: str, site: str, start_ms: int, end_ms: int) -> Iterator[_Table]:
        """Rows in time order, page by page. The last millisecond of a full page is held back and read again whole."""
        limit = PAGE_ROWS
        while True:
            tables = self._ask(
                columns,
                measurement,
                f'WHERE "site" = {quote_text(site)} AND {_between(start_ms, end_ms)} ORDER BY time ASC LIMIT {limit}',
            )
            if not tables:
                return
            rows = tables[0].values
            if len(rows) < limit:
                yield tables[0]
                return
            start_ms = rows[-1][0]
            complete = [row for row in rows if row[0] < start_ms]
            if complete:
                yield _Table(tables[0].columns, complete)
                limit = PAGE_ROWS
            else:
                limit *= 2

    # -- where a measurement stands -----------------------------------------------------------------------------

    def _ask(self, columns: str, measurement: str, tail: str) -> list[_Table]:
        """Select columns from a measurement, wherever its home is; ``tail`` is the rest of the statement."""
        home = self._home(shelf_of(measurement))
        source = f"{quote_name(home.policy)}.{quote_name(measurement)}" if home.policy else quote_name(measurement)
        return self.query(f"SELECT {columns} FROM {source} {tail}", database=home.database)  # noqa: S608 - all quoted

    def _home(self, shelf: Shelf) -> Home:
        """Return where a shelf stands: in a home of its own if it has one, else beside the readings."""
        if shelf != "raw":
            looked_s, home = self._homes.get(shelf, (-HOME_LOOKED_UP_EVERY_S, None))
            if home is None and time.monotonic() - looked_s >= HOME_LOOKED_UP_EVERY_S:
                home = self._find_home(shelf)
                self._homes[shelf] = (time.monotonic(), home)
            if home is not None:
                return home
        return Home(self._database)

    def _find_home(self, shelf: Shelf) -> Home | None:
        """Ask the server for the database or bucket of a shelf."""
        database = own_database(self._database, shelf)
        try:
            self.query(PROBE, database=database)
        except StoreRefused:  # not there, or not for this token
            return None
        return Home(database)


PROBE: Final = 'SELECT "seq" FROM "bin" WHERE time >= 0ms AND time < 1ms LIMIT 1'
"""A read of one early millisecond: cheap everywhere, and unlike SHOW it fails where the database is missing."""


def own_database(database: str, shelf: Shelf) -> str:
    """Return the name of the bucket (2.x) or database (3.x, which takes no underscores) of a shelf.

    >>> own_database("resik", "hourly")
    'resik-hourly'
    """
    return database if shelf == "raw" else f"{database}-{shelf}"


def _series(rows: list[list[Any]], names: Sequence[str], wanted: Sequence[str]) -> Series:
    """Return rows ``(time, *names)`` as columns; a wanted one that is not there is all None."""
    found = {
        name: [float(row[i]) if isinstance(row[i], int | float) else None for row in rows]
        for i, name in enumerate(names, start=1)
    }
    return Series(
        ts_ms=[row[0] for row in rows], columns={name: found.get(name) or [None] * len(rows) for name in wanted}
    )


def _between(start_ms: int, end_ms: int) -> str:
    return f"time >= {int(start_ms)}ms AND time < {int(end_ms)}ms"


def _is_ours(measurement: str) -> bool:
    try:
        check_name(measurement)
    except PointError:
        return False  # another program's measurement in a shared database
    return True


def _point(measurement: str, table: _Table, row: Sequence[Any]) -> Point:
    values = dict(zip(table.columns, row, strict=True)) | table.tags
    ts_ms = values.pop("time")
    tags = {name: values.pop(name, None) or "" for name in TAGS}
    fields = {name: _value(name, value) for name, value in values.items() if value is not None}
    return Point(measurement=measurement, tags=tags, ts_ms=ts_ms, fields=fields)


def _value(name: str, value: Any) -> FieldValue:
    if name in INT_FIELDS:
        return int(value)
    return value if isinstance(value, str) else float(value)
