"""Wi-Fi, names, and the time server of a node."""

from pathlib import Path
from typing import Any

import pytest

from tests.firmware.node import rig

JOIN = """\
import network, time
w = network.WLAN(network.STA_IF)
def join(ssid='a', psk='b'):
    w.active(True)
    w.connect(ssid, psk)
    seen = [w.status()]
    for _ in range(100):
        if w.status() != seen[-1]:
            seen.append(w.status())
        time.sleep_ms(100)
    return seen
"""


@pytest.mark.parametrize(
    ("wifi", "seen"),
    [
        ({}, [1001, 1010]),
        ({"state": "no-ap"}, [1001, 201]),
        ({"state": "wrong-password"}, [1001, 202]),
        ({"state": "deaf"}, [1001]),
        ({"ssid": "other"}, [1001, 201]),
        ({"psk": "other"}, [1001, 202]),
    ],
)
def test_connecting_returns_at_once_and_ends_later(tmp_path: Path, wifi: dict[str, Any], seen: list[int]) -> None:
    """The status is 1000, then 1001 while joining, then 1010, 201 or 202; the call itself takes no time."""
    main = (
        JOIN
        + """\
print(w.status())
w.active(True)
t = time.ticks_ms()
w.connect('a', 'b')
print(time.ticks_diff(time.ticks_ms(), t) < 50)
print(join(), w.isconnected())
"""
    )
    node = rig.script(tmp_path / "n", main)
    node.folder.set_net(wifi=wifi)
    assert node.boot().lines == ("1000", "True", f"{seen} {seen[-1] == 1010}")


def test_an_inactive_radio_refuses_and_an_unjoined_one_has_no_signal(tmp_path: Path) -> None:
    """connect() on an inactive interface and the RSSI of an unjoined one are OSErrors; a joined one has its RSSI."""
    main = (
        JOIN
        + """\
for what in (lambda: w.connect('a', 'b'), lambda: w.status('rssi')):
    try:
        what()
    except OSError as e:
        print(e)
join()
print(w.status('rssi'))
w.active(False)
print(w.isconnected(), w.status())
"""
    )
    node = rig.script(tmp_path / "n", main)
    node.folder.set_net(wifi={"rssi_dbm": -81})
    assert node.boot().lines == ("WiFi Not Started", "Wifi Not Connected", "-81", "False 1000")


def test_names_resolve_only_while_joined_and_lead_to_the_broker(tmp_path: Path) -> None:
    """Without Wi-Fi, and with a broken name server, a look-up is OSError -202; else names lead to the broker."""
    main = (
        JOIN
        + """\
import socket
def look():
    try:
        return socket.getaddrinfo('mqtt.example', 8883)[0][-1] == socket.getaddrinfo('localhost', 4711)[0][-1]
    except OSError as e:
        return e.errno
print(look())
join()
print(look())
"""
    )
    node = rig.script(tmp_path / "n", main)
    node.folder.set_net(broker={"host": "127.0.0.1", "port": 4711})
    assert node.boot().lines == ("-202", "True")
    node.folder.set_net(dns="fail")
    assert node.boot().lines == ("-202", "-202")


ASK = (
    JOIN
    + """\
join()
import asyncio, socket, struct
async def ask():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setblocking(False)
    s.connect(socket.getaddrinfo('pool.ntp.org', 123)[0][-1])
    s.write(b'\\x23' + bytes(39) + b'originXY')
    yield asyncio.core._io_queue.queue_read(s)
    d = s.recv(64)
    return len(d), d[1], d[24:32], struct.unpack('>I', d[40:44])[0] - 2208988800
"""
)


@pytest.mark.parametrize(
    ("net", "stratum", "off_s"), [({}, 2, 0), ({"ntp": "kiss"}, 0, 0), ({"ntp_error_s": 86_400}, 2, 86_400)]
)
def test_the_time_server_knows_the_time_of_the_world(
    tmp_path: Path, net: dict[str, Any], stratum: int, off_s: int
) -> None:
    """An answer has 48 bytes, repeats the question's stamp and carries virtual time, or what it was told to err."""
    main = ASK.replace("async def ask", "def ask") + "print(asyncio.run(asyncio.wait_for(ask(), 5)))"
    node = rig.script(tmp_path / "n", main)
    node.folder.set_net(**net)
    size, found, stamp, unix_s = eval(node.boot().lines[0])  # noqa: S307 - printed by the line above
    assert (size, found, stamp) == (48, stratum, b"originXY")
    assert rig.NOON_S + off_s + 10 <= unix_s <= rig.NOON_S + off_s + 12


def test_a_time_server_that_is_absent_or_wrong(tmp_path: Path) -> None:
    """An absent one lets the deadline pass; a wrong one says 2020."""
    main = ASK.replace("async def ask", "def ask") + (
        "t = time.ticks_ms()\ntry:\n    print(asyncio.run(asyncio.wait_for(ask(), 5))[3])\n"
        "except asyncio.TimeoutError:\n    print(time.ticks_diff(time.ticks_ms(), t) // 100)"
    )
    node = rig.script(tmp_path / "n", main)
    node.folder.set_net(ntp="absent")
    assert node.boot().lines == ("50",)
    node.folder.set_net(ntp="wrong")
    assert node.boot().lines == ("1577836800",)
