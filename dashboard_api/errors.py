"""Errors of the dashboard and the one shape in which the API reports any of them.

Tree::

    ApiError                 .status_code, .code, both sentences, .where
    ├── NotFoundError          404  no such thing, or not yours to see
    ├── ConflictError          409  the transition is not allowed now; .detail holds the current state
    ├── BadRequestError        400  well-formed, but not something the API does
    ├── ForbiddenError         403  wrong host name, foreign origin, no declared role
    ├── TooLargeError          413
    ├── TooManyError           429  .retry_after_s
    └── UnavailableError       503  a store is down, caps reached; .retry_after_s

    DashboardStartError        the server cannot start; the sentence says what to change

Every response that is not a success is ``{"error": {"code", "message_id", "message_en", "where"}}``.
"""

from typing import Any

import msgspec
from starlette.responses import Response

_ENCODER = msgspec.json.Encoder()


class DashboardStartError(Exception):
    """The server refuses to start as configured: one sentence for the operator."""


class ApiError(Exception):
    """One request cannot be served.

    Parameters
    ----------
    code : str
        Short stable code for programs.
    message_id, message_en : str
        One sentence for people: what happened and what to do.
    where : str
        Field, path template or part that is concerned. Never a secret.
    retry_after_s : float | None
        Earliest sensible retry [s], sent as ``Retry-After``.
    detail : dict | None
        Extra members of the error object, for example the current task of a refused transition.
    """

    status_code = 500
    retryable = False

    def __init__(
        self,
        code: str,
        message_id: str,
        message_en: str,
        *,
        where: str = "",
        retry_after_s: float | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message_en}")
        self.code = code
        self.message_id = message_id
        self.message_en = message_en
        self.where = where
        self.retry_after_s = retry_after_s
        self.detail = detail or {}


class NotFoundError(ApiError):
    """There is no such thing, or it is not the caller's to see."""

    status_code = 404


class ConflictError(ApiError):
    """The state changed under the caller; the current one is in ``detail``."""

    status_code = 409


class BadRequestError(ApiError):
    """The request is readable but asks for something the API does not do."""

    status_code = 400


class ForbiddenError(ApiError):
    """Host name, origin or role do not allow the request."""

    status_code = 403


class TooLargeError(ApiError):
    """The request body is larger than the limit."""

    status_code = 413


class TooManyError(ApiError):
    """The caller asks too often or holds too many streams."""

    status_code = 429
    retryable = True


class UnavailableError(ApiError):
    """A store does not answer, or the server is full."""

    status_code = 503
    retryable = True


def error_body(
    code: str,
    message_id: str,
    message_en: str,
    where: str,
    detail: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the one error object of the API."""
    return {
        "error": {"code": code, "message_id": message_id, "message_en": message_en, "where": where, **(detail or {})}
    }


def error_response(error: ApiError, *, where: str = "") -> Response:
    """Render an error; ``where`` fills in when the error itself names no place."""
    headers = {"cache-control": "no-store"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    body = error_body(error.code, error.message_id, error.message_en, error.where or where, error.detail)
    return Response(
        _ENCODER.encode(body), status_code=error.status_code, headers=headers, media_type="application/json"
    )
