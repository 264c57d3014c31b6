"""A TCP hop in the way of a connection: it can be cut, slowed, or made to refuse.

Bytes are never lost in it, as TCP loses none: what comes while the line is cut goes on when it is whole again, and
whoever gives up meanwhile hangs up.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine
from typing import Any

from resik.errors import StackError
from resik.ports import free_port

CHUNK_BYTES = 65_536
WAITING_CHUNKS = 200
START_WITHIN_S = 10.0
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Hop:
    """Listens on loopback and passes on, in a thread of its own.

    Parameters
    ----------
    host, port
        Where to.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        """Where it listens."""
        self._to = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._whole = asyncio.Event()
        self._whole.set()
        self._is_down = False
        self._delay_s = 0.0
        self._refused_share = 0.0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- for the stack's thread ---------------------------------------------------------------------

    def open(self) -> None:
        """Begin to listen.

        Raises
        ------
        StackError
            If the port cannot be had.
        """
        self._thread = threading.Thread(target=self._loop.run_forever, name="hop", daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except OSError as error:
            raise StackError(f"port {self.port} of the hop cannot be had ({error.strerror}): start again") from error

    def cut(self) -> None:
        """Let nothing through until :meth:`mend`; connections stay, as over a broken line."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything through again after :meth:`cut`, at once."""
        self._loop.call_soon_threadsafe(self._whole.set)

    def slow(self, delay_s: float) -> None:
        """Let everything come so much later [wall s]; 0 for as soon as it can."""
        self._delay_s = delay_s

    def take_down(self) -> None:
        """Hang up on everybody, and on everybody who comes, until :meth:`bring_up`."""
        self._is_down = True
        self._loop.call_soon_threadsafe(self._hang_up)

    def bring_up(self) -> None:
        """Take connections again after :meth:`take_down`."""
        self._is_down = False

    def refuse(self, share: float) -> None:
        """Answer this share [0..1] of HTTP requests with 503; 0 for none."""
        self._refused_share = share

    def close(self) -> None:
        """Stop, whatever is under way."""
        if self._thread is None:
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_WITHIN_S)
        self._loop.close()
        self._thread = None

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_WITHIN_S)

    # -- in the thread of the hop -------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._whole.wait()
            if self._is_down:
                return
            far_reader, far_writer = await asyncio.open_connection(*self._to)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, far_writer, answer=writer))
                    group.create_task(self._pump(far_reader, writer))
            finally:
                far_writer.close()
        except* (OSError, asyncio.CancelledError):
            pass  # one side has gone, or we were told to hang up: the other side learns it from the closing
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: asyncio.StreamWriter | None = None
    ) -> None:
        """Pass on what comes from one side, each chunk when its time has come."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_CHUNKS)

        async def take() -> None:
            while True:
                data = await reader.read(CHUNK_BYTES)
                await waiting.put((self._loop.time() + self._delay_s, data))
                if not data:
                    return

        async def give() -> None:
            while True:
                due_s, data = await waiting.get()
                await asyncio.sleep(due_s - self._loop.time())
                await self._whole.wait()
                if answer is not None and data and random.random() < self._refused_share:  # noqa: S311 - no secret
                    answer.write(_REFUSAL)
                    await answer.drain()
                    raise ConnectionResetError("refused")
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            group.create_task(give())
