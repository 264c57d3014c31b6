"""InfluxDB 1.x, and whatever serves its ``/write`` and ``/query``.

Precision: we write ``ms``. For the record, 1.x spells microseconds ``u`` and takes the ``us`` of 2.x silently for
nanoseconds, which puts points into January 1970 (measured on 1.6.7).
"""

import urllib3

from ingest.errors import StoreUnavailable
from ingest.stores.endpoint import Endpoint, Place, Reply
from ingest.stores.influx import InfluxStore
from ingest.stores.influxql import DatabaseMissing, quote_name
from ingest.stores.replies import STORED, failure
from ingest.stores.shelves import Home, Shelf


class Influx1Store(InfluxStore):
    """Time-series store on InfluxDB 1.x.

    Parameters
    ----------
    base : str
        ``http://host:port`` or ``https://host:port``.
    database : str
        Made by :meth:`prepare` where missing.
    user, password : str | None
        Basic authentication; both or none.
    read_only : bool
        Never write or create anything.
    """

    def __init__(
        self,
        base: str,
        *,
        database: str,
        user: str | None = None,
        password: str | None = None,
        read_only: bool = False,
    ) -> None:
        headers = urllib3.make_headers(basic_auth=f"{user}:{password or ''}") if user else {}
        place = Place(server=f"InfluxDB 1.x at {base}", container="database", name=database)
        super().__init__(Endpoint(base, headers, place), database, read_only=read_only)

    def prepare(self) -> None:
        """Create the database where missing; check address, credentials and the right to write.

        Raises
        ------
        StoreUnavailable, StoreRefused
            As :mod:`ingest.stores.replies` tells; a reader without a database is told to try again.
        """
        try:
            self.query(f"SHOW RETENTION POLICIES ON {quote_name(self._database)}")
        except DatabaseMissing as error:
            if self.read_only:
                raise StoreUnavailable(f"{error}; ingest creates it when it starts", retry_after_s=1.0) from error
            self.query(f"CREATE DATABASE {quote_name(self._database)}", method="POST")
        if not self.read_only:
            reply = self._post_lines(b"\n")  # an empty write is answered like a full one (1.6.7)
            if reply.status != STORED:
                raise failure(reply, self._endpoint.place)

    def _find_home(self, shelf: Shelf) -> Home | None:
        tables = self.query(f"SHOW RETENTION POLICIES ON {quote_name(self._database)}")
        names = [row[0] for table in tables for row in table.values]
        return Home(self._database, shelf) if shelf in names else None

    def _post_lines(self, body: bytes, home: Home | None = None) -> Reply:
        parameters = {"db": self._database, "precision": "ms"}
        if home is not None and home.policy:
            parameters["rp"] = home.policy
        return self._endpoint.request("POST", "/write", parameters, body)
