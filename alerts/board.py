"""What people read: the state of a site as plain JSON objects (:mod:`alerts.views`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from alerts.adapters.database import Database, fetch
from alerts.adapters.tables import (
    ASSET_STATES,
    CHANGES,
    CREWS,
    CURSORS,
    DEVICES,
    HEARTBEATS,
    INCIDENTS,
    TASKS,
)
from alerts.domain.model import ACTIVE_TASK_STATES, CREW_TASK_STATES, HOUR_MS
from alerts.errors import NotFoundError
from alerts.plan import SquarePlan
from alerts.tokens import token_hash
from alerts.views import (
    View,
    air_view,
    bin_view,
    crew_view,
    incident_view,
    task_view,
    unheard,
)
from square.intervals import expected_interval_s

RECENT_TASKS_MS: Final = 2 * HOUR_MS
"""Closed tasks stay on the map this long."""

OnShift = Callable[[str, int], bool]
"""``(shift id, now_ms) -> whether that shift works now``."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything the map shows, as of one moment; ``event_id`` continues it in the change log."""

    event_id: int
    bins: list[View]
    air: list[View]
    incidents: list[View]
    tasks: list[View]
    crews: list[View]
    heartbeats: list[View]


class Change(msgspec.Struct, frozen=True):
    """One line of the change log; ``payload`` is the object as the readers return it."""

    id: int
    at_ms: int
    kind: str
    entity_id: str
    payload: View


class ChangePage(msgspec.Struct, frozen=True):
    """Lines after an id. ``reset`` means that lines are missing: read the snapshot again.

    Attributes
    ----------
    last_id : int
        Ask for the lines after this one next.
    """

    reset: bool
    last_id: int
    changes: list[Change]


