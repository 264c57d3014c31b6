"""Rows the engine reads and writes, inside a transaction that the caller holds.

The engine keeps the states of assets in memory, because nobody else writes them. Incidents and tasks are also
written by the desk, so they are read anew in each transaction; a writing transaction is alone
(:mod:`alerts.adapters.database`), so what was read stays true until the commit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from alerts.adapters.database import fetch
from alerts.adapters.tables import (
    AIR_HOURS,
    ASSET_STATES,
    CHANGES,
    CREWS,
    CURSORS,
    DEVICES,
    HEARTBEATS,
    INCIDENTS,
    TASKS,
)
from alerts.domain.incidents import Slot
from alerts.domain.model import ACTIVE_TASK_STATES, Incident, Task

Row = dict[str, Any]

_INCIDENT_FIELDS = Incident.__struct_fields__
_TASK_FIELDS = Task.__struct_fields__

# Built once: building a statement costs more than executing it.
_ADD_INCIDENT = sa.insert(INCIDENTS)
_ADD_TASK = sa.insert(TASKS)
_SAVE_INCIDENT = sa.update(INCIDENTS).where(INCIDENTS.c.id == sa.bindparam("key"))
_SAVE_TASK = sa.update(TASKS).where(TASKS.c.id == sa.bindparam("key"))


def upsert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or replace all other columns of those whose primary key exists."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    build = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = build(table)
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))


class Ledger:
    """Rows of one site within one transaction.

    Parameters
    ----------
    connection : Connection
        Inside :meth:`alerts.adapters.database.Database.writing`, or ``reading`` for the readers.
    site_id : str
        The site.
    """

    def __init__(self, connection: Connection, site_id: str) -> None:
        self.connection = connection
        self.site_id = site_id

    # ------------------------------------------------------------------ reading

    def states(self) -> list[Row]:
        """Every asset state with the estimator's memory."""
        return fetch(self.connection, sa.select(ASSET_STATES).where(ASSET_STATES.c.site == self.site_id))

    def air_hours(self, since_ms: int) -> list[Row]:
        """Hourly sums of all stations from ``since_ms`` on."""
        query = sa.select(AIR_HOURS).where(AIR_HOURS.c.site == self.site_id, AIR_HOURS.c.hour_ms >= since_ms)
        return fetch(self.connection, query)

    def incidents(self) -> dict[Slot, Incident]:
        """Incidents that are not closed, by asset and rule."""
        query = sa.select(INCIDENTS).where(INCIDENTS.c.site == self.site_id, INCIDENTS.c.state.in_(("open", "acked")))
        return {(row["asset_id"], row["rule"]): _incident(row) for row in fetch(self.connection, query)}

    def last_episodes(self) -> dict[Slot, int]:
        """Return the number of the last episode by asset and rule."""
        query = (
            sa.select(INCIDENTS.c.asset_id, INCIDENTS.c.rule, sa.func.max(INCIDENTS.c.episode))
            .where(INCIDENTS.c.site == self.site_id)
            .group_by(INCIDENTS.c.asset_id, INCIDENTS.c.rule)
        )
        return {(asset_id, rule): episode for asset_id, rule, episode in self.connection.execute(query)}

    def active_tasks(self) -> list[Task]:
        """Tasks that are not closed, oldest first."""
        query = (
            sa.select(TASKS)
            .where(TASKS.c.site == self.site_id, TASKS.c.state.in_(ACTIVE_TASK_STATES))
            .order_by(TASKS.c.id)
        )
        return [_task(row) for row in fetch(self.connection, query)]

    def unverified_since(self, since_ms: int) -> set[str]:
        """Assets whose last claim the sensor did not confirm, from ``since_ms`` on."""
        query = sa.select(TASKS.c.asset_id).where(
            TASKS.c.site == self.site_id, TASKS.c.state == "unverified", TASKS.c.closed_ms > since_ms
        )
        return {asset_id for (asset_id,) in self.connection.execute(query)}

    def crews(self) -> list[Row]:
        """Active crew members."""
        query = sa.select(CREWS).where(CREWS.c.site == self.site_id, CREWS.c.active.is_(True)).order_by(CREWS.c.id)
        return fetch(self.connection, query)

    def all_crews(self) -> list[Row]:
        """Crew members, the former ones too."""
        return fetch(self.connection, sa.select(CREWS).where(CREWS.c.site == self.site_id))

    def devices(self) -> list[Row]:
        """Devices with what they last said."""
        return fetch(self.connection, sa.select(DEVICES).where(DEVICES.c.site == self.site_id))

    def cursor(self) -> Row | None:
        """How far the engine has come."""
        rows = fetch(self.connection, sa.select(CURSORS).where(CURSORS.c.site == self.site_id))
        return rows[0] if rows else None

    # ------------------------------------------------------------------ writing

    def save_states(self, rows: Sequence[Row]) -> None:
        """Write asset states."""
        upsert(self.connection, ASSET_STATES, rows)

    def save_air_hours(self, rows: Sequence[Row]) -> None:
        """Write hourly sums."""
        upsert(self.connection, AIR_HOURS, rows)

    def save_crews(self, rows: Sequence[Row]) -> None:
        """Write crew members."""
        upsert(self.connection, CREWS, rows)

    def save_devices(self, rows: Sequence[Row]) -> None:
        """Write devices."""
        upsert(self.connection, DEVICES, rows)

    def delete_states(self, asset_ids: Iterable[str]) -> None:
        """Drop the states of assets that the plan no longer has; their history stays."""
        self.connection.execute(
            sa.delete(ASSET_STATES).where(
                ASSET_STATES.c.site == self.site_id, ASSET_STATES.c.asset_id.in_(list(asset_ids))
            )
        )

    def add_incident(self, incident: Incident) -> Incident:
        """Insert an incident and give it its id."""
        values = {name: getattr(incident, name) for name in _INCIDENT_FIELDS if name != "id"}
        result = self.connection.execute(_ADD_INCIDENT, {"site": self.site_id, **values})
        incident.id = _new_id(result)
        return incident

    def save_incident(self, incident: Incident) -> None:
        """Write severity, state and times of an incident."""
        values = {name: getattr(incident, name) for name in ("severity", "state", "closed_ms", "detail")}
        self.connection.execute(_SAVE_INCIDENT, {"key": incident.id, **values})

    def add_task(self, task: Task) -> Task:
        """Insert a task and give it its id."""
        values = {name: getattr(task, name) for name in _TASK_FIELDS if name != "id"}
        result = self.connection.execute(_ADD_TASK, {"site": self.site_id, **values})
        task.id = _new_id(result)
        return task

    def save_task(self, task: Task) -> None:
        """Write everything of a task."""
        values = {name: getattr(task, name) for name in _TASK_FIELDS if name != "id"}
        self.connection.execute(_SAVE_TASK, {"key": task.id, **values})

    def save_gateway(self, gateway: str) -> None:
        """Note which gateway was heard last."""
        self.connection.execute(sa.update(CURSORS).where(CURSORS.c.site == self.site_id).values(gateway=gateway))

    def save_cursor(self, *, event_ms: int, arrived_ms: int, updated_ms: int) -> None:
        """Note how far the engine has come; the mark of pruned lines stays."""
        changed = self.connection.execute(
            sa.update(CURSORS)
            .where(CURSORS.c.site == self.site_id)
            .values(event_ms=event_ms, arrived_ms=arrived_ms, updated_ms=updated_ms)
        ).rowcount
        if not changed:
            self.connection.execute(
                sa.insert(CURSORS).values(
                    site=self.site_id, event_ms=event_ms, arrived_ms=arrived_ms, updated_ms=updated_ms, pruned_id=0
                )
            )

    def beat(self, service: str, *, at_ms: int, wall_s: float, detail: Row) -> None:
        """Write a sign of life."""
        row = {"service": service, "site": self.site_id, "at_ms": at_ms, "wall_s": wall_s, "detail": detail}
        upsert(self.connection, HEARTBEATS, [row])

    def prune(self, *, keep_changes: int, air_before_ms: int) -> int:
        """Delete lines of the change log beyond the newest ``keep_changes`` and old hourly sums.

        Counted, not aged: square time may stand still or jump years, and the log exists so that a map that was away
        for a moment can go on.

        Returns
        -------
        int
            Highest id deleted, 0 when nothing was.
        """
        mine = CHANGES.c.site == self.site_id
        cut = self.connection.execute(
            sa.select(CHANGES.c.id).where(mine).order_by(CHANGES.c.id.desc()).offset(keep_changes).limit(1)
        ).scalar()
        if cut is not None:
            self.connection.execute(sa.delete(CHANGES).where(mine, CHANGES.c.id <= cut))
            self.connection.execute(sa.update(CURSORS).where(CURSORS.c.site == self.site_id).values(pruned_id=cut))
        self.connection.execute(
            sa.delete(AIR_HOURS).where(AIR_HOURS.c.site == self.site_id, AIR_HOURS.c.hour_ms < air_before_ms)
        )
        return cut or 0


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _incident(row: Row) -> Incident:
    return Incident(**{name: row[name] for name in _INCIDENT_FIELDS})


def _task(row: Row) -> Task:
    return Task(**{name: row[name] for name in _TASK_FIELDS})
