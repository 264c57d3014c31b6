"""Whether a reading can be believed: clock window, plausible values, fill level from the echo. Pure.

Out of range for the wire is an error and never comes here; implausible is a fact about a reading that is
kept, with a flag.
"""

from collections.abc import Sequence

from ingest.errors import BadMessageError
from square.geometry import FillGeometry, fill_pct_of
from square.quantities import (
    FLAG_ANCHORED,
    FLAG_HUMID,
    FLAG_IMPLAUSIBLE,
    FLAG_LATE,
    HUMID_ABOVE_PCT,
    LATE_AFTER_S,
    quantities_of,
)

OLDEST_MS = 7 * 24 * 3600 * 1000
"""How far a reading may lie before its arrival at the gateway [ms]: a node's flash queue holds days."""
AHEAD_MS = 120 * 1000
"""How far a reading may lie after its arrival [ms]: tolerance for a clock that runs fast."""


WIRE_FIELDS: dict[str, tuple[str, ...]] = {
    kind: tuple(q.wire_field for q in quantities_of(kind)) for kind in ("bin", "air")
}
"""Wire fields of each kind, in the order in which :func:`judge` takes their values."""

# (stored name, divisor, lowest and highest plausible wire value), plain tuples: this is the hottest loop of ingest.
_CONVERSIONS: dict[str, tuple[tuple[str, int, float, float], ...]] = {
    kind: tuple(
        (q.name, q.divisor, q.plausible_min * q.divisor, q.plausible_max * q.divisor) for q in quantities_of(kind)
    )
    for kind in ("bin", "air")
}
_LATE_AFTER_MS = LATE_AFTER_S * 1000


def check_clock(ts_ms: int, arrived_ms: int) -> None:
    """Refuse a point time outside ``[arrived - 7 d, arrived + 120 s]``.

    Relative to the arrival at the gateway, so that a long outage of the uplink condemns nothing.

    Raises
    ------
    BadMessageError
        With code ``clock``.
    """
    if not arrived_ms - OLDEST_MS <= ts_ms <= arrived_ms + AHEAD_MS:
        off_s = (ts_ms - arrived_ms) / 1000
        raise BadMessageError(
            "clock",
            f"measured {abs(off_s):.0f} s {'after' if off_s > 0 else 'before'} it arrived: "
            "accepted are 7 days before to 120 s after; check the clock of the device",
        )


def judge(
    kind: str,
    wire_values: Sequence[int | None],
    *,
    geometry: FillGeometry | None,
    ts_ms: int,
    arrived_ms: int,
    is_anchored: bool,
) -> tuple[dict[str, float], int]:
    """Convert wire integers to stored values and judge them.

    Parameters
    ----------
    kind : str
        ``bin`` or ``air``.
    wire_values : Sequence[int | None]
        Checked wire values in the order of :data:`WIRE_FIELDS`; None where missing.
    geometry : FillGeometry | None
        Of the bin; with a distance it decides the fill level and overrules what the sensor computed.
    ts_ms, arrived_ms : int
        Point time and arrival at the gateway [ms since 1970 UTC].
    is_anchored : bool
        Whether the time comes from the gateway.

    Returns
    -------
    tuple[dict[str, float], int]
        Values by stored name, and flag bits.
    """
    flags = FLAG_ANCHORED if is_anchored else 0
    if arrived_ms - ts_ms > _LATE_AFTER_MS:
        flags |= FLAG_LATE
    values: dict[str, float] = {}
    for (name, divisor, low, high), raw in zip(_CONVERSIONS[kind], wire_values, strict=True):
        if raw is not None:
            values[name] = raw / divisor
            if not low <= raw <= high:
                flags |= FLAG_IMPLAUSIBLE
    if geometry is not None and "distance_mm" in values:
        values["fill_pct"] = fill_pct_of(geometry, values["distance_mm"])
    if values.get("rh_pct", 0.0) > HUMID_ABOVE_PCT:
        flags |= FLAG_HUMID
    return values, flags
