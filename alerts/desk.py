"""The desk: what people read and the few things they may write.

The dashboard calls this and nothing deeper. Readers return plain JSON objects (:mod:`alerts.board`);
each write is one transaction that changes the row, writes the audit line and the change-log line, or
changes nothing.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from alerts.adapters.database import open_database
from alerts.adapters.log import add_audit, add_change
from alerts.adapters.tables import CREWS, INCIDENTS, TASKS
from alerts.board import RECENT_TASKS_MS, Board, Change, ChangePage, OnShift, Snapshot
from alerts.domain.model import INCIDENT_STEPS, TASK_STEPS
from alerts.errors import IncidentConflict, NotFoundError, TaskConflict
from alerts.plan import SquarePlan
from alerts.tokens import new_token, token_hash
from alerts.views import STALE_INTERVALS, View, incident_view, is_stale, task_view
from square.site import Site

__all__ = [
    "RECENT_TASKS_MS",
    "STALE_INTERVALS",
    "Change",
    "ChangePage",
    "Desk",
    "OnShift",
    "Snapshot",
    "is_stale",
    "open_desk",
    "token_hash",
]


class Desk(Board):
    """Reads and writes of one site; made like a :class:`alerts.board.Board`."""

    def acknowledge_incident(self, incident_id: int, who: str, now_ms: int) -> View:
        """Say that somebody looks after an incident. A second acknowledgement returns the first.

        Raises
        ------
        NotFoundError
            No such incident.
        IncidentConflict
            It is closed already.
        """
        with self._database.writing() as connection:
            table = INCIDENTS
            changed = connection.execute(
                sa.update(table)
                .where(table.c.id == incident_id, table.c.site == self._site_id)
                .where(table.c.state.in_(_sources(INCIDENT_STEPS, "acked")))
                .values(state="acked", acked_ms=now_ms, acked_by=who)
            ).rowcount
            row = self._row(connection, INCIDENTS, incident_id, "incident")
            view = incident_view(row)
            if changed == 1:
                self._record(connection, now_ms, who=who, step="incident.acked", view=view)
            elif row["state"] != "acked":
                raise IncidentConflict(
                    f"incident {incident_id} is {row['state']}", entity=f"incident:{incident_id}", state=row["state"]
                )
        return view

    def accept_task(self, task_id: int, crew_id: str, now_ms: int) -> View:
        """Take an assigned task. A repeat by the same crew returns the task as it is now.

        Raises
        ------
        NotFoundError
            No such task.
        TaskConflict
            Another crew has it, or it is in a state that cannot be accepted.
        """
        return self._step(task_id, crew_id, now_ms, new="accepted", stamp="accepted_ms")

    def claim_task(self, task_id: int, crew_id: str, now_ms: int) -> View:
        """Say that an accepted task is done: a claim until the sensor agrees.

        A repeat by the same crew, also after the sensor has agreed or not, returns the task as it is now.

        Raises
        ------
        NotFoundError
            No such task.
        TaskConflict
            Another crew has it, or it was never accepted.
        """
        return self._step(task_id, crew_id, now_ms, new="claimed", stamp="claimed_ms")

    def _step(self, task_id: int, crew_id: str, now_ms: int, *, new: str, stamp: str) -> View:
        with self._database.writing() as connection:
            table = TASKS
            changed = connection.execute(
                sa.update(table)
                .where(table.c.id == task_id, table.c.site == self._site_id, table.c.crew_id == crew_id)
                .where(table.c.state.in_(_sources(TASK_STEPS, new)))
                .values({"state": new, stamp: now_ms})
            ).rowcount
            row = self._row(connection, TASKS, task_id, "task")
            view = task_view(row)
            if changed == 1:
                self._record(connection, now_ms, who=f"crew:{crew_id}", step=f"task.{new}", view=view)
            elif row["crew_id"] != crew_id or row["state"] not in _reached_after(new):
                raise TaskConflict(f"task {task_id} is {row['state']}", entity=f"task:{task_id}", state=row["state"])
        return view

    def renew_crew_link(self, crew_id: str, who: str, now_ms: int) -> str:
        """Replace a crew member's secret link, for a lost phone, and return the new token; the old link is dead.

        Raises
        ------
        NotFoundError
            No such crew member.
        """
        token = new_token()
        with self._database.writing() as connection:
            changed = connection.execute(
                sa.update(CREWS)
                .where(CREWS.c.id == crew_id, CREWS.c.site == self._site_id)
                .values(token_hash=token_hash(token))
            ).rowcount
            if changed != 1:
                raise NotFoundError(f"no crew member {crew_id}")
            line = {"at_ms": now_ms, "who": who, "action": "crew.link", "entity": f"crew:{crew_id}", "detail": {}}
            add_audit(connection, self._site_id, [line])
        return token

    def _record(self, connection: Connection, now_ms: int, *, who: str, step: str, view: View) -> None:
        """Audit and announce a step ``kind.state`` of the incident or task in ``view``."""
        kind, _, state = step.partition(".")
        entity = f"{kind}:{view['id']}"
        line = {"at_ms": now_ms, "who": who, "action": step, "entity": entity, "detail": {"state": state}}
        add_audit(connection, self._site_id, [line])
        add_change(connection, self._site_id, now_ms, kind=kind, entity_id=str(view["id"]), payload=view)


def open_desk(database_url: str, site: Site) -> Desk:
    """Open the relational store at ``database_url`` and return the desk of a site; :meth:`Desk.close` releases it.

    Raises
    ------
    DatabaseError
        If the store cannot be opened; ``retryable`` says whether waiting helps.
    """
    return Desk.of_plan(open_database(database_url), SquarePlan.from_site(site))


def _sources(steps: Mapping[str, frozenset[str]], new: str) -> list[str]:
    return [old for old, allowed in steps.items() if new in allowed]


def _reached_after(new: str) -> frozenset[str]:
    """States in which a repeated tap is answered with the task as it is: the step was taken before."""
    return frozenset({"accepted", "claimed", "verified", "unverified"}) - (
        frozenset({"accepted"}) if new == "claimed" else frozenset()
    )
