"""The client on real MicroPython against brokers that misbehave: every wait ends, memory is bounded, life goes on."""

from collections.abc import Iterator

import pytest

from tests.fakes.hostile_broker import BEHAVIOURS, HostileBroker
from tests.firmware.net.talk import SHORT_S, talk
from tests.services import Server, free_port, start_mosquitto

pytestmark = pytest.mark.service

PEAK_BYTES = 40_000

# behaviour -> error, step, steps completed
FAILURES = {
    "silent": ("LinkError", "connack", ["dns", "link"]),
    "no-connack": ("LinkError", "connack", ["dns", "link"]),
    "close": ("LinkError", "read", ["dns", "link"]),
    "reset": ("LinkError", "read", ["dns", "link"]),
    "connack-5": ("Refused", "connack", ["dns", "link"]),
    "connack-5-gone": ("Refused", "connack", ["dns", "link"]),
    "connack-3": ("Refused", "connack", ["dns", "link"]),
    "publish-first": ("LinkError", "packet", ["dns", "link"]),
    "no-suback": ("LinkError", "suback", ["dns", "link", "connack"]),
    "suback-128": ("Refused", "suback", ["dns", "link", "connack"]),
    "suback-short": ("LinkError", "packet", ["dns", "link", "connack"]),
    "no-puback": ("LinkError", "puback", ["dns", "link", "connack", "suback"]),
    "puback-wrong-id": ("LinkError", "puback", ["dns", "link", "connack", "suback"]),
    "puback-broken": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "half-close": ("LinkError", "read", ["dns", "link", "connack", "suback"]),
    "half-hold": ("LinkError", "puback", ["dns", "link", "connack", "suback"]),
    "flood-0": ("LinkError", "puback", ["dns", "link", "connack", "suback"]),
    "flood-1": ("LinkError", "puback", ["dns", "link", "connack", "suback"]),
    "huge-suback": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "giant": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "bad-length": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "bad-topic": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "qos-2": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
    "for-servers": ("LinkError", "packet", ["dns", "link", "connack", "suback"]),
}
HARMLESS = ("good", "drip", "puback-twice", "huge")
MEMORY = {"flood-0", "flood-1", "giant", "huge-suback"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_mosquitto(tmp_path_factory.mktemp("good"))
    yield server
    server.stop()


@pytest.mark.parametrize("behaviour", FAILURES)
def test_a_failing_broker(good: Server, behaviour: str) -> None:
    """The wait ends in its deadline with the step named, later steps never count, and the good broker works after."""
    error, step, steps = FAILURES[behaviour]
    with HostileBroker(behaviour) as broker:
        first, then = talk({"port": broker.port, "limits_s": SHORT_S}, {"port": good.port})
    assert (first["error"], first["step"]) == (error, step)
    assert first["steps"] == steps
    assert first["ms"] < 2500
    assert first["peak"] < PEAK_BYTES
    assert first["retryable"] == (error != "Refused" or behaviour == "connack-3")
    assert not first["is_up"]
    assert first["sockets"] == 0
    assert then["ok"]


@pytest.mark.parametrize("behaviour", HARMLESS)
def test_an_odd_broker_that_works(behaviour: str) -> None:
    """A slow stream, a doubled ack, and a packet of 200 KB that is thrown away, do not end the conversation."""
    with HostileBroker(behaviour) as broker:
        (report,) = talk({"port": broker.port, "limits_s": (2, 2), "repeats": 3})
        assert [body[-100:] for first, body in broker.received if first == 0x32] == [b"x" * 100] * 3
        acked = [body for first, body in broker.received if first == 0x40]
    assert report["ok"]
    assert report["strays"] == (3 if behaviour == "puback-twice" else 0)
    assert report["skipped"] == (3 if behaviour == "huge" else 0)
    assert acked == ([b"\x00\x4d"] * 3 if behaviour == "huge" else [])
    assert report["heard"] == [0, 0]
    assert report["peak"] < PEAK_BYTES


def test_every_behaviour_is_tried() -> None:
    """No script of the hostile broker is left out here or in the TLS tests."""
    tls = {name for name in BEHAVIOURS if name.startswith("tls-")}
    assert set(BEHAVIOURS) == set(FAILURES) | set(HARMLESS) | tls | {
        "connack-twice",
        "leaves-after-ping",
        "one-message",
    }


def test_a_second_connack_is_only_strange() -> None:
    """A second CONNACK is not for a connected client: the link ends, at the latest with the next question."""
    with HostileBroker("connack-twice") as broker:
        (report,) = talk({"port": broker.port, "limits_s": SHORT_S})
    assert (report["error"], report["step"], report["why"]) == ("LinkError", "packet", "type 2")


def test_nobody_listens(good: Server) -> None:
    """A refused connection is an error of the link, quickly."""
    first, then = talk({"port": free_port()}, {"port": good.port})
    assert (first["error"], first["step"]) == ("LinkError", "link")
    assert first["ms"] < 1000
    assert then["ok"]


def test_the_smallest_heap_survives_a_flood(good: Server) -> None:
    """Half the heap is enough for a flood and for the connection after it."""
    with HostileBroker("flood-1") as broker:
        first, then = talk({"port": broker.port, "limits_s": SHORT_S}, {"port": good.port}, heap="48K")
    assert first["heard"][0] > 10
    assert first["error"] == "LinkError"
    assert then["ok"]


def test_what_the_callback_raises_reaches_the_caller(good: Server) -> None:
    """The reader dies of it, the waiting caller gets that very error, and the message was not acknowledged."""
    first, then = talk({"port": good.port, "raise": "flash", "id": "flash"}, {"port": good.port, "id": "flash"})
    assert first["error"] == "OSError"
    assert first["ms"] < 2000
    assert not first["is_up"]
    assert then["ok"]
    assert then["session"]
    assert then["heard"] == [3, 202]  # the first one came back, and the will of the link that broke


@pytest.mark.parametrize("kind", ["memory", "real-memory"])
def test_a_message_for_which_there_is_no_memory_is_let_go(good: Server, kind: str) -> None:
    """It is acknowledged and the conversation goes on: kept at the broker it would end every one that follows."""
    first, then = talk({"port": good.port, "raise": kind, "id": kind}, {"port": good.port, "id": kind})
    assert first["ok"]
    assert first["skipped"] == 1
    assert then["heard"] == [1, 100]  # its own alone


def test_an_error_while_nobody_waits_is_kept() -> None:
    """A link that breaks between two questions is closed at once, and the next question raises why."""
    with HostileBroker("leaves-after-ping") as broker:
        (report,) = talk({"port": broker.port, "limits_s": (2, 2), "idle": True})
    assert report["was_up"] is False
    assert report["was_held"] is False
    assert (report["error"], report["step"], report["why"]) == ("LinkError", "read", "closed")


@pytest.mark.parametrize("behaviour", ["no-puback", "half-close", "giant"])
def test_failures_in_a_row_leave_nothing(behaviour: str) -> None:
    """After the tenth failure no more memory is held than after the third."""
    with HostileBroker(behaviour) as broker:
        reports = talk(*[{"port": broker.port, "limits_s": (1, 0.1)}] * 10)
    assert {report["error"] for report in reports} == {"LinkError"}
    assert reports[9]["left"] - reports[2]["left"] < 700
