"""Where an InfluxDB is, how it is asked, and the names of the settings that lead there."""

from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec
import urllib3

from ingest.errors import StoreError, StoreRefused, StoreUnavailable

CONNECT_TIMEOUT_S: Final = 3.0
REPLY_TIMEOUT_S: Final = 15.0
"""Longest wait for an answer. A write that is given up may still land: repeating it changes nothing."""


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer, from whichever client library.

    Attributes
    ----------
    status : int
        HTTP status.
    body : bytes
        Whole body.
    retry_after : str | None
        ``Retry-After`` header as it came: seconds or an HTTP date.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None


class Place(msgspec.Struct, frozen=True):
    """What the error sentences need to know.

    Attributes
    ----------
    server : str
        For example ``InfluxDB 1.x at http://host:8086``; never holds a secret.
    container : str
        ``database`` or ``bucket``.
    name : str
        Its name, from ``store_url``.
    """

    server: str
    container: str
    name: str

    def __str__(self) -> str:
        return f"{self.server}, {self.container} {self.name!r}"


class Endpoint:
    """Keep-alive HTTP connections to one server. Safe to use from several threads."""

    def __init__(self, base: str, headers: Mapping[str, str], place: Place) -> None:
        self.base = base
        self.place = place
        self._headers = dict(headers)
        self._pool = urllib3.PoolManager(
            maxsize=4,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=REPLY_TIMEOUT_S),
        )

    def request(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH"],
        path: str,
        parameters: Mapping[str, str],
        body: bytes | None = None,
        *,
        content: str = "text/plain; charset=utf-8",
    ) -> Reply:
        """Ask and return whatever the server answers. ``body`` is line protocol unless ``content`` says otherwise.

        Raises
        ------
        StoreUnavailable
            When there is no answer: refused, unreachable, timed out, cut off.
        StoreRefused
            When the server's certificate is not trusted.
        """
        headers = self._headers if body is None else {**self._headers, "Content-Type": content}
        query = f"?{urlencode(parameters)}" if parameters else ""
        try:
            answer = self._pool.request(method, f"{self.base}{path}{query}", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self.place, error) from error
        return Reply(answer.status, answer.data, answer.headers.get("Retry-After"))

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()


def unreachable(place: Place, error: Exception | str) -> StoreError:
    """Return the error for a request that got no answer: try again, unless it is the certificate."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return StoreRefused(
            f"the certificate of {place.server} is not trusted: install its authority on this machine or name it in "
            "SSL_CERT_FILE, or correct store_url"
        )
    kind = error if isinstance(error, str) else type(error).__name__
    return StoreUnavailable(f"no answer from {place.server} ({kind}): will try again; check store_url")
