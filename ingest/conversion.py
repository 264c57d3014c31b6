"""Wire integers of a reading into stored values: one function for each kind, written out from the table of quantities.

Written out and compiled when the module is loaded, because this is the hottest loop of ingest: looping over the table
costs 0.8 us for a bin and 1.4 us for an air station, the written-out form half of it. :func:`source` shows what runs.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from firmware import wire
from ingest.messages import AirBody, BinBody
from square.quantities import FLAG_HUMID, FLAG_IMPLAUSIBLE, HUMID_ABOVE_PCT, Quantity, quantities_of

Convert = Callable[[BinBody | AirBody], tuple[dict[str, float], int, bool]]
"""A checked body into values by stored name, those flags of :mod:`square.quantities` that follow from the values, and
whether anything but supply and signal was measured. What is missing is absent."""


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
        for condition, flag in _judged(q, *wire.FIELDS[kind][q.wire_field]):
            lines += [f"        if {condition}:", f"            flags |= {flag}"]
    return "\n".join([*lines, "    return values, flags, is_measured", ""])


def _judged(q: Quantity, wire_min: int, wire_max: int) -> Iterator[tuple[str, int]]:
    """Return each condition on ``raw``, a whole number within the limits of the wire, and the flag that it sets."""
    low, high = math.ceil(q.plausible_min * q.divisor), math.floor(q.plausible_max * q.divisor)
    beyond = [f"raw < {low}"] * (wire_min < low) + [f"raw > {high}"] * (wire_max > high)
    if beyond:
        yield " or ".join(beyond), FLAG_IMPLAUSIBLE
    if q.name == "rh_pct":
        yield f"raw > {math.floor(HUMID_ABOVE_PCT * q.divisor)}", FLAG_HUMID


def _compiled(kind: str) -> Convert:
    names: dict[str, Any] = {}
    exec(compile(source(kind), f"<conversion of {kind}>", "exec"), names)  # noqa: S102 - our own table, at import
    convert: Convert = names["convert"]
    return convert


CONVERT: Final[dict[str, Convert]] = {kind: _compiled(kind) for kind in wire.MEASURED_FIELDS}
"""By kind."""
