"""Devices keep more of what a node says of itself: its present interval, its battery's future, its troubles."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("announced_s", "days_left"):
        op.add_column("devices", sa.Column(name, sa.BigInteger))
    for name in ("reset", "crash", "ota"):
        op.add_column("devices", sa.Column(name, sa.Text))
