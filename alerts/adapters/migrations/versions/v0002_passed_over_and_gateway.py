"""Tasks remember who let them lie; the cursor remembers which gateway was heard last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("passed_over", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("cursors", sa.Column("gateway", sa.Text))
