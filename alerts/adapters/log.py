"""Lines of the audit and of the change log, written inside the caller's transaction."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from alerts.adapters.tables import AUDIT, CHANGES
from alerts.views import View


def add_audit(
    connection: Connection, site: str, at_ms: int, *, who: str, action: str, entity: str, detail: View
) -> None:
    """Append one line to the audit, inside the caller's transaction."""
    connection.execute(
        sa.insert(AUDIT).values(site=site, at_ms=at_ms, who=who, action=action, entity=entity, detail=detail)
    )


def add_change(connection: Connection, site: str, at_ms: int, *, kind: str, entity_id: str, payload: View) -> None:
    """Append one line to the change log, inside the caller's transaction."""
    connection.execute(
        sa.insert(CHANGES).values(site=site, at_ms=at_ms, kind=kind, entity_id=entity_id, payload=payload)
    )
