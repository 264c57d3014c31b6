"""The hand-written examples of docs/protocol.md against both decoders: firmware.wire and ingest's typed one."""

import base64
import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta, Raw

from firmware import wire
from ingest import messages
from ingest.decode import decode_body, decode_status
from ingest.errors import BadMessageError
from tests.contract import vectors

GOOD = vectors.load("up_good")
BAD = vectors.load("up_bad")
TOPICS = vectors.load("topics")
ACKS = vectors.load("acks")
STATUSES = vectors.load("status")
ORDERS = vectors.load("orders")
BODIES: dict[str, type[msgspec.Struct]] = {"bin": messages.BinBody, "air": messages.AirBody}


class Envelope(msgspec.Struct):
    """The envelope of an up message, typed from the specification: the second decoder of the gateway's half."""

    v: Literal[1]
    boot: messages.U32
    r: Annotated[list[Raw], Meta(min_length=1, max_length=64)]
    oldest_seq: messages.Seq | None = None
    up_s: messages.U32 | None = None


def second_decoder(kind: str, payload: bytes) -> list[dict[str, Any]]:
    """Decode a message without firmware.wire into the same shape as the vectors expect."""
    assert len(payload) <= 8192
    assert all(32 <= byte <= 126 and byte != ord("\\") for byte in payload)
    message = msgspec.json.decode(payload, type=Envelope)
    found = []
    for raw in message.r:
        flat = msgspec.json.decode(raw, type=dict[str, int | float | str | bool | None])
        assert len(flat) <= 32
        assert all(-(2**63) <= value < 2**63 for value in flat.values() if type(value) is int)
        body = decode_body(kind, raw)
        assert body.ts is not None or (body.up_s is not None and message.up_s is not None)
        fields = {key: value for key, value in msgspec.structs.asdict(body).items() if value is not None}
        found.append({"state": "ok"} | fields)
    return found


class ConfigMessage(msgspec.Struct):
    """A configuration, typed from the specification."""

    v: Literal[1]
    cfg: messages.Seq
    set: Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=32)],
            Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)] | bool | Annotated[str, Meta(max_length=64)],
        ],
        Meta(max_length=32),
    ]


class Identify(msgspec.Struct, tag_field="cmd", tag="identify"):
    v: Literal[1]
    id: messages.Seq
    s: Annotated[int, Meta(ge=1, le=3600)]


class Reboot(msgspec.Struct, tag_field="cmd", tag="reboot"):
    v: Literal[1]
    id: messages.Seq


class Resend(msgspec.Struct, tag_field="cmd", tag="resend"):
    v: Literal[1]
    id: messages.Seq
    boot: messages.U32
    start: messages.Seq = msgspec.field(name="from")


class Interval(msgspec.Struct, tag_field="cmd", tag="interval"):
    v: Literal[1]
    id: messages.Seq
    s: Annotated[int, Meta(ge=0, le=86_400)]
    for_s: Annotated[int, Meta(ge=0, le=604_800)]

    def __post_init__(self) -> None:
        if 0 < self.s < 10:
            raise ValueError("s")


BundleSize = Annotated[int, Meta(ge=1, le=2**24)]


class Offer(msgspec.Struct):
    v: Literal[1]
    offer: messages.Seq
    type: Literal["app", "image"]
    node_class: Literal["bin", "air"] = msgspec.field(name="class")
    size: BundleSize
    data: None = None
    halt: None = None


class Block(msgspec.Struct):
    v: Literal[1]
    ver: messages.Seq
    at: Annotated[int, Meta(ge=0, lt=2**24)]
    of: BundleSize
    data: Annotated[str, Meta(min_length=1)]
    offer: None = None
    halt: None = None

    def __post_init__(self) -> None:
        size = len(base64.b64decode(self.data, validate=True))
        if not size or size > 4096 or self.at + size > self.of:
            raise ValueError("data")


