"""The same client on CPython, where coverage and debuggers are: one conversation, and a few of the failures."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware.net import LinkError, Refused, TlsRefused, mqtt, ntp, stream
from tests.fakes import certificates
from tests.fakes.hostile_broker import HostileBroker
from tests.services import start_mosquitto


def make(port: int, **options: object) -> tuple[mqtt.MqttClient, list[tuple[str, bytes]], list[str]]:
    heard: list[tuple[str, bytes]] = []
    steps: list[str] = []
    settings = {"on_message": lambda t, p: heard.append((t, p)), "on_progress": steps.append, "answer_s": 2} | options
    return mqtt.MqttClient("127.0.0.1", port, "host-1", **settings), heard, steps


def test_a_conversation_and_a_second_one_on_the_same_object() -> None:
    """Connect, subscribe, publish, ping, goodbye; then again, with ids that go on and a repeat under the old id."""

    async def talk(port: int) -> None:
        client, _, steps = make(port)
        assert not await client.connect()
        await client.subscribe(["a/#"])
        await client.publish("a/b", b"1")
        await client.ping()
        assert client.is_up()
        await client.disconnect()
        assert not client.is_up()
        await client.connect()
        await client.publish("a/b", b"1", again=True)
        await client.publish("a/b", b"2")
        client.close()
        assert steps == [
            "dns",
            "link",
            "connack",
            "suback",
            "puback",
            "ping",
            "dns",
            "link",
            "connack",
            "puback",
            "puback",
        ]

    with HostileBroker("good") as broker:
        asyncio.run(talk(broker.port))
        published = [(first, body[5:7], body[7:]) for first, body in broker.received if first >> 4 == 3]
        assert [first for first, _ in broker.received if first >> 4 in {1, 14}] == [0x10, 0xE0, 0x10]
    assert published == [(0x32, b"\x00\x02", b"1"), (0x3A, b"\x00\x02", b"1"), (0x32, b"\x00\x03", b"2")]


@pytest.mark.parametrize(
    ("behaviour", "kind", "step"),
    [
        ("connack-5", Refused, "connack"),
        ("suback-128", Refused, "suback"),
        ("no-puback", LinkError, "puback"),
        ("half-close", LinkError, "read"),
        ("bad-length", LinkError, "packet"),
        ("no-connack", LinkError, "connack"),
    ],
)
def test_failures_are_named(behaviour: str, kind: type[LinkError], step: str) -> None:
    """The error says what failed; afterwards the client is down and says so again."""

    async def talk(port: int) -> LinkError:
        client, _, _ = make(port, answer_s=0.3)
        try:
            await client.connect()
            await client.subscribe(["a/#"])
            await client.publish("a/b", b"1")
        except LinkError as error:
            assert not client.is_up()
            assert client.error is error
            with pytest.raises(LinkError):
                await client.ping()
            return error
        pytest.fail("nothing was raised")

    with HostileBroker(behaviour) as broker:
        error = asyncio.run(talk(broker.port))
    assert type(error) is kind
    assert error.step == step


def test_a_cancelled_publish_ends_the_link() -> None:
    """Who gives up in the middle leaves no half-open conversation behind."""

    async def talk(port: int) -> None:
        client, _, _ = make(port)
        await client.connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.publish("a/b", b"1"), 0.1)
        assert not client.is_up()
        await client.connect()
        assert client.is_up()
        client.close()

    with HostileBroker("no-puback") as broker:
        asyncio.run(talk(broker.port))


def test_a_refusal_whose_sender_is_gone_is_still_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONNACK 5 and the end of the stream may both be read before anybody waits for the CONNACK."""

    class Instant:
        def __init__(self, *_: object) -> None:
            self.pieces = [b"\x20\x02\x00\x05", b""]

        async def open(self) -> None: ...

        async def write(self, data: bytes) -> None: ...

        async def read(self) -> bytes:
            return self.pieces.pop(0)

        def close(self) -> None: ...

    monkeypatch.setattr("firmware.net.stream.Stream", Instant)
    with pytest.raises(Refused, match="refused 5"):
        asyncio.run(make(1883)[0].connect())


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing look-up is an error of the step dns, for the broker and for the time server."""

    def fail(*_: object) -> None:
        raise OSError(-202)

    monkeypatch.setattr("socket.getaddrinfo", fail)

    async def talk() -> None:
        client, _, steps = make(1883)
        with pytest.raises(LinkError) as caught:
            await client.connect()
        assert (caught.value.step, caught.value.retryable, steps) == ("dns", True, [])
        with pytest.raises(LinkError) as caught:
            await ntp.query("time.test", 0)
        assert caught.value.step == "ntp"

    asyncio.run(talk())


def test_nothing_is_asked_without_a_connection() -> None:
    """Before the first connect and after a goodbye every question fails at once; a goodbye does not."""

    async def talk(port: int) -> None:
        client, _, _ = make(port)
        for _ in range(2):
            for question in (client.ping, lambda: client.publish("a", b""), lambda: client.subscribe(["a"])):
                with pytest.raises(LinkError, match="not connected"):
                    await question()
            await client.disconnect()
            await client.connect()
            await client.disconnect()

    with HostileBroker("good") as broker:
        asyncio.run(talk(broker.port))


def test_questions_take_turns() -> None:
    """Two tasks that publish at once both succeed, one message in flight at a time."""

    async def talk(port: int) -> None:
        client, _, _ = make(port)
        await client.connect()
        await asyncio.gather(*[client.publish("a/b", bytes([n])) for n in range(20)])
        assert client.strays == 0
        await client.disconnect()

    with HostileBroker("good") as broker:
        asyncio.run(talk(broker.port))
        sent = [body[7:] for first, body in broker.received if first == 0x32]
    assert sent == [bytes([n]) for n in range(20)]


@pytest.mark.service
@pytest.mark.parametrize("label", ["good", *certificates.WRONG])
def test_tls_of_the_host(label: str, tmp_path: Path) -> None:
    """The good certificate passes, each wrong one is TlsRefused, on CPython too."""
    papers = certificates.make(tmp_path / "papers")
    server = start_mosquitto(tmp_path / "broker", tls=papers.servers[label])

    async def talk() -> None:
        context = stream.context(papers.ca_der.read_bytes())
        assert context.verify_mode == ssl.CERT_REQUIRED
        client, _, _ = make(server.port, tls=context, server_name=certificates.NAME)
        await client.connect()
        await client.publish("a/b", b"1")
        await client.disconnect()

    try:
        if label == "good":
            asyncio.run(talk())
        else:
            with pytest.raises(TlsRefused):
                asyncio.run(talk())
    finally:
        server.stop()


def test_callbacks_run_before_the_ack() -> None:
    """While the callback runs the broker has no PUBACK; what it raises is raised by the next question, as it is."""
    seen: list[int] = []

    async def talk(port: int, on_message: Callable[[str, bytes], None]) -> None:
        client, _, _ = make(port, on_message=on_message)
        await client.connect()
        await client.publish("a/b", b"1")

    with HostileBroker("one-message") as broker:

        def fail(topic: str, payload: bytes) -> None:
            seen.append(len([first for first, _ in broker.received if first == 0x40]))
            raise KeyError(topic)

        with pytest.raises(KeyError):
            asyncio.run(talk(broker.port, fail))
        assert 0x40 not in [first for first, _ in broker.received]
    assert seen == [0]
