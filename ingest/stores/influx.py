"""What the adapters of all InfluxDB generations share: line protocol in, InfluxQL out."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ingest.errors import StoreRefused
from ingest.store import Point, Rejected, WriteResult
from ingest.stores.endpoint import Endpoint, Reply
from ingest.stores.influxql import InfluxQLReads
from ingest.stores.line_protocol import LineEncoder
from ingest.stores.replies import deliver


class InfluxStore(InfluxQLReads, ABC):
    """Write side over one write address; a subclass knows how to reach it. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, database: str, *, read_only: bool) -> None:
        super().__init__(endpoint, database)
        self.read_only = read_only
        self._writing = threading.Lock()
        self._encoder = LineEncoder()

    def write(self, points: Sequence[Point]) -> WriteResult:
        """Write a batch. See :meth:`ingest.store.TimeSeriesStore.write`."""
        if self.read_only:
            raise StoreRefused(f"{self._endpoint.place} was opened read-only: only ingest writes points")
        with self._writing:
            lines, positions, rejected = self._encoder.encode_batch(points)
            refusals = deliver(lines, self._post_lines, self._endpoint.place)
        rejected += [Rejected(index=positions[r.position], code=r.code, reason=r.reason) for r in refusals]
        return WriteResult(stored=len(points) - len(rejected), rejected=tuple(sorted(rejected, key=lambda r: r.index)))

    @abstractmethod
    def _post_lines(self, body: bytes) -> Reply:
        """Send lines once and return the answer; called under the write lock."""
