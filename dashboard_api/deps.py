"""What routes are given: the parts of the running server, the caller's address, the crew behind a link."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, Path, Request

from alerts.errors import NotFoundError as UnknownThing
from dashboard_api.access import ROLES, TOKEN, FailureLimit
from dashboard_api.board import Board, Json
from dashboard_api.errors import ForbiddenError, NotFoundError
from dashboard_api.events import Hub
from dashboard_api.health import HealthWatch
from dashboard_api.live import Live
from dashboard_api.pages import WebClient
from dashboard_api.services import Services
from dashboard_api.settings import DashboardSettings
from dashboard_api.site_view import SiteView
from square.clock import now_ms

MAX_ID = 2**53 - 1
"""Largest row id: what JavaScript counts exactly, well inside a 64-bit column."""


@dataclass(frozen=True)
class Parts:
    """Everything that lives as long as the server."""

    settings: DashboardSettings
    services: Services
    board: Board
    hub: Hub
    live: Live
    watch: HealthWatch
    site: SiteView
    web: WebClient
    crew_failures: FailureLimit
    history_slots: CapacityLimiter

    def now_ms(self) -> int:
        """Square time [ms since 1970 UTC]."""
        return now_ms(self.services.clock)


class AppState(TypedDict):
    """What the lifespan yields."""

    parts: Parts


# Asynchronous although they wait for nothing: FastAPI sends synchronous dependencies through its thread pool,
# which costs several times as much as the rest of a state request.


async def parts_of(request: Request) -> Parts:
    """Return the parts of the server that answers this request."""
    parts: Parts = request.state.parts
    return parts


async def caller_address(request: Request) -> str:
    """Return the client's address."""
    return request.client.host if request.client else "unknown"


async def declared_role(request: Request) -> None:
    """Refuse a route that declares no role.

    Raises
    ------
    ForbiddenError
        When the route is missing in the table of roles.
    """
    if (request.method, getattr(request.scope.get("route"), "path", "")) not in ROLES:
        raise ForbiddenError(
            "no-role", "Alamat ini tidak terbuka untuk siapa pun.", "This address is open to nobody.", where="route"
        )


def new_router(tag: str, prefix: str = "") -> APIRouter:
    """Return a router whose routes answer only with a declared role."""
    return APIRouter(prefix=prefix, tags=[tag], dependencies=[Depends(declared_role)])


PartsDep = Annotated[Parts, Depends(parts_of)]
AddressDep = Annotated[str, Depends(caller_address)]
Token = Annotated[str, Path(description="Secret of the crew member's link")]


def crew_of_link(parts: PartsDep, address: AddressDep, token: Token) -> Json:
    """Return the crew member whose link this is.

    Raises
    ------
    NotFoundError
        When nobody has this link.
    TooManyError
        When the caller has tried too many unknown links.
    """
    try:
        if TOKEN.fullmatch(token):
            return parts.services.desk.crew_by_token(token, parts.now_ms())
    except UnknownThing:
        pass
    parts.crew_failures.failed(address)
    raise NotFoundError(
        "unknown-link",
        "Tautan ini tidak dikenal. Minta tautan baru kepada pengawas.",
        "This link is not known. Ask your supervisor for a new one.",
        where="crew link",
    )


CrewDep = Annotated[Json, Depends(crew_of_link)]
