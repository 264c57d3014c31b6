"""The shapes in which states, incidents, tasks and crews leave the database.

The dashboard serves them as they are, and the engine writes the same shapes into the change log, so the
map gets one object whether it asks or listens.
"""

from collections.abc import Mapping
from typing import Any, Final

from square.intervals import expected_interval_s

View = dict[str, Any]
"""A JSON object: snake_case keys, times as integer ms."""

STALE_INTERVALS: Final = 2.0
"""A value older than this many report intervals is stale: shown, but never as current."""
DEFAULT_INTERVAL_S: Final = 600
"""Report interval [s] of an asset whose device is not known."""

_INCIDENT_KEYS: Final = (
    "id",
    "asset_id",
    "rule",
    "severity",
    "state",
    "opened_ms",
    "acked_ms",
    "acked_by",
    "closed_ms",
    "detail",
)
_TASK_KEYS: Final = (
    "id",
    "incident_id",
    "asset_id",
    "kind",
    "state",
    "crew_id",
    "created_ms",
    "assigned_ms",
    "accepted_ms",
    "claimed_ms",
    "closed_ms",
    "due_ms",
    "waiting_reason",
    "fill_before_pct",
    "fill_after_pct",
)


def is_stale(ts_ms: int | None, interval_s: int | None, now_ms: int) -> bool:
    """Whether a value of ``ts_ms`` may no longer be shown as current; a missing value is stale."""
    if ts_ms is None:
        return True
    return now_ms - ts_ms > STALE_INTERVALS * 1000 * (interval_s or DEFAULT_INTERVAL_S)


def bin_view(row: Mapping[str, Any], interval_s: int | None, now_ms: int) -> View:
    """Return the ``BinState`` of a row of ``asset_states``.

    Examples
    --------
    >>> bin_view(unheard("b-1", "bin", None), 600, 0)["level"]
    'unknown'
    """
    values = row["values"]
    return {
        "asset_id": row["asset_id"],
        "device_id": row["device_id"],
        "ts_ms": row["ts_ms"],
        "fill_pct": values.get("fill_pct"),
        "level": row["level"],
        "state": row["state"],
        "silent": bool(row["silent"]),
        "stale": is_stale(row["ts_ms"], interval_s, now_ms),
        "battery_mv": values.get("battery_mv"),
        "temp_c": values.get("temp_c"),
        "quality": values.get("quality"),
        "flags": values.get("flags"),
        "fill_rate_pct_h": row["fill_rate_pct_h"],
        "full_at_ms": row["full_at_ms"],
        "full_at_p10_ms": row["full_at_p10_ms"],
        "full_at_p90_ms": row["full_at_p90_ms"],
        "emptied_at_ms": row["emptied_at_ms"],
    }


def air_view(row: Mapping[str, Any], interval_s: int | None, now_ms: int) -> View:
    """Return the ``AirState`` of a row of ``asset_states``; every index in it is indicative."""
    values = row["values"]
    return {
        "asset_id": row["asset_id"],
        "device_id": row["device_id"],
        "ts_ms": row["ts_ms"],
        "pm25_ugm3": values.get("pm25_ugm3"),
        "pm10_ugm3": values.get("pm10_ugm3"),
        "rh_pct": values.get("rh_pct"),
        "temp_c": values.get("temp_c"),
        "mean_24h_pm25_ugm3": values.get("mean_24h_pm25_ugm3"),
        "mean_24h_pm10_ugm3": values.get("mean_24h_pm10_ugm3"),
        "ispu": values.get("ispu"),
        "ispu_category": values.get("ispu_category"),
        "ispu_parameter": values.get("ispu_parameter"),
        "silent": bool(row["silent"]),
        "stale": is_stale(row["ts_ms"], interval_s, now_ms),
        "indicative": True,
        "state": row["state"],
        "battery_mv": values.get("battery_mv"),
        "flags": values.get("flags"),
    }


def incident_view(row: Mapping[str, Any]) -> View:
    """Return the ``Incident`` of a row of ``incidents``."""
    return {key: row[key] for key in _INCIDENT_KEYS}


def task_view(row: Mapping[str, Any]) -> View:
    """Return the ``Task`` of a row of ``tasks``."""
    return {key: row[key] for key in _TASK_KEYS}


def crew_view(row: Mapping[str, Any], *, on_shift: bool, open_tasks: int) -> View:
    """Return the ``Crew`` of a row of ``crews``.

    A position is personal data (UU 27/2022): it is shown only while the crew is on shift and has work.
    """
    shown = on_shift and open_tasks > 0
    return {
        "id": row["id"],
        "name": row["name"],
        "shift": row["shift"],
        "on_shift": on_shift,
        "lon": row["lon"] if shown else None,
        "lat": row["lat"] if shown else None,
        "position_ms": row["position_ms"] if shown else None,
        "open_tasks": open_tasks,
    }


def device_view(row: Mapping[str, Any], now_ms: int) -> View:
    """Return a device of the registry with what it last said."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "asset_id": row["asset_id"],
        "model": row["model"],
        "interval_s": row["interval_s"],
        "announced_s": row["announced_s"],
        "status": row["status"],
        "last_seen_ms": row["last_seen_ms"],
        "stale": is_stale(row["last_seen_ms"], expected_interval_s(row["interval_s"], row["announced_s"]), now_ms),
        "battery_mv": row["battery_mv"],
        "rssi_dbm": row["rssi_dbm"],
        "firmware": row["firmware"],
        "queue": row["queue"],
        "dropped": row["dropped"],
        "days_left": row["days_left"],
        "reset": row["reset"],
        "crash": row["crash"],
        "ota": row["ota"],
    }


def unheard(asset_id: str, kind: str, device_id: str | None) -> dict[str, Any]:
    """Return the row of an asset that never reported: level unknown, nothing else."""
    return {
        "asset_id": asset_id,
        "kind": kind,
        "device_id": device_id,
        "ts_ms": None,
        "seq": None,
        "values": {},
        "state": "ok",
        "level": "unknown",
        "fill_rate_pct_h": None,
        "full_at_ms": None,
        "full_at_p10_ms": None,
        "full_at_p90_ms": None,
        "emptied_at_ms": None,
        "silent": False,
    }
