"""The square: its plan, its state, the live stream of changes, and what an operator may set."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Header, Path, Query, Request, Response

from dashboard_api.deps import MAX_ID, AddressDep, Parts, PartsDep, new_router
from dashboard_api.errors import UnavailableError
from dashboard_api.events import Client
from dashboard_api.pages import matches
from dashboard_api.replies import fresh_json
from dashboard_api.schemas import AckRequest, ErrorBody, Incident, Site, State
from dashboard_api.sse import EventStream

router = new_router("office", "/api/v1")

JSON = "application/json"
PrebuiltAnswer = Callable[[Parts, str | None], Response]
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the given ETag"}}


def site_answer(parts: Parts, if_none_match: str | None) -> Response:
    """Return the encoded site, or 304."""
    headers = {"etag": parts.site.etag, "cache-control": "no-cache"}
    if matches(if_none_match, parts.site.etag):
        return Response(status_code=304, headers=headers)
    return Response(parts.site.body, headers=headers, media_type=JSON)


def state_answer(parts: Parts, if_none_match: str | None) -> Response:
    """Return the encoded state, or 304.

    Raises
    ------
    UnavailableError
        While the database has not answered yet.
    """
    if not parts.live.is_loaded:
        raise UnavailableError(
            "database-unavailable",
            "Basis data belum menjawab. Halaman mencoba lagi sendiri.",
            "The database does not answer yet. The page tries again by itself.",
            where="database",
            retry_after_s=2.0,
        )
    clock = parts.live.clock()
    headers = {
        "etag": parts.board.etag,
        # A browser cache would answer a 304 with the old body and its old clock.
        "cache-control": "no-store",
        "resik-clock": f"{clock['now_ms']}; {clock['speed']:g}",
    }
    if matches(if_none_match, parts.board.etag):
        return Response(status_code=304, headers=headers)
    return Response(parts.board.state_bytes(clock), headers=headers, media_type=JSON)


PREBUILT: Final[dict[str, PrebuiltAnswer]] = {"/api/v1/site": site_answer, "/api/v1/state": state_answer}
"""Answers that wait for nothing: :class:`dashboard_api.prebuilt.Prebuilt` gives them before any routing."""


@router.get("/site", response_model=None, responses={200: {"model": Site}, **_NOT_MODIFIED})
async def site(request: Request, parts: PartsDep) -> Response:
    """Return the plan of the square, its rules, shifts and crews: changes only when the server restarts."""
    return site_answer(parts, request.headers.get("if-none-match"))


@router.get(
    "/state", response_model=None, responses={200: {"model": State}, **_NOT_MODIFIED, 503: {"model": ErrorBody}}
)
async def state(request: Request, parts: PartsDep) -> Response:
    """Return everything the map shows. The ETag leaves out the clock, which ``Resik-Clock`` repeats (ms; speed)."""
    return state_answer(parts, request.headers.get("if-none-match"))


@router.get(
    "/stream",
    response_model=None,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events bin, air, incident, task, crew, clock, health, reset",
        },
        **{status: {"model": ErrorBody} for status in (403, 422, 429, 503)},
    },
)
async def stream(
    parts: PartsDep,
    address: AddressDep,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_ID, description="event_id of the /state that the stream continues")
    ] = None,
) -> EventStream:
    """Stream every change. ``Last-Event-ID``, else ``after``, resumes; ``reset`` says to load the state again."""

    def connect() -> Client:
        client = parts.hub.connect(address, after_id=resume_id(last_event_id, after))
        parts.live.greet(client)
        return client

    return EventStream(parts.hub, connect)


def resume_id(last_event_id: str | None, after: int | None) -> int | None:
    """Return the id to resume after: the header of a reconnecting browser wins over the first address."""
    if last_event_id:
        # Something that no server of ours gave out is treated as too old.
        return int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else -1
    return after


@router.post(
    "/incidents/{incident_id}/ack",
    response_model=None,
    responses={
        200: {"model": Incident},
        **{status: {"model": ErrorBody} for status in (400, 403, 404, 409, 413, 422, 503)},
    },
)
def acknowledge(incident_id: Annotated[int, Path(ge=1, le=MAX_ID)], ack: AckRequest, parts: PartsDep) -> Response:
    """Say that somebody looks after an incident. A second acknowledgement returns the first."""
    incident = parts.services.desk.acknowledge_incident(incident_id, ack.who, parts.now_ms())
    parts.live.nudge()
    return fresh_json(incident)
