"""The line encoder says exactly what the point says, or refuses it."""

import math
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.store import Point
from ingest.stores.line_protocol import LineEncoder
from ingest.stores.points import PointError

NAMES = st.text(string.ascii_lowercase + string.digits + "_", max_size=12).map(lambda tail: "f" + tail)
NASTY = st.text(st.sampled_from(" ,=\"\\abZ0é🗑'#"), min_size=1, max_size=12)
TEXT = NASTY | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1, max_size=20)
TAG_TEXT = (NASTY | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)).filter(
    lambda text: not re.search(r"\\([,= ]|$)", text)
)
FIELD_VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=20)
    | NASTY
)
POINTS = st.builds(
    Point,
    measurement=st.sampled_from(["bin", "air"]),
    tags=st.fixed_dictionaries(
        {"site": TAG_TEXT, "asset": TAG_TEXT, "device": TAG_TEXT, "zone": TAG_TEXT | st.just("")}
    ),
    ts_ms=st.integers(0, 9_223_372_036_854),
    fields=st.dictionaries(NAMES, FIELD_VALUES, min_size=1, max_size=6),
)


def parse_line(line: str) -> Point:  # noqa: C901 - one pass over one grammar
    """Read one line the way InfluxDB 1.x documents it: an independent, deliberately plain parser."""

    def take(stops: str, *, start: int) -> tuple[str, int]:
        at = start
        while at < len(line) and not (line[at] in stops and line[at - 1] != "\\"):
            at += 1
        return line[start:at], at

    def plain(word: str, specials: str) -> str:
        for special in specials:
            word = word.replace("\\" + special, special)
        return word

    measurement, at = take(", ", start=0)
    tags = {"zone": ""}
    while line[at] == ",":
        key, at = take("=", start=at + 1)
        value, at = take(", ", start=at + 1)
        tags[plain(key, ",= ")] = plain(value, ",= ")
    fields: dict[str, float | int | str] = {}
    while True:
        key, at = take("=", start=at + 1)
        at += 1
        if line[at] == '"':
            text, at = "", at + 1
            while line[at] != '"':
                if line[at] == "\\" and line[at + 1] in '"\\':
                    at += 1
                text, at = text + line[at], at + 1
            at += 1
            fields[key] = text
        else:
            number, at = take(", ", start=at)
            fields[key] = int(number[:-1]) if number.endswith("i") else float(number)
        if line[at] == " ":
            return Point(measurement, tags, int(line[at + 1 :]), fields)


@given(POINTS)
@example(Point("bin", {"site": "a\\b", "asset": "= ", "device": ",", "zone": "\\\\x"}, 0, {"f": 'a"\\'}))
@example(Point("bin", {"site": "s", "asset": "a", "device": "d", "zone": ""}, 1, {"f": "two\nlines", "g": -0.0}))
def test_encode_then_parse_gives_the_point_back(point: Point):
    """Nothing is lost, altered or able to break out of its place, whatever the texts hold."""
    back = parse_line(LineEncoder().encode(point))
    assert back == point
    assert {k: type(v) for k, v in back.fields.items()} == {k: type(v) for k, v in point.fields.items()}


@given(st.lists(POINTS, min_size=1, max_size=5))
def test_the_cached_head_belongs_to_its_own_series(points: list[Point]):
    """One encoder for many series gives the same lines as a fresh one for each point."""
    shared = LineEncoder()
    twice = [shared.encode(point) for point in [*points, *points]]
    assert twice == [LineEncoder().encode(point) for point in points] * 2


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, True, None, 2**63, -(2**63) - 1, b"x", "nul\x00", "\ud800"]
)
def test_a_value_that_no_store_takes_is_refused(value: object):
    """NaN and its like never reach a server: VictoriaMetrics would answer 204 and store 0."""
    point = Point("bin", {"site": "s", "asset": "a", "device": "d"}, 1, {"fill_pct": value})  # type: ignore[dict-item]
    with pytest.raises(PointError) as refused:
        LineEncoder().encode(point)
    assert refused.value.code == "bad-field"


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"site": "s", "asset": "a"}, "must all be set"),
        ({"site": "s", "asset": "", "device": "d"}, "must all be set"),
        ({"site": "s", "asset": "a", "device": "d", "firmware": "1"}, "only"),
        ({"site": "s", "asset": "a\nb", "device": "d"}, "control character"),
        ({"site": "s", "asset": "a\\", "device": "d"}, "backslash"),
        ({"site": "s", "asset": "a\\ b", "device": "d"}, "backslash"),
        ({"site": "s", "asset": "a\\,b", "device": "d"}, "backslash"),
        ({"site": "s", "asset": "\ud800", "device": "d"}, "control character"),
    ],
)
def test_tags_that_cannot_be_written_are_refused(tags: dict[str, str], word: str):
    """A newline would start a second line; a backslash before an escape or a separator would take it apart."""
    with pytest.raises(PointError, match=word) as refused:
        LineEncoder().encode(Point("bin", tags, 1, {"seq": 1}))
    assert refused.value.code == "bad-tag"


@pytest.mark.parametrize(
    ("measurement", "field", "ts_ms", "code"),
    [
        ("Bin", "seq", 1, "bad-name"),
        ("bin,x=1", "seq", 1, "bad-name"),
        ("#bin", "seq", 1, "bad-name"),
        ("bin", "se q", 1, "bad-name"),
        ("bin", 'seq"', 1, "bad-name"),
        ("bin", "seq", -1, "bad-time"),
        ("bin", "seq", 9_223_372_036_855, "bad-time"),
    ],
)
def test_names_and_times_are_checked(measurement: str, field: str, ts_ms: int, code: str):
    """Names are plain words and times lie where nanoseconds still fit in 63 bits."""
    point = Point(measurement, {"site": "s", "asset": "a", "device": "d"}, ts_ms, {field: 1})
    with pytest.raises(PointError) as refused:
        LineEncoder().encode(point)
    assert refused.value.code == code


def test_a_point_without_fields_is_refused():
    """Line protocol has no line without a field."""
    with pytest.raises(PointError, match="at least one field"):
        LineEncoder().encode(Point("bin", {"site": "s", "asset": "a", "device": "d"}, 1, {}))


def test_a_batch_keeps_the_good_points_and_names_the_bad_ones_by_position():
    """Positions lead from a line back to its point when other points were refused before it."""
    tags = {"site": "s", "asset": "a", "device": "d"}
    good = [Point("bin", tags, n, {"seq": n}) for n in range(3)]
    batch = [good[0], Point("bin", tags, 1, {"seq": math.nan}), good[1], Point("bin", {}, 1, {"seq": 1}), good[2]]
    lines, positions, rejected = LineEncoder().encode_batch(batch)
    assert positions == [0, 2, 4]
    assert [parse_line(line).ts_ms for line in lines] == [0, 1, 2]
    assert [(r.index, r.code) for r in rejected] == [(1, "bad-field"), (3, "bad-tag")]


def test_a_real_line_reads_as_expected():
    """The exact text of one line, tags sorted, floats and integers apart, zone left out when empty."""
    point = Point(
        "bin",
        {"site": "alun-alun", "asset": "bin-01", "device": "rsk-b001", "zone": ""},
        1_795_488_752_123,
        {"fill_pct": 74.0, "state": "ok", "seq": 17},
    )
    assert LineEncoder().encode(point) == (
        'bin,asset=bin-01,device=rsk-b001,site=alun-alun fill_pct=74.0,state="ok",seq=17i 1795488752123'
    )
