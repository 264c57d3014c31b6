"""Every client that the dashboard holds: opened and closed together."""

from dataclasses import dataclass

from alerts.adapters.database import Database, open_database
from alerts.desk import Desk
from dashboard_api.settings import DashboardSettings
from ingest.store import TimeSeriesStore
from ingest.stores import open_store
from square.clock import Clock, open_clock
from square.registry import Registry
from square.settings import read_secret
from square.site import Site, load_site


@dataclass(frozen=True)
class Services:
    """Open clients and the site they serve.

    Attributes
    ----------
    site : Site
        The plan.
    clock : Clock
        Square time.
    simulated : bool
        Whether square time is driven by a simulation or replay.
    database : Database
        Relational store.
    desk : Desk
        The only way to the relational store.
    store : TimeSeriesStore
        Time-series store, read side.
    """

    site: Site
    clock: Clock
    simulated: bool
    database: Database
    desk: Desk
    store: TimeSeriesStore

    def close(self) -> None:
        """Release every client."""
        self.store.close()
        self.database.close()


def make_desk(database: Database, site: Site) -> Desk:
    """Return the desk of a site: plan, shifts and devices filled in."""
    registry = Registry.from_site(site)

    def device_of(asset_id: str) -> str | None:
        placement = registry.placement_of(asset_id)
        return None if placement is None else placement.device.id

    return Desk(
        database,
        site.id,
        on_shift=lambda shift_id, now_ms: site.shift_plan.is_on_shift(shift_id, now_ms / 1000),
        bins=[(asset.id, device_of(asset.id)) for asset in site.bins],
        stations=[(asset.id, device_of(asset.id)) for asset in site.air_stations],
    )


def open_services(settings: DashboardSettings) -> Services:
    """Open everything that the settings name. The time-series store is not asked anything yet.

    Raises
    ------
    SiteError, SettingsError
        The site folder, the clock file or the secret file is wrong.
    StoreRefused
        The address of the time-series store is wrong.
    DatabaseError
        The relational store cannot be opened; ``retryable`` says whether waiting helps.
    """
    site = load_site(settings.site)
    clock = open_clock(settings.clock_file)
    store = open_store(settings.store_url, secret=read_secret(settings.store_token_file), read_only=True)
    try:
        database = open_database(settings.database_url)
    except BaseException:
        store.close()
        raise
    return Services(
        site=site,
        clock=clock,
        simulated=settings.clock_file is not None,
        database=database,
        desk=make_desk(database, site),
        store=store,
    )
