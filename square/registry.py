"""Which device sits on which asset: the single source of the tags that a reading gets.

A device never says where it is; the registry does. Moving a sensor to another bin is one line in
devices.toml, and no reading can claim a place by itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from square.site import AirStation, Bin, Device, Site, load_site


@dataclass(frozen=True, slots=True)
class Placement:
    """A device that is listened to, on its asset.

    Parameters
    ----------
    device
        The device.
    asset
        The bin or air station it sits on.
    kind
        ``bin`` or ``air``: that of the device.
    zone
        Id of the zone of the asset.
    """

    device: Device
    asset: Bin | AirStation
    kind: str = field(init=False)
    zone: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.device.kind)
        object.__setattr__(self, "zone", self.asset.zone)


class Registry:
    """Devices of one site and their assets.

    Parameters
    ----------
    site
        Id of the site.
    devices
        All devices, whatever their status; ids unique, at most one active device per asset.
    assets
        Bins and air stations by id.
    """

    def __init__(self, site: str, devices: Iterable[Device], assets: Mapping[str, Bin | AirStation]) -> None:
        self.site = site
        self._devices = {device.id: device for device in devices}
        self._placements = {
            device.id: Placement(device, assets[device.asset])
            for device in self._devices.values()
            if device.status == "active" and device.asset is not None
        }
        self._by_asset = {placement.asset.id: placement for placement in self._placements.values()}
        self._by_foreign = {
            placement.device.foreign: placement
            for placement in self._placements.values()
            if placement.device.foreign is not None
        }

    @classmethod
    def from_site(cls, site: Site) -> Self:
        """Registry of a loaded site; the plan check has ruled out unknown and doubly used assets."""
        return cls(site.id, site.devices, site.assets)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Registry of a site folder or shipped site.

        Raises
        ------
        SiteError
            If the folder has an error, such as a device on an unknown asset: with file, line and remedy.
        """
        return cls.from_site(load_site(folder))

    def __len__(self) -> int:
        return len(self._devices)

    def __iter__(self) -> Iterator[Device]:
        """All devices, whatever their status, in file order."""
        return iter(self._devices.values())

    def device(self, device_id: str) -> Device | None:
        """Look up a device whatever its status; None when it is not listed."""
        return self._devices.get(device_id)

    def placement(self, device_id: str) -> Placement | None:
        """Look up where an active device sits; None for a device that is unknown, retired, spare or in repair."""
        return self._placements.get(device_id)

    def placement_of_foreign(self, foreign: str) -> Placement | None:
        """Look up the active device that another maker knows by this identity; None when there is none."""
        return self._by_foreign.get(foreign)

    def placement_of(self, asset_id: str) -> Placement | None:
        """Look up the active device of an asset; None when it has none."""
        return self._by_asset.get(asset_id)

    def placements(self) -> tuple[Placement, ...]:
        """List all active devices on their assets, in file order."""
        return tuple(self._placements.values())
