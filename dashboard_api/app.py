"""The application: routes around the parts, opened and closed by the lifespan."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from dashboard_api.access import ROLES, FailureLimit, HostRule
from dashboard_api.board import Board
from dashboard_api.deps import AppState, Parts, declared_role
from dashboard_api.errors import DashboardStartError
from dashboard_api.events import Hub
from dashboard_api.guard import Guard
from dashboard_api.handlers import add_handlers
from dashboard_api.health import HealthWatch
from dashboard_api.live import Live
from dashboard_api.pages import WebClient
from dashboard_api.prebuilt import Prebuilt
from dashboard_api.routes import crew, history, pages, state
from dashboard_api.services import Services, open_services
from dashboard_api.settings import PACKAGED_STATIC, DashboardSettings
from dashboard_api.site_view import SiteView

API_VERSION = "1.0"
HISTORY_THREADS = 8


def make_parts(settings: DashboardSettings, services: Services) -> Parts:
    """Compose the parts of one server. MUST be called on the event loop that will run them."""
    site = SiteView(services.site, tiles_url=settings.tiles_url, tiles_attribution=settings.tiles_attribution)
    board = Board(site.intervals_s())
    hub = Hub(board, max_clients=settings.max_streams, max_per_address=settings.max_streams_per_address)
    watch = HealthWatch(settings.health_urls, services.store, services.site.id)
    return Parts(
        settings=settings,
        services=services,
        board=board,
        hub=hub,
        live=Live(services.desk, board, hub, watch, services.clock, simulated=services.simulated),
        watch=watch,
        site=site,
        web=WebClient(settings.static_dir or PACKAGED_STATIC),
        crew_failures=FailureLimit(),
        history_slots=CapacityLimiter(HISTORY_THREADS),
    )


def create_app(settings: DashboardSettings, services: Services | None = None) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    settings : DashboardSettings
        Checked settings.
    services : Services | None
        Clients that are open already and stay the caller's to close; by default the lifespan opens them
        from the settings and closes them.

    Raises
    ------
    DashboardStartError
        When a route declares no role.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[AppState]:
        opened = services if services is not None else await asyncio.to_thread(open_services, settings)
        try:
            parts = make_parts(settings, opened)
            app.state.parts = parts  # for the server's own shutdown; routes use the typed state
            try:
                await parts.live.start()
                yield {"parts": parts}
            finally:
                await parts.live.stop()
        finally:
            if services is None:
                opened.close()

    app = FastAPI(
        title="Resik",
        version=API_VERSION,
        description="State of a town square, its incidents and the work of its crews.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(
                Guard,
                hosts=HostRule((settings.host, *settings.allowed_hosts)),
                tiles_url=settings.tiles_url,
            ),
            Middleware(Prebuilt),
        ],
    )
    for module in (state, history, crew, pages):
        # The routes themselves, not a router in a router: one flat list to match and to check.
        app.router.routes.extend(module.router.routes)
    add_handlers(app)
    check_roles(app.routes)
    return app


def check_roles(routes: list[BaseRoute]) -> None:
    """Make sure that every route is in the table of roles and asks for its role on each request.

    Raises
    ------
    DashboardStartError
        For the first route that does not.
    """
    for route in routes:
        if not isinstance(route, APIRoute):
            raise DashboardStartError(f"{route} is no API route: add it to a router of dashboard_api.deps.new_router")
        for pair in routes_of([route]):
            if pair not in ROLES:
                raise DashboardStartError(f"no role is declared for {pair}: add it to dashboard_api.access.ROLES")
        if declared_role not in {dependency.call for dependency in route.dependant.dependencies}:
            raise DashboardStartError(f"{route.path} does not ask for its role: use dashboard_api.deps.new_router")


def routes_of(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield method and path template of every HTTP route, HEAD left out where GET answers it."""
    for route in routes:
        if isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, route.path
