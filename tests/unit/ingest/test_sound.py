"""The fast way of readings, from a batch to a line, against the way that explains and against plain references."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from firmware import wire
from ingest import conversion, sound
from ingest.conversion import CONVERT, form_of, source
from ingest.decode import Batch, decode_batch, decode_row, read_row
from ingest.errors import BadMessageError
from ingest.messages import AirBody, BinBody
from ingest.readings import Reading
from ingest.refused import dead_unreadable
from ingest.store import Point
from ingest.stores import line_protocol
from ingest.stores.line_protocol import LineEncoder
from square.quantities import (
    FLAG_ANCHORED,
    FLAG_HUMID,
    FLAG_IMPLAUSIBLE,
    FLAG_LATE,
    HUMID_ABOVE_PCT,
    LATE_AFTER_S,
    QUANTITIES,
    quantities_of,
)
from tests.unit.ingest.batches import BOOT, NOW_MS, NOW_S, TOPIC, batch, poison, registry, row, status

REGISTRY = registry()
DEVICES = {"bin": "rsk-b001", "air": "rsk-a001"}
ODD = st.sampled_from([None, True, 1.0, -0.5, "1", [], {}, 2**32, -(2**63), 2**70])


def limits(kind: str) -> dict[str, tuple[int, int]]:
    return wire.FIELDS[kind]  # type: ignore[no-any-return]


def near(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high) | st.sampled_from([low, high, low - 1, high + 1])


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Make readings as nodes send them: any set of fields, within the limits of the wire."""
    fields = {name: st.integers(low, high) for name, (low, high) in limits(kind).items()}
    states = {"state": st.sampled_from(wire.STATES)}
    body: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=fields | states))
    return body


@st.composite
def sound_rows(draw: st.DrawFn, row_id: int = 1) -> dict[str, Any]:
    """Make rows of which most are accepted."""
    kind = draw(st.sampled_from(["bin", "air"]))
    seq, boot = draw(st.integers(1, wire.U32_MAX)), draw(st.integers(0, wire.U32_MAX))
    ts = NOW_S - draw(st.sampled_from([0, 1, LATE_AFTER_S, LATE_AFTER_S + 5, 86_400]))
    changes: dict[str, Any] = {"boot": boot, "ts_ms": wire.point_ms(ts, boot, seq), "arrived_ms": NOW_MS + 1_000}
    made = row(row_id, device=DEVICES[kind], kind=kind, seq=seq, body=draw(bodies(kind)), **changes)
    made["body"] |= {"seq": seq, "ts": ts}
    if draw(st.booleans()):
        made |= {"time": "anchor", "ts_ms": NOW_MS - draw(st.integers(0, 2_000_000))}
        del made["body"]["ts"]
    return made


@st.composite
def any_rows(draw: st.DrawFn, row_id: int) -> Any:
    """Make rows of every kind; one thing may be wrong: a field, its limit, its type, its time, its place."""
    made = draw(sound_rows(row_id))
    body = made["body"]
    spoilt = draw(st.sampled_from(["nothing", "nothing", "body", "row", "time", "place", "kind", "field", "shape"]))
    if spoilt == "body":
        name = draw(st.sampled_from([*limits(made["kind"]), "seq", "ts", "up_s", "state", "new"]))
        body[name] = draw(ODD | near(*limits(made["kind"]).get(name, (0, wire.U32_MAX))))
    elif spoilt == "row":
        made[draw(st.sampled_from([*made, "code", "raw", "topic", "uplink"]))] = draw(ODD)
    elif spoilt == "time":
        made["ts_ms"] += draw(st.sampled_from([-1, 1, 1000, -(7 * 86_400_000), 121_000]))
        made["arrived_ms"] = draw(st.sampled_from([made["ts_ms"] - 120_000, made["ts_ms"] - 120_001, NOW_MS, 0]))
    elif spoilt == "place":
        made["device"] = draw(st.sampled_from(["rsk-b003", "rsk-b999", "rsk-a001", "rsk-b002", "maker:abc", ""]))
    elif spoilt == "kind":
        return draw(
            st.sampled_from([status(row_id), status(row_id, boot=-1), poison(row_id, b"{"), made | {"kind": "x"}])
        )
    elif spoilt == "field":
        del made[draw(st.sampled_from(sorted(made)))]
    elif spoilt == "shape":
        return draw(ODD | st.just({}) | st.just(made | {"body": draw(ODD)}))
    return made


