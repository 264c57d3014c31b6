"""Bring devices, assets and crews of the store in line with the site folder, at each start."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from alerts.adapters.crew_links import read_links, write_links
from alerts.adapters.ledger import Ledger, Row
from alerts.plan import SquarePlan
from alerts.tokens import new_token, token_hash

_UNHEARD: dict[str, Any] = {
    "last_seen_ms": None,
    "battery_mv": None,
    "rssi_dbm": None,
    "firmware": None,
    "queue": None,
    "dropped": None,
    "announced_s": None,
    "days_left": None,
    "reset": None,
    "crash": None,
    "ota": None,
}


def sync_devices(ledger: Ledger, plan: SquarePlan) -> dict[str, Row]:
    """Write the registry's devices; what a device last said stays. Devices no longer listed become retired."""
    known = {row["id"]: row for row in ledger.devices()}
    rows: dict[str, Row] = {}
    for device in plan.devices:
        said = known.get(device.id, _UNHEARD)
        rows[device.id] = {
            "id": device.id,
            "site": plan.site_id,
            "kind": device.kind,
            "asset_id": device.asset,
            "model": device.model,
            "interval_s": device.interval_s,
            "status": device.status,
            **{name: said[name] for name in _UNHEARD},
        }
    gone = [{**row, "status": "retired"} for device_id, row in known.items() if device_id not in rows]
    ledger.save_devices([*rows.values(), *gone])
    return rows


def issue_links(known: Collection[str], plan: SquarePlan, links_file: Path | None) -> dict[str, str]:
    """Return a secret link token for each crew member that the store does not know yet, and write them to the file.

    To be done before the rows are written and outside their transaction: a crash between the two leaves a token
    that the next start uses.

    Raises
    ------
    SettingsError
        If the links file cannot be read or written.
    """
    links = {} if links_file is None else read_links(links_file)
    tokens = {crew.id: links.get(crew.id) or new_token() for crew in plan.crews if crew.id not in known}
    if links_file is not None and any(links.get(crew_id) != token for crew_id, token in tokens.items()):
        write_links(links_file, {**links, **tokens})
    return tokens


def sync_crews(ledger: Ledger, plan: SquarePlan, tokens: Mapping[str, str]) -> None:
    """Write the crews of the plan; a new one gets the link in ``tokens``, a former one becomes inactive."""
    known = {row["id"]: row for row in ledger.all_crews()}
    rows: list[Row] = []
    for crew in plan.crews:
        row = known.get(crew.id)
        rows.append(
            {
                "id": crew.id,
                "site": plan.site_id,
                "name": crew.name,
                "shift": crew.shift,
                "token_hash": token_hash(tokens[crew.id]) if row is None else row["token_hash"],
                "lon": None if row is None else row["lon"],
                "lat": None if row is None else row["lat"],
                "position_ms": None if row is None else row["position_ms"],
                "active": True,
            }
        )
    listed = {crew.id for crew in plan.crews}
    rows += [{**row, "active": False} for crew_id, row in known.items() if crew_id not in listed]
    ledger.save_crews(rows)
