"""Every client that the dashboard holds: opened and closed together."""

from dataclasses import dataclass

from alerts.desk import Desk, open_desk
from dashboard_api.settings import DashboardSettings
from ingest.store import TimeSeriesStore
from ingest.stores import open_store
from square.clock import Clock, open_clock
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
    desk : Desk
        The only way to the relational store.
    store : TimeSeriesStore
        Time-series store, read side.
    """

    site: Site
    clock: Clock
    simulated: bool
    desk: Desk
    store: TimeSeriesStore

    def close(self) -> None:
        """Release every client."""
        self.store.close()
        self.desk.close()


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
        desk = open_desk(settings.database_url, site)
    except BaseException:
        store.close()
        raise
    return Services(
        site=site,
        clock=clock,
        simulated=settings.clock_file is not None,
        desk=desk,
        store=store,
    )
