"""Settings of the simulator."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from simulators.fleet import RESEND_AFTER_S
from square.settings import BrokerSettings


class SimulatorSettings(BrokerSettings):
    """What the simulator needs to know beside the settings of every service.

    Attributes
    ----------
    health_port : int | None
        Loopback port of ``/healthz``; unset means none.
    secrets_dir : Path | None
        Folder with one file per device id that holds its password; unset connects without user names.
    seed : int
        Of visitors, sensors and crews: the same seed gives the same square.
    scenario : str | None
        What the square goes through: a scenario file, or the name of one that ships; unset is an ordinary time. A new
        world starts with its first fill, its crews have their habits, its nodes and crews its faults.
    api_url : str | None
        Office whose crew interface is watched; unset means that nobody empties a bin.
    crew_links_file : Path | None
        JSON file {crew id: token}; read when it appears or changes.
    crews : bool
        False only watches for claims: people do the work with the crew page.
    ledger_file : Path | None
        CSV file of everything published.
    truth_file : Path | None
        The truth as JSON lines (docs/contest.md): fills and emptyings; goes on over restarts.
    state_file : Path | None
        Where the world is kept between two starts.
    bin_interval_s, air_interval_s : int | None
        Report interval of the nodes [s of the square]; unset takes each device's own.
    initial_fill_min_pct, initial_fill_max_pct : float
        Range of the first fill of a bin in a new world [%].
    duration_s : float | None
        Stop measuring after this time [wall s], wait until all is acknowledged, and end.
    drain_s : float
        How long to wait for that [wall s].
    resend_after_s : float
        First wait of a node for an application ack before it sends again [wall s].
    clockless_nodes : int
        This many nodes do not know the time and send uptimes.
    """

    model_config = SettingsConfigDict(env_prefix="RESIK_SIMULATOR_")

    health_port: int | None = None
    secrets_dir: Path | None = None
    seed: int = Field(default=1, ge=0, lt=2**32)
    scenario: str | None = None
    api_url: str | None = None
    crew_links_file: Path | None = None
    crews: bool = True
    ledger_file: Path | None = None
    truth_file: Path | None = None
    state_file: Path | None = None
    bin_interval_s: int | None = Field(default=None, ge=1, le=86_400)
    air_interval_s: int | None = Field(default=None, ge=1, le=86_400)
    initial_fill_min_pct: float = Field(default=5.0, ge=0, le=110)
    initial_fill_max_pct: float = Field(default=75.0, ge=0, le=110)
    duration_s: float | None = Field(default=None, gt=0)
    drain_s: float = Field(default=60.0, gt=0)
    resend_after_s: float = Field(default=RESEND_AFTER_S, ge=0.1, le=300)
    clockless_nodes: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.initial_fill_min_pct > self.initial_fill_max_pct:
            raise ValueError("initial_fill_min_pct must not be above initial_fill_max_pct")
        return self
