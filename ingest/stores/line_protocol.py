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

from ingest.store import Point, Rejected
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

FLOATS_LIMIT: Final = 50_000
"""Numbers whose text is kept. What sensors send are whole steps of small units, so the same few thousand come again
and again, and finding the shortest text of a float costs more than all the rest of its field."""

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


class LineEncoder:
    """Encodes points; keeps the escaped head of every series it has seen. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, ...], str] = {}
        self._floats: dict[float, str] = {}
        self._names: set[str] = set()

    def encode(self, point: Point) -> str:
        """Return one line without its newline.

        Raises
        ------
        PointError
            When no store would take the point, NaN and infinity among the reasons.
        """
        tags = point.tags
        head = self._heads.get((point.measurement, *tags, *tags.values()))
        if head is None:
            head = self._add_head(point)
        floats, names = self._floats, self._names
        fields = ""
        for name, value in point.fields.items():
            if name not in names:
                names.add(check_name(name))
            kind = type(value)
            # The plain cases in line: a call per field would double the cost of a point.
            if kind is float:
                text = floats.get(value)  # type: ignore[arg-type]
                fields += f",{name}={text if text is not None else self._add_float(name, value)}"  # type: ignore[arg-type]
            elif kind is int and INT64_MIN <= value <= INT64_MAX:  # type: ignore[operator]
                fields += f",{name}={value}i"
            else:
                field_type(name, value)  # raises for all that is not a sound string by now
                fields += f",{name}={quote_string(str(value))}"
        if not fields:
            raise PointError("bad-field", "a point needs at least one field")
        return f"{head} {fields[1:]} {check_time(point.ts_ms)}"

    def encode_batch(self, points: Sequence[Point]) -> tuple[list[str], list[int], list[Rejected]]:
        """Return the lines, the position in ``points`` of each line, and the points that cannot be written."""
        lines: list[str] = []
        positions: list[int] = []
        rejected: list[Rejected] = []
        for index, point in enumerate(points):
            try:
                lines.append(self.encode(point))
            except PointError as error:
                rejected.append(Rejected(index=index, code=error.code, reason=error.reason))
            else:
                positions.append(index)
        return lines, positions, rejected

    def _add_float(self, name: str, value: float) -> str:
        field_type(name, value)  # raises for NaN and infinity
        if len(self._floats) >= FLOATS_LIMIT:
            self._floats.clear()
        text = self._floats[value] = repr(value)
        return text

    def _add_head(self, point: Point) -> str:
        values = dict(zip(TAGS, check_tags(point.tags), strict=True))
        # An empty tag cannot be written; InfluxDB reads a missing tag as empty.
        tags = "".join(f",{name}={escape_tag(values[name])}" for name in _TAG_ORDER if values[name])
        if len(self._heads) >= HEADS_LIMIT:
            self._heads.clear()
        head = check_name(point.measurement) + tags
        self._heads[point.measurement, *point.tags, *point.tags.values()] = head
        return head
