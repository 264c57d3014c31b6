"""Values of one asset over time."""

import datetime as dt
from functools import partial
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from anyio import to_thread
from fastapi import Query, Response

from dashboard_api.deps import PartsDep, new_router
from dashboard_api.errors import BadRequestError, NotFoundError
from dashboard_api.replies import fresh_json
from dashboard_api.schemas import ErrorBody, History
from square.quantities import QUANTITIES

router = new_router("office", "/api/v1")

_DAY_MS: Final = 86_400_000
MAX_RANGE_MS: Final = 400 * _DAY_MS
MAX_ROWS: Final = 20_000
MAX_FIELDS: Final = 8
_MAX_TIME_MS: Final = 4_102_444_800_000  # the year 2100
Time = Annotated[int, Query(ge=0, le=_MAX_TIME_MS)]


@router.get(
    "/history",
    response_model=None,
    responses={
        200: {"model": History},
        400: {"model": ErrorBody},
        404: {"model": ErrorBody},
        422: {"model": ErrorBody},
        503: {"model": ErrorBody},
    },
)
async def history(  # noqa: PLR0917 - called by FastAPI, by name
    parts: PartsDep,
    asset: Annotated[str, Query(pattern=r"^[a-z0-9-]{3,32}$")],
    start_ms: Time,
    end_ms: Time,
    fields: Annotated[str, Query(max_length=200, description="Comma-separated names")] = "fill_pct",
    every_s: Annotated[int | None, Query(ge=1, le=31 * 86_400, description="Mean per window of this length")] = None,
) -> Response:
    """Return columns over time in ``[start_ms, end_ms)``, at most 400 days; an empty window is a gap, not a value.

    Windows of whole days are days of the square. A year of them is answered from the daily means of the store.
    """
    measurement = parts.site.measurement_of(asset)
    if measurement is None:
        raise NotFoundError(
            "unknown-asset", "Tidak ada aset ini di denah.", "The plan has no such asset.", where="asset"
        )
    names = list(dict.fromkeys(name for name in fields.split(",") if name))
    unknown = [name for name in names if name not in QUANTITIES]
    if unknown or not 1 <= len(names) <= MAX_FIELDS:
        raise BadRequestError(
            "unknown-field",
            f"Sebut 1 sampai {MAX_FIELDS} besaran dari: {', '.join(QUANTITIES)}.",
            f"Name 1 to {MAX_FIELDS} quantities of: {', '.join(QUANTITIES)}.",
            where="fields",
        )
    if not 0 < end_ms - start_ms <= MAX_RANGE_MS:
        raise BadRequestError(
            "bad-range",
            "Rentang harus lebih dari 0 dan paling lama 400 hari.",
            "The range must be more than 0 and at most 400 days.",
            where="end_ms",
        )
    read = partial(
        parts.services.store.series,
        measurement,
        site=parts.services.site.id,
        asset=asset,
        fields=names,
        start_ms=start_ms,
        end_ms=end_ms,
        every_s=every_s,
        offset_s=_day_offset_s(parts.services.site.timezone, end_ms, every_s),
        limit=MAX_ROWS,
    )
    # Own threads: however slow the store is, they never keep a crew's tap waiting.
    series = await to_thread.run_sync(read, limiter=parts.history_slots)
    if len(series.ts_ms) >= MAX_ROWS:
        raise BadRequestError(  # a cut-off series would look like an outage
            "too-many-rows",
            f"Lebih dari {MAX_ROWS} baris. Perbesar every_s atau perpendek rentang.",
            f"More than {MAX_ROWS} rows. Raise every_s or shorten the range.",
            where="every_s",
        )
    return fresh_json({"asset_id": asset, "ts_ms": series.ts_ms, "columns": series.columns})


def _day_offset_s(timezone: str, at_ms: int, every_s: int | None) -> int:
    """Return how far the clock of the square is ahead of UTC [s], where windows are whole days; else 0."""
    if every_s is None or every_s % 86_400:
        return 0
    offset = dt.datetime.fromtimestamp(at_ms / 1000, ZoneInfo(timezone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0
