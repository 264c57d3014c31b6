"""The built web client: pages and assets from one folder, held in memory.

Only files that were found in the folder are served, so a path can name nothing else. The folder is read
again when a page changed on disk: building the client anew needs no restart.
"""

import gzip
import hashlib
import logging
import mimetypes
import re
from pathlib import Path
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response

_log = logging.getLogger(__name__)

INDEX: Final = "index.html"
CREW: Final = "petugas.html"
_HASHED: Final = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
_COMPRESSIBLE: Final = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_MIN_GZIP_BYTES: Final = 1024
_IMMUTABLE: Final = "public, max-age=31536000, immutable"

_NOT_BUILT: Final = """<!doctype html>
<html lang="id"><head><meta charset="utf-8"><title>Resik</title></head>
<body>
<h1>Resik</h1>
<p>Halaman web belum dibangun. Jalankan <code>make web</code>, lalu muat ulang halaman ini.
API sudah berjalan di <code>/api/v1/state</code>.</p>
<p lang="en">The web pages have not been built yet. Run <code>make web</code>, then reload this page.
The API already runs at <code>/api/v1/state</code>.</p>
</body></html>
"""


class _File(NamedTuple):
    body: bytes
    zipped: bytes | None
    media_type: str
    etag: str
    cache: str


class WebClient:
    """Files of the web client.

    Parameters
    ----------
    folder : Path
        Output of the client's build; may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._stamp: tuple[int, ...] | None = None

    def page(self, name: str, headers: Headers) -> Response:
        """Return a page, or the note that says how to build it."""
        self._refresh()
        file = self._files.get(name)
        if file is None:
            return Response(_NOT_BUILT, 503, {"cache-control": "no-store", "retry-after": "30"}, "text/html")
        return _respond(file, headers)

    def asset(self, path: str, headers: Headers) -> Response | None:
        """Return a file by its path in the folder, or None when the build made no such file."""
        file = self._files.get(path)
        if file is None:
            self._refresh()
            file = self._files.get(path)
        return None if file is None else _respond(file, headers)

    def _refresh(self) -> None:
        # The folders too: their time changes when a build that writes a page first adds what the page needs.
        stamp = tuple(_mtime_ns(self._folder / name) for name in (INDEX, CREW, "", "assets"))
        if stamp == self._stamp:
            return
        try:
            files = {
                path.relative_to(self._folder).as_posix(): _load(path, path.relative_to(self._folder).as_posix())
                for path in sorted(self._folder.rglob("*"))
                if path.is_file() and not path.name.startswith(".")
            }
        except OSError as error:  # a build is replacing the files: the ones in memory still fit together
            _log.warning("the built web client cannot be read (%s): trying again with the next request", error)
            return
        self._files, self._stamp = files, stamp


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _load(path: Path, name: str) -> _File:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if path.suffix == ".webmanifest":
        media_type = "application/manifest+json"
    elif path.suffix in (".js", ".mjs"):
        media_type = "text/javascript"
    elif path.suffix == ".woff2":
        media_type = "font/woff2"
    zipped = None
    if media_type.startswith(_COMPRESSIBLE) and len(body) >= _MIN_GZIP_BYTES:
        zipped = gzip.compress(body, compresslevel=6, mtime=0)
    hashed = name.startswith("assets/") and _HASHED.search(name) is not None
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return _File(body, zipped, media_type, etag, _IMMUTABLE if hashed else "no-cache")


def _respond(file: _File, headers: Headers) -> Response:
    own = {"etag": file.etag, "cache-control": file.cache, "vary": "accept-encoding"}
    if matches(headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=own)
    body = file.body
    if file.zipped is not None and "gzip" in headers.get("accept-encoding", ""):
        body = file.zipped
        own["content-encoding"] = "gzip"
    return Response(body, headers=own, media_type=file.media_type)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client's entity tags name ``etag`` (weak comparison, RFC 9110 section 13.1.2)."""
    if not if_none_match:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag.removeprefix("W/") in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
