"""Shapes of the API, one class per object: the source of the OpenAPI document.

Responses are encoded by msgspec from plain objects; these classes document them, and the tests hold
every response against them (``extra="forbid"``: a field that is not declared here fails the tests).
All instants are integer milliseconds since 1970 UTC of square time, ``*_ms``.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["empty", "half", "filling", "full", "overflow", "unknown"]
TaskState = Literal["open", "assigned", "accepted", "claimed", "verified", "unverified", "cancelled"]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Clock(_Shape):
    """Square time: ``speed`` is square seconds per wall second, 0 when paused."""

    now_ms: int
    speed: float
    simulated: bool


class BinState(_Shape):
    """Newest known state of one bin. ``stale`` means older than twice its reporting interval."""

    asset_id: str
    device_id: str | None
    ts_ms: int | None
    fill_pct: float | None
    level: Level
    state: str | None
    silent: bool
    stale: bool
    battery_mv: float | None
    temp_c: float | None
    quality: int | None
    flags: int | None
    fill_rate_pct_h: float | None
    full_at_ms: int | None
    full_at_p10_ms: int | None
    full_at_p90_ms: int | None
    emptied_at_ms: int | None


class AirState(_Shape):
    """Newest known state of one air station; ``indicative`` says that the values are no official measurement."""

    asset_id: str
    device_id: str | None
    ts_ms: int | None
    pm25_ugm3: float | None
    pm10_ugm3: float | None
    rh_pct: float | None
    temp_c: float | None
    mean_24h_pm25_ugm3: float | None
    mean_24h_pm10_ugm3: float | None
    ispu: float | None
    ispu_category: str | None
    ispu_parameter: str | None
    silent: bool
    stale: bool
    indicative: bool
    state: str | None
    battery_mv: float | None
    flags: int | None


class Incident(_Shape):
    """Something that needs a person."""

    id: int
    asset_id: str
    rule: str
    severity: str
    state: Literal["open", "acked", "closed"]
    opened_ms: int
    acked_ms: int | None
    acked_by: str | None
    closed_ms: int | None
    detail: dict[str, Any]


class Task(_Shape):
    """One piece of work for a crew; ``claimed`` is the crew's word, ``verified`` the sensor's."""

    id: int
    incident_id: int | None
    asset_id: str
    kind: str
    state: TaskState
    crew_id: str | None
    created_ms: int
    assigned_ms: int | None
    accepted_ms: int | None
    claimed_ms: int | None
    closed_ms: int | None
    due_ms: int | None
    waiting_reason: str | None
    fill_before_pct: float | None
    fill_after_pct: float | None


class Crew(_Shape):
    """A crew as the office sees it."""

    id: str
    name: str
    shift: str
    on_shift: bool
    lon: float | None
    lat: float | None
    position_ms: int | None
    open_tasks: int


class ServiceHealth(_Shape):
    """One process or store: ``age_s`` is the time since it was last heard [s]."""

    service: str
    ok: bool
    reason: str
    age_s: float | None


class Health(_Shape):
    """Whether everything runs, and what does not."""

    ok: bool
    services: list[ServiceHealth]


class State(_Shape):
    """Everything the map shows, as of ``event_id``."""

    event_id: int
    clock: Clock
    bins: list[BinState]
    air: list[AirState]
    incidents: list[Incident]
    tasks: list[Task]
    crews: list[Crew]
    health: Health


class CrewName(_Shape):
    """A crew in the site description."""

    id: str
    name: str
    shift: str


class Shift(_Shape):
    """Working hours in WIB, ``HH:MM``."""

    id: str
    name_id: str
    name_en: str
    start: str
    end: str


class Site(_Shape):
    """What does not change while the server runs."""

    id: str
    name_id: str
    name_en: str
    timezone: str
    centre: tuple[float, float]
    plan: dict[str, Any]
    rules: dict[str, Any]
    crews: list[CrewName]
    shifts: list[Shift]
    tiles_url: str | None
    tiles_attribution: str | None


class History(_Shape):
    """Columns over time; a missing value is null, a missing time is not there."""

    asset_id: str
    ts_ms: list[int]
    columns: dict[str, list[float | None]]


class AckRequest(BaseModel):
    """Who takes note of an incident."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    who: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")


class AssetPlace(_Shape):
    """Where a task is."""

    name_id: str
    name_en: str
    lon: float
    lat: float
    zone: str


class CrewTask(Task):
    """A task with its place and the bin's level now, for the crew's phone. No level when the newest one is stale."""

    fill_now_pct: float | None
    asset: AssetPlace


class SiteName(_Shape):
    """Name of the square."""

    id: str
    name_id: str
    name_en: str


class CrewPage(_Shape):
    """Everything the crew's page shows: own work only."""

    crew: Crew
    tasks: list[CrewTask]
    clock: Clock
    shift: Shift | None
    site: SiteName


class StoreHealth(_Shape):
    """One backing store."""

    ok: bool
    reason: str


class Stores(_Shape):
    """Both backing stores of the dashboard."""

    relational: StoreHealth
    time_series: StoreHealth


class Healthz(_Shape):
    """Health of this process, for supervisors."""

    service: str
    ok: bool
    reason: str
    stores: Stores
    counts: dict[str, int]


class ErrorDetail(BaseModel):
    """One error, in two languages."""

    model_config = ConfigDict(extra="allow")

    code: str
    message_id: str
    message_en: str
    where: str


class ErrorBody(_Shape):
    """The one error shape of the API."""

    error: ErrorDetail
