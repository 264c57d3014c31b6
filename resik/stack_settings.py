"""Settings of the local stack: section ``[stack]``, variables ``RESIK_STACK_*``."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from square.access import MAX_WORKERS
from square.settings import BrokerSettings


class StackSettings(BrokerSettings):
    """What the local stack itself decides; everything else belongs to the services.

    Attributes
    ----------
    speed : float
        Square seconds per wall second of a simulated square.
    start : str
        Local time of day at which a new simulated square begins, ``HH:MM``.
    port : int
        Loopback port of the map.
    broker : str
        ``embedded``, ``mosquitto`` (started here) or ``external`` (at ``broker_url``).
    broker_port : int | None
        Loopback port of the broker started here; unset takes a free one, for real devices 1883.
    tls : bool
        Whether a mosquitto started here also listens with TLS, on loopback unless ``listen`` says more.
    listen : str | None
        ``host:port`` of that listener: the name or address of this machine by which nodes reach it.
    store_url, store_token_file : str | None, Path | None
        Time-series store; unset means the embedded one in the data folder.
    database_url : str | None
        Relational store; unset means the embedded one in the data folder.
    ingest_workers : int
        How many ingest workers share the readings; more than one need mosquitto (or an external broker) and InfluxDB.
    """

    model_config = SettingsConfigDict(env_prefix="RESIK_STACK_")

    speed: float = Field(default=30.0, gt=0, le=3600)
    start: str = Field(default="06:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    port: int = Field(default=8080, ge=1, le=65535)
    broker: Literal["embedded", "mosquitto", "external"] = "embedded"
    broker_port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = False
    listen: str | None = None
    store_url: str | None = None
    store_token_file: Path | None = None
    database_url: str | None = None
    ingest_workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