def explained(raws: Sequence[bytes]) -> Batch:
    """Read rows one by one on the way that explains."""
    found = Batch("", "", "", 0, [], [], [])
    for raw in raws:
        try:
            one = decode_row(read_row(raw), REGISTRY, TOPIC)
        except BadMessageError as error:
            found.dead.append(dead_unreadable(Raw(raw), TOPIC, error.reason))
            continue
        found.readings += one.readings
        found.statuses += one.statuses
        found.dead += one.dead
    return found


def encoded(made: Any) -> bytes:
    return json.dumps(made, separators=(",", ":")).encode()


def assert_same(fast: Batch, slow: Batch) -> None:
    """Compare all that leaves the decoder but the envelope."""
    assert fast.readings == slow.readings
    assert fast.statuses == slow.statuses
    assert fast.dead == slow.dead


@settings(max_examples=400)
@given(st.data())
def test_both_ways_take_and_refuse_the_same(data: st.DataObject) -> None:
    """Whatever is in a batch, the fast way gives the readings, statuses and letters of the explaining one, in order."""
    rows = [data.draw(any_rows(row_id)) for row_id in range(1, data.draw(st.integers(1, 4)) + 1)]
    assert_same(decode_batch(batch(rows), REGISTRY, TOPIC), explained([encoded(each) for each in rows]))


@given(st.data())
def test_both_ways_agree_on_a_device_that_sends_other_fields_now_and_then(data: st.DataObject) -> None:
    """What a device usually sends is converted by a function of its own: with it, without it and in between."""
    kind = data.draw(st.sampled_from(["bin", "air"]))
    several = data.draw(st.lists(bodies(kind), min_size=1, max_size=3))
    sent = data.draw(st.lists(st.sampled_from(several), min_size=2, max_size=3 * sound.CHANGED_AFTER))
    rows = [row(n, device=DEVICES[kind], kind=kind, body=body) for n, body in enumerate(sent, 1)]
    assert_same(decode_batch(batch(rows), REGISTRY, TOPIC), explained([encoded(each) for each in rows]))


def test_a_device_has_changed_after_several_readings_with_other_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reading says what it sends; what differs now and then changes nothing, eight times is for good."""
    monkeypatch.setattr(conversion, "_forms", {})
    place = registry()
    usual, other = {"distance_mm": 740, "temp_cdeg": 3_000}, {"temp_cdeg": 3_000}
    used = []
    for n, body in enumerate([usual, usual, *[other, usual] * 7, other, other], 1):
        decode_batch(batch([row(n, body=body)]), place, TOPIC)
        used.append(sound._seats_of(place)["rsk-b001"].convert)
    before, after = form_of("bin", ["distance_mm", "temp_c"]), form_of("bin", ["temp_c"])
    assert used == [before] * 16 + [after] * 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"kind":"bin"', b'"kind":"bin","kind":"air"'),
        (b'"kind":"bin"', b'"kind":"air","kind":"bin"'),
        (b'"kind":"bin"', b'"kind":"status","kind":"bin"'),
        (b'"seq":1,"ts"', b'"seq":9,"seq":1,"ts"'),
        (b'"body":{', b'"body":{"seq":0},"body":{'),
        (b'"id":1', b'"id":0,"id":1'),
        (b'"id":1', b'"id":1,"new":{"deep":[1,{"er":null}]}'),
    ],
)
def test_of_a_key_that_comes_twice_both_ways_take_the_last(old: bytes, new: bytes) -> None:
    """The fast way picks the type by the first kind, so it must not let a second one pass."""
    plain = batch([row(1)])
    assert plain.count(old) == 1
    raw = encoded(row(1)).replace(old, new)
    assert_same(decode_batch(plain.replace(old, new), REGISTRY, TOPIC), explained([raw]))


def test_only_what_is_not_sound_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound reading is taken by the fast way itself, also beside rows that are not."""
    asked: list[int] = []
    take = sound.take_sound
    monkeypatch.setattr(
        "ingest.decode.take_sound",
        lambda rows, of, readings, explain: take(rows, of, readings, lambda at: (asked.append(at), explain(at))[1]),
    )
    found = decode_batch(batch([row(1), status(2), row(3), row(4, ts_ms=NOW_MS), row(5)]), REGISTRY, TOPIC)
    assert asked == [1, 3]
    assert ([placed.row_id for placed in found.readings], len(found.statuses), len(found.dead)) == ([1, 3, 5], 1, 1)


