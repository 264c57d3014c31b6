"""A raw MQTT connection over a blocking socket."""

import contextlib
import socket
import time

from bench.pipeline import packets

ANSWER_WITHIN_S = 10.0


class Link:
    """Connected, and subscribed when a filter is given.

    Parameters
    ----------
    port : int
        Loopback port of the broker.
    client_id : str
        Unique at the broker.
    topic_filter : str | None
        Subscribed with QoS 1.
    """

    def __init__(self, port: int, client_id: str, topic_filter: str | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.splitter = packets.Splitter()
        self.early: list[tuple[int, bytes]] = []
        """Packets that came with the answer to SUBSCRIBE."""
        self._expect(packets.connect(client_id), packets.CONNACK)
        if topic_filter is not None:
            self._expect(packets.subscribe(topic_filter), packets.SUBACK)
        self.socket.settimeout(None)  # with a time limit Python would wait even where the call says not to

    def _expect(self, request: bytes, answer: int) -> None:
        self.socket.sendall(request)
        deadline_s = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline_s:
            data = self.socket.recv(65_536)
            if not data:
                break
            came = self.splitter.feed(data)
            if came and came[0][0] & 0xF0 == answer:
                if came[0][1][-1] & 0x80 or (answer == packets.CONNACK and came[0][1][-1]):
                    raise ConnectionError(f"the broker refuses: packet {answer:#x}, code {came[0][1][-1]}")
                self.early = came[1:]
                return
        raise ConnectionError(f"the broker did not answer packet {request[0]:#x}")

    def wake_at(self, size: int) -> None:
        """Be called readable only from so many bytes on: one wake-up for many small packets."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def read(self) -> bytes:
        """Take what is there, without waiting.

        Raises
        ------
        ConnectionError
            If the broker has hung up.
        """
        try:
            data = self.socket.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionError("the broker hung up")
        return data

    def close(self) -> None:
        """Hang up as a client should."""
        with contextlib.suppress(OSError):
            self.socket.sendall(b"\xe0\x00")
        self.socket.close()
