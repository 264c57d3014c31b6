"""Standing work: sweeping while nothing else is ordered, and the order in which a round goes through bins.

Resik orders no sweeping yet, so every policy leaves its idle crews the same standing rule. A policy that plans sweeping
gives its own stops instead.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from simulators.contest.policy import CrewReport, CrewView, Stop
from simulators.contest.square_view import SquareView
from simulators.parameters import Parameter
from square.geometry import LonLat

PARAMETERS: Mapping[str, Parameter] = {
    "sweep_every_h": Parameter(
        3,
        "h",
        "assumed: an idle crew sweeps a zone again after this; 6-7 times a day at Lebaran in Malang (tempo.co)",
    ),
}


def next_zone(
    zones: Iterable[str], swept: Mapping[str, float], since: float, is_free: Callable[[str], bool]
) -> str | None:
    """Return the zone that waits longest, the first of several; None when all were swept lately or are not free.

    Parameters
    ----------
    zones
        Whom to choose from, the most wanted first.
    swept
        When each was swept last; who is missing never was.
    since
        Who was swept later than this waits on.
    is_free
        Whether a zone may be swept now, and nobody does.
    """
    due = [
        (at, n, zone) for n, zone in enumerate(zones) if (at := swept.get(zone, -math.inf)) <= since and is_free(zone)
    ]
    return min(due)[2] if due else None


class Sweeper:
    """Who sweeps which zone when nothing else is to do.

    Parameters
    ----------
    square
        Zones and homes.
    """

    def __init__(self, square: SquareView) -> None:
        self._square = square
        self._swept_ms: dict[str, int] = {}
        self._given: dict[str, str] = {}
        self._busy: set[str] = set()
        self._zones = _zones_of_homes(square)
        self.now_ms = 0

    def report(self, said: CrewReport) -> None:
        """Note what was swept."""
        if said.kind == "swept" and said.stop is not None:
            self._swept_ms[said.stop.target] = said.at_ms
            self._let_go(said.crew_id)

    def idle(self, crew: CrewView) -> tuple[Stop, ...]:
        """Return what an idle crew does: goes on sweeping, or takes the zone that waits longest, or rests."""
        given = self._given.get(crew.crew_id)
        if given is not None and Stop("sweep", given) in crew.ahead:
            return (Stop("sweep", given),)
        self._let_go(crew.crew_id)
        since_ms = self.now_ms - round(PARAMETERS["sweep_every_h"].value * 3_600_000)
        zone = next_zone(self._zones[self._square.homes[crew.crew_id]], self._swept_ms, since_ms, self._is_free)
        if zone is None:
            return ()
        self._given[crew.crew_id] = zone
        self._busy.add(zone)
        return (Stop("sweep", zone),)

    def release(self, crews: Sequence[CrewView]) -> None:
        """Forget what crews that went home were sweeping."""
        for crew in crews:
            if not crew.is_on_shift:
                self._let_go(crew.crew_id)

    def _is_free(self, zone: str) -> bool:
        return zone not in self._busy and self._square.is_open("sweep", zone, self.now_ms / 1000)

    def _let_go(self, crew_id: str) -> None:
        self._busy.discard(self._given.pop(crew_id, ""))


def home_near(homes: Sequence[LonLat], place: LonLat) -> LonLat:
    """Return the post that is nearest to a place on the map, the first of several."""
    return min(homes, key=lambda home: (home[0] - place[0]) ** 2 + (home[1] - place[1]) ** 2)


def _zones_of_homes(square: SquareView) -> Mapping[LonLat, Sequence[str]]:
    """Zones by the home that is nearest to them, each list by distance."""
    homes = sorted(set(square.homes.values()))
    found: dict[LonLat, list[tuple[float, str]]] = {home: [] for home in homes}
    for zone_id, zone in square.zones.items():
        near = home_near(homes, zone.place)
        found[near].append((square.walks.distance_m(near, zone.place), zone_id))
    return {home: [zone_id for _, zone_id in sorted(zones)] for home, zones in found.items()}


def tour(square: SquareView, assets: Sequence[str], start: LonLat) -> list[str]:
    """Order bins by always walking to the nearest one that is left; ties by id."""
    left, at, found = set(assets), start, []
    while left:
        asset_id = min(left, key=lambda one: (square.walks.distance_m(at, square.asset(one).place), one))
        left.remove(asset_id)
        found.append(asset_id)
        at = square.asset(asset_id).place
    return found
