"""SenML in JSON (RFC 8428): from a pack with base values to records that stand alone. Pure.

Only what the standard says happens here; what a name means for Resik is decided in :mod:`ingest.makers`.
"""

import math
import re
from typing import Any, Final, NamedTuple

import msgspec

VERSION: Final = 10
"""Newest version of SenML that is understood (section 4.4)."""
MAX_RECORDS: Final = 256
ABSOLUTE_FROM_S: Final = 2**28
"""A time below it is relative to the present (section 4.5.3)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
_BASES: Final = {"bn": "", "bt": 0.0, "bu": "", "bv": 0.0, "bs": 0.0}
_VALUES: Final = ("v", "vs", "vb", "vd", "s")
_decode_pack = msgspec.json.Decoder(list[dict[str, Any]]).decode


class SenmlError(ValueError):
    """A payload is no SenML pack, or one of a later standard."""


class Record(NamedTuple):
    """One resolved record.

    Attributes
    ----------
    base : str
        Base name that was in force: identifies the device.
    name : str
        Name below it.
    time_s : float
        Absolute [s since 1970 UTC], or relative to the present and then 0 or negative, or little ahead.
    unit : str
        Empty when there is none.
    value : float | bool | str | None
        Number, boolean or text; None for a record with a sum or opaque data alone.
    """

    base: str
    name: str
    time_s: float
    unit: str
    value: float | bool | str | None


def resolve(payload: bytes) -> list[Record]:
    """Resolve a pack.

    Returns
    -------
    list[Record]
        In order; entries that only set base values are not among them.

    Raises
    ------
    SenmlError
        With a sentence that says why.
    """
    try:
        pack = _decode_pack(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise SenmlError(f"not a JSON list of objects: {str(error)[:200]}") from error
    if len(pack) > MAX_RECORDS:
        raise SenmlError(f"{len(pack)} records, at most {MAX_RECORDS} are taken")
    base: dict[str, Any] = dict(_BASES)
    records = []
    for entry in pack:
        _check_entry(entry)
        for label, nothing in _BASES.items():
            if label in entry:
                is_text = isinstance(nothing, str)
                base[label] = _text(entry, label) if is_text else _number(entry, label)
        if any(label in entry for label in _VALUES):
            records.append(_record(entry, base))
    return records


def _check_entry(entry: dict[str, Any]) -> None:
    version = entry.get("bver", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version > VERSION:
        raise SenmlError(f"version {str(version)[:20]} is not understood, newest is {VERSION}")
    for label in entry:
        if label.endswith("_"):
            raise SenmlError(f"the label {label[:20]!r} must be understood, and is not")


def _record(entry: dict[str, Any], base: dict[str, Any]) -> Record:
    name = _text(entry, "n") if "n" in entry else ""
    if not _NAME.fullmatch(base["bn"] + name):
        raise SenmlError(f"{(base['bn'] + name)[:60]!r} is not a name")
    found = [label for label in _VALUES[:4] if label in entry]
    if len(found) > 1:
        raise SenmlError(f"{name[:40]!r} has {' and '.join(found)}: one value only")
    value: float | bool | str | None = None
    if "v" in entry:
        value = base["bv"] + _number(entry, "v")
    elif "vb" in entry:
        value = entry["vb"]
        if not isinstance(value, bool):
            raise SenmlError("vb is not a boolean")
    elif "vs" in entry:
        value = _text(entry, "vs")
    time_s = base["bt"] + (_number(entry, "t") if "t" in entry else 0.0)
    unit = _text(entry, "u") if "u" in entry else base["bu"]
    return Record(base["bn"], name, time_s, unit, value)


def _number(entry: dict[str, Any], label: str) -> float:
    value = entry[label]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SenmlError(f"{label} is not a number")
    return float(value)


def _text(entry: dict[str, Any], label: str) -> str:
    value = entry[label]
    if not isinstance(value, str):
        raise SenmlError(f"{label} is not a text")
    return value
