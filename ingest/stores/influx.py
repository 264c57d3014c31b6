"""What the adapters of all InfluxDB generations share: line protocol in, InfluxQL out."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from ingest.errors import StoreRefused
from ingest.readings import Reading
from ingest.store import Rejected, Writable, WriteResult
from ingest.stores.endpoint import Endpoint, Reply
from ingest.stores.influxql import InfluxQLReads
from ingest.stores.line_protocol import LineEncoder
from ingest.stores.replies import Refusal, deliver
from ingest.stores.shelves import SHELVES, Home, Shelf, shelf_of


class InfluxStore(InfluxQLReads, ABC):
    """Write side over one write address; a subclass knows how to reach it. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, database: str, *, read_only: bool) -> None:
        super().__init__(endpoint, database)
        self.read_only = read_only
        self._writing = threading.Lock()
        self._encoder = LineEncoder()

    def write(self, points: Sequence[Writable]) -> WriteResult:
        """Write a batch. See :meth:`ingest.store.TimeSeriesStore.write`."""
        if self.read_only:
            raise StoreRefused(f"{self._endpoint.place} was opened read-only: only ingest writes points")
        with self._writing:
            lines, positions, rejected = self._encoder.encode_batch(points)
            # By the kind of a reading: its measurement is the same, but a property, which takes three times as long.
            measurements = {item.kind if type(item) is Reading else item.measurement for item in points}
            shelves = {shelf_of(measurement) for measurement in measurements}
            if shelves <= {"raw"}:
                refusals = deliver(lines, self._post_lines, self._endpoint.place)
            else:
                of_lines = [shelf_of(points[position].measurement) for position in positions]
                refusals = [
                    refusal
                    for shelf in SHELVES
                    if shelf in shelves
                    for refusal in self._deliver_to(shelf, lines, [i for i, of in enumerate(of_lines) if of == shelf])
                ]
        rejected += [Rejected(index=positions[r.position], code=r.code, reason=r.reason) for r in refusals]
        return WriteResult(stored=len(points) - len(rejected), rejected=tuple(sorted(rejected, key=lambda r: r.index)))

    def _deliver_to(self, shelf: Shelf, lines: Sequence[str], chosen: Sequence[int]) -> list[Refusal]:
        """Write the chosen lines to the home of a shelf."""
        post = partial(self._post_lines, home=self._home(shelf))
        refusals = deliver([lines[i] for i in chosen], post, self._endpoint.place)
        return [Refusal(chosen[r.position], r.code, r.reason) for r in refusals]

    @abstractmethod
    def _post_lines(self, body: bytes, home: Home | None = None) -> Reply:
        """Send lines once and return the answer; called under the write lock. No home: that of the readings."""
