"""Lines of the audit and of the change log, written inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from alerts.adapters.tables import AUDIT, CHANGES
from alerts.views import View

Line = Mapping[str, Any]


def add_audit(connection: Connection, site: str, lines: Sequence[Line]) -> None:
    """Append to the audit: ``at_ms``, ``who``, ``action``, ``entity`` and ``detail`` of each line."""
    if lines:
        connection.execute(sa.insert(AUDIT), [{"site": site, **line} for line in lines])


def add_changes(connection: Connection, site: str, lines: Sequence[Line]) -> None:
    """Append to the change log: ``at_ms``, ``kind``, ``entity_id`` and ``payload`` of each line."""
    if lines:
        connection.execute(sa.insert(CHANGES), [{"site": site, **line} for line in lines])


def add_change(connection: Connection, site: str, at_ms: int, *, kind: str, entity_id: str, payload: View) -> None:
    """Append one line to the change log."""
    add_changes(connection, site, [{"at_ms": at_ms, "kind": kind, "entity_id": entity_id, "payload": payload}])
