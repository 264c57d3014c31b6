"""The crew's page: own work, and the two things a crew says about it. The link is the credential."""

import math
from typing import Annotated, Any

from fastapi import Header, Path, Response

from alerts.errors import DatabaseError, TaskConflict
from alerts.errors import NotFoundError as UnknownThing
from dashboard_api.board import Json
from dashboard_api.deps import MAX_ID, AddressDep, CrewDep, Parts, PartsDep, Token, new_router
from dashboard_api.errors import ConflictError
from dashboard_api.events import Client, see_own_tasks
from dashboard_api.replies import fresh_json
from dashboard_api.schemas import CrewPage, ErrorBody, Task
from dashboard_api.sse import EventStream

router = new_router("crew", "/api/v1/crew/{token}")


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody} for status in statuses}


_READ = _refusals(403, 404, 422, 429, 503)
_STEP = {200: {"model": Task}, **_refusals(400, 403, 404, 409, 413, 422, 429, 503)}
OVERFLOW_PCT = 100.0
"""Waste stands over the rim [%]."""
TaskId = Annotated[int, Path(ge=1, le=MAX_ID)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="Accepted and not needed: repeating a step that was taken returns the task as it is",
    ),
]


@router.get("", response_model=None, responses={200: {"model": CrewPage}, **_READ})
def page(parts: PartsDep, crew: CrewDep) -> Response:
    """Return the crew's own work with the places, active tasks and those closed in the last two hours."""
    tasks = parts.services.desk.crew_tasks(crew["id"], parts.now_ms())
    work = [(task, _now(parts, task["asset_id"])) for task in tasks]
    body = {
        "crew": crew,
        "tasks": [_with_place(parts, *one) for one in sorted(work, key=lambda one: _urgency(*one))],
        "clock": parts.live.clock(),
        "shift": parts.site.shifts.get(crew["shift"]),
        "site": parts.site.name,
    }
    return fresh_json(body)


def _now(parts: Parts, asset_id: str) -> Json | None:
    """Return the state of a bin if it is one of now; no level is better than a stale one."""
    state = parts.board.get("bin", asset_id)
    return None if state is None or state["stale"] or state["silent"] else state


def _with_place(parts: Parts, task: Json, state: Json | None) -> dict[str, Any]:
    """Add where the bin is and how full it is now."""
    fill_pct = None if state is None else state["fill_pct"]
    return {**task, "fill_now_pct": fill_pct, "asset": parts.site.place(task["asset_id"])}


def _urgency(task: Json, state: Json | None) -> tuple[bool, float]:
    """Order of work: what overflows first, then what is due first."""
    fill_pct = None if state is None else state["fill_pct"]
    if fill_pct is None:
        fill_pct = task["fill_before_pct"]
    # A heap above the rim has a level and no number.
    overflows = (state is not None and state["level"] == "overflow") or (
        fill_pct is not None and fill_pct >= OVERFLOW_PCT
    )
    return (not overflows, task["due_ms"] if task["due_ms"] is not None else math.inf)


@router.post("/tasks/{task_id}/accept", response_model=None, responses=_STEP)
def accept(parts: PartsDep, crew: CrewDep, task_id: TaskId, idempotency_key: IdempotencyKey = None) -> Response:
    """Take an assigned task. Of two crews exactly one gets it, the other is told 409."""
    del idempotency_key
    return _step(parts, crew, task_id, accepted=True)


@router.post("/tasks/{task_id}/done", response_model=None, responses=_STEP)
def done(parts: PartsDep, crew: CrewDep, task_id: TaskId, idempotency_key: IdempotencyKey = None) -> Response:
    """Claim that an accepted task is done; the sensor confirms it later."""
    del idempotency_key
    return _step(parts, crew, task_id, accepted=False)


@router.get(
    "/stream",
    response_model=None,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **_READ},
)
async def stream(
    parts: PartsDep,
    address: AddressDep,
    crew: CrewDep,
    token: Token,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> EventStream:
    """Stream changes of the crew's own tasks; ``reset`` says to load the page again, always after a reconnect."""

    def connect() -> Client:
        client = parts.hub.connect(address, see_own_tasks(crew["id"]))
        if last_event_id:
            parts.hub.reset(client, "reconnected")
        parts.live.greet(client, with_health=False)
        return client

    return EventStream(parts.hub, connect, is_allowed=lambda: _is_link_known(parts, token))


def _is_link_known(parts: Parts, token: str) -> bool:
    try:
        parts.services.desk.crew_by_token(token, parts.now_ms())
    except UnknownThing:
        return False
    except DatabaseError:
        return True  # an outage revokes nothing; the next look will tell
    return True


def _step(parts: Parts, crew: Json, task_id: int, *, accepted: bool) -> Response:
    desk = parts.services.desk
    take = desk.accept_task if accepted else desk.claim_task
    try:
        task = take(task_id, crew["id"], parts.now_ms())
    except TaskConflict as conflict:
        raise _conflict(parts, crew, task_id, conflict) from conflict
    parts.live.nudge()
    return fresh_json(task)


def _conflict(parts: Parts, crew: Json, task_id: int, conflict: TaskConflict) -> ConflictError:
    current = parts.services.desk.task(task_id)
    if current["crew_id"] != crew["id"]:
        # Another crew's work is not shown, only that it is not this crew's.
        return ConflictError(
            "task-not-yours",
            "Tugas ini sudah dipegang petugas lain. Daftar tugas Anda dimuat ulang.",
            "Another crew has this task. Your list is loaded again.",
            where=f"task {task_id}",
        )
    return ConflictError(
        "task-conflict",
        "Tugas ini sudah berubah. Daftar tugas Anda dimuat ulang.",
        "This task has changed. Your list is loaded again.",
        where=f"task {task_id}",
        detail={"state": conflict.state, "current": current},
    )
