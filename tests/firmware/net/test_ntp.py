"""The time client on real MicroPython against a time server on loopback that may also lie, chatter or keep silent."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.firmware import micropython

FLOOR_S = 1795000000
NOW_S = 1795488752


def reply(request: bytes, unix_s: int = NOW_S, stratum: int = 2) -> bytes:
    stamp = struct.pack(">II", (unix_s + 2208988800) % 2**32, 0)
    return bytes((0x24, stratum, 6, 0xEC)) + bytes(8) + b"RATE" + stamp + request[40:48] + stamp + stamp


@contextmanager
def time_server(answers: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Answer every request with what the callable makes of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]

        def serve() -> None:
            while True:
                request, address = server.recvfrom(100)
                if not request:
                    return
                for answer in answers(request):
                    server.sendto(answer, address)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        thread.join(5)


def ask(port: int, limit_ms: int) -> dict[str, str]:
    result = micropython.run(Path(__file__).parent / "ask_time.py", str(port), str(FLOOR_S), str(limit_ms), heap="96K")
    assert result.returncode == 0, result.stderr
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def test_a_good_answer_behind_junk() -> None:
    """Short, foreign and unasked packets are passed over; the true answer counts, and both steps were made."""

    def answers(request: bytes) -> list[bytes]:
        return [b"", b"x", bytes(48), reply(request)[:47], reply(bytes(48)), reply(request) + bytes(20)]

    with time_server(answers) as port:
        found = ask(port, 2000)
    assert found["time"] == str(NOW_S)
    assert found["steps"] == "dns ntp"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (lambda _: [], "ntp: no answer"),
        (lambda _: [reply(bytes(48))] * 500, "ntp: no answer"),
        (lambda request: [reply(request, stratum=0)], "ntp: kiss RATE"),
        (lambda request: [reply(request, 1577836800)], "ntp: implausible"),
        (lambda request: [reply(request, 1577836800), reply(request)], "ntp: implausible"),
    ],
    ids=["silent", "chatter", "kiss", "year-2020", "two-answers"],
)
def test_no_usable_answer(answers: Callable[[bytes], list[bytes]], error: str) -> None:
    """The wait ends in its limit, no step counts, and other tasks ran all the while."""
    with time_server(answers) as port:
        found = ask(port, 300)
    assert found["error"] == error
    assert found["steps"] == "dns"
    if error.endswith("no answer"):
        assert 5 <= int(found["turns"]) <= 31


def test_nobody_listens() -> None:
    """A closed port is an error, at the latest after the limit."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    assert ask(port, 300)["error"].startswith("ntp: ")
