"""One TCP or TLS connection on either interpreter; only here do they differ.

MicroPython's own `open_connection` is not used: it leaks the socket of a failed attempt and hides it where no option
can be set. Its `Stream.write` is not used either: it copies what does not fit at once. The type checker knows CPython's
streams alone.
"""

import asyncio
import socket
import sys
from errno import EINPROGRESS

from firmware.net import TlsRefused

ON_NODE = sys.implementation.name == "micropython"

_CHUNK_BYTES = 512
_TCP = 6
_NO_DELAY = 1


def context(ca_der):
    """Make a client context that trusts exactly one root, given as DER."""
    import ssl

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED  # MicroPython's default is no verification at all
    try:
        if not ca_der:
            raise ValueError("no root")
        made.load_verify_locations(cadata=ca_der)
    except (ValueError, OSError) as error:
        raise TlsRefused("tls", "ca.der: %s" % error)  # noqa: B904 - MicroPython has no `from`
    return made


class Stream:
    """`address` is an entry of getaddrinfo, `tls` a context or None."""

    def __init__(self, address, tls, server_name):
        self._address = address
        self._tls = tls
        self._server_name = server_name if tls else None
        self._in = None
        self._out = None
        self._socket = None
        self._buffer = bytearray(_CHUNK_BYTES)  # for the whole connection: nothing to collect, no holes in the heap

    async def open(self):
        """Begin to connect; on MicroPython the first write waits for TCP and shakes hands."""
        if not ON_NODE:
            host, port = self._address[-1][:2]
            self._in, self._out = await asyncio.open_connection(
                host, port, ssl=self._tls, server_hostname=self._server_name
            )
            return
        self._socket = sock = socket.socket(self._address[0], socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 - the socket interface
        try:
            sock.setsockopt(_TCP, _NO_DELAY, 1)  # else each ack of ours holds the next message back for 40 ms
        except OSError:
            pass
        try:
            sock.connect(self._address[-1])
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
        if self._tls is not None:
            self._socket = sock = self._tls.wrap_socket(
                sock, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            sock.setblocking(False)  # noqa: FBT003 - the socket interface
        self._in = self._out = asyncio.StreamReader(sock)  # type: ignore[arg-type]

    async def write(self, data):
        """Write all of it; MUST NOT be called again before it returned."""
        if ON_NODE:
            self._out.out_buf = data  # type: ignore[attr-defined]
        else:
            self._out.write(data)  # type: ignore[attr-defined]
        await self._out.drain()  # type: ignore[attr-defined]

    async def read(self):
        """Return some bytes, none at the end; valid until the next read."""
        if not ON_NODE:
            return await self._in.read(_CHUNK_BYTES)  # type: ignore[attr-defined]
        while True:
            size = await self._in.readinto(self._buffer)  # type: ignore[attr-defined]
            if size is not None:  # TLS may have read half a record
                return memoryview(self._buffer)[:size]

    def close(self):
        """Close at once, whatever state it is in; nobody may be waiting for it."""
        if self._socket is not None:
            try:
                self._socket.close()
            except (OSError, ValueError):
                pass
        elif self._out is not None:
            self._out.transport.abort()  # type: ignore[attr-defined]
