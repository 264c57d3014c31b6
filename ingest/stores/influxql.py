"""Read side of every InfluxDB generation: InfluxQL over ``/query``.

1.x serves it natively, 2.x through a DBRP mapping of database to bucket (made by itself for a bucket of the same name),
3.x natively. Sources: docs.influxdata.com, pages ``influxdb/v2/query-data/influxql`` and
``influxdb3/core/query-data/execute-queries/influxdb-v1-api``.
"""

import heapq
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import FieldValue, Point, Series
from ingest.stores.endpoint import Endpoint
from ingest.stores.points import INT_FIELDS, STR_FIELDS, TAGS, PointError, check_name, check_series_request
from ingest.stores.replies import failure, reason

PAGE_ROWS: Final = 10_000
"""Rows asked for at once by the iterators."""

LATEST_WINDOW_S: Final = 14 * 86_400
""":meth:`InfluxQLReads.latest` lists assets heard within this time [s] before the site's newest point."""

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


class InfluxQLReads:
    """The read methods of :class:`ingest.store.TimeSeriesStore` over one endpoint."""

    def __init__(self, endpoint: Endpoint, database: str) -> None:
        self._endpoint = endpoint
        self._database = database

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
        limit: int = 20_000,
    ) -> Series:
        """Values of one asset. See :meth:`ingest.store.TimeSeriesStore.series`; text fields read as ``None``."""
        check_series_request(fields, every_s)
        wanted = [name for name in dict.fromkeys(fields) if name not in STR_FIELDS]
        rows: list[list[Any]] = []
        if wanted:
            if every_s is None:
                columns, grouping = ", ".join(map(quote_name, wanted)), ""
            else:
                columns = ", ".join(f"mean({quote_name(name)}) AS {quote_name(name)}" for name in wanted)
                grouping = f" GROUP BY time({int(every_s)}s) fill(none)"
            tables = self.query(
                f'SELECT {columns} FROM {quote_name(measurement)} WHERE "site" = {quote_text(site)} '  # noqa: S608
                f'AND "asset" = {quote_text(asset)} AND {_between(start_ms, end_ms)}{grouping} '
                f"ORDER BY time ASC LIMIT {int(limit)}"
            )
            rows = tables[0].values if tables else []
        found = {
            name: [float(row[i]) if isinstance(row[i], int | float) else None for row in rows]
            for i, name in enumerate(wanted, start=1)
        }
        return Series(
            ts_ms=[row[0] for row in rows],
            columns={name: found.get(name) or [None] * len(rows) for name in fields},
        )

    def latest(self, measurement: str, *, site: str) -> list[Point]:
        """Newest point of each asset, in asset order.

        Looks back a bounded time from the newest point of the site, so that it also works on replays and simulated
        years. Costs tens of milliseconds on a server: ask it at start, then keep the values beside it.
        """
        where = f'FROM {quote_name(measurement)} WHERE "site" = {quote_text(site)}'
        newest = self.query(f'SELECT "seq" {where} ORDER BY time DESC LIMIT 1')
        if not newest or not newest[0].values:
            return []
        newest_ms = newest[0].values[0][0]
        tables = self.query(
            f"SELECT * {where} AND {_between(newest_ms - LATEST_WINDOW_S * 1000, newest_ms + 1)} "
            'GROUP BY "asset" ORDER BY time DESC LIMIT 1'
        )
        points = [_point(measurement, table, row) for table in tables for row in table.values]
        return sorted(points, key=lambda point: point.tags["asset"])

    def identities(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[tuple[str, int, int]]:
        """``(device, boot, seq)`` of every stored point. See :meth:`ingest.store.TimeSeriesStore.identities`."""
        for table in self._pages('"boot", "seq", "device"', measurement, site, start_ms, end_ms):
            yield from ((row[3], row[1], row[2]) for row in table.values if row[1] is not None)

    def readings(self, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every point in time order. See :meth:`ingest.store.TimeSeriesStore.readings`."""
        names = [row[0] for table in self.query("SHOW MEASUREMENTS") for row in table.values]
        streams = [self._points(name, site, start_ms, end_ms) for name in sorted(names) if _is_ours(name)]
        yield from heapq.merge(*streams, key=lambda point: point.ts_ms)

    def query(self, statement: str, *, method: Literal["GET", "POST"] = "GET") -> list[_Table]:
        """Return the tables that one InfluxQL statement answers, times in ms.

        GET is what all generations document for reading; 1.x wants POST for a statement that changes something.

        Raises
        ------
        DatabaseMissing
            When the server does not have the database.
        StoreUnavailable, StoreRefused
            As told by :mod:`ingest.stores.replies`, or by the statement's own error.
        """
        reply = self._endpoint.request(method, "/query", {"q": statement, "db": self._database, "epoch": "ms"})
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
            tables = self.query(
                f'SELECT {columns} FROM {quote_name(measurement)} WHERE "site" = {quote_text(site)} '  # noqa: S608
                f"AND {_between(start_ms, end_ms)} ORDER BY time ASC LIMIT {limit}"
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

    def _points(self, measurement: str, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        for table in self._pages("*", measurement, site, start_ms, end_ms):
            for row in table.values:
                yield _point(measurement, table, row)


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
