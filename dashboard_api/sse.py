"""The response of an event stream: sends what the hub queues, ends when either side has had enough."""

import asyncio
import logging

from starlette.types import Receive, Scope, Send

from dashboard_api.events import Client, Hub

_log = logging.getLogger(__name__)

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class EventStream:
    """An ASGI application that serves one stream of a client that the hub has accepted.

    Parameters
    ----------
    hub : Hub
        Forgets the client at the end.
    client : Client
        What is sent.
    """

    def __init__(self, hub: Hub, client: Client) -> None:
        self._hub = hub
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, is dropped, or the server goes down."""
        del scope
        sender = asyncio.create_task(self._send_all(send), name="stream")
        leaver = asyncio.create_task(_left(receive), name="stream-left")
        watcher = asyncio.create_task(self._client.wait_dropped(), name="stream-dropped")
        try:
            await asyncio.wait({sender, leaver, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._client.dropped:
                _log.warning("stream of %s dropped: %s", self._client.address, self._client.dropped)
            self._client.close()
            self._hub.disconnect(self._client)
            for task in (sender, leaver, watcher):
                task.cancel()
            await asyncio.gather(sender, leaver, watcher, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        while (chunk := await self._client.next_chunk()) is not None:
            # Waits while the client's buffers are full; the hub sees the queue grow meanwhile.
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
