"""The short way for answers that lie ready: no routing, no dependencies, for what every map asks all the time."""

from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard_api.routes.state import PREBUILT


class Prebuilt:
    """ASGI middleware inside the guard, whose checks and headers therefore apply.

    The routes of the same paths describe the answers and give them when the request is not a plain GET.

    Parameters
    ----------
    app : ASGIApp
        Everything else.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, or pass on."""
        answer = PREBUILT.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        tag = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        response = answer(scope["state"]["parts"], None if tag is None else tag.decode("latin-1"))
        await response(scope, receive, send)