class Halt(msgspec.Struct):
    v: Literal[1]
    halt: messages.Seq
    data: None = None
    offer: None = None


class Request(msgspec.Struct):
    v: Literal[1]
    boot: messages.U32
    ver: messages.Seq
    at: Annotated[int, Meta(ge=0, lt=2**24)]
    n: Annotated[int, Meta(ge=1, le=4096)]


def typed_order(decoder: str, payload: bytes) -> dict[str, Any]:
    """Decode what comes down, or a request, without firmware.wire into the shape that the vectors expect."""
    assert all(32 <= byte <= 126 and byte != ord("\\") for byte in payload)
    shapes: list[Any] = {
        "config": [ConfigMessage], "cmd": [Identify | Reboot | Resend | Interval], "ota": [Offer, Block, Halt],
        "ota_up": [Request],
    }[decoder]  # fmt: skip
    found: list[dict[str, Any]] = []
    for shape in shapes:
        try:
            found.append(msgspec.to_builtins(msgspec.json.decode(payload, type=shape)))
        except msgspec.DecodeError:
            continue
    assert len(found) == 1
    order = {key: value for key, value in found[0].items() if key != "v" and value is not None}
    if isinstance(order.get("data"), str):
        order["data"] = base64.b64decode(order["data"], validate=True)
    return order


def typed_status(payload: bytes) -> dict[str, Any]:
    """Decode a status message with ingest's decoder into the shape that the vectors expect."""
    assert b"\\" not in payload
    found = msgspec.to_builtins(decode_status(payload))
    return {key: value for key, value in found.items() if value is not None and key != "v"}


def wire_order(decoder: str, payload: bytes) -> dict[str, Any]:
    """Decode the same with firmware.wire."""
    if decoder == "config":
        cfg, changes = wire.decode_config(payload)
        return {"cfg": cfg, "set": changes}
    decoders = {"cmd": wire.decode_cmd, "ota": wire.decode_ota_down, "ota_up": wire.decode_ota_up}
    return decoders[decoder](payload)


def expected_order(vector: dict[str, Any]) -> dict[str, Any]:
    expect = dict(vector["expect"])
    if "data_hex" in expect:
        expect["data"] = bytes.fromhex(expect.pop("data_hex"))
    if "data_len" in expect:
        expect["data"] = bytes(expect.pop("data_len"))
    return expect


REFUSALS = (AssertionError, BadMessageError, msgspec.DecodeError, UnicodeDecodeError)


def test_there_are_enough_vectors_of_each_kind() -> None:
    """The examples cover good and bad messages, topics and acks, and no name is used twice."""
    assert len(GOOD) >= 20
    assert len(BAD) >= 60
    assert len(STATUSES) >= 20
    assert len(ORDERS) >= 80
    names = [vector["name"] for vector in GOOD + BAD + ACKS + STATUSES + ORDERS]
    assert len(names) == len(set(names))
    assert {vector["error"] for vector in BAD} == {
        "bad-json", "bad-version", "bad-envelope", "bad-reading", "bad-value", "too-large", "too-many",
    }  # fmt: skip


@pytest.mark.parametrize("vector", GOOD, ids=vectors.name_of)
def test_wire_accepts_a_good_message(vector: dict[str, Any]) -> None:
    """firmware.wire gives exactly the values that the protocol promises, and its encoder gives them back."""
    kind = wire.parse_topic(vector["topic"])[3]
    message = wire.decode_envelope(vector["payload"])
    readings = [wire.decode_reading(kind, reading) for reading in message["readings"]]
    if "expect_count" in vector:
        assert len(readings) == vector["expect_count"]
        return
    expect = vector["expect"]
    assert readings == expect["readings"]
    assert {key: message[key] for key in ("boot", "oldest_seq", "up_s")} == {
        key: expect[key] for key in ("boot", "oldest_seq", "up_s")
    }
    if "points_ms" in vector:
        assert [wire.point_ms(r["ts"], message["boot"], r["seq"]) for r in readings] == vector["points_ms"]
    encoded = wire.encode_up(message["boot"], readings, message["oldest_seq"], message["up_s"]).encode()
    assert [wire.decode_reading(kind, r) for r in wire.decode_envelope(encoded)["readings"]] == readings


