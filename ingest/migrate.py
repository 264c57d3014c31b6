"""Moving the history of a site from one store to another, and proving that it arrived.

In time order and in batches, so that a run that was cut off goes on from its watermark; what the target has already is
written again and changes nothing. The proof reads both stores once more: day by day the same identities, once each,
with the same values.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from ingest.errors import StoreRefused
from ingest.folding import DAY_MS, MEASUREMENTS, floor_day
from ingest.rollup import FAR_MS, OFFSET_S
from ingest.store import Point, Rejected, TimeSeriesStore
from ingest.stores.shelves import DAILY, DONE, DUE, HOURLY, MARK, shelf_of
from square.outage import Outage

BATCH_POINTS: Final = 5_000

READINGS: Final = "readings"
"""Name of the stream of all readings, beside the measurements that are streams of their own."""

ROLLUPS: Final = tuple(measurement + ending for ending in (HOURLY, DAILY) for measurement in MEASUREMENTS)
MARKS: Final = (DUE, DONE, MARK)
"""What the roll-up job needs to go on in the target. How far it came goes last: then everything before is there."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Watermark(msgspec.Struct):
    """How far a migration came: the content of its file.

    Attributes
    ----------
    source, target, site : str
        Whose.
    at_ms : dict[str, int]
        Time of the newest point of each stream that the target has taken [ms].
    """

    source: str
    target: str
    site: str
    at_ms: dict[str, int] = {}


