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
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ingest.errors import StoreRefused
from ingest.store import TimeSeriesStore

__all__ = ["GRAMMAR", "open_store"]

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
        return _open_embedded(parts, read_only=read_only)
    if parts.scheme not in _HTTP:
        raise _bad_url(f"unknown kind of store {parts.scheme!r}" if parts.scheme else "no kind of store")
    if not parts.hostname:
        raise _bad_url("no host")
    protocol, default_port = _HTTP[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    base = f"{protocol}://{host}:{port or default_port}"
    names = [unquote(name) for name in parts.path.strip("/").split("/") if name]
    return _open_influx(parts, base, names, secret, read_only=read_only)


def _open_embedded(parts: SplitResult, *, read_only: bool) -> TimeSeriesStore:
    from ingest.stores.embedded import EmbeddedStore

    path = unquote(parts.path[1:])
    if parts.netloc or not path:
        raise _bad_url("a file needs three slashes, four when its path is absolute")
    return EmbeddedStore(Path(path), read_only=read_only)


def _open_influx(
    parts: SplitResult, base: str, names: list[str], secret: str | None, *, read_only: bool
) -> TimeSeriesStore:
    kind = parts.scheme.partition("+")[0]
    wanted = 2 if kind == "influx2" else 1
    if len(names) != wanted:
        raise _bad_url("influx2 needs /org/bucket" if wanted == 2 else f"{kind} needs one /database")  # noqa: PLR2004
    if kind == "influx1":
        from ingest.stores.influx1 import Influx1Store

        user = unquote(parts.username) if parts.username else None
        if user and not secret:
            raise StoreRefused("store_url names a user: put the password into the file that store_token_file names")
        if secret and not user:
            raise StoreRefused(
                "store_token_file holds a password but store_url names no user: write influx1://USER@..."
            )
        return Influx1Store(base, database=names[0], user=user, password=secret, read_only=read_only)
    if parts.username:
        raise StoreRefused(f"store_url holds a user or token: {kind} takes its token from store_token_file alone")
    from ingest.stores.influx2 import Influx2Store

    if kind == "influx2":
        if not secret:
            raise StoreRefused("influx2 needs a token: put it into a file and name that file in store_token_file")
        return Influx2Store(base, org=names[0], bucket=names[1], token=secret, read_only=read_only)
    return Influx2Store(base, org="", bucket=names[0], token=secret, generation=3, read_only=read_only)


def _bad_url(why: str) -> StoreRefused:
    # The URL itself is not repeated: a mistyped one may hold a secret.
    return StoreRefused(f"store_url is wrong ({why}): write {GRAMMAR}")
