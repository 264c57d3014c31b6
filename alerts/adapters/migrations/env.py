"""Alembic's entry: the caller hands over an open connection inside its own transaction."""

from alembic import context

from alerts.adapters.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
