"""First schema: devices, states, crews, incidents, tasks, audit, change log, heartbeats, cursor."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("interval_s", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger),
        sa.Column("battery_mv", sa.BigInteger),
        sa.Column("rssi_dbm", sa.BigInteger),
        sa.Column("firmware", sa.Text),
        sa.Column("queue", sa.BigInteger),
        sa.Column("dropped", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )
    op.create_index("ix_devices_site", "devices", ["site"])
    op.create_table(
        "asset_states",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("device_id", sa.Text),
        sa.Column("ts_ms", sa.BigInteger),
        sa.Column("seq", sa.BigInteger),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("fill_rate_pct_h", sa.Double),
        sa.Column("full_at_ms", sa.BigInteger),
        sa.Column("full_at_p10_ms", sa.BigInteger),
        sa.Column("full_at_p90_ms", sa.BigInteger),
        sa.Column("emptied_at_ms", sa.BigInteger),
        sa.Column("silent", sa.Boolean, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("site", "asset_id", name="pk_asset_states"),
    )
    op.create_table(
        "air_hours",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("hour_ms", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("site", "asset_id", "hour_ms", name="pk_air_hours"),
    )
    op.create_table(
        "crews",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("shift", sa.Text, nullable=False),
        sa.Column("token_hash", sa.Text, nullable=False),
        sa.Column("lon", sa.Double),
        sa.Column("lat", sa.Double),
        sa.Column("position_ms", sa.BigInteger),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", "site", name="pk_crews"),
        sa.UniqueConstraint("token_hash", name="uq_crews_token_hash"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("episode", sa.BigInteger, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("acked_ms", sa.BigInteger),
        sa.Column("acked_by", sa.Text),
        sa.Column("closed_ms", sa.BigInteger),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.UniqueConstraint("site", "asset_id", "rule", "episode", name="uq_incidents_site_asset_id_rule_episode"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_site_state", "incidents", ["site", "state"])
    op.create_table(
        "tasks",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("incident_id", sa.BigInteger),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("crew_id", sa.Text),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("assigned_ms", sa.BigInteger),
        sa.Column("accepted_ms", sa.BigInteger),
        sa.Column("claimed_ms", sa.BigInteger),
        sa.Column("closed_ms", sa.BigInteger),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("waiting_reason", sa.Text),
        sa.Column("fill_before_pct", sa.Double),
        sa.Column("fill_after_pct", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_tasks_incident_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tasks_site_state", "tasks", ["site", "state"])
    op.create_index("ix_tasks_site_closed_ms", "tasks", ["site", "closed_ms"])
    op.create_table(
        "audit",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_site_at_ms", "audit", ["site", "at_ms"])
    op.create_table(
        "changes",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("entity_id", sa.Text, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_site_id", "changes", ["site", "id"])
    op.create_table(
        "heartbeats",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("wall_s", sa.Double, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("service", "site", name="pk_heartbeats"),
    )
    op.create_table(
        "cursors",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("event_ms", sa.BigInteger, nullable=False),
        sa.Column("arrived_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("pruned_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("site", name="pk_cursors"),
    )
