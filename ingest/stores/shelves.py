"""Which measurement is kept for how long, and where Influx keeps it.

A *shelf* is a set of measurements with one retention: ``raw`` readings for months, ``hourly`` roll-ups for years,
``daily`` ones for decades. Marks of the roll-up job stand on them too: what is due beside the readings, so that both go
out in one write, and how far it came beside the days, so that it outlives everything it speaks of.
"""

from typing import Final, Literal

import msgspec

Shelf = Literal["raw", "hourly", "daily"]

SHELVES: Final[tuple[Shelf, ...]] = ("raw", "hourly", "daily")

HOURLY: Final = "_1h"
DAILY: Final = "_1d"
"""Endings of the measurements that hold roll-ups."""

DUE: Final = "rollup_due"
"""Hours that readings reached late: one point an hour, its ``mark`` a new random number at every such write."""
DONE: Final = "rollup_done"
"""The ``mark`` that stood in :data:`DUE` when the hour was last rolled up."""
MARK: Final = "rollup_mark"
"""The end of the hours that are rolled up without a gap: the time of its newest point [ms]."""

NOBODY: Final = "-"
"""Device of a roll-up, and asset and device of a mark: no id looks like it."""


class Home(msgspec.Struct, frozen=True):
    """Where an InfluxDB keeps a shelf.

    Attributes
    ----------
    database : str
        Database (1.x, 3.x) or bucket (2.x).
    policy : str
        Retention policy of 1.x; empty for the default one, and in 2.x and 3.x.
    """

    database: str
    policy: str = ""


def shelf_of(measurement: str) -> Shelf:
    """Return the shelf of a measurement.

    >>> shelf_of("bin"), shelf_of("bin_1h"), shelf_of("air_1d")
    ('raw', 'hourly', 'daily')
    """
    if measurement.endswith(HOURLY):
        return "hourly"
    return "daily" if measurement.endswith(DAILY) or measurement == MARK else "raw"


def is_reading(measurement: str) -> bool:
    """Whether a measurement holds readings, not roll-ups or marks.

    >>> is_reading("bin"), is_reading("bin_1h"), is_reading("rollup_due")
    (True, False, False)
    """
    return not measurement.endswith((HOURLY, DAILY)) and measurement not in {DUE, DONE, MARK}