class WatermarkFile:
    """Keeps a :class:`Watermark` so that a power cut leaves the old one or the new one.

    Raises
    ------
    StoreRefused
        When the file belongs to another migration or is none.
    """

    def __init__(self, path: Path, source: str, target: str, site: str) -> None:
        self._path = path
        self.mark = Watermark(source, target, site)
        if not path.exists():
            return
        try:
            held = msgspec.json.decode(path.read_bytes(), type=Watermark)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreRefused(f"{path} is no watermark of a migration ({error}): name another file") from error
        if (held.source, held.target, held.site) != (source, target, site):
            raise StoreRefused(
                f"{path} belongs to a migration of {held.site} from {held.source} to {held.target}: name another file, "
                "or remove it to begin anew"
            )
        self.mark = held

    def save(self) -> None:
        """Write it down."""
        part = self._path.with_name(self._path.name + ".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode(self.mark))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

    def remove(self) -> None:
        """Forget it: the migration is done."""
        self._path.unlink(missing_ok=True)


class Copied(msgspec.Struct):
    """What was written.

    Attributes
    ----------
    points : int
        Taken by the target, repeats included.
    rejected : dict[str, int]
        Refused by the target for good, by code.
    reason : str
        The target's words about the first of them.
    finished : bool
        False when told to end before.
    """

    points: int = 0
    rejected: dict[str, int] = {}
    reason: str = ""
    finished: bool = True


class DayCheck(msgspec.Struct, frozen=True):
    """One day of one shelf in both stores.

    Attributes
    ----------
    day_ms : int
        Its start [ms].
    shelf : str
        ``raw``, ``hourly`` or ``daily``.
    source, target : int
        Points there.
    missing, surplus : int
        Identities that the target lacks, or has too often or alone.
    different : int
        Identities that both have, with other values.
    checksums : tuple[int, int]
        Sum of the 64-bit hashes of all points, source and target: independent of their order.
    """

    day_ms: int
    shelf: str
    source: int
    target: int
    missing: int
    surplus: int
    different: int
    checksums: tuple[int, int]

    @property
    def is_same(self) -> bool:
        """Whether both stores hold the same points."""
        return not (self.missing or self.surplus or self.different) and self.checksums[0] == self.checksums[1]


class Migration:
    """Moves one site.

    Parameters
    ----------
    source, target : TimeSeriesStore
        Prepared.
    watermark : WatermarkFile
        Of this migration.
    outage : Outage
        Waits for a store that is away; a refusal ends the migration at once.
    since_ms, until_ms : int
        What is moved [ms].
    """

    def __init__(
        self,
        source: TimeSeriesStore,
        target: TimeSeriesStore,
        watermark: WatermarkFile,
        outage: Outage,
        *,
        since_ms: int = 0,
        until_ms: int = FAR_MS,
    ) -> None:
        self._source = source
        self._target = target
        self._watermark = watermark
        self._outage = outage
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._site = watermark.mark.site

    def span_ms(self, streams: Sequence[str]) -> tuple[int, int] | None:
        """Return the times of the first and the last point to move [ms], or None when there is none.

        The last one is that of the newest reading, or of what was copied already if that is newer.
        """
        firsts = [next(self._read(self._source, name, self._since_ms, self._until_ms), None) for name in streams]
        times = [point.ts_ms for point in firsts if point is not None]
        if not times:
            return None
        newest = [p.ts_ms for name in MEASUREMENTS for p in self._source.latest(name, site=self._site)]
        last_ms = max([*times, *newest, *self._watermark.mark.at_ms.values()])
        return min(times), min(last_ms, self._until_ms - 1)

    def copy(self, streams: Sequence[str], progress: Callable[[str, int], None]) -> Copied:
        """Write every point of the streams that the target does not have by the watermark.

        Parameters
        ----------
        streams : Sequence[str]
            :data:`READINGS` or measurements, in this order.
        progress : Callable[[str, int], None]
            Called with the stream and the time of the newest point that the target has [ms].
        """
        copied = Copied()
        at_ms = self._watermark.mark.at_ms
        for stream in streams:
            batches = _Batches(partial(self._read, self._source, stream, end_ms=self._until_ms))
            while True:
                start_ms = at_ms.get(stream, self._since_ms)
                batch = self._outage.persist(partial(batches.take, start_ms), raise_refused=True)
                if batch is None:
                    copied.finished = False
                    return copied
                if not batch:
                    break
                result = self._outage.persist(partial(self._target.write, batch), raise_refused=True)
                if result is None:
                    copied.finished = False
                    return copied
                _count(copied, result.stored, result.rejected)
                at_ms[stream] = batch[-1].ts_ms
                self._watermark.save()
                progress(stream, batch[-1].ts_ms)
        return copied

    def check(self, streams: Sequence[str]) -> Iterator[DayCheck]:
        """Compare both stores, day by day of the site, up to what was copied."""
        span = self.span_ms(streams)
        if span is None:
            return
        day_ms, end_ms = floor_day(span[0], OFFSET_S), min(span[1] + 1, self._until_ms)
        while day_ms < end_ms:
            first_ms, last_ms = max(day_ms, self._since_ms), min(day_ms + DAY_MS, end_ms)
            for shelf, of_shelf in _by_shelf(streams).items():
                read = partial(self._both, of_shelf, first_ms, last_ms)
                found = self._outage.persist(read, raise_refused=True)
                if found is None:
                    return
                if found[0] or found[1]:
                    yield _compare(day_ms, shelf, *found)
            day_ms += DAY_MS

    def _both(self, streams: Sequence[str], start_ms: int, end_ms: int) -> tuple[list[Point], list[Point]]:
        source, target = (
            [point for name in streams for point in self._read(store, name, start_ms, end_ms)]
            for store in (self._source, self._target)
        )
        return source, target

    def _read(self, store: TimeSeriesStore, stream: str, start_ms: int, end_ms: int) -> Iterator[Point]:
        if stream == READINGS:
            return store.readings(site=self._site, start_ms=start_ms, end_ms=end_ms)
        return store.points(stream, site=self._site, start_ms=start_ms, end_ms=end_ms)


class _Batches:
    """Takes batches from a stream, and begins again at the watermark after an error."""

    def __init__(self, read: Callable[[int], Iterator[Point]]) -> None:
        self._read = read
        self._stream: Iterator[Point] | None = None

    def take(self, start_ms: int) -> list[Point]:
        """Return the next points, none at the end; ``start_ms`` counts only where a stream begins."""
        if self._stream is None:
            self._stream = self._read(start_ms)
        try:
            return list(islice(self._stream, BATCH_POINTS))
        except BaseException:
            self._stream = None
            raise


def identity_of(point: Point) -> tuple[object, ...]:
    """Return what makes a point one: device, boot and seq of a reading, asset and time of a roll-up."""
    if shelf_of(point.measurement) == "raw":
        return point.tags["device"], point.fields.get("boot"), point.fields.get("seq")
    return point.measurement, point.tags["asset"], point.ts_ms


def hash_of(point: Point) -> int:
    """Return 64 bits that depend on everything that a point says."""
    return int.from_bytes(blake2b(_encode(point), digest_size=8).digest(), "big")


def _compare(day_ms: int, shelf: str, source: list[Point], target: list[Point]) -> DayCheck:
    hashes: list[dict[tuple[object, ...], list[int]]] = [{}, {}]
    for side, points in zip(hashes, (source, target), strict=True):
        for point in points:
            side.setdefault(identity_of(point), []).append(hash_of(point))
    counts = [Counter({identity: len(of) for identity, of in side.items()}) for side in hashes]
    return DayCheck(
        day_ms=day_ms,
        shelf=shelf,
        source=len(source),
        target=len(target),
        missing=(counts[0] - counts[1]).total(),
        surplus=(counts[1] - counts[0]).total(),
        different=sum(
            len(of) == len(hashes[1].get(identity, ())) and sorted(of) != sorted(hashes[1][identity])
            for identity, of in hashes[0].items()
        ),
        checksums=(_checksum(hashes[0]), _checksum(hashes[1])),
    )


def _checksum(hashes: dict[tuple[object, ...], list[int]]) -> int:
    return sum(value for of in hashes.values() for value in of) % 2**64


def _by_shelf(streams: Sequence[str]) -> dict[str, list[str]]:
    shelves: dict[str, list[str]] = {}
    for stream in streams:
        shelves.setdefault("raw" if stream == READINGS else shelf_of(stream), []).append(stream)
    return shelves


def _count(copied: Copied, stored: int, rejected: Sequence[Rejected]) -> None:
    copied.points += stored
    for one in rejected:
        copied.reason = copied.reason or one.reason
        copied.rejected[one.code] = copied.rejected.get(one.code, 0) + 1
