"""Adapters of the time-series store port, chosen by one URL.

Grammar::

    sqlite:///relative/points.sqlite3       sqlite:////absolute/points.sqlite3
    influx1://[user@]host[:port]/database   influx1+https://[user@]host[:port]/database
    influx2+http://host[:port]/org/bucket   influx2+https://...
    influx3+http://host[:port]/database     influx3+https://...

``influx1`` is InfluxDB 1.x and everything that serves its ``/write`` and ``/query``; default port 8086, for ``influx3``
8181. Names with special characters are percent-encoded. The password or token never stands in the URL: it comes from
``store_token_file``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from ingest.errors import StoreRefused
from ingest.store import TimeSeriesStore

if TYPE_CHECKING:
    from ingest.stores.admin import StoreAdmin

__all__ = ["GRAMMAR", "open_admin", "open_store", "plain_http_address"]

GRAMMAR: Final = (
    "sqlite:///file, influx1://[user@]host[:port]/database, influx2+http(s)://host[:port]/org/bucket "
    "or influx3+http(s)://host[:port]/database"
)

_HTTP: Final = {
    "influx1": ("http", 8086),
    "influx1+http": ("http", 8086),
    "influx1+https": ("https", 8086),
    "influx2+http": ("http", 8086),
    "influx2+https": ("https", 8086),
    "influx3+http": ("http", 8181),
    "influx3+https": ("https", 8181),
}


class _Named(msgspec.Struct, frozen=True):
    """A store as a URL names it.

    Attributes
    ----------
    kind : str
        ``sqlite``, ``influx1``, ``influx2`` or ``influx3``.
    base : str
        File of ``sqlite``, else protocol, host and port.
    names : list[str]
        Organisation of ``influx2``; then database or bucket.
    user, secret : str | None
        Credentials.
    """

    kind: str
    base: str
    names: list[str]
    user: str | None = None
    secret: str | None = None


def plain_http_address(url: str) -> tuple[str, int] | None:
    """Return host and port of a store that is asked over HTTP without TLS; None for another one."""
    parts = urlsplit(url)
    protocol, port = _HTTP.get(parts.scheme, ("", 0))
    if protocol != "http" or parts.hostname is None:
        return None
    return parts.hostname, parts.port or port


def open_store(url: str, *, secret: str | None = None, read_only: bool = False) -> TimeSeriesStore:
    """Make the store that a URL names. No file is touched and nothing is sent before ``prepare``.

    Parameters
    ----------
    url : str
        See the module's grammar.
    secret : str | None
        Password (``influx1``) or token (``influx2``, ``influx3``). Ignored by ``sqlite``.
    read_only : bool
        For processes that never write: nothing is created and ``write`` raises.

    Raises
    ------
    StoreRefused
        When the URL does not follow the grammar, holds a secret, or lacks one that the store needs.
    """
    named = _read(url, secret)
    if named.kind == "sqlite":
        from ingest.stores.embedded import EmbeddedStore

        return EmbeddedStore(Path(named.base), read_only=read_only)
    if named.kind == "influx1":
        from ingest.stores.influx1 import Influx1Store

        return Influx1Store(
            named.base, database=named.names[0], user=named.user, password=named.secret, read_only=read_only
        )
    from ingest.stores.influx2 import Influx2Store

    if named.kind == "influx2":
        org, bucket = named.names
        return Influx2Store(named.base, org=org, bucket=bucket, token=named.secret, read_only=read_only)
    return Influx2Store(
        named.base, org="", bucket=named.names[0], token=named.secret, generation=3, read_only=read_only
    )


def open_admin(url: str, *, secret: str | None = None) -> "StoreAdmin":
    """Make what sets up the store that a URL names; arguments and errors as of :func:`open_store`."""
    named = _read(url, secret)
    if named.kind == "sqlite":
        from ingest.stores.admin import EmbeddedAdmin

        return EmbeddedAdmin(Path(named.base))
    from ingest.stores.admin_influx import Influx1Admin, Influx2Admin, Influx3Admin

    if named.kind == "influx1":
        return Influx1Admin(named.base, database=named.names[0], user=named.user, password=named.secret)
    if named.kind == "influx2":
        org, bucket = named.names
        return Influx2Admin(named.base, org=org, bucket=bucket, token=named.secret or "")
    return Influx3Admin(named.base, database=named.names[0], token=named.secret)


def _read(url: str, secret: str | None) -> _Named:
    """Take a URL apart and check that it and the secret fit."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad_url(str(error)) from error
    if parts.password is not None:
        raise StoreRefused(
            "store_url holds a password: take it out and put it into the file that store_token_file names"
        )
    if parts.query or parts.fragment:
        raise _bad_url("it takes no ?options and no #fragment")
    if parts.scheme == "sqlite":
        path = unquote(parts.path[1:])
        if parts.netloc or not path:
            raise _bad_url("a file needs three slashes, four when its path is absolute")
        return _Named("sqlite", path, [])
    if parts.scheme not in _HTTP:
        raise _bad_url(f"unknown kind of store {parts.scheme!r}" if parts.scheme else "no kind of store")
    if not parts.hostname:
        raise _bad_url("no host")
    protocol, default_port = _HTTP[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    names = [unquote(name) for name in parts.path.strip("/").split("/") if name]
    user = unquote(parts.username) if parts.username else None
    named = _Named(parts.scheme.partition("+")[0], f"{protocol}://{host}:{port or default_port}", names, user, secret)
    _check(named)
    return named


def _check(named: _Named) -> None:
    wanted = 2 if named.kind == "influx2" else 1
    if len(named.names) != wanted:
        raise _bad_url("influx2 needs /org/bucket" if named.kind == "influx2" else f"{named.kind} needs one /database")
    if named.kind == "influx1":
        if named.user and not named.secret:
            raise StoreRefused("store_url names a user: put the password into the file that store_token_file names")
        if named.secret and not named.user:
            raise StoreRefused(
                "store_token_file holds a password but store_url names no user: write influx1://USER@..."
            )
        return
    if named.user:
        raise StoreRefused(f"store_url holds a user or token: {named.kind} takes its token from store_token_file alone")
    if named.kind == "influx2" and not named.secret:
        raise StoreRefused("influx2 needs a token: put it into a file and name that file in store_token_file")


def _bad_url(why: str) -> StoreRefused:
    # The URL itself is not repeated: a mistyped one may hold a secret.
    return StoreRefused(f"store_url is wrong ({why}): write {GRAMMAR}")
