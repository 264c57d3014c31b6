"""The time of day from a time server (RFC 5905, client mode).

Nobody signs it: the caller has a floor, and what is not plausible is refused.
All is unix seconds; the epoch of the device is its HAL's affair.
"""

import asyncio
import os
import socket
from errno import EAGAIN

from firmware.net import LinkError

_UNIX_AT_NTP_S = 2208988800
_ERA_S = 4294967296

AHEAD_MAX_S = 630720000
"""20 years after the floor: later is no time of this firmware. Also tells the eras of NTP apart (2036)."""

LOOK_S = 0.02
"""Pause between two looks at the socket [s]."""


def request(cookie):
    """Encode a request; `cookie` are 8 random bytes that the answer has to repeat."""
    return b"\x23" + bytes(39) + cookie


def answer(data, cookie, floor_s):
    """Return unix seconds, None when this is no answer to our request; raise LinkError when the server is unfit."""
    if len(data) < 48 or bytes(data[24:32]) != cookie or data[0] & 7 != 4:
        return None
    if data[1] == 0:
        raise LinkError("ntp", "kiss " + "".join([chr(c) for c in data[12:16] if 32 < c < 127]))
    if data[1] > 15 or data[0] >> 6 == 3:
        raise LinkError("ntp", "not in step")
    if not 3 <= data[0] >> 3 & 7 <= 4:
        raise LinkError("ntp", "version")
    ntp_s = int.from_bytes(bytes(data[40:44]), "big")
    if bytes(data[40:48]) == bytes(8):
        raise LinkError("ntp", "no time")
    unix_s = ntp_s - _UNIX_AT_NTP_S + (data[44] >> 7)
    if unix_s < floor_s:
        unix_s += _ERA_S
    if unix_s > floor_s + AHEAD_MAX_S:
        raise LinkError("ntp", "implausible")
    return unix_s


async def query(host, floor_s, timeout_s=3, port=123, on_progress=None):
    """Ask once and return unix seconds >= floor_s; raise LinkError when no fit answer came in time."""
    sock = None
    try:
        address = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]  # blocks: MicroPython has no other
        if on_progress:
            on_progress("dns")
        sock = socket.socket(address[0], socket.SOCK_DGRAM)
        sock.setblocking(False)  # noqa: FBT003 - the socket interface
        sock.connect(address[-1])  # the stack now drops what others send
        cookie = os.urandom(8)
        sock.send(request(cookie))
        unix_s = await asyncio.wait_for(_listen(sock, cookie, floor_s), timeout_s)
    except asyncio.TimeoutError:
        raise LinkError("ntp", "no answer")  # noqa: B904 - MicroPython has no `from`
    except (OSError, ValueError) as error:
        raise LinkError("ntp", str(error))  # noqa: B904 - MicroPython has no `from`
    finally:
        if sock is not None:
            sock.close()
    if on_progress:
        on_progress("ntp")
    return unix_s


async def _listen(sock, cookie, floor_s):
    while True:
        try:
            unix_s = answer(sock.recv(64), cookie, floor_s)
            if unix_s is not None:
                return unix_s
        except OSError as error:
            if error.errno != EAGAIN:
                raise
        await asyncio.sleep(LOOK_S)  # also after junk: one datagram a look, however many come