class Board:
    """Readers of one site.

    Parameters
    ----------
    database : Database
        The open store.
    site_id : str
        The site; rows of other sites are never seen.
    on_shift : Callable[[str, int], bool]
        ``(shift id, now_ms) -> bool``.
    bins, stations : Sequence[tuple[str, str | None]]
        ``(asset id, device id)`` of the plan: assets that never reported are listed too.
    """

    def __init__(
        self,
        database: Database,
        site_id: str,
        *,
        on_shift: OnShift,
        bins: Sequence[tuple[str, str | None]] = (),
        stations: Sequence[tuple[str, str | None]] = (),
    ) -> None:
        self._database = database
        self._site_id = site_id
        self._on_shift = on_shift
        self._plan = {"bin": dict(bins), "air": dict(stations)}

    @classmethod
    def of_plan(cls, database: Database, plan: SquarePlan) -> Self:
        """Return the desk of a site's plan."""
        return cls(
            database,
            plan.site_id,
            on_shift=plan.is_on_shift,
            bins=plan.of_kind("bin"),
            stations=plan.of_kind("air"),
        )

    def close(self) -> None:
        """Release the store."""
        self._database.close()

    # ------------------------------------------------------------------ reading

    def snapshot(self, now_ms: int) -> Snapshot:
        """Return what the map shows at ``now_ms``, read in one transaction."""
        with self._database.reading() as connection:
            return Snapshot(
                event_id=self._last_id(connection),
                bins=self._assets(connection, "bin", now_ms),
                air=self._assets(connection, "air", now_ms),
                incidents=self._incidents(connection),
                tasks=self._tasks(connection, now_ms),
                crews=self._crews(connection, now_ms),
                heartbeats=self._heartbeats(connection),
            )

    def incident(self, incident_id: int) -> View:
        """Return one incident.

        Raises
        ------
        NotFoundError
            When the site has no such incident.
        """
        with self._database.reading() as connection:
            return incident_view(self._row(connection, INCIDENTS, incident_id, "incident"))

    def task(self, task_id: int) -> View:
        """Return one task.

        Raises
        ------
        NotFoundError
            When the site has no such task.
        """
        with self._database.reading() as connection:
            return task_view(self._row(connection, TASKS, task_id, "task"))

    def crews(self, now_ms: int) -> list[View]:
        """Return the active crew members."""
        with self._database.reading() as connection:
            return self._crews(connection, now_ms)

    def heartbeats(self) -> list[View]:
        """Return the last sign of life of each service; ``wall_s`` is real time."""
        with self._database.reading() as connection:
            return self._heartbeats(connection)

    def last_event_id(self) -> int:
        """Return the newest id of the change log, 0 when it is empty."""
        with self._database.reading() as connection:
            return self._last_id(connection)

    def changes_since(self, event_id: int, *, limit: int = 500) -> ChangePage:
        """Return the lines after ``event_id``, oldest first.

        ``reset`` is set when lines between were pruned or the id was never given out: the caller MUST read the
        snapshot again and go on from its ``event_id``.
        """
        log = CHANGES.c
        mine = log.site == self._site_id
        with self._database.reading() as connection:
            newest = self._last_id(connection)
            if event_id > newest or event_id < self._pruned_id(connection):
                return ChangePage(reset=True, last_id=newest, changes=[])
            query = (
                sa.select(log.id, log.at_ms, log.kind, log.entity_id, log.payload)
                .where(mine, log.id > event_id)
                .order_by(log.id)
                .limit(limit)
            )
            changes = [Change(*row) for row in connection.execute(query)]
        return ChangePage(reset=False, last_id=changes[-1].id if changes else event_id, changes=changes)

    def crew_by_token(self, token: str, now_ms: int) -> View:
        """Return the crew member whose secret link holds ``token``.

        Raises
        ------
        NotFoundError
            When no active crew member has that link.
        """
        crew = CREWS.c
        query = sa.select(CREWS).where(
            crew.token_hash == token_hash(token), crew.site == self._site_id, crew.active.is_(True)
        )
        with self._database.reading() as connection:
            rows = fetch(connection, query)
            if not rows:
                raise NotFoundError("no crew member has this link")
            return self._crew(rows[0], self._open_counts(connection), now_ms)

    def crew_tasks(self, crew_id: str, now_ms: int) -> list[View]:
        """Return a crew member's own tasks: active ones and those closed in the last two hours."""
        with self._database.reading() as connection:
            return [task for task in self._tasks(connection, now_ms) if task["crew_id"] == crew_id]

    # ------------------------------------------------------------------ queries

    def _row(self, connection: Connection, table: sa.Table, entity_id: int, what: str) -> dict[str, Any]:
        query = sa.select(table).where(table.c.id == entity_id, table.c.site == self._site_id)
        rows = fetch(connection, query)
        if not rows:
            raise NotFoundError(f"no {what} {entity_id}")
        return rows[0]

    def _last_id(self, connection: Connection) -> int:
        log = CHANGES.c
        return connection.execute(sa.select(sa.func.max(log.id)).where(log.site == self._site_id)).scalar() or 0

    def _pruned_id(self, connection: Connection) -> int:
        query = sa.select(CURSORS.c.pruned_id).where(CURSORS.c.site == self._site_id)
        return connection.execute(query).scalar() or 0

    def _assets(self, connection: Connection, kind: str, now_ms: int) -> list[View]:
        state, device = ASSET_STATES.c, DEVICES.c
        query = (
            sa.select(*[column for column in state if column.name != "memory"], device.interval_s, device.announced_s)
            .select_from(sa.outerjoin(ASSET_STATES, DEVICES, state.device_id == device.id))
            .where(state.site == self._site_id, state.kind == kind)
        )
        view = bin_view if kind == "bin" else air_view
        plan = self._plan[kind]
        views = {
            asset_id: view(unheard(asset_id, kind, device_id), None, now_ms) for asset_id, device_id in plan.items()
        }
        for row in fetch(connection, query):
            if not plan or row["asset_id"] in plan:
                interval_s = row["interval_s"] and expected_interval_s(row["interval_s"], row["announced_s"])
                views[row["asset_id"]] = view(row, interval_s, now_ms)
        return [views[asset_id] for asset_id in sorted(views)]

    def _incidents(self, connection: Connection) -> list[View]:
        incident = INCIDENTS.c
        query = (
            sa.select(INCIDENTS)
            .where(incident.site == self._site_id, incident.state.in_(("open", "acked")))
            .order_by(incident.opened_ms.desc(), incident.id.desc())
        )
        return [incident_view(row) for row in fetch(connection, query)]

    def _tasks(self, connection: Connection, now_ms: int) -> list[View]:
        task = TASKS.c
        query = (
            sa.select(TASKS)
            .where(task.site == self._site_id)
            .where(sa.or_(task.state.in_(ACTIVE_TASK_STATES), task.closed_ms >= now_ms - RECENT_TASKS_MS))
            .order_by(task.created_ms, task.id)
        )
        return [task_view(row) for row in fetch(connection, query)]

    def _crews(self, connection: Connection, now_ms: int) -> list[View]:
        crew = CREWS.c
        query = sa.select(CREWS).where(crew.site == self._site_id, crew.active.is_(True)).order_by(crew.id)
        counts = self._open_counts(connection)
        return [self._crew(row, counts, now_ms) for row in fetch(connection, query)]

    def _crew(self, row: Mapping[str, Any], counts: Mapping[str, int], now_ms: int) -> View:
        return crew_view(row, on_shift=self._on_shift(row["shift"], now_ms), open_tasks=counts.get(row["id"], 0))

    def _open_counts(self, connection: Connection) -> dict[str, int]:
        task = TASKS.c
        query = (
            sa.select(task.crew_id, sa.func.count())
            .where(task.site == self._site_id, task.state.in_(CREW_TASK_STATES))
            .group_by(task.crew_id)
        )
        return {crew_id: count for crew_id, count in connection.execute(query) if crew_id is not None}

    def _heartbeats(self, connection: Connection) -> list[View]:
        beat = HEARTBEATS.c
        query = sa.select(beat.service, beat.at_ms, beat.wall_s, beat.detail).where(beat.site == self._site_id)
        return fetch(connection, query.order_by(beat.service))
