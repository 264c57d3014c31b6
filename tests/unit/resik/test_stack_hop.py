"""A hop passes on every byte, late or not at all for a while, and hangs up when it was told to."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from resik.stack_hop import Hop


@contextmanager
def echo():
    """Serve a socket that says everything back; yield its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            while data := connection.recv(65_536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def hop():
    with echo() as port:
        one = Hop("127.0.0.1", port)
        one.open()
        yield one
        one.close()


def connect(hop):
    return socket.create_connection(("127.0.0.1", hop.port), timeout=5)


def exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(65_536)
        if not more:
            break
        data += more
    return data


def test_every_byte_passes_in_order(hop):
    """A megabyte there and back is the same megabyte."""
    sent = bytes(range(256)) * 4096
    with connect(hop) as connection:
        threading.Thread(target=connection.sendall, args=(sent,), daemon=True).start()
        assert exactly(connection, len(sent)) == sent


def test_what_comes_while_the_line_is_cut_goes_on_afterwards(hop):
    """Nothing passes while it is cut, for old and new connections; nothing is lost when it is mended."""
    with connect(hop) as old:
        old.sendall(b"one")
        assert exactly(old, 3) == b"one"
        hop.cut()
        with connect(hop) as new:
            for connection in (old, new):
                connection.sendall(b"two")
                connection.settimeout(0.15)
                with pytest.raises(TimeoutError):
                    connection.recv(10)
                connection.settimeout(5)
            hop.mend()
            assert exactly(old, 3) == exactly(new, 3) == b"two"


def test_a_slow_line_is_late_by_what_it_was_told(hop):
    """There and back over a line of 0.1 s takes 0.2 s, and is quick again when mended."""
    hop.slow(0.1)
    with connect(hop) as connection:
        begun_s = time.monotonic()
        connection.sendall(b"one")
        assert exactly(connection, 3) == b"one"
        assert 0.2 <= time.monotonic() - begun_s < 3
        hop.slow(0.0)
        begun_s = time.monotonic()
        connection.sendall(b"two")
        assert exactly(connection, 3) == b"two"
        assert time.monotonic() - begun_s < 0.2


def test_mending_a_cut_does_not_make_a_slow_line_fast(hop):
    """Two faults on one line end each by itself."""
    hop.slow(0.1)
    hop.cut()
    hop.mend()
    with connect(hop) as connection:
        begun_s = time.monotonic()
        connection.sendall(b"one")
        assert exactly(connection, 3) == b"one"
        assert time.monotonic() - begun_s >= 0.2


def test_a_line_that_is_down_hangs_up(hop):
    """Old connections end, new ones end at once; afterwards they live."""
    with connect(hop) as old:
        old.sendall(b"one")
        assert exactly(old, 3) == b"one"
        hop.take_down()
        assert exactly(old, 1) == b""
        with connect(hop) as new:
            assert exactly(new, 1) == b""
    hop.bring_up()
    with connect(hop) as new:
        new.sendall(b"two")
        assert exactly(new, 3) == b"two"


def test_a_line_that_refuses_answers_for_the_store(hop):
    """With a share of 1 each request is answered with 503, in HTTP, and the connection ends."""
    hop.refuse(1.0)
    with connect(hop) as connection:
        connection.sendall(b"POST /write HTTP/1.1\r\n\r\n")
        assert exactly(connection, 10_000).startswith(b"HTTP/1.1 503 ")


def test_the_end_of_one_side_reaches_the_other(hop):
    """Closing for writing passes through, and so does what was said before."""
    with connect(hop) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert exactly(connection, 100) == b"last words"
