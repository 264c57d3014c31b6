"""The response of an event stream: sends what the hub queues, ends when either side has had enough."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dashboard_api.events import Client, Hub

RECHECK_S: Final = 45.0
"""A crew's link that was renewed, for a lost phone, must not be listened to for more than a minute [s]."""

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
    is_allowed : callable | None
        Asked every RECHECK_S, from a thread: whether the caller may still listen. None: for ever.
    """

    media_type = "text/event-stream"

    def __init__(
        self, hub: Hub, connect: Callable[[], Client], *, is_allowed: Callable[[], bool] | None = None
    ) -> None:
        # nginx would hold events back without the second header.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._connect = connect
        self._is_allowed = is_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, is dropped, or the server goes down."""
        del scope
        client = self._connect()
        ends = [
            asyncio.create_task(self._send_all(client, send), name="stream"),
            asyncio.create_task(_left(receive), name="stream-left"),
            asyncio.create_task(client.wait_dropped(), name="stream-dropped"),
        ]
        if self._is_allowed is not None:
            ends.append(asyncio.create_task(_revoked(self._is_allowed), name="stream-revoked"))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if client.dropped:
                _log.warning("stream of %s dropped: %s", client.address, client.dropped)
            client.close()
            self._hub.disconnect(client)
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _send_all(self, client: Client, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (chunk := await client.next_chunk()) is not None:
            # Waits while the client's buffers are full; the hub sees the queue grow meanwhile.
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _revoked(is_allowed: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(RECHECK_S)
        if not await asyncio.to_thread(is_allowed):
            return
