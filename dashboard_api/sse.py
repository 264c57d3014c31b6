"""The response of an event stream: sends what the hub queues, ends when either side has had enough."""

import asyncio
import logging
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dashboard_api.events import Client, Hub

_log = logging.getLogger(__name__)


class EventStream(Response):
    """Serves one stream.

    Parameters
    ----------
    hub : Hub
        Forgets the client at the end.
    connect : callable
        Returns the hub's new client, or raises when the hub has no room; called when the response starts,
        so that no place is taken by a response that is never sent.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, connect: Callable[[], Client]) -> None:
        # nginx would hold events back without the second header.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._connect = connect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, is dropped, or the server goes down."""
        del scope
        client = self._connect()
        sender = asyncio.create_task(self._send_all(client, send), name="stream")
        leaver = asyncio.create_task(_left(receive), name="stream-left")
        dropper = asyncio.create_task(client.wait_dropped(), name="stream-dropped")
        try:
            await asyncio.wait({sender, leaver, dropper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if client.dropped:
                _log.warning("stream of %s dropped: %s", client.address, client.dropped)
            client.close()
            self._hub.disconnect(client)
            for task in (sender, leaver, dropper):
                task.cancel()
            await asyncio.gather(sender, leaver, dropper, return_exceptions=True)

    async def _send_all(self, client: Client, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (chunk := await client.next_chunk()) is not None:
            # Waits while the client's buffers are full; the hub sees the queue grow meanwhile.
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