def expected(made: dict[str, Any]) -> Reading | None:
    """Judge a reading by the table of quantities, value by value; None when it says nothing."""
    kind, body = made["kind"], made["body"]
    fields = {q.wire_field: q for q in quantities_of(kind)}
    sent = [name for name in fields if body.get(name) is not None]
    if not set(sent) - set(wire.COMMON_FIELDS) and body.get("state", "ok") == "ok":
        return None
    values = {fields[name].name: fields[name].from_wire(body[name]) for name in sent}
    flags = FLAG_ANCHORED if made["time"] == "anchor" else 0
    if made["arrived_ms"] - made["ts_ms"] > LATE_AFTER_S * 1000:
        flags |= FLAG_LATE
    for name in sent:
        q = fields[name]
        if not q.plausible_min * q.divisor <= body[name] <= q.plausible_max * q.divisor:
            flags |= FLAG_IMPLAUSIBLE
    if values.get("rh_pct", 0.0) > HUMID_ABOVE_PCT:
        flags |= FLAG_HUMID
    if "distance_mm" in values:
        values["fill_pct"] = min(max(100.0 * (980 - values["distance_mm"]) / 740, 0.0), 120.0)
    placement = REGISTRY.placement(made["device"])
    assert placement is not None
    return Reading(
        REGISTRY.site, made["device"], placement.asset.id, placement.asset.zone, kind, made["boot"], made["seq"],
        made["ts_ms"], made["arrived_ms"], values, body.get("state", "ok"), body.get("quality", 0), flags,
    )  # fmt: skip


@settings(max_examples=400)
@given(sound_rows())
def test_a_sound_reading_is_judged_as_the_table_says(made: dict[str, Any]) -> None:
    """Place, values and their order, state and flags follow from the registry and the table of quantities."""
    found = decode_batch(batch([made]), REGISTRY, TOPIC)
    reading = expected(made)
    if reading is None:
        assert [dead.code for dead in found.dead] == ["bad-reading"]
        return
    ((_, taken),) = found.readings
    assert taken == reading
    assert list(taken.values) == list(reading.values)
    assert all(type(value) is float for value in taken.values.values())


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_every_limit_of_the_table_is_in_the_written_out_conversion(kind: str) -> None:
    """Each quantity alone: at both plausible limits it is believed, one step of the wire beyond it is flagged.

    As far as the wire goes: that the decoder lets nothing beyond its limits through is for the tests of the wire.
    """
    make: Any = BinBody if kind == "bin" else AirBody
    for q in quantities_of(kind):
        low, high = round(q.plausible_min * q.divisor), round(q.plausible_max * q.divisor)
        first, last = limits(kind)[q.wire_field]
        for raw, flags in ((low, 0), (high, 0), (low - 1, FLAG_IMPLAUSIBLE), (high + 1, FLAG_IMPLAUSIBLE)):
            if not first <= raw <= last:
                continue
            humid = FLAG_HUMID if q.name == "rh_pct" and raw / q.divisor > HUMID_ABOVE_PCT else 0
            found = {q.name: raw / q.divisor}, flags | humid, q.wire_field not in wire.COMMON_FIELDS
            assert CONVERT[kind](make(seq=1, **{q.wire_field: raw})) == found
    assert source(kind).count("raw = body.") == len(limits(kind)) - 1, "all but the quality"


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Make readings that ingest accepts."""
    made = draw(sound_rows())
    if expected(made) is None:
        made["body"]["state"] = "no-echo"
    return decode_batch(batch([made]), REGISTRY, TOPIC).readings[0].reading


@settings(max_examples=300)
@given(st.lists(readings(), min_size=1, max_size=4))
def test_a_reading_has_the_line_of_its_point(taken: list[Reading]) -> None:
    """The first time and every time after it, and whatever else the encoder wrote in between."""
    encoder = LineEncoder()
    lines = [LineEncoder().encode(reading.point()) for reading in taken]
    for _ in range(3):
        assert encoder.encode_batch(taken) == (lines, range(len(taken)), [])
    assert [encoder.encode(reading.point()) for reading in taken] == lines


@given(st.data())
def test_every_number_of_the_wire_is_written_as_its_shortest_text(data: st.DataObject) -> None:
    """For each quantity, whatever its unit: the text is the ``repr`` of the float that is stored."""
    encoder = LineEncoder()
    for kind in ("bin", "air"):
        for q in quantities_of(kind):
            low, high = limits(kind)[q.wire_field]
            raw = data.draw(st.integers(low, high) | st.sampled_from([low, high]))
            reading = Reading("s", "d", "a", "z", kind, BOOT, 1, NOW_MS, NOW_MS, {q.name: raw / q.divisor}, "ok", 0, 0)
            for _ in range(2):
                assert encoder.encode(reading).split()[1].startswith(f"{q.name}={raw / q.divisor!r},state=")


def test_the_encoder_keeps_no_more_than_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two of everything it writes the same lines; its memory stays bounded."""
    for name in ("HEADS_LIMIT", "FRAMES_LIMIT"):
        monkeypatch.setattr(line_protocol, name, 2)
    encoder = LineEncoder()
    names = [q.name for q in quantities_of("air")]
    for n in range(60):
        values = {name: n / QUANTITIES[name].divisor for name in names[: 1 + n % len(names)]}
        reading = Reading("s", f"d{n % 7}", "a", "z", "air", BOOT, n, NOW_MS, NOW_MS, values, "ok", 0, 0)
        assert encoder.encode(reading) == LineEncoder().encode(reading.point())
    assert len(encoder._heads) <= 2
    assert len(encoder._frames) <= 2


