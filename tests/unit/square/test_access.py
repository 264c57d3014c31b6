"""The access rule: a table written by hand, and properties that no principal may escape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from firmware import wire
from square.access import (
    MAX_WORKERS,
    SERVICES,
    access_list,
    allowed,
    covers,
    matches,
    publisher_fault,
    rights,
    role,
    services,
)

SITE = "alun"
ONE, TWO = "rsk-b001", "rsk-a02"

# principal, direction, topic, allowed?  Written from docs/protocol.md, not from the code.
TABLE = [
    (ONE, "write", f"resik/alun/{ONE}/up/bin", True),
    (ONE, "write", f"resik/alun/{ONE}/up/air", True),
    (ONE, "write", f"resik/alun/{ONE}/up/status", True),
    (ONE, "write", f"resik/alun/{ONE}/up/will", True),
    (ONE, "write", f"resik/alun/{ONE}/up/ota", True),
    (ONE, "read", f"resik/alun/{ONE}/down/ack", True),
    (ONE, "read", f"resik/alun/{ONE}/down/config", True),
    (ONE, "read", f"resik/alun/{ONE}/down/cmd", True),
    (ONE, "read", f"resik/alun/{ONE}/down/ota", True),
    (ONE, "subscribe", f"resik/alun/{ONE}/down/+", True),
    (ONE, "read", f"resik/alun/{ONE}/up/bin", False),
    (ONE, "write", f"resik/alun/{ONE}/down/ack", False),
    (ONE, "write", f"resik/alun/{TWO}/up/air", False),
    (ONE, "read", f"resik/alun/{TWO}/down/ack", False),
    (ONE, "write", f"resik/pasar/{ONE}/up/bin", False),
    (ONE, "write", f"resik/alun/{ONE}/up/bin/more", False),
    (ONE, "write", f"resik/alun/{ONE}/up", False),
    (ONE, "write", "resik/alun/gw/gw-utama/batch", False),
    (ONE, "write", "resik/alun/gw/gw-utama/ack", False),
    (ONE, "read", "resik/alun/gw/gw-utama/batch", False),
    (ONE, "write", "resik/alun/sv/gw-utama/probe", False),
    (ONE, "read", "$SYS/broker/version", False),
    (ONE, "subscribe", "#", False),
    (ONE, "subscribe", "resik/alun/+/up/+", False),
    (ONE, "subscribe", f"resik/alun/{ONE}/down/#", False),
    (ONE, "subscribe", "$share/ingest/resik/alun/gw/+/batch", False),
    (ONE, "subscribe", f"$share/ingest/resik/alun/{ONE}/down/+", False),
    (ONE, "write", "resik/alun/+/up/bin", False),
    ("gateway", "read", f"resik/alun/{ONE}/up/bin", True),
    ("gateway", "subscribe", "resik/alun/+/up/+", True),
    ("gateway", "write", f"resik/alun/{TWO}/down/ota", True),
    ("gateway", "write", "resik/alun/sv/gw-utama/probe", True),
    ("gateway", "read", "resik/alun/sv/gw-utama/probe", True),
    ("gateway", "write", f"resik/alun/{TWO}/up/air", False),
    ("gateway", "read", f"resik/alun/{TWO}/down/ack", False),
    ("gateway", "write", "resik/alun/gw/gw-utama/batch", False),
    ("gateway", "write", "resik/alun/gw/down/batch", False),  # a gateway whose id is "down"
    ("gateway", "read", "resik/alun/gw/gw-utama/ack", False),
    ("gateway-uplink", "write", "resik/alun/gw/gw-utama/batch", True),
    ("gateway-uplink", "read", "resik/alun/gw/gw-utama/ack", True),
    ("gateway-uplink", "read", "resik/alun/gw/gw-utama/batch", False),
    ("gateway-uplink", "write", "resik/alun/gw/gw-utama/ack", False),
    ("gateway-uplink", "read", f"resik/alun/{ONE}/up/bin", False),
    ("gateway-uplink", "write", f"resik/alun/{ONE}/down/config", False),
    ("ingest", "read", "resik/alun/gw/gw-utama/batch", True),
    ("ingest", "write", "resik/alun/gw/gw-utama/ack", True),
    ("ingest", "subscribe", "$share/ingest/resik/alun/gw/+/batch", True),
    ("ingest-2", "subscribe", "$share/ingest/resik/alun/gw/+/batch", True),
    ("ingest-2", "subscribe", "$share/ingest-x7Zq/resik/alun/gw/+/batch", True),
    ("ingest-2", "write", "resik/alun/gw/gw-utama/ack", True),
    ("ingest-2", "subscribe", "$share/others/resik/alun/gw/+/batch", False),
    ("ingest-2", "subscribe", "$share/ingest/resik/pasar/gw/+/batch", False),
    ("ingest-2", "subscribe", "$share/ingest", False),
    ("ingest", "write", "resik/alun/gw/gw-utama/batch", False),
    ("ingest", "read", f"resik/alun/{ONE}/up/bin", False),
    ("ingest-1", "read", "resik/alun/gw/gw-utama/batch", False),  # no worker is called so
    ("alerts", "read", "resik/alun/gw/gw-utama/batch", True),
    ("alerts", "read", "resik/alun/sv/alerts/probe", True),
    ("alerts", "subscribe", "$share/ingest/resik/alun/gw/+/batch", False),
    ("alerts", "write", "resik/alun/gw/gw-utama/ack", False),
    ("alerts", "write", f"resik/alun/{ONE}/down/cmd", False),
    ("monitor", "read", "$SYS/broker/publish/messages/dropped", True),
    ("monitor", "subscribe", "$SYS/#", True),
    ("monitor", "write", "$SYS/broker/version", False),
    ("monitor", "read", f"resik/alun/{ONE}/up/bin", False),
    ("monitor", "write", "resik/alun/sv/monitor/probe", False),
    ("+", "write", f"resik/alun/{ONE}/up/bin", False),
    ("+", "write", "resik/alun/+/up/bin", False),
    ("#", "read", f"resik/alun/{ONE}/down/ack", False),
    ("", "read", f"resik/alun/{ONE}/down/ack", False),
]


@pytest.mark.parametrize(("principal", "direction", "topic", "expected"), TABLE)
def test_the_table(principal, direction, topic, expected):
    """Each row of the hand-written table, one of every kind of right and of every way around it."""
    assert allowed(SITE, principal, topic, direction) is expected


def test_the_table_is_large_enough_to_mean_something():
    """Every service, both answers and all three directions occur."""
    assert len(TABLE) >= 40
    assert {row[0] for row in TABLE} >= {*SERVICES, "ingest-2", "+", "#"}
    assert {(row[1], row[3]) for row in TABLE} == {
        (d, a) for d in ("write", "read", "subscribe") for a in (True, False)
    }


LEVEL = st.sampled_from(["a", "b", "", "up", "$x", "+"])
TOPIC = st.lists(st.sampled_from(["a", "b", "", "up", "$x"]), min_size=1, max_size=5).map("/".join)
FILTER = st.tuples(st.lists(LEVEL, min_size=1, max_size=5), st.booleans()).map(
    lambda pair: "/".join([*pair[0], "#"] if pair[1] else pair[0])
)
ID = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=32)


@given(FILTER, TOPIC)
def test_matching_agrees_with_another_implementation(pattern, topic):
    """Our filter matching and paho's say the same of any filter and name."""
    assert matches(pattern, topic) == topic_matches_sub(pattern, topic)