@pytest.mark.parametrize("vector", GOOD, ids=vectors.name_of)
def test_the_typed_decoder_accepts_a_good_message(vector: dict[str, Any]) -> None:
    """The second decoder, which shares no code with firmware.wire, gives the same values."""
    found = second_decoder(vector["topic"].rsplit("/", 1)[1], vector["payload"])
    if "expect_count" in vector:
        assert len(found) == vector["expect_count"]
    else:
        assert found == vector["expect"]["readings"]


@pytest.mark.parametrize("vector", BAD, ids=vectors.name_of)
def test_wire_refuses_a_bad_message_with_its_code(vector: dict[str, Any]) -> None:
    """firmware.wire refuses with the promised code, at the promised depth, and leaves the neighbours alone."""
    if vector["depth"] == "envelope":
        with pytest.raises(wire.WireError) as caught:
            wire.decode_envelope(vector["payload"])
        assert caught.value.code == vector["error"]
        return
    readings = wire.decode_envelope(vector["payload"])["readings"]
    for index, reading in enumerate(readings):
        if index == vector["index"]:
            with pytest.raises(wire.WireError) as caught:
                wire.decode_reading(vector["kind"], reading)
            assert caught.value.code == vector["error"]
        else:
            wire.decode_reading(vector["kind"], reading)


@pytest.mark.parametrize("vector", BAD, ids=vectors.name_of)
def test_the_typed_decoder_refuses_a_bad_message(vector: dict[str, Any]) -> None:
    """The second decoder refuses everything that the protocol refuses."""
    with pytest.raises(REFUSALS):
        second_decoder(vector["kind"], vector["payload"])


@pytest.mark.parametrize("vector", [v for v in BAD if v["depth"] == "reading"], ids=vectors.name_of)
def test_ingest_names_the_same_code(vector: dict[str, Any]) -> None:
    """A reading that ingest refuses carries the protocol's code and a reason for people."""
    raw = msgspec.json.decode(vector["payload"], type=Envelope).r[vector["index"]]
    with pytest.raises(BadMessageError) as caught:
        decode_body(vector["kind"], raw)
    assert caught.value.code == vector["error"]
    assert caught.value.reason


@pytest.mark.parametrize("vector", TOPICS, ids=vectors.name_of)
def test_topics(vector: dict[str, Any]) -> None:
    """A topic is taken apart as promised or refused as bad-topic; what is accepted can be built again."""
    if vector["expect"] is None:
        with pytest.raises(wire.WireError) as caught:
            wire.parse_topic(vector["topic"])
        assert caught.value.code == "bad-topic"
        return
    site, who, direction, kind = vector["expect"]
    assert wire.parse_topic(vector["topic"]) == (site, who, direction, kind)
    build = {
        "up": lambda: wire.topic_up(site, who, kind),
        "down": lambda: wire.topic_down(site, who, kind),
        "gw": lambda: (wire.topic_batch if kind == "batch" else wire.topic_gw_ack)(site, who),
    }
    assert build[direction]() == vector["topic"]


@pytest.mark.parametrize("vector", ACKS, ids=vectors.name_of)
def test_acks(vector: dict[str, Any]) -> None:
    """An application ack is read as promised or refused with its code."""
    payload = vector["payload"]
    if "error" in vector:
        with pytest.raises(wire.WireError) as caught:
            wire.decode_ack(payload)
        assert caught.value.code == vector["error"]
        return
    boot, upto, also = wire.decode_ack(payload)
    assert [boot, upto, [list(pair) for pair in also]] == vector["expect"]
    assert wire.decode_ack(wire.encode_ack(boot, upto, also).encode()) == (boot, upto, also)


