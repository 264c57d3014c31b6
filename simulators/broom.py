"""Sweeping of the live square: what crews do while the office has no task for them.

The office orders no sweeping yet, so it is a standing rule, the same that crews of a contest have: whoever is idle
takes the zone that waits longest.
"""

from collections.abc import Callable

from simulators.contest.hands import sweep_s
from simulators.contest.rounds import PARAMETERS as ROUND_PARAMETERS
from simulators.contest.rounds import next_zone
from simulators.contest.square_view import zone_places
from square.geometry import LonLat
from square.site import Site


class Broom:
    """Which zone is next, how long it takes, and who is at it.

    Parameters
    ----------
    site
        The plan.
    sweep
        Sweeps the zone of an id: litres taken, None where there is no such zone.
    litter_l
        Litter that lies in the zone of an id [l].
    """

    def __init__(self, site: Site, sweep: Callable[[str], float | None], litter_l: Callable[[str], float]) -> None:
        self._sweep = sweep
        self._litter_l = litter_l
        self._time_zone = site.zone_info
        self._zones = zone_places(site)
        self._swept_s: dict[str, float] = {}
        self._taken: set[str] = set()

    def take(self, now_s: float) -> str | None:
        """Give out the zone that waits longest; None when all were swept lately or are in hand."""

        def is_free(zone: str) -> bool:
            return zone not in self._taken and self._zones[zone].hours.is_allowed(now_s, self._time_zone)

        since_s = now_s - ROUND_PARAMETERS["sweep_every_h"].value * 3600
        zone = next_zone(self._zones, self._swept_s, since_s, is_free)
        if zone is not None:
            self._taken.add(zone)
        return zone

    def place(self, zone: str) -> LonLat:
        """Return where a zone is."""
        return self._zones[zone].place

    def work_s(self, zone: str) -> float:
        """Return how long sweeping takes [s of the square]: walking it, and more the more lies there."""
        return sweep_s(self._litter_l(zone))

    def done(self, zone: str, now_s: float) -> float:
        """Sweep a zone that was taken; return the litres."""
        self._taken.discard(zone)
        self._swept_s[zone] = now_s
        return self._sweep(zone) or 0.0

    def leave(self, zone: str) -> None:
        """Leave a zone that was taken as it is: a task came."""
        self._taken.discard(zone)
