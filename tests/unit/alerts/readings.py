"""Readings and small squares for tests: every value has a default, a test names only what matters."""

from collections.abc import Sequence

from alerts.plan import AssetPlan, SquarePlan
from ingest.readings import Reading
from square.calendar import ServiceHours, Shift, ShiftPlan, Window
from square.clock import WIB
from square.geometry import Frame
from square.site import Crew, Device
from square.walking import WalkingGraph

SITE = "alun-alun"
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
T0_MS = 1_795_485_600_000
"""2026-11-24 09:00 WIB: morning shift, start of a clock hour."""
CENTRE = (112.9067, -7.6414)
STEP_DEG = 0.0009
"""About 100 m along a parallel at the square."""


def bin_reading(
    minute: float,
    fill_pct: float | None,
    *,
    asset: str = "bin-001",
    state: str = "ok",
    seq: int | None = None,
    boot: int = 7,
    arrived_ms: int | None = None,
) -> Reading:
    """Return the reading of a bin ``minute`` minutes after ``T0_MS``."""
    ts_ms = T0_MS + round(minute * MINUTE_MS)
    return Reading(
        site=SITE,
        device=asset.replace("bin", "rsk"),
        asset=asset,
        zone="zona",
        kind="bin",
        boot=boot,
        seq=round(minute * 10) + 1 if seq is None else seq,
        ts_ms=ts_ms,
        arrived_ms=ts_ms if arrived_ms is None else arrived_ms,
        values={"battery_mv": 3700.0, "temp_c": 31.0} | ({} if fill_pct is None else {"fill_pct": fill_pct}),
        state=state,
        quality=4,
        flags=0,
    )


def air_reading(minute: float, pm25: float, *, rh: float = 60.0, asset: str = "air-001", state: str = "ok") -> Reading:
    """Return the reading of a station ``minute`` minutes after ``T0_MS``."""
    ts_ms = T0_MS + round(minute * MINUTE_MS)
    values = {"pm25_ugm3": pm25, "pm10_ugm3": pm25 * 1.5, "rh_pct": rh, "temp_c": 30.0}
    seq = round(minute * 10) + 100_000
    return Reading(SITE, "rsk-air", asset, "zona", "air", 7, seq, ts_ms, ts_ms, values, state, 4, 0)


def square_plan(
    bins: int = 3,
    *,
    crews: Sequence[tuple[str, str]] = (("pagi-1", "pagi"), ("pagi-2", "pagi")),
    hours: ServiceHours | None = None,
    stations: int = 1,
    interval_s: int = 600,
    handover_min: int = 15,
) -> SquarePlan:
    """Return a square whose bins stand 100 m apart on one path that starts at the depot."""
    places = [(CENTRE[0] + k * STEP_DEG, CENTRE[1]) for k in range(bins + stations + 1)]
    assets = [
        AssetPlan(f"bin-{k:03}", "bin", places[k], f"rsk-{k:03}", interval_s, hours or ServiceHours())
        for k in range(1, bins + 1)
    ]
    assets += [AssetPlan(f"air-{k:03}", "air", places[bins + k], "rsk-air", 300, None) for k in range(1, stations + 1)]
    devices = [
        Device(asset.device_id or "", asset.kind, asset.id, "test", asset.interval_s, "active") for asset in assets
    ]
    shifts = (
        Shift("pagi", "Pagi", "Morning", Window(270, 690)),
        Shift("siang", "Siang", "Afternoon", Window(690, 1080)),
    )
    frame = Frame(*CENTRE)
    return SquarePlan(
        SITE,
        assets=assets,
        devices=devices,
        crews=[Crew(crew_id, crew_id.title(), shift) for crew_id, shift in crews],
        shift_plan=ShiftPlan(shifts, WIB, handover_min),
        walking=WalkingGraph([places], frame),
        base=CENTRE,
    )
