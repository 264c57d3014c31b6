"""`socket` of the host, as far as this node's Wi-Fi reaches; and a time server that knows the node's virtual time."""

import io
import struct

import network
import usocket
import virtual

AF_INET = usocket.AF_INET
SOCK_STREAM = usocket.SOCK_STREAM
SOCK_DGRAM = usocket.SOCK_DGRAM
SOL_SOCKET = usocket.SOL_SOCKET
SO_REUSEADDR = usocket.SO_REUSEADDR
_NTP_PORT = 123
_NTP_UNIX_S = 2208988800
_NOBODY = 118  # EHOSTUNREACH of lwIP


def getaddrinfo(host, port, *rest):
    """Names resolve while Wi-Fi is up; every name leads to the broker that net.json states."""
    found = network.conditions()
    if not network.is_up() or found.get("dns") == "fail":
        raise OSError(-202)
    broker = found.get("broker")
    if port == _NTP_PORT:
        host = "127.0.0.1"
    elif broker:
        host, port = broker["host"], broker["port"]
    return usocket.getaddrinfo(host, port, *rest)


def socket(family=AF_INET, type=SOCK_STREAM, proto=0):
    if not network.is_up():
        raise OSError(_NOBODY)
    return _TimeServer() if type == SOCK_DGRAM else usocket.socket(family, type, proto)


class _TimeServer(io.IOBase):
    """Both ends of a UDP socket to an NTP server: answers, keeps silent or lies, as net.json wants it."""

    def __init__(self):
        self._answer = None

    def setblocking(self, on):
        pass

    def settimeout(self, seconds):
        pass

    def connect(self, address):
        pass

    def sendto(self, data, address=None):
        found = network.conditions()
        how = found.get("ntp", "answer")
        if how != "absent":
            ms = virtual.unix_ms() + found.get("ntp_error_s", 0) * 1000
            if how == "wrong":
                ms = 1577836800000  # 2020: before any firmware of these nodes
            stamp = struct.pack(">II", (ms // 1000 + _NTP_UNIX_S) & 0xFFFFFFFF, (ms % 1000 << 32) // 1000)
            head = bytes([0x24, 0 if how == "kiss" else 2, 6, 0xEC]) + bytes(12)
            self._answer = head + stamp + bytes(data[40:48]) + stamp + stamp
        return len(data)

    def send(self, data):
        return self.sendto(data)

    write = send

    def recv(self, size):
        if self._answer is None:
            raise OSError(11)  # EAGAIN
        data, self._answer = self._answer[:size], None
        return data

    def recvfrom(self, size):
        return self.recv(size), ("127.0.0.1", _NTP_PORT)

    def read(self, size=-1):
        return None if self._answer is None else self.recv(64 if size < 0 else size)

    def readinto(self, buffer, size=-1):
        data = self.read(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def ioctl(self, request, argument):
        if request == 3:  # poll
            return argument & ((1 if self._answer is not None else 0) | 4)
        return 0 if request == 4 else -1  # close; there is no file descriptor behind it

    def close(self):
        self._answer = None
