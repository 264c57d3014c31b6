"""What the engine needs of a site: assets with their devices, crews, shifts, paths and thresholds."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Self

import msgspec

from alerts.domain.dispatch import LonLat
from alerts.domain.policy import Policy
from square.calendar import ServiceHours, ShiftPlan
from square.registry import Registry
from square.site import AirStation, Bin, Crew, Device, Site
from square.walking import WalkingGraph

_PLACES_CACHED = 4096


class AssetPlan(msgspec.Struct, frozen=True):
    """A bin or station and the active device on it.

    Attributes
    ----------
    id, kind : str
        Asset id; ``bin`` or ``air``.
    place : tuple[float, float]
        Longitude and latitude [degrees].
    device_id : str | None
        Active device, None when there is none: such an asset is never silent, it is unequipped.
    interval_s : int
        Report interval of the device [s].
    hours : ServiceHours | None
        When a bin may be emptied; None for a station.
    """

    id: str
    kind: str
    place: LonLat
    device_id: str | None
    interval_s: int
    hours: ServiceHours | None


class SquarePlan:
    """One site as the engine sees it.

    Parameters
    ----------
    site_id : str
        The site.
    assets, devices, crews : Sequence
        Everything of the plan.
    shift_plan : ShiftPlan
        Who works when, and the zone of the square.
    walking : WalkingGraph
        Paths.
    base : tuple[float, float]
        Where crews start (lon, lat).
    """

    def __init__(
        self,
        site_id: str,
        *,
        assets: Sequence[AssetPlan],
        devices: Sequence[Device],
        crews: Sequence[Crew],
        shift_plan: ShiftPlan,
        walking: WalkingGraph,
        base: LonLat,
    ) -> None:
        self.site_id = site_id
        self.assets: Mapping[str, AssetPlan] = {asset.id: asset for asset in assets}
        self.devices = tuple(devices)
        self.crews = tuple(crews)
        self.shift_plan = shift_plan
        self.base = base
        self._walking = walking
        self.walk_m = lru_cache(_PLACES_CACHED)(self._walk_m)

    @classmethod
    def from_site(cls, site: Site) -> Self:
        """Plan of a loaded site."""
        registry = Registry.from_site(site)
        assets: list[AssetPlan] = []
        everything: list[Bin | AirStation] = [*site.bins, *site.air_stations]
        for asset in everything:
            placement = registry.placement_of(asset.id)
            is_bin = isinstance(asset, Bin)
            default_s = site.bin_interval_s if is_bin else site.air_interval_s
            assets.append(
                AssetPlan(
                    id=asset.id,
                    kind="bin" if is_bin else "air",
                    place=asset.lonlat,
                    device_id=None if placement is None else placement.device.id,
                    interval_s=default_s if placement is None else placement.device.interval_s,
                    hours=asset.hours if isinstance(asset, Bin) else None,
                )
            )
        return cls(
            site.id,
            assets=assets,
            devices=site.devices,
            crews=site.crews,
            shift_plan=site.shift_plan,
            walking=site.walking,
            base=site.depot.lonlat,
        )

    def of_kind(self, kind: str) -> list[tuple[str, str | None]]:
        """``(asset id, device id)`` of every asset of a kind."""
        return [(asset.id, asset.device_id) for asset in self.assets.values() if asset.kind == kind]

    def is_on_shift(self, shift_id: str, now_ms: int) -> bool:
        """Whether a shift works at an instant [ms]."""
        return self.shift_plan.is_on_shift(shift_id, now_ms / 1000)

    def is_leaving(self, shift_id: str, now_ms: int) -> bool:
        """Whether a shift is in its handover: it finishes what it has and gets nothing new."""
        later_ms = now_ms + self.shift_plan.handover_min * 60_000
        return not self.is_on_shift(shift_id, later_ms)

    def has_left(self, shift_id: str, now_ms: int) -> bool:
        """Whether a shift ended so long ago that accepted work is not going on any more."""
        earlier_ms = now_ms - self.shift_plan.handover_min * 60_000
        return not self.is_on_shift(shift_id, now_ms) and not self.is_on_shift(shift_id, earlier_ms)

    def is_serviceable(self, asset_id: str, now_ms: int) -> bool:
        """Whether a bin may be emptied at an instant [ms]."""
        hours = self.assets[asset_id].hours
        return hours is None or hours.is_allowed(now_ms / 1000, self.shift_plan.zone)

    def place_of_crew(self, last_asset: str | None) -> LonLat:
        """Where a crew is taken to be: at the last bin it was sent to, else at the depot. Nobody is tracked."""
        if last_asset is not None and last_asset in self.assets:
            return self.assets[last_asset].place
        return self.base

    def _walk_m(self, a: LonLat, b: LonLat) -> float:
        return self._walking.distance_m(a, b)


def policy_of(site: Site, *, max_open_tasks: int, ispu_top: int) -> Policy:
    """Thresholds of a site: ``[rules]`` of its ``site.toml`` over the defaults of :class:`Policy`."""
    rules = site.rules
    return Policy(
        half_pct=rules.half_pct,
        filling_pct=rules.filling_pct,
        full_pct=rules.full_pct,
        overflow_pct=rules.overflow_pct,
        full_clear_pct=rules.full_clear_pct,
        min_drop_pct=rules.emptied_drop_pct,
        soon_full_h=rules.soon_full_h,
        silent_factor=rules.silent_factor,
        offline_factor=2 * rules.silent_factor,
        bad_air_pm25_ugm3=rules.bad_air_pm25_ugm3,
        bad_air_clear_ugm3=rules.bad_air_clear_pm25_ugm3,
        verify_within_s=rules.verify_within_s,
        max_open_tasks=max_open_tasks,
        ispu_top=ispu_top,
    )
