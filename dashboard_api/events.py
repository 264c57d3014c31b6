"""The live stream: one hub, many clients, none of which can hold up another.

The hub keeps a ring of what changed and a short queue per client. A queue holds the newest event of each
entity: a client that is a little late gets fewer events, never old ones. A client that does not read is
dropped; its browser reconnects and resumes from ``Last-Event-ID``.

Everything here runs on the event loop; nothing is locked.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from dashboard_api.board import Board, Json, Key
from dashboard_api.errors import TooManyError, UnavailableError

QUEUE_LIMIT = 100
STALL_S = 30.0
PING_S = 15.0
RING_SIZE = 20_000
RETRY_MS = 2000

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_PING = b": ping\n\n"


class Event(NamedTuple):
    """One thing that changed. ``event_id`` is None for what the change log does not know (a value aged)."""

    event_id: int | None
    kind: str
    ident: str
    item: Json
    before: Json | None = None

    @property
    def key(self) -> Key:
        """What a newer event of the same entity replaces."""
        return (self.kind, self.ident)

    def frame(self) -> bytes:
        """Return the event as ``text/event-stream`` bytes."""
        return frame(self.kind, self.item, self.event_id)


def frame(name: str, data: object, event_id: int | None = None) -> bytes:
    """Encode one event; JSON has no line ends, so one ``data`` line is enough."""
    head = f"event: {name}\n" if event_id is None else f"event: {name}\nid: {event_id}\n"
    return head.encode() + b"data: " + _encode(data) + b"\n\n"


View = Callable[[Event, bytes], bytes | None]
"""What one client sees of an event (given with its full frame): bytes to send, or None for nothing."""


def see_all(_event: Event, full: bytes) -> bytes | None:
    """Show every event as it is: the office."""
    return full


def see_own_tasks(crew_id: str) -> View:
    """Show a crew its own tasks; a task that was taken from it becomes a ``reset``, without a look at it."""

    def view(event: Event, full: bytes) -> bytes | None:
        if event.kind != "task":
            return None
        if event.item["crew_id"] == crew_id:
            return full
        if event.before is not None and event.before["crew_id"] == crew_id:
            return frame("reset", {"reason": "reassigned"}, event.event_id)
        return None

    return view


class Client:
    """One open stream: a bounded queue with the newest event of each entity.

    Attributes
    ----------
    address : str
        Client address, for the cap per address.
    dropped : str | None
        Why the hub gave up on the client, or None.
    """

    def __init__(self, address: str, view: View, *, limit: int, monotonic_s: Callable[[], float]) -> None:
        self.address = address
        self.view = view
        self.dropped: str | None = None
        self._limit = limit
        self._room = limit
        self._monotonic_s = monotonic_s
        self._queue: OrderedDict[Key, bytes] = OrderedDict()
        self._waiting_since_s: float | None = None
        self._wakeup = asyncio.Event()
        self._given_up = asyncio.Event()
        self._closed = False

    def preload(self, entries: Iterable[tuple[Key, bytes]]) -> None:
        """Queue what a resuming client missed; this first load may exceed the limit."""
        for key, data in entries:
            self._put(key, data)
        self._room = self._limit + len(self._queue)

    def offer(self, key: Key, data: bytes) -> None:
        """Queue an event in place of an older one of the same entity; drop the client when it is full."""
        if self._closed:
            return
        if key not in self._queue and len(self._queue) >= self._room:
            self.drop("queue full")
            return
        self._put(key, data)

    def check_stalled(self) -> None:
        """Drop the client when something has waited for it longer than STALL_S."""
        since = self._waiting_since_s
        if since is not None and self._monotonic_s() - since > STALL_S:
            self.drop("not reading")

    def drop(self, why: str) -> None:
        """Give up on the client: what is queued is discarded, its stream ends."""
        self.dropped = self.dropped or why
        self._queue.clear()
        self._given_up.set()
        self.close()

    def close(self) -> None:
        """End the stream after what is queued."""
        self._closed = True
        self._wakeup.set()

    async def wait_dropped(self) -> None:
        """Return when the hub has given up on the client."""
        await self._given_up.wait()

    @property
    def closed(self) -> bool:
        """Whether the hub has ended this stream."""
        return self._closed

    async def next_chunk(self) -> bytes | None:
        """Return everything queued, waiting for at least one event; None at the end.

        Asking for the next chunk tells the hub that the previous one is on its way.
        """
        self._waiting_since_s = None
        while not self._queue:
            if self._closed:
                return None
            self._wakeup.clear()
            await self._wakeup.wait()
        chunk = b"".join(self._queue.values())
        self._queue.clear()
        self._room = self._limit
        self._waiting_since_s = self._monotonic_s()
        return chunk

    def _put(self, key: Key, data: bytes) -> None:
        self._queue.pop(key, None)  # the newest goes to the end: ids reach the client in growing order
        self._queue[key] = data
        if self._waiting_since_s is None:
            self._waiting_since_s = self._monotonic_s()
        self._wakeup.set()


class Hub:
    """Hands every change to every client.

    Parameters
    ----------
    board : Board
        Newest objects, for clients that resume.
    max_clients, max_per_address : int
        Caps on open streams.
    queue_limit : int
        Entities that may wait for one client.
    monotonic_s : callable
        Monotonic wall time [s].
    """

    def __init__(
        self,
        board: Board,
        *,
        max_clients: int = 500,
        max_per_address: int = 300,
        queue_limit: int = QUEUE_LIMIT,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._max_clients = max_clients
        self._max_per_address = max_per_address
        self._queue_limit = queue_limit
        self._monotonic_s = monotonic_s
        self._clients: set[Client] = set()
        self._per_address: dict[str, int] = {}
        self._ring: deque[tuple[int | None, str, str, Json]] = deque(maxlen=RING_SIZE)
        self._known_from = 0
        self.counts = {"events": 0, "clients_opened": 0, "clients_dropped": 0}

    @property
    def clients(self) -> int:
        """Number of open streams."""
        return len(self._clients)

    def start_from(self, event_id: int, seed: Iterable[tuple[int | None, str, str, Json]] = ()) -> None:
        """Forget the ring: resuming works for ids from ``event_id`` on.

        Parameters
        ----------
        event_id : int
            Oldest id after which every change is in ``seed``.
        seed : iterable
            ``(id, kind, entity id, payload)`` of the changes after it, oldest first.
        """
        self._ring.clear()
        self._ring.extend(seed)
        self._known_from = event_id

    def connect(self, address: str, view: View = see_all, after_id: int | None = None) -> Client:
        """Open a stream, resuming after ``after_id`` when given.

        Raises
        ------
        UnavailableError
            When the server holds as many streams as it may.
        TooManyError
            When this address does.
        """
        if len(self._clients) >= self._max_clients:
            raise UnavailableError(
                "streams-full",
                "Server sedang penuh. Halaman akan mencoba lagi; data tetap dapat dimuat ulang.",
                "The server is full. The page will try again; the data can still be reloaded.",
                where="stream",
                retry_after_s=15.0,
            )
        if self._per_address.get(address, 0) >= self._max_per_address:
            raise TooManyError(
                "streams-per-address",
                "Terlalu banyak halaman terbuka dari alamat ini. Tutup sebagian.",
                "Too many pages are open from this address. Close some.",
                where="stream",
                retry_after_s=15.0,
            )
        client = Client(address, view, limit=self._queue_limit, monotonic_s=self._monotonic_s)
        if after_id is None:
            entries = [_hello(self._board.event_id)]
        elif after_id < self._known_from or after_id > self._board.event_id:
            # Older than the ring, or from another database: only the whole state helps. The greeting has no id,
            # or a connection that is cut between the two would resume as if the state had been loaded.
            too_old = frame("reset", {"reason": "too-old"}, self._board.event_id)
            entries = [_hello(None), (("reset", ""), too_old)]
        else:
            entries = [_hello(after_id), *self._missed(after_id, view)]
        client.preload(entries)
        self._clients.add(client)
        self._per_address[address] = self._per_address.get(address, 0) + 1
        self.counts["clients_opened"] += 1
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client whose stream has ended."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        left = self._per_address[client.address] - 1
        if left:
            self._per_address[client.address] = left
        else:
            del self._per_address[client.address]
        if client.dropped:
            self.counts["clients_dropped"] += 1

    def publish(self, event: Event) -> None:
        """Hand one change to everyone whose view shows it, and remember it for those who resume."""
        if len(self._ring) == RING_SIZE:
            oldest = self._ring[0][0]
            if oldest is not None:
                self._known_from = oldest
        self._ring.append((event.event_id, event.kind, event.ident, event.item))
        self.counts["events"] += 1
        full = event.frame()
        for client in list(self._clients):
            data = client.view(event, full)
            if data is not None:
                client.offer(event.key, data)

    def announce(self, name: str, data: object) -> None:
        """Send a ``clock`` or ``health`` event to everyone; these are not resumed."""
        encoded = frame(name, data)
        for client in list(self._clients):
            client.offer((name, ""), encoded)

    def reset_all(self, reason: str) -> None:
        """Tell every client to load the state again."""
        encoded = frame("reset", {"reason": reason})
        for client in list(self._clients):
            client.offer(("reset", ""), encoded)

    def reset(self, client: Client, reason: str) -> None:
        """Tell one client to load the state again."""
        client.offer(("reset", ""), frame("reset", {"reason": reason}))

    def ping(self) -> None:
        """Send every client a comment, so that proxies and dead connections show."""
        for client in list(self._clients):
            client.offer(("ping", ""), _PING)

    def check_stalled(self) -> None:
        """Drop the clients that do not read."""
        for client in list(self._clients):
            client.check_stalled()

    def close(self) -> None:
        """End every stream: the server is going down."""
        for client in list(self._clients):
            client.close()

    def _missed(self, after_id: int, view: View) -> list[tuple[Key, bytes]]:
        """Return what a client that saw ``after_id`` has not seen, newest of each entity, in id order."""
        newest: dict[Key, Event] = {}
        for event_id, kind, ident, payload in reversed(self._ring):
            if event_id is not None and event_id <= after_id:
                break
            if (kind, ident) not in newest:
                item = self._board.get(kind, ident) or payload
                newest[kind, ident] = Event(event_id, kind, ident, item)
        # Encoded only now: a ring of thousands of events is about some dozens of entities.
        entries = [(key, view(event, event.frame())) for key, event in reversed(newest.items())]
        return [(key, data) for key, data in entries if data is not None]


def _hello(event_id: int | None) -> tuple[Key, bytes]:
    """First block of a stream: when to reconnect, and the id to resume after until a numbered event comes."""
    own_id = "" if event_id is None else f"id: {event_id}\n"
    return ("hello", ""), f"retry: {RETRY_MS}\n{own_id}\n".encode()
