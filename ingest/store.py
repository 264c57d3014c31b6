"""The time-series store port: what Resik asks of InfluxDB or of the embedded file.

Adapters live in :mod:`ingest.stores`. All times are integer milliseconds since 1970 UTC.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

FieldValue = float | int | str


class Point(msgspec.Struct, frozen=True, gc=False):
    """One row of a time series: the unit of writing.

    Attributes
    ----------
    measurement : str
        ``bin`` or ``air``.
    tags : dict[str, str]
        ``site``, ``asset``, ``device``, ``zone``: from the device registry, never from a payload.
    ts_ms : int
        Point time [ms since 1970 UTC]. With measurement and tags it identifies the point: a second
        write of the same identity replaces the first.
    fields : dict[str, float | int | str]
        Measured values as float in the units of :mod:`square.quantities`; ``boot``, ``seq``,
        ``quality``, ``flags`` as int; ``state`` as str. A field never changes its type.
    """

    measurement: str
    tags: dict[str, str]
    ts_ms: int
    fields: dict[str, FieldValue]

    def point(self) -> "Point":
        """Return itself: see :class:`Writable`."""
        return self


class Writable(Protocol):
    """What a store writes: a point, or what is written as one.

    A :class:`ingest.readings.Reading` is the other: making its point costs as much as encoding it, so adapters that
    need no point take it as it is.
    """

    @property
    def measurement(self) -> str:
        """Name of the time series."""

    @property
    def ts_ms(self) -> int:
        """Point time [ms since 1970 UTC]."""

    def point(self) -> Point:
        """Return the point that is stored."""


class Rejected(msgspec.Struct, frozen=True):
    """One point that the store will never take.

    Attributes
    ----------
    index : int
        Position in the sequence that was written.
    code : str
        Short stable code, for example ``store-rejected``.
    reason : str
        The store's own words, at most 300 characters.
    """

    index: int
    code: str
    reason: str


class WriteResult(msgspec.Struct, frozen=True):
    """What became of a batch: every point is either stored or in ``rejected``."""

    stored: int
    rejected: tuple[Rejected, ...] = ()


class Series(msgspec.Struct, frozen=True):
    """Columns over time. A missing value is ``None``, a missing time is not there at all."""

    ts_ms: list[int]
    columns: dict[str, list[float | None]]


class PointSink(Protocol):
    """Write side of a time-series store.

    Every method raises :class:`ingest.errors.StoreUnavailable` when trying again later may help and
    :class:`ingest.errors.StoreRefused` when a person must change a setting.
    """

    def prepare(self) -> None:
        """Create the database or tables where missing and check address and credentials."""

    def write(self, points: Sequence[Writable]) -> WriteResult:
        """Write a batch and return only when the store has accepted it.

        Writing the same point twice changes nothing. Points that the store refuses for good are
        listed in the result; the rest of the batch is stored.
        """

    def close(self) -> None:
        """Release connections. The store cannot be used afterwards."""


class TimeSeriesStore(PointSink, Protocol):
    """Write and read side of a time-series store. The errors are those of :class:`PointSink`."""

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
        """Values of one asset in ``[start_ms, end_ms)``, oldest first.

        With ``every_s`` each row is the mean of a window that starts at a multiple of ``every_s`` of a clock that is
        ``offset_s`` ahead of UTC; an empty window is left out. Where readings are not kept any more their hourly means
        stand in, at the start of the hour, and where these are gone the daily ones; windows of whole hours or days are
        made of them from the start. docs/stores.md says precisely what is taken where.
        """

    def latest(self, measurement: str, *, site: str) -> list[Point]:
        """Newest point of each asset of a site."""

    def identities(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[tuple[str, int, int]]:
        """``(device, boot, seq)`` of every stored point in ``[start_ms, end_ms)``: for reconciliation."""

    def readings(self, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every reading in ``[start_ms, end_ms)``, bins and air in time order: for catching up. No roll-ups."""

    def points(self, measurement: str, *, site: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        """Every point of one measurement in ``[start_ms, end_ms)``, in time order."""

    def expire(self, *, site: str, now_ms: int, rolled_ms: int) -> int:
        """Remove a small batch of points that the store need not keep any more and return how many.

        Call it until it returns 0. Readings at or after ``rolled_ms`` stay, whatever their age. A server that does this
        by itself returns 0.
        """