@given(FILTER, FILTER, TOPIC)
def test_what_a_filter_covers_it_matches(pattern, asked, topic):
    """If one filter covers another, each topic of the other is a topic of the one."""
    if covers(pattern, asked) and matches(asked, topic):
        assert matches(pattern, topic)


@given(ID, ID, st.sampled_from(wire.UP_KINDS), st.sampled_from(wire.DOWN_KINDS))
def test_no_device_reaches_another(one, two, up, down):
    """Whatever two devices are called, neither writes nor reads a topic of the other, nor of a gateway."""
    if one == two or role(one) != "device":
        return
    assert allowed(SITE, one, wire.topic_up(SITE, one, up), "write")
    assert allowed(SITE, one, wire.topic_down(SITE, one, down), "read")
    foreign = [
        wire.topic_up(SITE, two, up), wire.topic_down(SITE, two, down), wire.topic_batch(SITE, two),
        wire.topic_gw_ack(SITE, two), wire.topic_probe(SITE, two),
    ]  # fmt: skip
    for topic in foreign:
        assert not any(allowed(SITE, one, topic, way) for way in ("write", "read", "subscribe"))


@given(st.text(max_size=40), st.text(max_size=60), st.sampled_from(["write", "read", "subscribe"]))
def test_any_text_gets_an_answer_and_no_wild_name_a_right(principal, topic, way):
    """Nothing raises; a name outside the grammar has no right at all, and nobody publishes to a wildcard."""
    answer = allowed(SITE, principal, topic, way)
    if not wire.is_id(principal) or (way == "write" and set(topic) & {"+", "#"}):
        assert answer is False


