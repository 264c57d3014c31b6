r"""Points as InfluxDB line protocol, one line each, times in milliseconds.

Own encoder: a quarter of the CPU of ``influxdb_client.Point`` (``bench/store_write.py``).

What line protocol cannot say is refused, not altered: a tag value with a control character (a newline ends the line) or
with a backslash before a comma, space, ``=`` or its end (it would take an escape or a separator apart). Measurement and
field names are plain words (:func:`ingest.stores.points.check_name`) and need no escapes. In tag values comma, space
and ``=`` take a backslash and other backslashes stand for themselves; in string fields quote and backslash take one and
a newline is allowed.
Source: docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference, section special characters.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from ingest.readings import Reading
from ingest.store import Point, Rejected, Writable
from ingest.stores.points import (
    INT64_MAX,
    INT64_MIN,
    TAGS,
    PointError,
    check_name,
    check_tags,
    check_time,
    field_type,
)

HEADS_LIMIT: Final = 50_000
"""Tag heads kept. A square has some thousand series; the limit only bounds a misuse."""

FRAMES_LIMIT: Final = 50_000
"""What stands around the values of a reading, kept by all that it follows from. A square has some for each device."""

_TAG_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_STRING_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": r"\\"})
_TAG_ORDER: Final = sorted(TAGS)
"""InfluxDB sorts the tags of every line; lines that come sorted cost it less."""


def escape_tag(value: str) -> str:
    r"""Return a tag value as written in a line. The value MUST have passed :func:`~ingest.stores.points.check_tags`.

    >>> print(escape_tag("pintu 1,timur"))
    pintu\ 1\,timur
    """
    return value.translate(_TAG_ESCAPES)


def quote_string(value: str) -> str:
    r"""Return a string field as written in a line.

    >>> print(quote_string('a"b'))
    "a\"b"
    """
    return f'"{value.translate(_STRING_ESCAPES)}"'


_encode_lines = msgspec.json.Encoder().encode_lines
_EQUALS_FOR_COLON: Final = bytes.maketrans(b":", b"=")


def values_of(values: Sequence[dict[str, float]]) -> list[str]:
    """Return the values of each reading as written in its line; the names MUST be plain words, the numbers finite.

    All of them go through the JSON encoder in one call: it writes the shortest text of a float, as ``repr`` does, in a
    fifth of the time. What its text has between the numbers is the same everywhere, and becomes what a line has there.
    """
    return _encode_lines(values).translate(_EQUALS_FOR_COLON, b'{"}').decode().split("\n")[:-1]


class LineEncoder:
    """Encodes points; keeps the escaped head of every series it has seen. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, ...], str] = {}
        self._names: set[str] = set()
        self._frames: dict[tuple[str | int, ...], tuple[str, str]] = {}

    def encode(self, item: Writable) -> str:
        """Return one line without its newline.

        Raises
        ------
        PointError
            When no store would take the point, NaN and infinity among the reasons.
        """
        lines, _, rejected = self.encode_batch([item])
        if rejected:
            raise PointError(rejected[0].code, rejected[0].reason)
        return lines[0]

    def _encode_point(self, point: Point) -> str:
        head, names = self._head_of(point), self._names
        fields = ""
        for name, value in point.fields.items():
            if name not in names:
                names.add(check_name(name))
            kind = type(value)
            # The plain cases in line: a call per field would double the cost of a point.
            if kind is float:
                field_type(name, value)  # raises for NaN and infinity
                fields += f",{name}={value!r}"
            elif kind is int and INT64_MIN <= value <= INT64_MAX:  # type: ignore[operator]
                fields += f",{name}={value}i"
            else:
                field_type(name, value)  # raises for all that is not a sound string by now
                fields += f",{name}={quote_string(str(value))}"
        if not fields:
            raise PointError("bad-field", "a point needs at least one field")
        return f"{head} {fields[1:]} {check_time(point.ts_ms)}"

    def encode_batch(self, points: Sequence[Writable]) -> tuple[list[str], Sequence[int], list[Rejected]]:
        """Return the lines, the position in ``points`` of each line, and the points that cannot be written."""
        lines: list[str] = []
        rejected: list[Rejected] = []
        frames, append = self._frames, lines.append
        measured = [item.values if type(item) is Reading else {} for item in points]
        # Names that were not seen yet are looked at with the points of this batch; from then on they are known.
        are_plain = self._names.issuperset(set().union(*measured))
        written = values_of(measured) if are_plain else [""] * len(points)
        for item, own in zip(points, written, strict=True):
            try:
                if not own or type(item) is not Reading:
                    append(self._encode_point(item.point()))
                    continue
                # Without its point, which costs three times as much; the line is the same. This trusts the types of a
                # reading and its values to be finite: they are quotients of checked integers.
                of = (
                    item.kind,
                    item.site,
                    item.asset,
                    item.device,
                    item.zone,
                    item.state,
                    item.quality,
                    item.flags,
                    item.boot,
                )
                try:
                    before, after = frames[of]
                except KeyError:
                    append(self._encode_first(item, of))
                else:
                    append(f"{before}{own}{after}{item.seq}i {item.ts_ms}")
            except PointError as error:
                rejected.append(Rejected(index=len(lines) + len(rejected), code=error.code, reason=error.reason))
        if not rejected:
            return lines, range(len(points)), rejected
        left_out = {r.index for r in rejected}
        return lines, [index for index in range(len(points)) if index not in left_out], rejected

    def _encode_first(self, reading: Reading, of: tuple[str | int, ...]) -> str:
        """Write a reading as a point, and keep what stands around its values: by now it is known to be sound."""
        point = reading.point()
        line = self._encode_point(point)
        if len(self._frames) >= FRAMES_LIMIT:
            self._frames.clear()
        judged = f",state={quote_string(reading.state)},quality={reading.quality}i,flags={reading.flags}i"
        self._frames[of] = f"{self._head_of(point)} ", f"{judged},boot={reading.boot}i,seq="
        return line

    def _head_of(self, point: Point) -> str:
        tags = point.tags
        key = point.measurement, *tags, *tags.values()
        head = self._heads.get(key)
        if head is None:
            values = dict(zip(TAGS, check_tags(tags), strict=True))
            # An empty tag cannot be written; InfluxDB reads a missing tag as empty.
            written = "".join(f",{name}={escape_tag(values[name])}" for name in _TAG_ORDER if values[name])
            if len(self._heads) >= HEADS_LIMIT:
                self._heads.clear()
            head = self._heads[key] = check_name(point.measurement) + written
        return head
