"""Wire integers of a reading into stored values, by functions that are written out from the table of quantities.

Written out and compiled because this is the hottest loop of ingest: looping over the table costs 0.8 us for a bin and
1.4 us for an air station, the written-out form half of it. :func:`source` and :func:`form_source` show what runs.

There is one function for each kind, which takes any reading. A node sends the same fields every time: for these there
is one more for each *form*, a set of fields, which takes no other. It builds its values at once instead of one by one.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from firmware import wire
from ingest.messages import AirBody, BinBody
from square.quantities import FLAG_HUMID, FLAG_IMPLAUSIBLE, HUMID_ABOVE_PCT, Quantity, quantities_of

Converted = tuple[dict[str, float], int, bool]
"""Values by stored name, those flags of :mod:`square.quantities` that follow from the values, and whether anything but
supply and signal was measured. What is missing is absent."""

Convert = Callable[[BinBody | AirBody], Converted]
"""Converts a checked body."""

ConvertForm = Callable[[BinBody | AirBody], Converted | None]
"""Converts a checked body of one form; None for one of another form."""

FORMS_LIMIT: Final = 100
"""Forms that are written out. A square has some; compiling one takes as long as converting a thousand readings."""


def source(kind: str) -> str:
    """Return the text of the function that converts a ``bin`` or an ``air``.

    For each quantity it reads, with supply and signal after all that is measured::

        raw = body.temp_cdeg
        if raw is not None:
            values["temp_c"] = raw / 100
            if raw < 500 or raw > 7000:
                flags |= 1

    Two comparisons with whole numbers take half the time of a chained one. What the wire keeps already is not compared.
    """
    quantities = quantities_of(kind)
    if [q.wire_field for q in quantities[-2:]] != ["battery_mv", "rssi_dbm"]:
        raise AssertionError("supply and signal end the table of quantities")
    lines = ["def convert(body):", "    values = {}", "    flags = 0"]
    for q in quantities:
        if q.wire_field == "battery_mv":
            lines.append("    is_measured = True if values else False")  # quicker than a call of bool
        lines += [
            f"    raw = body.{q.wire_field}",
            "    if raw is not None:",
            f"        values[{q.name!r}] = raw / {q.divisor}",
        ]
        lines += [f"        {line}" for line in _judging(kind, q, "raw")]
    return "\n".join([*lines, "    return values, flags, is_measured", ""])


def form_source(kind: str, names: Collection[str]) -> str:
    """Return the text of the function that converts a ``bin`` or an ``air`` with exactly the quantities ``names``.

    For a temperature and no weight it reads::

        temp_cdeg = body.temp_cdeg
        if temp_cdeg is None or body.weight_g is not None:
            return None
        flags = 0
        if temp_cdeg < 500 or temp_cdeg > 7000:
            flags |= 1
        return {"temp_c": temp_cdeg / 100}, flags, True
    """
    quantities = quantities_of(kind)
    sent = [q for q in quantities if q.name in names]
    is_other = [f"{q.wire_field} is None" for q in sent]
    is_other += [f"body.{q.wire_field} is not None" for q in quantities if q not in sent]
    values = ", ".join(f"{q.name!r}: {q.wire_field} / {q.divisor}" for q in sent)
    is_measured = any(q.wire_field not in wire.COMMON_FIELDS for q in sent)
    lines = [f"{q.wire_field} = body.{q.wire_field}" for q in sent]
    lines += [f"if {' or '.join(is_other)}:", "    return None", "flags = 0"]
    lines += [line for q in sent for line in _judging(kind, q, q.wire_field)]
    lines += [f"return {{{values}}}, flags, {is_measured}"]
    return "\n".join(["def convert(body):", *(f"    {line}" for line in lines), ""])


def _judging(kind: str, q: Quantity, raw: str) -> Iterator[str]:
    """Return lines that judge a whole number, by its name, which is within the limits of the wire."""
    low, high = math.ceil(q.plausible_min * q.divisor), math.floor(q.plausible_max * q.divisor)
    wire_low, wire_high = wire.FIELDS[kind][q.wire_field]
    beyond = [f"{raw} < {low}"] * (wire_low < low) + [f"{raw} > {high}"] * (wire_high > high)
    if beyond:
        yield from (f"if {' or '.join(beyond)}:", f"    flags |= {FLAG_IMPLAUSIBLE}")
    if q.name == "rh_pct":
        yield from (f"if {raw} > {math.floor(HUMID_ABOVE_PCT * q.divisor)}:", f"    flags |= {FLAG_HUMID}")


def _compiled(text: str, title: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(text, f"<conversion of {title}>", "exec"), names)  # noqa: S102 - made of our own table
    return names["convert"]


CONVERT: Final[dict[str, Convert]] = {kind: _compiled(source(kind), kind) for kind in wire.MEASURED_FIELDS}
"""By kind."""

_forms: dict[tuple[str, ...], ConvertForm] = {}


def form_of(kind: str, values: Iterable[str]) -> ConvertForm:
    """Return what converts readings of ``kind`` with the quantities ``values``, in the order of the table."""
    key = kind, *values
    form = _forms.get(key)
    if form is None:
        if len(_forms) >= FORMS_LIMIT:
            return CONVERT[kind]
        form = _forms[key] = _compiled(form_source(kind, key[1:]), f"a form of {kind}")
    return form
