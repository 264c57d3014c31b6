"""The node's MQTT 3.1.1 client: QoS 1, one message in flight, a deadline on every wait.

After any error the connection is gone and `connect` may be called again on the same object. A PUBACK proves that the
broker has a message in memory, no more: what frees a reading is for the caller to know.
"""

import asyncio
import gc
import socket

from firmware.net import LinkError, Refused, TlsRefused, packets, stream

LINK_S = 15
"""What TCP and TLS may take together [s]; DNS blocks for as long as the network stack tries."""

ANSWER_S = 10
"""What each answer of the broker may take [s]."""

_LOOPBACK = ("127.0.0.1", "localhost")
_TLS_PASSES = (-0x7280, -0x7880, -0x7F00)  # mbedTLS: end of stream, close notify, out of memory: says nothing of trust


def _nothing(step):
    pass


class MqttClient:
    """`on_message(topic, payload)` is called before the PUBACK; what it raises ends the link and reaches the caller.

    `on_progress(step)` is called after each completed step, never because time passed. `tls` is a context of
    `net.stream`; without one only this machine itself is spoken to.
    """

    def __init__(
        self,
        host,
        port,
        client_id,
        *,
        user=None,
        password=None,
        will=None,
        tls=None,
        server_name="",
        keepalive_s=120,
        on_message,
        on_progress=_nothing,
        link_s=LINK_S,
        answer_s=ANSWER_S,
    ):
        self.error = None
        """Why the link ended; None while it lives and before the first connect."""
        self.strays = 0
        """Answers that nobody waited for: a second PUBACK, a wrong id."""
        self.skipped = 0
        """Messages that were thrown away: too long, or there was no memory for them."""
        self.packet_id = 0
        """Of the last message; a new client that has it set can repeat that message under the same id."""
        self._host = host
        self._port = port
        self._client_id = client_id
        self._user = user
        self._password = password
        self._will = will
        self._tls = tls
        self._server_name = server_name or host
        self._keepalive_s = keepalive_s
        self._on_message = on_message
        self._on_progress = on_progress
        self._link_s = link_s
        self._answer_s = answer_s
        self._stream = None
        self._task = None
        self._asking = False
        self._want = (0, 0)
        self._answer = None
        self._up = False
        self._heard = asyncio.Event()
        self._turn = asyncio.Lock()  # one question at a time
        self._pen = asyncio.Lock()  # one packet at a time

    # -- for the caller ----------------------------------------------------------------------

    def is_up(self):
        """Whether the broker accepted us and nothing went wrong since."""
        return self._up and self.error is None

    async def connect(self, clean=False):
        """Connect; True when the broker still had our session. Subscribe again in any case."""
        self.close()
        if self._tls is None and self._host not in _LOOPBACK:
            raise TlsRefused("tls", "never without")
        self.error = None
        packet = packets.connect(self._client_id, self._keepalive_s, self._user, self._password, self._will, clean)
        try:
            address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0]  # blocks
        except (OSError, ValueError) as error:
            raise self._failed("dns", error)  # noqa: B904 - MicroPython has no `from`
        self._on_progress("dns")
        gc.collect()  # TLS wants large blocks
        self._stream = stream.Stream(address, self._tls, self._server_name)
        await self._within(self._link_s, "link", self._open(packet))
        self._on_progress("link")
        session_present, code = packets.read_connack(await self._ask("connack", None, packets.CONNACK, 0))
        if code:
            raise self._failed("connack", Refused("connack", code))
        self._on_progress("connack")
        return session_present

    async def subscribe(self, filters):
        """Subscribe with QoS 1; Refused when the broker denies one of them."""
        packet_id = self._next_id()
        body = await self._ask("suback", packets.subscribe(filters, packet_id), packets.SUBACK, packet_id)
        codes = packets.read_suback(body)[1]
        if len(codes) != len(filters):
            raise self._failed("suback", LinkError("suback", "count"))
        for code in codes:
            if code > 2:
                raise self._failed("suback", Refused("suback", code))
        self._on_progress("suback")

    async def publish(self, topic, payload, again=False):
        """Publish with QoS 1 and return after the PUBACK.

        `again` repeats the message that got none, with DUP and the same packet id; the link may be a new one.
        """
        packet_id = self.packet_id if again and self.packet_id else self._next_id()
        await self._ask("puback", packets.publish(topic, payload, packet_id, again), packets.PUBACK, packet_id)
        self._on_progress("puback")

    async def ping(self):
        """Prove that the broker still answers."""
        await self._ask("ping", packets.PINGREQ, packets.PINGRESP, 0)
        self._on_progress("ping")

    async def disconnect(self):
        """Say goodbye, so that the broker keeps the will to itself; never raises for a link that is gone."""
        try:
            if self.is_up():
                await self._within(self._answer_s, "write", self._put(packets.DISCONNECT))
        except LinkError:
            pass
        self.close()

    def close(self):
        """Drop the connection at once."""
        self._up = False
        task = self._task
        self._task = None
        if task is not None:
            task.cancel()
        link = self._stream
        self._stream = None
        if link is not None:
            link.close()

    # -- inside ------------------------------------------------------------------------------

    def _next_id(self):
        self.packet_id = packets.next_id(self.packet_id)
        return self.packet_id

    def _failed(self, step, error):
        """Note the error, drop the connection and return what to raise."""
        if self.error is None or isinstance(error, LinkError):
            self.error = _named(step, error, self._tls)
        self.close()
        return self.error

    async def _within(self, limit_s, step, work):
        """Await `work` for a limited time; whatever ends it early, cancellation included, ends the link."""
        done = False
        try:
            result = await asyncio.wait_for(work, limit_s)
            done = True
        except Exception as error:
            raise self._failed(step, error)  # noqa: B904 - MicroPython has no `from`
        finally:
            if not done:
                self.close()
        return result

    async def _open(self, packet):
        """Open the link and write CONNECT, with which MicroPython shakes hands."""
        assert self._stream is not None
        await self._stream.open()
        await self._put(packet)
        self._want = (packets.CONNACK, 0)
        self._answer = None
        self._heard.clear()
        self._task = asyncio.create_task(self._read(self._stream))

    async def _put(self, packet):
        """Write one packet with one write."""
        async with self._pen:
            if self._stream is None:
                raise LinkError("write", "closed")
            await self._stream.write(packet)

    async def _ask(self, step, packet, kind, packet_id):
        """Send a packet and return the body of its answer."""
        async with self._turn:
            if packet is None and self._answer is not None:
                return self._answer  # a broker that refuses may be gone already
            if self.error is not None:
                raise self.error
            if self._stream is None:
                raise LinkError(step, "not connected")
            if packet is not None:
                self._want = (kind, packet_id)
                self._answer = None
                self._heard.clear()
            self._asking = True
            try:
                return await self._within(self._answer_s, step, self._answered(packet))
            finally:
                self._asking = False
                self._want = (0, 0)
                if self.error is not None:
                    self.close()  # it broke right behind the answer

    async def _answered(self, packet):
        if packet is not None:
            await self._put(packet)
        await self._heard.wait()
        if self._answer is None:
            raise self.error or LinkError("read", "closed")
        return self._answer

    async def _read(self, link):
        """Take what comes, until the link ends; the error waits for whoever asks next."""
        cutter = packets.Cutter()
        try:
            while True:
                try:
                    data = await link.read()
                except (OSError, ValueError) as error:
                    raise _named("read", error, self._tls)  # noqa: B904 - MicroPython has no `from`
                if not data:
                    raise LinkError("read", "closed")
                for first, body in cutter.feed(data):
                    await self._take(first, body, cutter.whole)
        except Exception as error:
            if self.error is None:
                self.error = error
            self._heard.set()
            if not self._asking:
                # Whoever asks may be writing just now and closes the link himself: a socket that is closed
                # under a waiting task makes MicroPython's loop spin.
                self._task = None  # a task cannot cancel itself
                self.close()

    async def _take(self, first, body, whole):
        kind = first >> 4
        if kind == packets.PUBLISH and self._up:
            try:
                topic, packet_id, payload = packets.read_publish(first, body)
                if whole:
                    self._on_message(topic, payload)
            except MemoryError:  # the message goes, not the link: un-acked it would come back at every connect
                whole = False
                packet_id = packets.read_publish(first, memoryview(body)[: packets.HEAD_BYTES])[1]
            self.skipped += not whole
            if packet_id:
                try:
                    await asyncio.wait_for(self._put(packets.puback(packet_id)), self._answer_s)
                except (asyncio.TimeoutError, OSError, ValueError) as error:
                    raise _named("write", error, self._tls)  # noqa: B904 - MicroPython has no `from`
            else:
                await asyncio.sleep(0)
            return
        packet_id = 0
        if kind == packets.PUBACK:
            packet_id = packets.read_puback(body)
        elif kind == packets.SUBACK:
            packet_id = packets.read_suback(body)[0]
        elif kind == packets.CONNACK and not self._up:
            self._up = not packets.read_connack(body)[1]
        elif kind != packets.PINGRESP:
            raise LinkError("packet", "type %d" % kind)
        if self._answer is None and self._want == (kind, packet_id):
            self._answer = body
            self._heard.set()
        else:
            self.strays += 1


def _named(step, error, tls):
    """Make a LinkError of what sockets and TLS raise; other errors stay what they are."""
    if isinstance(error, asyncio.TimeoutError):
        return LinkError(step, "no answer")
    if isinstance(error, LinkError) or not isinstance(error, (OSError, ValueError)):
        return error
    why = " ".join(str(error).split()) or type(error).__name__  # mbedTLS says it in lines
    if tls is not None and step == "link":
        # A failed proof is a ValueError; other faults of TLS have negative numbers, on CPython a class.
        number = getattr(error, "errno", None) or 0
        named = isinstance(error, ValueError) or type(error).__name__ == "SSLError"
        if named or (number < 0 and number not in _TLS_PASSES):
            return TlsRefused("tls", why)
    return LinkError(step, why)
