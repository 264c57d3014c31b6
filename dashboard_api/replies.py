"""Answers that no cache may keep."""

import http
from typing import Final

import msgspec
from starlette.responses import Response

NO_STORE: Final = {"cache-control": "no-store"}


def fresh_json(body: object, status_code: int = http.HTTPStatus.OK) -> Response:
    """Return JSON that is true now and must be asked for again."""
    return Response(msgspec.json.encode(body), status_code, NO_STORE, "application/json")
