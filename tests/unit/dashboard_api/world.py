"""A small square on real stores: SQLite behind the desk, the embedded points file, a clock that the test moves."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alerts.adapters.database import Database, open_database
from alerts.adapters.log import add_change
from alerts.adapters.tables import ASSET_STATES, CHANGES, CREWS, CURSORS, DEVICES, HEARTBEATS, INCIDENTS, TASKS
from alerts.desk import open_desk
from alerts.tokens import token_hash
from alerts.views import air_view, bin_view, incident_view, task_view
from dashboard_api.services import Services
from dashboard_api.settings import DashboardSettings
from ingest.store import Point
from ingest.stores import open_store
from square.clock import FixedClock
from square.site import Site, load_site

SITE_NAME = "alun-alun-pasuruan"
START_S = 1_795_489_200.0  # 2026-11-24 10:00:00 WIB, the morning shift is on duty
TOKENS = {"pagi-1": "pagi-satu-" + "a" * 33, "pagi-2": "pagi-dua-" + "b" * 34}
BIN, OTHER_BIN = "bin-001", "bin-002"


class World:
    """Stores with two crews and nothing measured yet.

    Parameters
    ----------
    folder : Path
        Where the files go.
    database_url : str | None
        An empty relational store; a SQLite file in the folder by default.
    """

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        self.folder = folder
        self.site: Site = load_site(SITE_NAME)
        self.clock = FixedClock(START_S)
        self.database_url = database_url or f"sqlite:///{folder}/resik.sqlite3"
        self.store_url = f"sqlite:///{folder}/points.sqlite3"
        self.database: Database = open_database(self.database_url)
        self.writer = open_store(self.store_url)
        self.writer.prepare()
        self._seq = 0
        with self.database.writing() as connection:
            for device in self.site.devices:
                connection.execute(
                    sa.insert(DEVICES).values(
                        id=device.id,
                        site=self.site.id,
                        kind=device.kind,
                        asset_id=device.asset,
                        model=device.model,
                        interval_s=device.interval_s,
                        status=device.status,
                    )
                )
            for crew in self.site.crews:
                connection.execute(
                    sa.insert(CREWS).values(
                        id=crew.id,
                        site=self.site.id,
                        name=crew.name,
                        shift=crew.shift,
                        token_hash=token_hash(TOKENS.get(crew.id, crew.id)),
                        active=True,
                    )
                )
        self.beat()

    @property
    def now_ms(self) -> int:
        """Square time [ms]."""
        return int(self.clock.now_s() * 1000)

    def settings(self, **changes: Any) -> DashboardSettings:
        """Return settings that point at this world."""
        values: dict[str, Any] = {
            "site": SITE_NAME,
            "database_url": self.database_url,
            "store_url": self.store_url,
            "static_dir": self.folder / "static",
        }
        return DashboardSettings(**(values | changes))

    def services(self) -> Services:
        """Return open clients on this world; close them after use."""
        return Services(
            site=self.site,
            clock=self.clock,
            simulated=True,
            desk=open_desk(self.database_url, self.site),
            store=open_store(self.store_url, read_only=True),
        )

    def beat(self, wall_s: float | None = None) -> None:
        """Leave a sign of life of the engine."""
        import time

        with self.database.writing() as connection:
            table = HEARTBEATS
            connection.execute(sa.delete(table))
            connection.execute(
                sa.insert(table).values(
                    service="alerts",
                    site=self.site.id,
                    at_ms=self.now_ms,
                    wall_s=time.time() if wall_s is None else wall_s,
                    detail={},
                )
            )

    def set_bin(self, asset_id: str = BIN, fill_pct: float = 40.0, ts_ms: int | None = None, **changes: Any) -> None:
        """Store a bin's state and the line about it, as the engine does."""
        self._set_asset("bin", asset_id, {"fill_pct": fill_pct, "battery_mv": 3700.0, "quality": 4}, ts_ms, changes)

    def set_air(self, asset_id: str, pm25_ugm3: float = 20.0, ts_ms: int | None = None) -> None:
        """Store a station's state and the line about it."""
        self._set_asset("air", asset_id, {"pm25_ugm3": pm25_ugm3}, ts_ms, {})

    def _set_asset(
        self, kind: str, asset_id: str, values: dict[str, Any], ts_ms: int | None, changes: dict[str, Any]
    ) -> None:
        self._seq += 1
        device = next(device for device in self.site.devices if device.asset == asset_id)
        row = {
            "site": self.site.id,
            "asset_id": asset_id,
            "kind": kind,
            "device_id": device.id,
            "ts_ms": self.now_ms if ts_ms is None else ts_ms,
            "seq": self._seq,
            "values": values,
            "state": "ok",
            "level": self.site.rules.level_of(values.get("fill_pct")),
            "fill_rate_pct_h": None,
            "full_at_ms": None,
            "full_at_p10_ms": None,
            "full_at_p90_ms": None,
            "emptied_at_ms": None,
            "silent": False,
            "updated_ms": self.now_ms,
            "memory": "{}",
        } | changes
        table = ASSET_STATES
        view = bin_view if kind == "bin" else air_view
        with self.database.writing() as connection:
            connection.execute(sa.delete(table).where(table.c.asset_id == asset_id))
            connection.execute(sa.insert(table).values(row))
            self._change(connection, kind, asset_id, view(row, device.interval_s, self.now_ms))

    def add_incident(self, asset_id: str = BIN, state: str = "open", rule: str = "full") -> int:
        """Open an incident and return its id."""
        self._seq += 1
        row = {
            "site": self.site.id,
            "asset_id": asset_id,
            "rule": rule,
            "episode": self._seq,
            "severity": "high",
            "state": state,
            "opened_ms": self.now_ms,
            "closed_ms": self.now_ms if state == "closed" else None,
            "detail": {},
        }
        return self._insert(INCIDENTS, row, "incident", incident_view)

    def add_task(self, crew_id: str | None = "pagi-1", state: str = "assigned", asset_id: str = BIN) -> int:
        """Hand out a task and return its id."""
        row = {
            "site": self.site.id,
            "incident_id": None,
            "asset_id": asset_id,
            "kind": "empty",
            "state": state,
            "crew_id": crew_id,
            "created_ms": self.now_ms,
            "assigned_ms": self.now_ms if crew_id else None,
        }
        return self._insert(TASKS, row, "task", task_view)

    def reassign(self, task_id: int, crew_id: str) -> None:
        """Give an assigned task to another crew, as the engine does."""
        table = TASKS
        with self.database.writing() as connection:
            connection.execute(sa.update(table).where(table.c.id == task_id).values(crew_id=crew_id))
            row = connection.execute(sa.select(table).where(table.c.id == task_id)).mappings().one()
            self._change(connection, "task", str(task_id), task_view(row))

    def prune(self, keep: int) -> None:
        """Forget all but the newest ``keep`` lines of the change log."""
        table = CHANGES
        with self.database.writing() as connection:
            newest = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
            connection.execute(sa.delete(table).where(table.c.id <= newest - keep))
            connection.execute(sa.delete(CURSORS))
            connection.execute(
                sa.insert(CURSORS).values(
                    site=self.site.id, event_ms=0, arrived_ms=0, updated_ms=self.now_ms, pruned_id=newest - keep
                )
            )

    def write_points(self, asset_id: str, values: list[tuple[int, float]], field: str = "fill_pct") -> None:
        """Store ``(ts_ms, value)`` of one bin."""
        device = next(device for device in self.site.devices if device.asset == asset_id)
        tags = {
            "site": self.site.id,
            "asset": asset_id,
            "device": device.id,
            "zone": self.site.assets[asset_id].zone,
        }
        self.writer.write([Point("bin", tags, ts_ms, {field: value}) for ts_ms, value in values])

    def close(self) -> None:
        """Release the files."""
        self.writer.close()
        self.database.close()

    def _change(self, connection: sa.Connection, kind: str, ident: str, payload: dict[str, Any]) -> None:
        add_change(connection, self.site.id, self.now_ms, kind=kind, entity_id=ident, payload=payload)

    def _insert(self, table: Any, row: dict[str, Any], kind: str, view: Any) -> int:
        with self.database.writing() as connection:
            ident = connection.execute(sa.insert(table).values(row)).inserted_primary_key[0]
            full = connection.execute(sa.select(table).where(table.c.id == ident)).mappings().one()
            self._change(connection, kind, str(ident), view(full))
        return int(ident)