@pytest.mark.parametrize("vector", STATUSES, ids=vectors.name_of)
def test_status_messages(vector: dict[str, Any]) -> None:
    """Both decoders keep exactly the fields that follow their rule, and refuse what names no boot."""
    payload = vector["payload"]
    if "error" in vector:
        with pytest.raises(wire.WireError) as caught:
            wire.decode_status(payload)
        assert caught.value.code == vector["error"]
        with pytest.raises(REFUSALS):
            typed_status(payload)
        return
    found = wire.decode_status(payload)
    assert found == vector["expect"]
    assert typed_status(payload) == vector["expect"]
    assert wire.decode_status(wire.encode_status(found | {"fw": found.get("fw")}).encode()) == found
    sent = json.loads(payload)
    known = set(wire.STATUS_NUMBERS) | set(wire.STATUS_TEXTS) | set(wire.STATUS_CHOICES)
    lost = {key for key, value in sent.items() if key in known and value is not None} - set(found)
    assert lost == set(vector.get("dropped", []))


def test_both_decoders_know_the_same_fields_of_a_status() -> None:
    """Names, ranges, lengths and choices of the typed decoder equal those of firmware.wire."""
    info = msgspec.inspect.type_info(messages.StatusBody)
    assert isinstance(info, msgspec.inspect.StructType)
    numbers: dict[str, tuple[Any, Any]] = {}
    texts: dict[str, Any] = {}
    choices: dict[str, list[Any]] = {}
    for field in info.fields:
        for inner in getattr(field.type, "types", ()):
            if isinstance(inner, msgspec.inspect.IntType):
                numbers[field.encode_name] = (inner.ge, inner.le)
            elif isinstance(inner, msgspec.inspect.StrType):
                texts[field.encode_name] = inner.max_length
            elif isinstance(inner, msgspec.inspect.LiteralType):
                choices[field.encode_name] = sorted(inner.values)
    assert numbers == wire.STATUS_NUMBERS
    assert texts == wire.STATUS_TEXTS
    assert choices == {key: sorted(values) for key, values in wire.STATUS_CHOICES.items()}


@pytest.mark.parametrize("vector", ORDERS, ids=vectors.name_of)
def test_orders(vector: dict[str, Any]) -> None:
    """Configuration, command, update and request are read as promised by both decoders, or refused by both."""
    decoder, payload = vector["decoder"], vector["payload"]
    if "error" in vector:
        with pytest.raises(wire.WireError) as caught:
            wire_order(decoder, payload)
        assert caught.value.code == vector["error"]
        with pytest.raises(REFUSALS):
            typed_order(decoder, payload)
        return
    found = wire_order(decoder, payload)
    assert found == expected_order(vector)
    assert typed_order(decoder, payload) == found
    if decoder == "ota_up":
        assert wire.decode_ota_up(wire.encode_ota_up(**found).encode()) == found


# -- every reading, not only the examples ------------------------------------------------------


