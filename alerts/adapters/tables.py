"""The relational schema: devices, states, crews, incidents, tasks, audit and the change log.

Times are integer milliseconds of square time since 1970 UTC; ``wall_s`` of a heartbeat is real time.
The migrations in :mod:`alerts.adapters.migrations` build exactly these tables; a test compares the two.
"""

from typing import Any, Final, cast

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: 64-bit ids everywhere; SQLite only counts up by itself on a column declared INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Common metadata. Constraint names are fixed so that a later migration can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {int: BigInteger, str: Text, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - SQLAlchemy's own form


class DeviceRow(Base):
    """One device of the registry with what it last said about itself.

    ``status`` is the registry's word (``active``, ``spare``, ``retired``); what stands after
    ``last_seen_ms`` comes from the device's status message; ``announced_s`` is the interval that it goes by at
    present [s].
    """

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    asset_id: Mapped[str | None]
    model: Mapped[str | None]
    interval_s: Mapped[int]
    status: Mapped[str]
    last_seen_ms: Mapped[int | None]
    battery_mv: Mapped[int | None]
    rssi_dbm: Mapped[int | None]
    firmware: Mapped[str | None]
    queue: Mapped[int | None]
    dropped: Mapped[int | None]
    announced_s: Mapped[int | None]
    days_left: Mapped[int | None]
    reset: Mapped[str | None]
    crash: Mapped[str | None]
    ota: Mapped[str | None]


class AssetStateRow(Base):
    """What is known now about one bin or station, and the estimator's memory to continue from.

    ``values`` holds the newest reading's values by name (:mod:`square.quantities`), ``memory`` is private
    to the engine. ``(ts_ms, seq)`` only ever grows.
    """

    __tablename__ = "asset_states"

    site: Mapped[str] = mapped_column(primary_key=True)
    asset_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    device_id: Mapped[str | None]
    ts_ms: Mapped[int | None]
    seq: Mapped[int | None]
    values: Mapped[dict[str, Any]]
    state: Mapped[str]
    level: Mapped[str]
    fill_rate_pct_h: Mapped[float | None]
    full_at_ms: Mapped[int | None]
    full_at_p10_ms: Mapped[int | None]
    full_at_p90_ms: Mapped[int | None]
    emptied_at_ms: Mapped[int | None]
    silent: Mapped[bool]
    updated_ms: Mapped[int]
    memory: Mapped[str]


class AirHourRow(Base):
    """Sums of one station and hour: what a 24 h mean is made of.

    ``data`` is JSON text ``{"seen": [offset_ms, ...], "<quantity>": [sum, count], ...}``.
    """

    __tablename__ = "air_hours"

    site: Mapped[str] = mapped_column(primary_key=True)
    asset_id: Mapped[str] = mapped_column(primary_key=True)
    hour_ms: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str]


class CrewRow(Base):
    """One crew member (petugas). Only the hash of the secret link is kept."""

    __tablename__ = "crews"

    id: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    shift: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    lon: Mapped[float | None]
    lat: Mapped[float | None]
    position_ms: Mapped[int | None]
    active: Mapped[bool]


class IncidentRow(Base):
    """One episode of one rule on one asset."""

    __tablename__ = "incidents"
    __table_args__ = (
        UniqueConstraint("site", "asset_id", "rule", "episode"),
        Index(None, "site", "state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    site: Mapped[str]
    asset_id: Mapped[str]
    rule: Mapped[str]
    episode: Mapped[int]
    severity: Mapped[str]
    state: Mapped[str]
    opened_ms: Mapped[int]
    acked_ms: Mapped[int | None]
    acked_by: Mapped[str | None]
    closed_ms: Mapped[int | None]
    detail: Mapped[dict[str, Any]]


class TaskRow(Base):
    """One piece of work for one crew; ``passed_over`` lists the crews that let it lie."""

    __tablename__ = "tasks"
    __table_args__ = (Index(None, "site", "state"), Index(None, "site", "closed_ms"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    site: Mapped[str]
    incident_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("incidents.id"))
    asset_id: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    crew_id: Mapped[str | None]
    created_ms: Mapped[int]
    assigned_ms: Mapped[int | None]
    accepted_ms: Mapped[int | None]
    claimed_ms: Mapped[int | None]
    closed_ms: Mapped[int | None]
    due_ms: Mapped[int | None]
    waiting_reason: Mapped[str | None]
    fill_before_pct: Mapped[float | None]
    fill_after_pct: Mapped[float | None]
    passed_over: Mapped[list[str]] = mapped_column(server_default="[]")


class AuditRow(Base):
    """Who did what, when. Append only."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "site", "at_ms"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    site: Mapped[str]
    at_ms: Mapped[int]
    who: Mapped[str]
    action: Mapped[str]
    entity: Mapped[str]
    detail: Mapped[dict[str, Any]]


class ChangeRow(Base):
    """One line of the change log that the live stream tails: ids grow in commit order."""

    __tablename__ = "changes"
    __table_args__ = (Index(None, "site", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    site: Mapped[str]
    at_ms: Mapped[int]
    kind: Mapped[str]
    entity_id: Mapped[str]
    payload: Mapped[dict[str, Any]]


class HeartbeatRow(Base):
    """Last sign of life of a service: ``wall_s`` is real time, ``at_ms`` square time."""

    __tablename__ = "heartbeats"

    service: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    at_ms: Mapped[int]
    wall_s: Mapped[float]
    detail: Mapped[dict[str, Any]]


class CursorRow(Base):
    """How far the engine has come.

    ``event_ms`` is the newest event time and ``arrived_ms`` the newest arrival that were evaluated; lines of the
    change log up to ``pruned_id`` are gone. ``gateway`` is the one heard last.
    """

    __tablename__ = "cursors"

    site: Mapped[str] = mapped_column(primary_key=True)
    event_ms: Mapped[int]
    arrived_ms: Mapped[int]
    updated_ms: Mapped[int]
    pruned_id: Mapped[int]
    gateway: Mapped[str | None]


DEVICES: Final = cast("Table", DeviceRow.__table__)
ASSET_STATES: Final = cast("Table", AssetStateRow.__table__)
AIR_HOURS: Final = cast("Table", AirHourRow.__table__)
CREWS: Final = cast("Table", CrewRow.__table__)
INCIDENTS: Final = cast("Table", IncidentRow.__table__)
TASKS: Final = cast("Table", TaskRow.__table__)
AUDIT: Final = cast("Table", AuditRow.__table__)
CHANGES: Final = cast("Table", ChangeRow.__table__)
HEARTBEATS: Final = cast("Table", HeartbeatRow.__table__)
CURSORS: Final = cast("Table", CursorRow.__table__)
