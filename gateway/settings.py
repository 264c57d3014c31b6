"""Settings of the gateway: section `[gateway]`, variables `RESIK_GATEWAY_*`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.pace import Pace
from square.makes import filter_fault
from square.settings import PipelineSettings

SECTION = "gateway"

SMALLEST_BYTES_PER_S = 12_000
"""The largest row fits, or it would wait for ever [bytes]."""

NO_LIMIT = 10**9

ORDERS_NAME = "orders.sqlite3"
"""Name of the file of orders beside the spool."""


class MakeSource(BaseModel):
    """Where messages of sensors of another make come in, on the device side.

    Attributes
    ----------
    format : str
        `chirpstack`, `ttn`, `airgradient` or `senml`.
    filter : str
        MQTT topic filter; its first level is a word of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["chirpstack", "ttn", "airgradient", "senml"]
    filter: str

    @field_validator("filter")
    @classmethod
    def _is_a_filter_of_others(cls, text: str) -> str:
        if (fault := filter_fault(text)) is not None:
            raise ValueError(fault)
        return text


class GatewaySettings(PipelineSettings):
    """What the gateway needs to know.

    Attributes
    ----------
    gateway_id : str
        Name of this gateway in topics and batches [3..32 of a-z 0-9 -].
    spool_file : Path
        SQLite file of the spool. One gateway per file.
    orders_file : Path | None
        SQLite file of configurations, commands and updates for nodes; `orders.sqlite3` beside the spool when unset.
    uplink_url : str | None
        City broker, `mqtt://host:port` or `mqtts://host:port`; unset means that `broker_url` serves both sides, over
        two connections.
    uplink_username : str | None
        Defaults to `gateway` when there is a password. With neither, and no `uplink_url`, the uplink has the
        credentials of the device side; a broker that takes user names for client ids needs two users.
    uplink_password_file : Path | None
        File that holds nothing but the password of the uplink.
    uplink_ca_file : Path | None
        Root certificate of the city broker; only with `uplink_url`.
    intake_messages : int
        Messages that share one commit [1..1000].
    intake_linger_s : float
        How long a flood gathers for one commit [s, 0..1]; a few messages never wait.
    inbound_limit : int
        Messages that may wait in memory before the connection is cut on purpose [100..100000].
    batch_rows : int
        Rows of one batch [1..500].
    batch_bytes : int
        Bodies of one batch [bytes, 10000..600000]; with their frame they MUST fit the broker's message limit.
    batches_in_flight : int
        Batches that may be un-acked [1..16].
    resend_s : float
        Pause before an un-acked batch is sent again [s, 0.1..600]; it doubles up to 300 s.
    forward_linger_s : float
        How long rows wait for company while other batches are on their way [s, 0..1].
    copy_every_s : float
        Pause between copies of new readings while no batch is acknowledged [s, 0.1..60].
    backlog_rows_per_s : int
        Rows a second that may go up of those that waited for more than 10 s [1/s, 0 or 1..1000000]; 0 = no limit.
        New rows are never limited.
    backlog_bytes_per_s : int
        The same in bytes, for thin uplinks [bytes/s, 0 or 12000..1000000000]; 0 = no limit.
    ota_blocks_per_s : float
        Parts of updates sent in a second to all nodes together [1/s, 0.1..1000].
    ota_node_blocks_per_s : float
        The same for one node [1/s, 0.1..1000].
    gap_after_s : float
        A reading missing for so long counts as a gap, and its node is asked for it [s of square time, 1..86400].
    resend_pause_s : float
        Pause before the same node is asked again for something [s of square time, 60..604800].
    resend_per_min : float
        Nodes asked in a minute of wall time, all together [1/min, 0..6000]; 0 = the gateway asks for nothing.
    makes : tuple[MakeSource, ...]
        Topics on which sensors of other makes are heard; docs/makers.md.
    disk_warn_pct : float
        Free disk below which people are told [%, 0..100].
    disk_stop_pct : float
        Free disk below which intake stops [%, 0..100]; below `disk_warn_pct`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True, env_prefix="RESIK_GATEWAY_")

    gateway_id: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,32}$")] = "gw-utama"
    spool_file: Path = Path("var/real/spool.sqlite3")
    orders_file: Path | None = None
    uplink_url: str | None = None
    uplink_username: str | None = None
    uplink_password_file: Path | None = None
    uplink_ca_file: Path | None = None
    intake_messages: Annotated[int, Field(ge=1, le=1_000)] = 500
    intake_linger_s: Annotated[float, Field(ge=0, le=1)] = 0.02
    inbound_limit: Annotated[int, Field(ge=100, le=100_000)] = 2_000
    batch_rows: Annotated[int, Field(ge=1, le=500)] = 500
    batch_bytes: Annotated[int, Field(ge=10_000, le=600_000)] = 262_144
    batches_in_flight: Annotated[int, Field(ge=1, le=16)] = 8
    resend_s: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    forward_linger_s: Annotated[float, Field(ge=0, le=1)] = 0.02
    copy_every_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    backlog_rows_per_s: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000
    backlog_bytes_per_s: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    ota_blocks_per_s: Annotated[float, Field(ge=0.1, le=1_000)] = 100.0
    ota_node_blocks_per_s: Annotated[float, Field(ge=0.1, le=1_000)] = 25.0
    gap_after_s: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    resend_pause_s: Annotated[float, Field(ge=60, le=604_800)] = 3_600.0
    resend_per_min: Annotated[float, Field(ge=0, le=6_000)] = 30.0
    makes: tuple[MakeSource, ...] = ()
    disk_warn_pct: Annotated[float, Field(ge=0, le=100)] = 15.0
    disk_stop_pct: Annotated[float, Field(ge=0, le=100)] = 5.0

    @property
    def orders_path(self) -> Path:
        """Where the file of orders is."""
        return self.orders_file or self.spool_file.with_name(ORDERS_NAME)

    @field_validator("backlog_bytes_per_s")
    @classmethod
    def _holds_any_row(cls, limit: int) -> int:
        if 0 < limit < SMALLEST_BYTES_PER_S:
            raise ValueError(f"must be 0 (no limit) or at least {SMALLEST_BYTES_PER_S}: one row can be so large")
        return limit

    @property
    def pace(self) -> Pace | None:
        """The limit of the backlog; None for none."""
        if not self.backlog_rows_per_s and not self.backlog_bytes_per_s:
            return None
        return Pace(self.backlog_rows_per_s or NO_LIMIT, self.backlog_bytes_per_s)

    @model_validator(mode="after")
    def _marks_in_order(self) -> Self:
        if self.disk_stop_pct > self.disk_warn_pct:
            raise ValueError("disk_stop_pct must not be above disk_warn_pct: warn before you stop")
        return self
