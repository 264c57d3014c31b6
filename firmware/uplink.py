"""One conversation with the gateway: the newest reading first, then the backlog, each until its application ack."""

import asyncio
import json

from firmware import wire
from firmware.link import Link

WINDOW_BYTES = 1200
READINGS = 4
"""Of one message: it is in memory three times while it is sent."""

PAUSE_S = 5
"""Pause before a window is sent again; it grows with every try."""

SENDS_PER_WAKE = 3
"""Sends of one window in one conversation, as far as the time allows."""


ROOM_BYTES = 2400
"""Kept in one piece between two sends, for the next message and its packet: by then the heap is full of small holes."""


class Uplink:
    """Readings up, orders down, over a link. `orders` takes what is not an ack."""

    def __init__(self, board, files, settings, queue, orders, record, keeper, progress):
        config = settings.active
        self.acks = 0
        self.bad = 0
        self.readings = READINGS
        self._room = bytearray(ROOM_BYTES)
        self.link = Link(board, files, settings, record, keeper, progress, self.on_message)
        self._kind = config.kind
        self._queue = queue
        self._orders = orders
        self._record = record
        self._up_s = keeper.up_s
        self._elapsed_ms = keeper.elapsed_ms
        self._progress = progress
        self._down = wire.topic_down(config.site, config.device, "ack")[:-3]
        self._heard = asyncio.Event()
        self._sent = (0, 0, 0)
        self._covered = False

    # -- what comes down ---------------------------------------------------------------------

    def on_message(self, topic, payload):
        """Take one message; when this returns, the broker may forget it."""
        if not topic.startswith(self._down):
            return
        kind = topic[len(self._down) :]
        try:
            if kind == "ack":
                self._on_ack(payload)
            else:
                self._orders.take(kind, payload)
        except wire.WireError:
            self.bad += 1
        self._heard.set()

    def _on_ack(self, payload):
        boot, upto, also = wire.decode_ack(payload)
        owner, first, last = self._sent
        record = self._record
        also = list(also)
        also.append((1, upto))
        if record.again_to and record.again_boot in (boot, 0):
            # The gateway has these already, and says so of all of them at once: only what came again is done.
            also = [(max(low, first), min(high, last)) for low, high in also if boot == owner]
        covered = False
        for low, high in also:
            covered = covered or low <= last <= high
        freed = self._queue.ack(boot, 0, also)
        if self._queue.is_past(record.again_boot, record.again_to):
            record.again_to = 0
        if boot == owner and (covered or freed):
            self._covered = True
            self.acks += 1

    # -- what goes up ------------------------------------------------------------------------

    async def hear(self, timeout_s):
        """Wait for a message from above; False when none came."""
        try:
            await asyncio.wait_for(self._heard.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        self._heard.clear()
        return True

    async def send_newest(self, ack_wait_s, until_ms):
        """With a backlog of more than one message, send the last reading ahead of it: the map wants to know now."""
        if self._queue.waiting <= self.readings:
            return True
        return await self._hand_over(self._queue.window(WINDOW_BYTES, 1, newest=True), ack_wait_s, until_ms)

    async def send_backlog(self, ack_wait_s, until_ms):
        """Send all that waits, oldest first. True when the gateway has it."""
        queue = self._queue
        while queue.waiting:
            if self._elapsed_ms() > until_ms:
                return False
            window = queue.window(WINDOW_BYTES, self.readings)
            waiting = queue.waiting
            if not await self._hand_over(window, ack_wait_s, until_ms):
                return False
            if queue.waiting >= waiting:
                return False  # acked beside the point: the gateway wants none of these
        return True

    async def _hand_over(self, window, ack_wait_s, until_ms):
        """Send one window until its ack came; the time allows, and no more than a few times."""
        if window is None:
            return True
        boot, bodies, oldest = window
        self._room = None
        low = _seq(bodies[0])
        sent = (boot, low, _seq(bodies[-1]))
        payload = envelope(boot, bodies, oldest, self._message_up_s(boot, bodies))
        pause_s = PAUSE_S
        sends = 0
        while True:
            self._sent = sent
            self._covered = False
            self._heard.clear()
            await self.link.publish(self._kind, payload)
            self._keep_room()
            sends += 1
            if await self._acked(ack_wait_s):
                self._sent = (0, 0, 0)  # the same ack once more says nothing of what is ordered again meanwhile
                self._record.no_ack = 0
                self._progress("ack")
                return True
            self._record.no_ack += 1
            left_ms = until_ms - self._elapsed_ms()
            if sends >= SENDS_PER_WAKE or left_ms < (pause_s + ack_wait_s) * 1000:
                return False
            if self._record.no_ack > SENDS_PER_WAKE:
                return False  # known deaf: one send a wake, the battery has to last
            await asyncio.sleep(pause_s)
            pause_s *= 2

    def _keep_room(self):
        if self._room is None:
            try:
                self._room = bytearray(ROOM_BYTES)
            except MemoryError:
                pass  # then the next message is smaller, if it must be

    async def _acked(self, ack_wait_s):
        end_ms = self._elapsed_ms() + ack_wait_s * 1000
        while not self._covered:
            left_ms = end_ms - self._elapsed_ms()
            if left_ms <= 0 or not await self.hear(left_ms / 1000):
                break
        return self._covered

    def _message_up_s(self, boot, bodies):
        """Uptime that dates the readings without a time of their own; None when all have one."""
        for body in bodies:
            if b'"ts":' not in body:
                break
        else:
            return None
        up_s = self._up_s()
        if boot != self._record.boot:
            # A boot that ended: what is known of its clock is its last reading; since then at least our uptime passed.
            body = self._queue.last_body(boot)
            up_s += json.loads(body).get("up_s", 0) if body else 0
        return up_s


def _seq(body):
    return json.loads(body)["seq"]


def envelope(boot, bodies, oldest_seq, up_s):
    """Join encoded readings to the payload of one up message (docs/protocol.md 4.1)."""
    head = '{"v":1,"boot":%d,"oldest_seq":%d,' % (boot, oldest_seq)
    if up_s is not None:
        head += '"up_s":%d,' % up_s
    return b"".join((head.encode(), b'"r":[', b",".join(bodies), b"]}"))
