r"""Points as InfluxDB line protocol, one line each, times in milliseconds.

Own encoder: a quarter of the CPU of ``influxdb_client.Point`` (``bench/store_write.py``).

What line protocol cannot say is refused, not altered: a tag value with a control character (a newline ends the line) or
with a backslash before a comma, space, ``=`` or its end (it would take an escape or a separator apart). Measurement and
field names are plain words (:func:`ingest.stores.points.check_name`) and need no escapes. In tag values comma, space
and ``=`` take a backslash and other backslashes stand for themselves; in string fields quote and backslash take one and
a newline is allowed.
Source: docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference, section special characters.
"""

from collections.abc import Callable, Sequence
from typing import Final

from firmware import wire
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
from square.quantities import QUANTITIES

HEADS_LIMIT: Final = 50_000
"""Tag heads kept. A square has some thousand series; the limit only bounds a misuse."""

TEXTS_LIMIT: Final = 20_000
"""Numbers whose text is kept [some 3 MB]; later ones are written afresh each time. Most of what sensors send are steps
of a coarse unit, so the same few thousand come again and again, and the shortest text of a float takes 3 to 8 times as
long to find as to look up."""

SHAPES_LIMIT: Final = 500
"""Sets of fields whose writer is kept. A square has some dozen; beyond the limit readings are written as points."""

_TAG_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_STRING_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": r"\\"})
_COARSE_STEPS: Final = 20_000
"""Believable values of a quantity up to which their texts are worth keeping."""
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


_STATES: Final = {state: quote_string(state) for state in wire.STATES}


def is_coarse(name: str) -> bool:
    """Whether the values of a field come again so often that the text of each is worth keeping.

    >>> is_coarse("temp_c"), is_coarse("pm25_ugm3")
    (True, False)
    """
    q = QUANTITIES.get(name)
    return q is not None and (q.plausible_max - q.plausible_min) * q.divisor <= _COARSE_STEPS


_TextOf = Callable[[float], str | None]
_WriteValues = Callable[[dict[str, float], _TextOf, _TextOf], str]


def writer_of(names: Sequence[str]) -> _WriteValues:
    """Return what writes the values of a reading that has precisely these.

    It takes the values, what finds the text of a number that was kept, and what makes it. Compiled, because a loop over
    the values takes twice as long (1.2 us for an air station against 0.6).

    >>> writer_of(["temp_c", "pm25_ugm3"])({"temp_c": 30.5, "pm25_ugm3": 18.704}, {}.get, repr)
    'temp_c=30.5,pm25_ugm3=18.704'
    """
    fields = ",".join(
        f"{name}={{find(values[{name!r}]) or make(values[{name!r}])}}"
        if is_coarse(name)
        else f"{name}={{values[{name!r}]!r}}"
        for name in map(check_name, names)
    )
    write: _WriteValues = eval(f'lambda values, find, make: f"""{fields}"""')  # noqa: S307 - plain words, checked
    return write


class LineEncoder:
    """Encodes points; keeps the escaped head of every series it has seen. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, ...], str] = {}
        self._texts: dict[float, str] = {}
        self._find_text, self._make_text = self._texts.get, self._add_text  # binding them each time would cost 0.1 us
        self._names: set[str] = set()
        self._reading_heads: dict[tuple[str, ...], str] = {}
        self._writers: dict[tuple[str, ...], _WriteValues] = {}

    def encode(self, item: Writable) -> str:
        """Return one line without its newline.

        Raises
        ------
        PointError
            When no store would take the point, NaN and infinity among the reasons.
        """
        return self._encode_reading(item) if type(item) is Reading else self._encode_point(item.point())

    def _encode_reading(self, reading: Reading) -> str:
        """Write a reading without its point, which costs half; the line is the same.

        It trusts the types of a reading, and its values to be finite: they are quotients of checked integers.
        """
        values = reading.values
        series = reading.kind, reading.site, reading.asset, reading.device, reading.zone
        try:
            head, write, state = self._reading_heads[series], self._writers[tuple(values)], _STATES[reading.state]
            return (
                f"{head} {write(values, self._find_text, self._make_text)},state={state},quality={reading.quality}i,"
                f"flags={reading.flags}i,boot={reading.boot}i,seq={reading.seq}i {reading.ts_ms}"
            )
        except KeyError:
            return self._encode_first(reading, series)

    def _encode_first(self, reading: Reading, series: tuple[str, ...]) -> str:
        """Write a reading in which something is new as a point, and note how it is written from now on."""
        point = reading.point()
        line = self._encode_point(point)
        if len(self._reading_heads) >= HEADS_LIMIT:
            self._reading_heads.clear()
        self._reading_heads[series] = self._head_of(point)
        names = tuple(reading.values)
        if names and names not in self._writers and len(self._writers) < SHAPES_LIMIT:
            self._writers[names] = writer_of(names)
        return line

    def _encode_point(self, point: Point) -> str:
        head = self._head_of(point)
        texts, names = self._texts, self._names
        fields = ""
        for name, value in point.fields.items():
            if name not in names:
                names.add(check_name(name))
            kind = type(value)
            # The plain cases in line: a call per field would double the cost of a point.
            if kind is float:
                text = texts.get(value)  # type: ignore[arg-type]
                if text is None:
                    field_type(name, value)  # raises for NaN and infinity
                    text = self._add_text(value) if is_coarse(name) else repr(value)  # type: ignore[arg-type]
                fields += f",{name}={text}"
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
        write_reading, write_point = self._encode_reading, self._encode_point
        for index, item in enumerate(points):
            try:
                lines.append(write_reading(item) if type(item) is Reading else write_point(item.point()))
            except PointError as error:
                rejected.append(Rejected(index=index, code=error.code, reason=error.reason))
        if not rejected:
            return lines, range(len(points)), rejected
        left_out = {r.index for r in rejected}
        return lines, [index for index in range(len(points)) if index not in left_out], rejected

    def _add_text(self, value: float) -> str:
        text = repr(value)
        if len(self._texts) < TEXTS_LIMIT:
            self._texts[value] = text
        return text

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
