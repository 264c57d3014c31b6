"""Wire integers of a reading into stored values: one function for each kind, written out from the table of quantities.

Written out and compiled when the module is loaded, because this is the hottest loop of ingest: looping over the table
costs 0.8 us for a bin and 1.4 us for an air station, the written-out form half of it. :func:`source` shows what runs.
"""

from collections.abc import Callable
from typing import Any, Final

from firmware import wire
from ingest.messages import AirBody, BinBody
from square.quantities import FLAG_IMPLAUSIBLE, quantities_of

Convert = Callable[[BinBody | AirBody], tuple[dict[str, float], int, bool]]
"""A checked body into values by stored name, 0 or :data:`~square.quantities.FLAG_IMPLAUSIBLE`, and whether anything
but supply and signal was measured. What is missing is absent."""


def source(kind: str) -> str:
    """Return the text of the function that converts a ``bin`` or an ``air``.

    For each quantity it reads, with supply and signal after all that is measured::

        raw = body.temp_cdeg
        if raw is not None:
            values["temp_c"] = raw / 100
            if not 500 <= raw <= 7000:
                flags = 1
    """
    quantities = quantities_of(kind)
    if [q.wire_field for q in quantities[-2:]] != ["battery_mv", "rssi_dbm"]:
        raise AssertionError("supply and signal end the table of quantities")
    lines = ["def convert(body):", "    values = {}", "    flags = 0"]
    for q in quantities:
        if q.wire_field == "battery_mv":
            lines.append("    is_measured = bool(values)")
        lines += [
            f"    raw = body.{q.wire_field}",
            "    if raw is not None:",
            f"        values[{q.name!r}] = raw / {q.divisor}",
            f"        if not {q.plausible_min * q.divisor!r} <= raw <= {q.plausible_max * q.divisor!r}:",
            f"            flags = {FLAG_IMPLAUSIBLE}",
        ]
    return "\n".join([*lines, "    return values, flags, is_measured", ""])


def _compiled(kind: str) -> Convert:
    names: dict[str, Any] = {}
    exec(compile(source(kind), f"<conversion of {kind}>", "exec"), names)  # noqa: S102 - our own table, at import
    convert: Convert = names["convert"]
    return convert


CONVERT: Final[dict[str, Convert]] = {kind: _compiled(kind) for kind in wire.MEASURED_FIELDS}
"""By kind."""
