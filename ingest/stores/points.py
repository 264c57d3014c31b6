"""What every store accepts as a point, checked before anything is sent or written.

The rules follow the strictest store that Resik supports, so that a point which one adapter takes is
taken by all of them: VictoriaMetrics, for one, answers 204 to a bad value and stores 0 (measured on 1.79.5).
"""

import math
import re
from collections.abc import Sequence
from typing import Final, Literal

from ingest.store import FieldValue

FieldType = Literal["float", "int", "str"]

TAGS: Final = ("site", "asset", "device", "zone")
"""Tag names in their order on the wire and in the tables. ``zone`` alone may be empty."""

INT_FIELDS: Final = frozenset({"boot", "seq", "quality", "flags", "mark"})
"""Fields stored as integers. InfluxDB prints the float 74.0 as ``74``: only the name tells the type."""

STR_FIELDS: Final = frozenset({"state"})
"""Fields stored as text. Every other field is a float, the counts of roll-ups included."""

REASON_LIMIT: Final = 300
"""Longest reason kept with a rejected point [characters]."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\x7f]|\\$|\\[,= ]")
"""In a tag value: control characters, and a backslash where an escape or a separator would follow in the line:
InfluxDB 1.x then takes the escape apart and looks for the end of the line in the wrong place."""
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
_TS_MAX_MS: Final = 9_223_372_036_854
"""Last millisecond whose nanoseconds fit in 63 bits: the year 2262, InfluxDB's own end."""


class PointError(ValueError):
    """A point that no store will ever take.

    Attributes
    ----------
    code : str
        ``bad-name``, ``bad-tag``, ``bad-field`` or ``bad-time``.
    reason : str
        One sentence for a person.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason[:REASON_LIMIT]


def check_name(name: str) -> str:
    """Return a measurement or field name, or raise :class:`PointError` unless it is ``[a-z][a-z0-9_]{0,62}``.

    The narrow alphabet makes a name safe as an SQL or InfluxQL identifier and keeps names equal in all stores.
    """
    if not _NAME.fullmatch(name):
        raise PointError("bad-name", f"name {name!r} is not lower-case letters, digits and _")
    return name


def check_tags(tags: dict[str, str]) -> tuple[str, str, str, str]:
    """Return ``(site, asset, device, zone)``.

    Raises
    ------
    PointError
        When site, asset or device is missing or empty, when another tag is present, or when a value holds a control
        character or a backslash before a comma, space, equals sign or its end: line protocol cannot write these.
    """
    site, asset, device, zone = values = tuple(tags.get(name, "") for name in TAGS)
    if not (site and asset and device):
        raise PointError("bad-tag", f"site, asset and device must all be set, got {tags!r}")
    if len(tags) > len(TAGS) or not tags.keys() <= set(TAGS):
        raise PointError("bad-tag", f"only {', '.join(TAGS)} are tags, got {', '.join(sorted(tags))}")
    for name, value in zip(TAGS, values, strict=True):
        if _UNWRITABLE.search(value) or not _is_unicode(value):
            raise PointError(
                "bad-tag",
                f"tag {name} holds a control character, or a backslash before a comma, space, = or its end: {value!r}",
            )
    return site, asset, device, zone


def check_time(ts_ms: int) -> int:
    """Return a point time [ms since 1970 UTC], or raise :class:`PointError` outside 1970..2262."""
    if not 0 <= ts_ms <= _TS_MAX_MS:
        raise PointError("bad-time", f"time {ts_ms} ms is outside 1970..2262")
    return ts_ms


def field_type(name: str, value: FieldValue) -> FieldType:
    """Return the stored type of a field's value.

    Raises
    ------
    PointError
        For NaN, infinity, an integer beyond 64 bits, a bool, or anything that is not a number or a string.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PointError("bad-field", f"field {name} is {value}: a missing value is left out, never NaN")
        return "float"
    if isinstance(value, int) and not isinstance(value, bool):
        if not INT64_MIN <= value <= INT64_MAX:
            raise PointError("bad-field", f"field {name} does not fit in 64 bits")
        return "int"
    if isinstance(value, str):
        if "\x00" in value or not _is_unicode(value):
            raise PointError("bad-field", f"field {name} holds a NUL character or half a character")
        return "str"
    raise PointError("bad-field", f"field {name} is a {type(value).__name__}, not float, int or str")


def check_series_request(fields: Sequence[str], every_s: int | None) -> None:
    """Raise :class:`ValueError` unless a field is named and ``every_s`` [s] is positive or None."""
    if not fields:
        raise ValueError("name at least one field")
    if every_s is not None and every_s <= 0:
        raise ValueError(f"every_s must be positive, got {every_s}")


def _is_unicode(text: str) -> bool:
    """Whether a text can be encoded: half of a surrogate pair, which JSON escapes can smuggle in, cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
