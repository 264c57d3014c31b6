"""Pages and files of the web client, the health page and the OpenAPI document."""

import msgspec
from fastapi import Request, Response

from dashboard_api.deps import PartsDep, new_router
from dashboard_api.errors import NotFoundError
from dashboard_api.pages import CREW, INDEX
from dashboard_api.replies import fresh_json
from dashboard_api.schemas import Healthz

router = new_router("pages")


@router.get("/healthz", response_model=None, responses={200: {"model": Healthz}, 503: {"model": Healthz}})
async def healthz(parts: PartsDep) -> Response:
    """Return 200 when both stores answer, else 503 with the name of the one that does not."""
    stores = {"relational": parts.watch.relational, "time_series": parts.watch.time_series}
    bad = [f"{name}: {answer.reason}" for name, answer in stores.items() if not answer.ok]
    body = {
        "service": "dashboard",
        "ok": not bad,
        "reason": "; ".join(bad),
        "stores": {name: {"ok": answer.ok, "reason": answer.reason} for name, answer in stores.items()},
        "counts": {"streams": parts.hub.clients, "event_id": parts.board.event_id, **parts.hub.counts},
    }
    return fresh_json(body, 503 if bad else 200)


@router.get("/api/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the machine-readable description of this API."""
    return Response(msgspec.json.encode(request.app.openapi()), media_type="application/json")


@router.get("/", include_in_schema=False)
async def office(request: Request, parts: PartsDep) -> Response:
    """Return the office map."""
    return parts.web.page(INDEX, request.headers)


@router.get("/petugas/{token}", include_in_schema=False)
async def crew(request: Request, parts: PartsDep, token: str) -> Response:
    """Return the crew's page; whether the link is known is the API's to say."""
    del token
    return parts.web.page(CREW, request.headers)


@router.get("/assets/{path:path}", include_in_schema=False)
async def asset(request: Request, parts: PartsDep, path: str) -> Response:
    """Return a file of the built client."""
    return _found(parts.web.asset(f"assets/{path}", request.headers))


@router.get("/{file}", include_in_schema=False)
async def top_file(request: Request, parts: PartsDep, file: str) -> Response:
    """Return a file beside the pages: icon, manifest, service worker."""
    return _found(None if file.endswith(".html") else parts.web.asset(file, request.headers))


def _found(found: Response | None) -> Response:
    if found is None:
        raise NotFoundError("not-found", "Tidak ada halaman di alamat ini.", "There is no such page.", where="path")
    return found
