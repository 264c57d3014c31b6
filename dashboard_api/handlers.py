"""Turns every refusal, whoever raised it, into the one error shape."""

import http
import logging
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from alerts.errors import ConflictError as DeskConflict
from alerts.errors import DatabaseError
from alerts.errors import NotFoundError as UnknownThing
from dashboard_api.errors import ApiError, ConflictError, NotFoundError, UnavailableError, error_response
from ingest.errors import StoreError

_log = logging.getLogger(__name__)

_RETRY_S = 5.0


def add_handlers(app: FastAPI) -> None:
    """Register one handler per family of errors."""
    for family in (ApiError, UnknownThing, DeskConflict, DatabaseError, StoreError, HTTPException):
        app.add_exception_handler(family, _handle)
    app.add_exception_handler(RequestValidationError, _handle_invalid)


async def _handle(request: Request, error: Exception) -> Response:
    return error_response(as_api_error(error), where=_route(request))


async def _handle_invalid(request: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or _route(request)
    invalid = ApiError(
        "invalid",
        f"Isian {where} tidak dapat dipakai: {first['msg']}.",
        f"{where} cannot be used: {first['msg']}.",
        where=where,
    )
    invalid.status_code = http.HTTPStatus.UNPROCESSABLE_ENTITY
    return error_response(invalid)


def as_api_error(error: Exception) -> ApiError:
    """Return the API's word for an error of a lower layer."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UnknownThing):
        return NotFoundError("not-found", "Tidak ditemukan. Muat ulang daftar.", "Not found. Load the list again.")
    if isinstance(error, DeskConflict):
        return ConflictError(
            "conflict",
            "Keadaannya sudah berubah. Muat ulang daftar.",
            "Its state has changed. Load the list again.",
            where=error.entity,
            detail={"state": error.state},
        )
    if isinstance(error, DatabaseError | StoreError):
        return _store_error(error)
    if isinstance(error, HTTPException):
        return _http_error(error)
    raise error


def _store_error(error: DatabaseError | StoreError) -> ApiError:
    relational = isinstance(error, DatabaseError)
    name_id, name_en = ("Basis data", "The database") if relational else ("Penyimpan riwayat", "The history store")
    code = "database" if relational else "store"
    _log.warning("%s: %s", code, error)
    if error.retryable:
        return UnavailableError(
            f"{code}-unavailable",
            f"{name_id} tidak menjawab. Coba lagi sebentar lagi.",
            f"{name_en} does not answer. Try again shortly.",
            where=name_en.removeprefix("The "),
            retry_after_s=error.retry_after_s or _RETRY_S,
        )
    return UnavailableError(
        f"{code}-refused",
        f"{name_id} menolak. Pengelola sistem perlu memeriksa pengaturannya.",
        f"{name_en} refuses. The operator must check its settings.",
        where=name_en.removeprefix("The "),
        retry_after_s=60.0,
    )


_SENTENCES: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "Permintaan tidak terbaca.", "The request cannot be read."),
    404: ("not-found", "Tidak ada apa-apa di alamat ini.", "There is nothing at this address."),
    405: ("method-not-allowed", "Cara ini tidak berlaku di alamat ini.", "This method does not apply here."),
}


def _http_error(error: HTTPException) -> ApiError:
    known = _SENTENCES.get(error.status_code)
    if known is None:
        phrase = http.HTTPStatus(error.status_code).phrase
        known = (phrase.lower().replace(" ", "-"), f"Permintaan ditolak: {phrase}.", f"Refused: {phrase}.")
    converted = ApiError(*known)
    converted.status_code = error.status_code
    return converted


def _route(request: Request) -> str:
    """Path template, never the raw path: that may hold a crew's secret."""
    template: Any = getattr(request.scope.get("route"), "path", None)
    return str(template) if template else "path"