def edges(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw readings whose fields lie on, beside and far from their limits, or have the wrong type."""
    limits = wire.FIELDS[kind] | {"seq": (1, 2**32 - 1), "ts": (0, 2**32 - 1), "up_s": (0, 2**32 - 1)}
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, (low, high) in limits.items():
        good = st.sampled_from([low, high, (low + high) // 2]) | st.integers(low, high)
        bad = st.sampled_from([low - 1, high + 1, 1.0, 0.5, True, False, "1", 2**63 - 1, -(2**63)])
        fields[name] = st.one_of(good, good, good, good, good, good, st.none(), bad)
    fields["state"] = st.sampled_from([*wire.STATES, *wire.STATES, None, "OK", "", 3, True])
    fields["unknown"] = st.none() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
    seq = {"seq": st.integers(1, 2**32 - 1) | fields.pop("seq")}
    return st.fixed_dictionaries(seq, optional=fields)


@pytest.mark.parametrize("kind", ["bin", "air"])
@given(data=st.data())
@example(data=None)
def test_both_decoders_accept_the_same_readings(kind: str, data: Any) -> None:
    """A reading passes firmware.wire exactly when it passes ingest's decoder, and with the same values."""
    reading = data.draw(edges(kind)) if data is not None else {"seq": 1}
    try:
        expected: dict[str, Any] | None = wire.decode_reading(kind, reading)
    except wire.WireError as error:
        expected, code = None, error.code
    raw = json.dumps(reading).encode()
    if expected is None:
        with pytest.raises(BadMessageError) as caught:
            decode_body(kind, raw)
        assert caught.value.code == code
        return
    body = msgspec.structs.asdict(decode_body(kind, raw))
    assert {"state": "ok"} | {key: value for key, value in body.items() if value is not None} == expected


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_both_decoders_know_the_same_fields_and_ranges(kind: str) -> None:
    """Names and limits of the typed decoder, read from its own type information, equal wire.FIELDS."""
    info = msgspec.inspect.type_info(BODIES[kind])
    assert isinstance(info, msgspec.inspect.StructType)
    found: dict[str, tuple[Any, Any]] = {}
    states: tuple[Any, ...] = ()
    for field in info.fields:
        for inner in getattr(field.type, "types", (field.type,)):
            if isinstance(inner, msgspec.inspect.IntType):
                found[field.name] = (inner.ge, inner.le)
            elif isinstance(inner, msgspec.inspect.LiteralType):
                states = tuple(inner.values)
    u32 = (0, 2**32 - 1)
    assert found == wire.FIELDS[kind] | {"seq": (1, 2**32 - 1), "ts": u32, "up_s": u32}
    assert sorted(states) == sorted(wire.STATES)


@given(payload=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@example(payload=b"[" * 8000)
@example(payload=b'{"v":1,"boot":1,"r":[' + b"[" * 4000)
@example(payload=b'{"v":1,"boot":' + b"9" * 5000 + b"}")
def test_garbage_never_raises_anything_but_a_wire_error(payload: bytes) -> None:
    """Whatever bytes arrive, the gateway's decoder answers with a code."""
    with pytest.raises(wire.WireError) as caught:
        wire.decode_envelope(payload)
    assert caught.value.code in {"bad-json", "bad-version", "bad-envelope", "bad-reading", "too-large", "too-many"}


@given(payload=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@pytest.mark.parametrize("decoder", ["config", "cmd", "ota", "ota_up"])
def test_garbage_in_an_order_never_raises_anything_but_a_wire_error(decoder: str, payload: bytes) -> None:
    """Whatever comes down to a node, or comes up as a request, is answered with a code."""
    with pytest.raises(wire.WireError):
        wire_order(decoder, payload)
    with pytest.raises(wire.WireError):
        wire.decode_status(payload)


@pytest.mark.parametrize("text", ["/A/A==", "QQ==QQ==", "=QQQ", "Q===", "====", "AAA=AAA=", "AAAA AAA"])
def test_base64_that_decoders_disagree_about_is_refused(text: str) -> None:
    """Odd padding and foreign characters, which decoders skip in ways of their own, are no data."""
    with pytest.raises(wire.WireError) as caught:
        wire.decode_ota_down(b'{"v":1,"ver":1,"at":0,"of":900,"data":"' + text.encode() + b'"}')
    assert caught.value.code == "bad-value"


@pytest.mark.parametrize("vector", [v for v in GOOD if "payload" in v and len(v["payload"]) < 700], ids=vectors.name_of)
def test_a_message_cut_anywhere_is_refused(vector: dict[str, Any]) -> None:
    """No prefix of a good message is a message: a cut packet can never pass as a shorter one."""
    payload = vector["payload"]
    for length in range(len(payload)):
        with pytest.raises(wire.WireError):
            wire.decode_envelope(payload[:length])
