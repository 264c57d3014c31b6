"""Settings of the alert engine: section ``[alerts]``, variables ``RESIK_ALERTS_*``."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from square.settings import PipelineSettings

SECTION = "alerts"


class AlertsSettings(PipelineSettings):
    """What the alert engine needs to know. Thresholds of the square stand in ``[rules]`` of its ``site.toml``.

    Attributes
    ----------
    database_url : str
        Relational store; the forms stand in :mod:`alerts.adapters.database`.
    store_url : str
        Time-series store, read for catching up after a downtime; the grammar stands in :mod:`ingest.stores`.
    store_token_file : Path | None
        File that holds the token or password of the time-series store.
    crew_links_file : Path
        JSON file ``{crew id: token}`` to which the secret links of new crew members are written, for the owner only.
    max_open_tasks : int
        Assigned and accepted tasks that one crew member may have at a time [1..20].
    ispu_top : int
        Index at the end of the ISPU scale: published copies of the table say 400 or 500.
    tick_s : float
        Wall time between two looks at what time alone brings [s, 0.1..60].
    max_readings : int
        Readings decided in one transaction [1..20000].
    keep_changes : int
        Lines of the change log kept for maps that were away for a moment [1000..10000000].
    catch_up_max_h : float
        How far back the time-series store is read after a downtime [h, 0..720].
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True, env_prefix="RESIK_ALERTS_")

    database_url: str = "sqlite:///var/real/resik.sqlite3"
    store_url: str = "sqlite:///var/real/points.sqlite3"
    store_token_file: Path | None = None
    crew_links_file: Path = Path("var/real/secrets/crew-links.json")
    max_open_tasks: Annotated[int, Field(ge=1, le=20)] = 2
    ispu_top: Literal[400, 500] = 500
    tick_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    max_readings: Annotated[int, Field(ge=1, le=20_000)] = 2_000
    keep_changes: Annotated[int, Field(ge=1_000, le=10_000_000)] = 50_000
    catch_up_max_h: Annotated[float, Field(ge=0, le=720)] = 48.0
