"""What the office knows of its square: plan, rules, places and walking distances. No model is behind it."""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from alerts.domain.policy import Policy as Thresholds
from alerts.plan import AssetPlan, SquarePlan, policy_of
from simulators.parameters import Parameter
from square.calendar import ServiceHours
from square.geometry import LonLat
from square.site import Site

PARAMETERS: Mapping[str, Parameter] = {
    "detour": Parameter(1.3, "1", "assumed detour over the straight line where no path joins two points"),
    "path_reach_m": Parameter(
        1_500, "m", "assumed: places farther apart are measured by the straight line and the detour"
    ),
}
MAX_OPEN_TASKS: Final = 2
"""As the alert engine ships."""
ISPU_TOP: Final = 500


class Walks:
    """Walking distances over the paths of a site, remembered.

    The same lengths as `square.walking` where a path joins two places; straight with a detour elsewhere.

    Parameters
    ----------
    site
        Its paths and its frame.
    """

    def __init__(self, site: Site) -> None:
        self._frame = site.frame
        self._graph = site.walking
        self._neighbours: list[list[tuple[int, float]]] = [[] for _ in self._graph.nodes]
        for a, b, length_m in self._graph.edges:
            self._neighbours[a].append((b, length_m))
            self._neighbours[b].append((a, length_m))
        self._ends: dict[LonLat, tuple[int, float]] = {}
        self._from: dict[int, dict[int, float]] = {}
        self._known: dict[tuple[LonLat, LonLat], float] = {}

    def distance_m(self, a: LonLat, b: LonLat) -> float:
        """Return the walk from a to b [m], always finite."""
        known = self._known.get((a, b))
        if known is None:
            known = self._known[a, b] = self._known[b, a] = self._measured_m(a, b)
        return known

    def _measured_m(self, a: LonLat, b: LonLat) -> float:
        if a == b:
            return 0.0
        straight_m = self._frame.distance_m(a, b)
        metres = math.inf
        if self._neighbours and straight_m <= PARAMETERS["path_reach_m"].value:
            (node_a, leg_a_m), (node_b, leg_b_m) = self._end(a), self._end(b)
            low, high = min(node_a, node_b), max(node_a, node_b)  # as square.walking: the same last bit either way
            metres = (leg_a_m + leg_b_m) + self._reached(low).get(high, math.inf)
        return metres if math.isfinite(metres) else straight_m * PARAMETERS["detour"].value

    def _end(self, place: LonLat) -> tuple[int, float]:
        if place not in self._ends:
            self._ends[place] = self._graph.nearest(*place)
        return self._ends[place]

    def _reached(self, start: int) -> dict[int, float]:
        """Lengths [m] from a vertex to those within a useful reach (Dijkstra)."""
        if start in self._from:
            return self._from[start]
        limit_m = 2 * PARAMETERS["path_reach_m"].value
        done: dict[int, float] = {}
        waiting = [(0.0, start)]
        while waiting:
            metres, node = heapq.heappop(waiting)
            if node in done or metres > limit_m:
                continue
            done[node] = metres
            for other, length_m in self._neighbours[node]:
                if other not in done:
                    heapq.heappush(waiting, (metres + length_m, other))
        self._from[start] = done
        return done


@dataclass(frozen=True)
class ZonePlace:
    """A zone as a place to sweep: middle of its outer ring (lon, lat) and when work is allowed there."""

    place: LonLat
    hours: ServiceHours


@dataclass(frozen=True, eq=False)
class SquareView:
    """What a policy is told before the first minute.

    Attributes
    ----------
    plan : SquarePlan
        Bins, devices, crews, shifts.
    rules : alerts.domain.policy.Policy
        Thresholds of the square.
    volumes_l : Mapping[str, float]
        Brim volume of each bin [l], in file order.
    zone_of : Mapping[str, str]
        Zone of each bin.
    zones : Mapping[str, ZonePlace]
        Places to sweep.
    homes : Mapping[str, LonLat]
        Where each crew begins its shift.
    unload_places : tuple[LonLat, ...]
        Where carts are unloaded; the nearest counts.
    cart_l : float
        Volume of a cart [l].
    walk_mps, empty_s : float
        Planned walking speed and time to empty a bin.
    walks : Walks
        Distances.
    """

    plan: SquarePlan
    rules: Thresholds
    volumes_l: Mapping[str, float]
    zone_of: Mapping[str, str]
    zones: Mapping[str, ZonePlace]
    homes: Mapping[str, LonLat]
    unload_places: tuple[LonLat, ...]
    cart_l: float
    walk_mps: float
    empty_s: float
    walks: Walks = field(repr=False)

    @classmethod
    def of(
        cls,
        site: Site,
        *,
        homes: Mapping[str, LonLat] | None = None,
        unload_places: tuple[LonLat, ...] = (),
        max_open_tasks: int = MAX_OPEN_TASKS,
    ) -> "SquareView":
        """View of a site; crews begin at its depot unless `homes` says otherwise."""
        bins = [b for b in site.bins if b.volume_l > 0]
        return cls(
            plan=SquarePlan.from_site(site),
            rules=policy_of(site, max_open_tasks=max_open_tasks, ispu_top=ISPU_TOP),
            volumes_l={b.id: b.volume_l for b in bins},
            zone_of={b.id: b.zone for b in bins},
            zones=zone_places(site),
            homes={crew.id: (homes or {}).get(crew.id, site.depot.lonlat) for crew in site.crews},
            unload_places=unload_places or (site.tps.lonlat,),
            cart_l=site.rules.cart_volume_l,
            walk_mps=site.rules.walk_speed_mps,
            empty_s=float(site.rules.empty_bin_s),
            walks=Walks(site),
        )

    def asset(self, asset_id: str) -> AssetPlan:
        """Bin of an id."""
        return self.plan.assets[asset_id]

    def place_of(self, kind: str, target: str, near: LonLat) -> LonLat:
        """Where a stop is; the nearest place to unload seen from `near`."""
        if kind == "empty":
            return self.plan.assets[target].place
        if kind == "sweep":
            return self.zones[target].place
        return min(self.unload_places, key=lambda place: self.walks.distance_m(near, place))

    def is_open(self, kind: str, target: str, now_s: float) -> bool:
        """Whether work at a stop is allowed at a moment."""
        if kind == "unload":
            return True
        hours = self.plan.assets[target].hours if kind == "empty" else self.zones[target].hours
        return hours is None or hours.is_allowed(now_s, self.plan.shift_plan.zone)


def zone_places(site: Site) -> dict[str, ZonePlace]:
    """Zones of a site by id, in the order of its plan."""
    return {zone.id: ZonePlace(_middle(zone.rings[0]), zone.hours) for zone in site.zones}


def _middle(ring: tuple[LonLat, ...]) -> LonLat:
    """Return the mean of the corners of a closed ring."""
    corners = ring[:-1]
    return sum(p[0] for p in corners) / len(corners), sum(p[1] for p in corners) / len(corners)
