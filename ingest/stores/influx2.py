"""InfluxDB 2.x and 3.x: writes with ``influxdb-client`` over ``/api/v2/write``, reads in InfluxQL over ``/query``.

The client runs in its synchronous mode with our own lines: its batching mode reports success before anything is sent
and loses what it holds when the server is down (measured: 50 of 50 points, no exception). No gzip: it never paid on a
LAN. Precision is ``ms``, which 2.x and 3.x spell alike.
"""

from typing import Any, Literal

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.stores.endpoint import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, Endpoint, Place, Reply, unreachable
from ingest.stores.influx import InfluxStore
from ingest.stores.influxql import PROBE, DatabaseMissing
from ingest.stores.shelves import Home


class Influx2Store(InfluxStore):
    """Time-series store on InfluxDB 2.x or 3.x.

    Parameters
    ----------
    base : str
        ``http://host:port`` or ``https://host:port``.
    org : str
        Organisation of 2.x; empty for 3.x.
    bucket : str
        Bucket of 2.x, database of 3.x.
    token : str | None
        API token; None only for a 3.x server that runs without authentication.
    generation : 2 | 3
        Only changes the words of errors and who creates the database: 3.x makes it on the first write.
    read_only : bool
        Never write anything.
    """

    def __init__(
        self,
        base: str,
        *,
        org: str,
        bucket: str,
        token: str | None,
        generation: Literal[2, 3] = 2,
        read_only: bool = False,
    ) -> None:
        place = Place(
            server=f"InfluxDB {generation}.x at {base}",
            container="bucket" if generation == 2 else "database",  # noqa: PLR2004
            name=bucket,
        )
        headers = {"Authorization": f"Token {token}"} if token else {}
        super().__init__(Endpoint(base, headers, place), bucket, read_only=read_only)
        self.generation = generation
        self._client = InfluxDBClient(
            url=base,
            token=token or "",
            org=org,
            enable_gzip=False,
            retries=False,
            timeout=(int(CONNECT_TIMEOUT_S * 1000), int(REPLY_TIMEOUT_S * 1000)),
        )
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)

    def prepare(self) -> None:
        """Check address, token and bucket with one small query; nothing is created in 2.x, that is the operator's.

        Raises
        ------
        StoreUnavailable, StoreRefused
            As :mod:`ingest.stores.replies` tells.
        """
        try:
            self.query(PROBE)
        except DatabaseMissing as error:
            if self.generation == 2:  # noqa: PLR2004
                raise StoreRefused(
                    f"{error}; a bucket of another name than its DBRP mapping needs `influx v1 dbrp create`"
                ) from error
            if self.read_only:
                raise StoreUnavailable(f"{error}; the first write of ingest creates it", retry_after_s=1.0) from error

    def close(self) -> None:
        """Close both clients' connections."""
        self._write_api.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]
        super().close()

    def _post_lines(self, body: bytes, home: Home | None = None) -> Reply:
        try:
            precision: Any = WritePrecision.MS  # the client declares a class and means its strings
            bucket = self._database if home is None else home.database
            self._write_api.write(bucket=bucket, record=body, write_precision=precision)
        except ApiException as error:
            if not error.status:  # the client's way to report a failed TLS handshake
                raise unreachable(self._endpoint.place, str(error.reason)) from error
            return _reply_of(error)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self._endpoint.place, error) from error
        # The client takes every 2xx for success; only a 204 is InfluxDB's. The write lock guards this attribute.
        return Reply(int(self._client.api_client.last_response.status))


def _reply_of(error: ApiException) -> Reply:
    headers: dict[str, Any] = {name.lower(): value for name, value in (error.headers or {}).items()}
    body = error.body or b""
    return Reply(int(error.status), body.encode() if isinstance(body, str) else body, headers.get("retry-after"))
