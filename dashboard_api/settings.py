"""Settings of the dashboard: section ``[dashboard]``, environment ``RESIK_DASHBOARD_*``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from dashboard_api.access import is_loopback
from square.settings import ServiceSettings

HealthUrl = Annotated[str, StringConstraints(pattern=r"^http://[^\s/]+(/\S*)?$")]

PACKAGED_STATIC = Path(__file__).with_name("static")
"""Where the build of the web client goes and where the wheel carries it."""


class DashboardSettings(ServiceSettings):
    """What the dashboard needs to know beside the common settings.

    Attributes
    ----------
    database_url : str
        Relational store, the engine's own: ``sqlite:////folder/resik.sqlite3`` or ``postgresql+psycopg://...``.
    store_url : str
        Time-series store, see :mod:`ingest.stores`; it is opened for reading only.
    store_token_file : Path | None
        File that holds nothing but the store's password or token.
    host : str
        Address to listen on. Anything but loopback needs ``allow_remote``.
    port : int
        Port to listen on [1..65535].
    health_port : int | None
        Loopback port of ``/healthz`` and ``/metrics`` alone, apart from what people reach; unset means none.
    allow_remote : bool
        Listen beyond loopback although the office has no login yet: only behind a proxy that asks for one.
    allowed_hosts : tuple[str, ...]
        Host names under which people reach the server, beside localhost.
    behind_proxy : bool
        Trust ``X-Forwarded-For`` of a proxy on this machine for client addresses.
    health_urls : dict[str, str]
        Service name -> its ``/healthz``, shown in the health panel.
    static_dir : Path | None
        Folder of the built web client; the one in the package when unset.
    tiles_url : str | None
        ``https://tile.example/{z}/{x}/{y}.png``: street tiles under the plan; none when unset.
    tiles_attribution : str | None
        Credit of the tiles, shown on the map.
    max_streams, max_streams_per_address : int
        Caps on open event streams in total and per client address.
    shutdown_grace_s : int
        Time that running requests get at the end [s].
    """

    model_config = SettingsConfigDict(env_prefix="RESIK_DASHBOARD_")

    database_url: str = "sqlite:///var/real/resik.sqlite3"
    store_url: str = "sqlite:///var/real/points.sqlite3"
    store_token_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    health_port: int | None = Field(default=None, ge=1, le=65535)
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    health_urls: dict[str, HealthUrl] = Field(default_factory=dict)
    static_dir: Path | None = None
    tiles_url: str | None = None
    tiles_attribution: str | None = None
    max_streams: int = Field(default=500, ge=1, le=10_000)
    max_streams_per_address: int = Field(default=300, ge=1, le=10_000)
    shutdown_grace_s: int = Field(default=5, ge=1, le=60)

    @field_validator("tiles_url")
    @classmethod
    def _tiles_are_https(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, _, rest = value.partition("://")
        host = rest.partition("/")[0]
        # The host enters the content security policy, so nothing that could end a directive may stand in it.
        if scheme != "https" or not host or set(host) & set(" ;,'\"{}*\\"):
            raise ValueError("must be https://host/... with {z}, {x} and {y} after the host")
        return value

    @model_validator(mode="after")
    def _remote_is_deliberate(self) -> Self:
        if not is_loopback(self.host) and not self.allow_remote:
            raise ValueError(
                f"host {self.host} is reachable from other machines, and the office pages have no login yet: "
                "keep host = 127.0.0.1, or set allow_remote = true when a proxy in front asks for a login"
            )
        return self
