"""The site as the web client draws it: encoded once, it changes only with a restart."""

import dataclasses
import hashlib
from typing import Any

import msgspec

from dashboard_api.board import Json
from square.registry import Registry
from square.site import Site


class SiteView:
    """The body of ``/api/v1/site``, and what other routes need of the plan.

    Parameters
    ----------
    site : Site
        The plan.
    tiles_url, tiles_attribution : str | None
        Street tiles from the settings.
    """

    def __init__(self, site: Site, *, tiles_url: str | None, tiles_attribution: str | None) -> None:
        self._site = site
        self.shifts = {
            shift.id: {
                "id": shift.id,
                "name_id": shift.name_id,
                "name_en": shift.name_en,
                "start": shift.start,
                "end": shift.end,
            }
            for shift in site.shifts
        }
        self.name: Json = {"id": site.id, "name_id": site.name_id, "name_en": site.name_en}
        body: dict[str, Any] = {
            **self.name,
            "timezone": site.timezone,
            "centre": list(site.centre),
            "plan": site.feature_collection(),
            "rules": dataclasses.asdict(site.rules),
            "crews": [{"id": crew.id, "name": crew.name, "shift": crew.shift} for crew in site.crews],
            "shifts": list(self.shifts.values()),
            "tiles_url": tiles_url,
            "tiles_attribution": tiles_attribution,
        }
        self.body = msgspec.json.encode(body)
        self.etag = f'"{hashlib.sha256(self.body).hexdigest()[:20]}"'

    def intervals_s(self) -> dict[str, int]:
        """Return the reporting interval of the device at each asset [s], from the registry."""
        defaults = {asset.id: self._site.bin_interval_s for asset in self._site.bins}
        defaults |= {asset.id: self._site.air_interval_s for asset in self._site.air_stations}
        return defaults | {
            placement.asset.id: placement.device.interval_s for placement in Registry.from_site(self._site).placements()
        }

    def place(self, asset_id: str) -> Json:
        """Return name and position of an asset; an asset that left the plan keeps its id as its name."""
        asset = self._site.assets.get(asset_id)
        if asset is None:
            lon, lat = self._site.centre
            return {"name_id": asset_id, "name_en": asset_id, "lon": lon, "lat": lat, "zone": ""}
        return {
            "name_id": asset.name_id,
            "name_en": asset.name_en,
            "lon": asset.lon,
            "lat": asset.lat,
            "zone": asset.zone,
        }

    def measurement_of(self, asset_id: str) -> str | None:
        """Return ``bin`` or ``air``, or None for an asset that is not in the plan."""
        asset = self._site.assets.get(asset_id)
        if asset is None:
            return None
        return "bin" if any(asset is known for known in self._site.bins) else "air"
