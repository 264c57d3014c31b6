"""A real mosquitto does what the access rule says, for each kind of user and each topic; nothing more, nothing less."""

import asyncio

import pytest

from firmware import wire
from simulators.errors import LinkError, LinkRefused
from square.access import SERVICES, allowed
from tests.fakes.stub_gateway import until
from tests.integration.broker_bench import SITE, BrokerBench

pytestmark = pytest.mark.service

ONE, TWO, REVOKED = "rsk-b001", "rsk-a01", "rsk-b002"
PRINCIPALS = (ONE, TWO, *SERVICES, "ingest-2", "+", "+/#")
# a line that begins with "#" is a comment of a password file: that one cannot exist, and must not get in
WORDS = {"+": "a-wild-word", "+/#": "a-wilder-word", "#": "the-wildest-word", "observer": "all-seeing-word"}
TOPICS = [
    *(wire.topic_up(SITE, device, kind) for device in (ONE, TWO, REVOKED) for kind in wire.UP_KINDS),
    *(wire.topic_down(SITE, device, kind) for device in (ONE, TWO, REVOKED) for kind in wire.DOWN_KINDS),
    *(make(SITE, gateway) for make in (wire.topic_batch, wire.topic_gw_ack) for gateway in ("gw-utama", "down")),
    *(wire.topic_probe(SITE, service) for service in ("gw-utama", "ingest", "alerts", "down")),
    wire.topic_up("other", ONE, "bin"), wire.topic_batch("other", "gw-utama"),
    f"resik/{SITE}/{ONE}/up/unknown", f"resik/{SITE}/{ONE}/up", f"resik/{SITE}/{ONE}/up/bin/deep",
    f"resik/{SITE}/{ONE}/up/",
    f"resik/{SITE}/{ONE}", f"resik/{SITE}", "resik", "elsewhere", "$SYS/broker/version", "$CONTROL/dynamic-security/v1",
]  # fmt: skip
WILD = [
    "#",
    "$SYS/#",
    "+/#",
    f"resik/{SITE}/+/up/+",
    f"resik/{SITE}/+/down/+",
    f"resik/{SITE}/gw/+/+",
    f"resik/{SITE}/sv/#",
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Start a broker with two workers, a revoked device, two wild users, and one who sees and may do everything."""
    bench = BrokerBench(tmp_path_factory.mktemp("access"), "--workers", "2", "--log-denials")
    bench.secret_of_revoked = bench.secret(REVOKED)
    bench.run("revoke", REVOKED)
    bench.add_users(WORDS, "user observer\ntopic readwrite #\ntopic readwrite $SYS/#\ntopic readwrite $CONTROL/#\n")
    yield bench.start()
    bench.stop()


def test_who_may_write_what(bench):
    """Each user publishes to each topic: what an all-seeing user receives is what the rule allows."""

    async def publish(name, topic):
        # Debian's mosquitto acknowledges what it denies, and then cuts the connection: one for each try
        user = await bench.link(name, WORDS.get(name), clean=True)
        await user.link.publish(topic, f"from {name}".encode())
        user.link.close()

    async def scenario():
        observer = await bench.link("observer", WORDS["observer"])
        await observer.link.subscribe(["#", "$CONTROL/#"])
        for topic in TOPICS:
            await asyncio.gather(*(publish(name, topic) for name in PRINCIPALS))
        await observer.link.publish("end", b"from observer")
        await until(lambda: ("end", b"from observer") in observer.heard, 10, "the last message")
        observer.link.close()
        return {(topic, payload.decode().removeprefix("from ")) for topic, payload in observer.heard}

    arrived = asyncio.run(scenario()) - {("end", "observer")}
    expected = {(topic, name) for topic in TOPICS for name in PRINCIPALS if allowed(SITE, name, topic, "write")}
    assert arrived - expected == set(), "unexpectedly allowed"
    assert expected - arrived == set(), "unexpectedly denied"
    assert len(expected) > 40


def test_who_may_read_what(bench):
    """Each user subscribes to everything in every way: it receives each topic that the rule allows, and no other."""

    async def scenario():
        async with bench.links([*PRINCIPALS, "observer"], WORDS) as users:
            observer = users.pop("observer")
            for user in users.values():
                await user.link.subscribe([*WILD, *TOPICS])
            names = [topic for topic in TOPICS if not topic.startswith("$")]
            for topic in names:
                await observer.link.publish(topic, b"read me")
            # in order for each user: who has heard the last word of its own has heard all before
            last = {ONE: wire.topic_down(SITE, ONE, "ack"), TWO: wire.topic_down(SITE, TWO, "ack")}
            last |= {name: wire.topic_probe(SITE, "last") for name in (*SERVICES, "ingest-2") if name != "monitor"}
            for topic in set(last.values()):
                await observer.link.publish(topic, b"last")
            for name, topic in last.items():
                await until(lambda name=name, topic=topic: (topic, b"last") in users[name].heard, 10, f"{name} to hear")
            return {
                (topic, name) for name, user in users.items() for topic, payload in user.heard if payload != b"last"
            }

    heard = {
        (topic, name) for topic, name in asyncio.run(scenario()) if not topic.startswith("$SYS") or topic in TOPICS
    }
    expected = {(topic, name) for topic in TOPICS for name in PRINCIPALS if allowed(SITE, name, topic, "read")}
    assert heard - expected == set(), "unexpectedly allowed"
    assert expected - heard == set(), "unexpectedly denied"
    assert ("$SYS/broker/version", "monitor") in heard


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (None, None),
        (ONE, "a wrong word"),
        (ONE, ""),
        (REVOKED, None),
        ("stranger", "x"),
        ("rsk-b000", "x"),
        ("#", WORDS["#"]),
        ("", ""),
    ],
)
def test_nobody_else_gets_in(bench, name, word):
    """Anonymous, wrong or empty secret, revoked with its true secret, unknown, retired, `#`, nameless: all refused."""

    async def scenario():
        from simulators.mqtt_link import open_link

        password = bench.secret_of_revoked if name == REVOKED else word
        options = {"will": None, "on_message": lambda *_: None, "on_lost": lambda: None, "clean": True}
        with pytest.raises(LinkRefused):
            await open_link("127.0.0.1", bench.port, "someone", username=name, password=password, **options)

    asyncio.run(scenario())


def test_a_client_id_is_worth_nothing(bench):
    """A device that connects under the id of a service or neighbour throws nobody off and hears nothing of theirs."""

    async def scenario():
        async with bench.links([*SERVICES[:-1], TWO], {}) as users:
            for victim in users:
                thief = await bench.link(ONE, client_id=victim)
                await thief.link.publish(wire.topic_up(SITE, ONE, "status"), b"{}")
                thief.link.close()
            for name, user in users.items():  # they are answered, so they are there
                topic = wire.topic_up(SITE, TWO, "air") if name == TWO else wire.topic_probe(SITE, name)
                await user.link.publish(topic, b"x")
            assert all(user.lost_at is None for user in users.values())

    asyncio.run(scenario())


def test_publishing_to_a_wildcard_ends_the_connection(bench):
    """A topic with a wildcard is no topic: the broker cuts whoever publishes to it."""

    async def scenario():
        for name in ("+", ONE):
            user = await bench.link(name, WORDS.get(name))
            with pytest.raises(LinkError):
                await user.link.publish(f"resik/{SITE}/+/up/bin", b"{}")

    asyncio.run(scenario())


def test_denials_can_be_counted(bench):
    """What was denied is in the log by user and topic, and `resik broker denials` sums it up; a refused login, too."""
    topic = wire.topic_up(SITE, TWO, "air")

    async def scenario():
        for _ in range(3):
            user = await bench.link(ONE)
            await user.link.publish(topic, b"forged")
            user.link.close()
        with pytest.raises(LinkRefused):
            await bench.link(ONE, "wrong")

    before = bench.log.count(f"Denied PUBLISH from {ONE} ")
    asyncio.run(scenario())
    assert bench.log.count(f"Denied PUBLISH from {ONE} ") == before + 3
    from resik.broker_check import count_denials

    counts = count_denials(bench.log.splitlines())
    assert counts[ONE, topic] >= 3
    assert sum(number for (_who, what), number in counts.items() if what == "login") >= 1
