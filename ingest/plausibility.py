"""Whether a reading can be believed: clock window, plausible values, fill level from the echo. Pure.

Out of range for the wire is an error and never comes here; implausible is a fact about a reading that is
kept, with a flag.
"""

from ingest.conversion import CONVERT
from ingest.errors import BadMessageError
from ingest.messages import AirBody, BinBody
from square.geometry import FillGeometry, fill_pct_of
from square.quantities import FLAG_ANCHORED, FLAG_LATE, LATE_AFTER_S

OLDEST_MS = 7 * 24 * 3600 * 1000
"""How far a reading may lie before its arrival at the gateway [ms]: a node's flash queue holds days."""
AHEAD_MS = 120 * 1000
"""How far a reading may lie after its arrival [ms]: tolerance for a clock that runs fast."""

LATE_AFTER_MS = LATE_AFTER_S * 1000
"""Age at arrival above which a reading counts as late [ms]."""


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
    body: BinBody | AirBody,
    *,
    geometry: FillGeometry | None,
    ts_ms: int,
    arrived_ms: int,
    is_anchored: bool,
) -> tuple[dict[str, float], int, bool]:
    """Convert the wire integers of a reading to stored values and judge them.

    Parameters
    ----------
    kind : str
        ``bin`` or ``air``.
    body : BinBody | AirBody
        As it came, of that kind, every field within the limits of the wire.
    geometry : FillGeometry | None
        Of the bin; with a distance it decides the fill level and overrules what the sensor computed.
    ts_ms, arrived_ms : int
        Point time and arrival at the gateway [ms since 1970 UTC].
    is_anchored : bool
        Whether the time comes from the gateway.

    Returns
    -------
    tuple[dict[str, float], int, bool]
        Values by stored name, flag bits, and whether anything but supply and signal was measured.
    """
    values, flags, is_measured = CONVERT[kind](body)
    if is_anchored:
        flags |= FLAG_ANCHORED
    if arrived_ms - ts_ms > LATE_AFTER_MS:
        flags |= FLAG_LATE
    if geometry is not None and "distance_mm" in values:
        values["fill_pct"] = fill_pct_of(geometry, values["distance_mm"])
    return values, flags, is_measured