def test_points_among_readings_keep_their_places() -> None:
    """Also when they bring a name that is new, as the first mark of a late hour does, or are refused."""
    made = Reading("s", "d", "a", "z", "bin", BOOT, 1, NOW_MS, NOW_MS, {"fill_pct": 1.0, "temp_c": 30.5}, "ok", 4, 0)
    silent = Reading("s", "d", "a", "z", "bin", BOOT, 2, NOW_MS, NOW_MS, {}, "no-echo", 0, 0)
    mark, bad = Point("due", made.point().tags, NOW_MS, {"mark": 3}), Point("due", {}, NOW_MS, {"mark": 3})
    encoder = LineEncoder()
    lines = [LineEncoder().encode(item.point()) for item in (made, mark, silent, made)]
    for _ in range(3):
        assert encoder.encode_batch([made, mark, silent, made]) == (lines, range(4), [])
        again, positions, rejected = encoder.encode_batch([made, bad, mark, silent, bad, made])
        assert (again, positions, [r.index for r in rejected]) == (lines, [0, 2, 3, 5], [1, 4])


def test_a_reading_that_no_store_takes_is_refused_by_its_place() -> None:
    """What a point would be refused for, its reading is, and leaves its neighbours alone."""
    good = Reading("s", "d", "a", "z", "bin", BOOT, 1, NOW_MS, NOW_MS, {"fill_pct": 1.0}, "ok", 0, 0)
    bad = Reading("s", "d\n", "a", "z", "bin", BOOT, 1, NOW_MS, NOW_MS, {"fill_pct": 1.0}, "ok", 0, 0)
    for encoder in [LineEncoder()] * 2:
        lines, positions, rejected = encoder.encode_batch([good, bad, good])
        assert (len(lines), list(positions)) == (2, [0, 2])
        assert [(r.index, r.code) for r in rejected] == [(1, "bad-tag")]


@pytest.mark.parametrize("name", ["a},{b", "},{", "a,b", 'a"b', "a:b"])
def test_a_name_that_no_store_takes_leaves_the_values_of_others_alone(name: str) -> None:
    """Alone and among others: it is refused, and nothing of it gets into another line."""
    good = Reading("s", "d", "a", "z", "bin", BOOT, 1, NOW_MS, NOW_MS, {"fill_pct": 1.0}, "ok", 0, 0)
    bad = Reading("s", "d", "a", "z", "bin", BOOT, 1, NOW_MS, NOW_MS, {name: 2.0}, "ok", 0, 0)
    encoder = LineEncoder()
    line = encoder.encode(good)
    for readings in ([bad], [bad, good], [good, bad, good]):
        lines, positions, rejected = encoder.encode_batch(readings)
        assert lines == [line] * readings.count(good)
        assert [readings[at] for at in positions] == [good] * len(lines)
        assert [r.index for r in rejected] == [readings.index(bad)]