@given(st.lists(ID.filter(lambda name: role(name) == "device"), max_size=6, unique=True), st.integers(1, MAX_WORKERS))
def test_the_list_gives_what_the_rule_allows(devices, workers):
    """Read back line by line, the list holds the rights of each principal and no others, and no pattern line."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in access_list(SITE, devices, services(workers)).splitlines():
        word, rest = line.split(" ", 1)
        if word == "user":
            found[rest] = []
        else:
            assert word == "topic"
            found[list(found)[-1]].append(tuple(rest.split(" ", 1)))
    assert set(found) == {*devices, *services(workers)}
    for principal, lines in found.items():
        assert lines == [(right.access, right.pattern) for right in rights(SITE, principal)]


def test_every_topic_of_the_grammar_has_a_writer_and_a_reader():
    """The rule leaves no topic without those that need it, and gives each to as few as possible."""
    names = [ONE, TWO, *services(2)]

    def who(topic: str, way: str) -> set[str]:
        return {name for name in names if allowed(SITE, name, topic, way)}

    for kind in wire.UP_KINDS:
        assert who(wire.topic_up(SITE, ONE, kind), "write") == {ONE}
        assert who(wire.topic_up(SITE, ONE, kind), "read") == {"gateway"}
    for kind in wire.DOWN_KINDS:
        assert who(wire.topic_down(SITE, ONE, kind), "write") == {"gateway"}
        assert who(wire.topic_down(SITE, ONE, kind), "read") == {ONE}
    assert who(wire.topic_batch(SITE, "gw-utama"), "write") == {"gateway-uplink"}
    assert who(wire.topic_batch(SITE, "gw-utama"), "read") == {"ingest", "ingest-2", "alerts"}
    assert who(wire.topic_gw_ack(SITE, "gw-utama"), "write") == {"ingest", "ingest-2"}
    assert who(wire.topic_gw_ack(SITE, "gw-utama"), "read") == {"gateway-uplink"}
    assert who(wire.topic_probe(SITE, "ingest"), "write") == {*services(2)} - {"monitor"}


PUBLISHERS = {"chirpstack": "application/+/device/+/event/up", "ag-84fce612f5b8": "airgradient/readings/84fce612f5b8"}
UPLINK = "application/17c82e96/device/70b3d57ed0001234/event/up"


@pytest.mark.parametrize(
    ("principal", "direction", "topic", "may"),
    [
        ("chirpstack", "write", UPLINK, True),
        ("chirpstack", "read", UPLINK, False),
        ("chirpstack", "subscribe", "application/+/device/+/event/up", False),
        ("chirpstack", "write", "airgradient/readings/84fce612f5b8", False),
        ("chirpstack", "write", f"resik/alun/{ONE}/up/bin", False),
        ("chirpstack", "write", "resik/alun/chirpstack/up/bin", False),
        ("chirpstack", "write", "resik/alun/sv/gw-utama/probe", False),
        ("ag-84fce612f5b8", "write", "airgradient/readings/84fce612f5b8", True),
        ("ag-84fce612f5b8", "write", "airgradient/readings/84fce612f5b9", False),
        ("gateway", "read", UPLINK, True),
        ("gateway", "subscribe", "application/+/device/+/event/up", True),
        ("gateway", "subscribe", "application/#", False),
        ("gateway", "write", UPLINK, False),
        ("gateway-uplink", "read", UPLINK, False),
        ("ingest", "read", UPLINK, False),
        (ONE, "write", UPLINK, False),
        (ONE, "write", f"resik/alun/{ONE}/up/bin", True),
    ],
)
def test_who_publishes_for_other_makes_writes_there_and_nowhere_else(principal, direction, topic, may):
    """The agreed filter and nothing of ours; only the gateway reads it; without publishers nobody has it."""
    assert allowed(SITE, principal, topic, direction, PUBLISHERS) is may
    if topic == UPLINK:
        assert not allowed(SITE, principal, topic, direction)


def test_the_list_names_publishers_with_their_filter():
    """One user with one line each, and one more line for the gateway."""
    text = access_list(SITE, [ONE], ["gateway", *sorted(PUBLISHERS)], PUBLISHERS)
    assert "user chirpstack\ntopic write application/+/device/+/event/up\n" in text
    assert text.count("topic read application/+/device/+/event/up\n") == 1


@pytest.mark.parametrize(
    ("name", "topic_filter"),
    [
        ("ingest", "a/b"),
        ("ingest-2", "a/b"),
        ("A", "a/b"),
        ("chirpstack", "#"),
        ("chirpstack", "resik/alun/gw/gw-utama/batch"),
        ("chirpstack", "+/alun/+/up/bin"),
        ("chirpstack", "a/b\ntopic readwrite #"),
        ("chirpstack", ""),
    ],
)
def test_a_publisher_that_would_reach_further_is_refused(name, topic_filter):
    """No name of a service, no filter that matches a topic of ours or of the broker, no second line in the list."""
    assert publisher_fault(name, topic_filter) is not None
    assert publisher_fault("chirpstack", PUBLISHERS["chirpstack"]) is None
