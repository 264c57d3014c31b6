"""Deadlines of protocols in virtual time: an answer in time arrives in time, silence ends quickly."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.firmware.node import rig

JOIN = """\
import network, time, asyncio
w = network.WLAN(0)
w.active(True)
w.connect('a', 'b')
time.sleep(2)
"""


@contextlib.contextmanager
def server(delay_s: float | None) -> Iterator[int]:
    """Answer each line of each connection after `delay_s`, or never."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                if delay_s is not None:
                    time.sleep(delay_s)
                    connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]


ASK = (
    JOIN
    + """\
async def main():
    r, x = await asyncio.open_connection('broker', 1883)
    n = late = 0
    for _ in range(%d):
        x.write(b'ping\\n')
        await x.drain()
        try:
            n += await asyncio.wait_for(r.readline(), %d) == b'ping\\n'
        except asyncio.TimeoutError:
            late += 1
    print(n, late)
t = time.ticks_ms()
asyncio.run(main())
print(time.ticks_diff(time.ticks_ms(), t) // 1000)
"""
)


def test_a_deadline_waits_for_an_answer_on_a_loaded_machine(tmp_path: Path) -> None:
    """With both processors busy, a broker that answers after 100 ms is never too late for a deadline of 10 s."""
    stop = threading.Event()
    busy = [threading.Thread(target=_spin, args=(stop,), daemon=True) for _ in range(4)]
    with server(0.1) as port:
        node = rig.script(tmp_path / "n", ASK % (10, 10))
        node.folder.set_net(broker={"host": "127.0.0.1", "port": port})
        for thread in busy:
            thread.start()
        boot = node.boot()
        stop.set()
    assert boot.lines[0] == "10 0"


def _spin(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def test_silence_costs_a_twentieth_of_its_deadline(tmp_path: Path) -> None:
    """Three deadlines of 10 s against a silent server pass 30 virtual seconds in about 1.5 real ones."""
    with server(None) as port:
        node = rig.script(tmp_path / "n", ASK % (3, 10))
        node.folder.set_net(broker={"host": "127.0.0.1", "port": port})
        boot = node.boot()
    assert boot.lines[0] == "0 3"
    assert 29 <= int(boot.lines[1]) <= 33
    assert 1.3 < boot.real_s < 10


def test_an_idle_connection_costs_nothing(tmp_path: Path) -> None:
    """A day with an open connection and a line each ten minutes takes less than five wall seconds, all answered."""
    main = (
        JOIN
        + """\
n = 0
async def hear(r):
    global n
    while await r.readline():
        n += 1
async def main():
    r, x = await asyncio.open_connection('broker', 1883)
    asyncio.create_task(hear(r))
    for _ in range(144):
        x.write(b'ping\\n')
        await x.drain()
        await asyncio.sleep(600)
    print(n)
t = time.time()
asyncio.run(main())
print((time.time() - t) // 3600)
"""
    )
    with server(0.0) as port:
        node = rig.script(tmp_path / "n", main)
        node.folder.set_net(broker={"host": "127.0.0.1", "port": port})
        boot = node.boot()
    heard, hours = boot.lines
    assert hours == "24"
    assert int(heard) >= 143
    assert boot.real_s < 5
