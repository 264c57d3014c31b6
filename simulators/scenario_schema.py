"""The scenario format as tables: every key, its type, range and meaning.

One table feeds the check, the loader and docs/scenarios/README.md (a test compares them). It extends the format of site
files by dates, moments, flags and pairs of numbers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from simulators.faults import KINDS, NAMED
from simulators.habits import Habits
from simulators.scenario_sections import MISHAPS, PURPOSES, MishapRates
from simulators.scenario_sections import value as assumed
from square.calendar import instant_s, parse_clock
from square.occasions import ENTERED
from square.plan_schema import Field

SCHEMA = 1
FIRST_YEAR, LAST_YEAR = 1970, 2199
_AFTER = re.compile(r"\+(\d{1,4}):([0-5]\d)")
_PAIR = 2


@dataclass(frozen=True)
class ScenarioField(Field):
    """A key of the format; `kind` is one of `Field`, or ``date``, ``moment``, ``flag`` or ``pair``."""

    @property
    def expected(self) -> str:
        """What the value must be, as a phrase."""
        if self.kind == "pair":
            return f"two numbers from {self.low:g} to {self.high:g}, the smaller first, like [5, 75]"
        return _EXPECTED[self.kind] if self.kind in _EXPECTED else super().expected

    def fault(self, value: Any) -> str | None:
        """Say what is wrong with a value; None when nothing is."""
        check = _CHECKS.get(self.kind)
        if check is None:
            return super().fault(value)
        if not check(value):
            return f"is {value}" if isinstance(value, int | float | date) else f'is "{value}"'
        if self.kind == "pair" and not self.low <= value[0] <= value[1] <= self.high:
            return f"is {value}"
        return None


def _is_day(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime) and _is_known(value)


def _is_known(day: date) -> bool:
    """Whether calendars and clocks reach so far: seconds since 1970, and the years for which occasions are computed."""
    return FIRST_YEAR <= day.year <= LAST_YEAR


def _is_moment(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is None and _is_known(value)
    if not isinstance(value, str):
        return False
    if _AFTER.fullmatch(value):
        return True
    try:
        parse_clock(value)
    except ValueError:
        return False
    return True


def _is_pair(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != _PAIR:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "date": _is_day,
    "moment": _is_moment,
    "pair": _is_pair,
    "flag": _is_flag,
}
_EXPECTED = {
    "date": f"a day like 2026-11-24, without quotes, from {FIRST_YEAR} to {LAST_YEAR}",
    "moment": 'a time of day like "18:30", a time after the start like "+2:30", or 2026-11-24T18:30:00 without quotes',
    "flag": "true or false",
}


def moment_s(value: str | datetime, after_s: float, start_s: float, zone: ZoneInfo) -> float:
    """Return the moment that a text of a scenario means.

    Parameters
    ----------
    value
        A sound value of kind ``moment``.
    after_s
        A time of day is the first one not before this moment [s since 1970 UTC].
    start_s
        Start of the scenario, from which ``+h:mm`` counts [s since 1970 UTC].
    zone
        Time zone of the square.

    Returns
    -------
    float
        Seconds since 1970 UTC.
    """
    if isinstance(value, datetime):
        return value.replace(tzinfo=zone).timestamp()
    if after := _AFTER.fullmatch(value):
        return start_s + int(after[1]) * 3600 + int(after[2]) * 60
    minute = parse_clock(value)
    day = datetime.fromtimestamp(after_s, zone).date()
    found = instant_s(day, minute, zone)
    return found if found >= after_s else instant_s(day + timedelta(days=1), minute, zone)


def _per_day(name: str, about: str) -> ScenarioField:
    return ScenarioField(
        name, "number", about, required=False, low=0, high=10_000, default=getattr(MishapRates(), name)
    )


SCENARIO_FIELDS = (
    ScenarioField("schema", "int", "version of this format", low=SCHEMA, high=SCHEMA),
    ScenarioField("id", "id", "name of the scenario, as its file is called"),
    ScenarioField("name_id", "text", "title in Indonesian, shown first"),
    ScenarioField("name_en", "text", "title in English"),
    ScenarioField("about_id", "text", "what happens, in Indonesian, one or two sentences"),
    ScenarioField("about_en", "text", "what happens, in English"),
    ScenarioField(
        "site",
        "text",
        "name of a shipped site, or a site folder, counted from the file",
        required=False,
        default="alun-alun-pasuruan",
    ),
    ScenarioField("day", "date", "day on which it starts; decides weekday, occasions and season"),
    ScenarioField("start", "clock", "time of day at which it starts", required=False, default="00:00"),
    ScenarioField("hours", "number", "how long it lasts [h]", low=0.25, high=8760),
    ScenarioField("seed", "int", "the same seed gives the same square", required=False, low=0, high=999_999, default=1),
    ScenarioField(
        "initial_fill_pct",
        "pair",
        "range of the first fill of the bins [%]",
        required=False,
        low=0,
        high=110,
        default=(5, 75),
    ),
)
VISITORS_FIELDS = (
    ScenarioField(
        "per_day_factor",
        "number",
        "factor on the visitors that calendar and hour bring",
        required=False,
        low=0,
        high=1000,
        default=1.0,
    ),
)
GROUP_FIELDS = (
    ScenarioField("at", "moment", "when the buses arrive at the terminal"),
    ScenarioField("buses", "int", "how many arrive together", low=1, high=1000),
    ScenarioField(
        "people_per_bus",
        "number",
        "people in each",
        required=False,
        low=1,
        high=100,
        default=assumed("people_per_bus"),
    ),
)
CROWD_FIELDS = (
    ScenarioField("from", "moment", "when the first of them come"),
    ScenarioField("until", "moment", "when the last of them come"),
    ScenarioField("people", "int", "how many come in all, on top of the others", low=1, high=999_999),
    ScenarioField("purpose", "choice", "why they come: where they go and what they drop", choices=PURPOSES),
)
QUIET_FIELDS = (
    ScenarioField("from", "moment", "from when fewer come"),
    ScenarioField("until", "moment", "until when"),
    ScenarioField("factor", "number", "share that comes all the same", required=False, low=0, high=1, default=0.0),
)
WEATHER_FIELDS = (
    ScenarioField("is_dry", "flag", "no rain but that of the ordered storms", required=False, default=False),
    ScenarioField("temp_shift_c", "number", "warmer than usual by [C]", required=False, low=-15, high=15, default=0.0),
    ScenarioField(
        "rh_shift_pct",
        "number",
        "damper than usual by [percentage points]",
        required=False,
        low=-60,
        high=60,
        default=0.0,
    ),
    ScenarioField("wind_factor", "number", "factor on the usual wind", required=False, low=0, high=10, default=1.0),
)
STORM_FIELDS = (
    ScenarioField("from", "moment", "when it begins"),
    ScenarioField("until", "moment", "when it is over"),
    ScenarioField("rain_mmph", "number", "rain at its height [mm/h]", low=0, high=300),
    ScenarioField("wind_mps", "number", "wind at its height [m/s]", required=False, low=0, high=60, default=8.0),
)
MISHAPS_FIELDS = (
    _per_day("scavengers_per_day", "visits of waste pickers"),
    _per_day("bin_thefts_per_day", "bins stolen"),
    _per_day("sensor_thefts_per_day", "sensors torn off"),
    _per_day("moved_per_day", "bins moved"),
    _per_day("tipped_per_day", "bins tipped over"),
    _per_day("lids_left_open_per_day", "lids left open"),
    _per_day("bin_fires_per_day", "fires in bins"),
    _per_day("burnings_per_day", "open fires near the square"),
)
PLANNED_FIELDS = (
    ScenarioField("at", "moment", "when"),
    ScenarioField("kind", "choice", "what happens", choices=MISHAPS),
    ScenarioField("bin", "id", "which bin; absent: chosen by the seed", required=False),
)
OCCASION_FIELDS = (
    ScenarioField("day", "date", "day of the official date"),
    ScenarioField("name", "text", "which occasion: " + ", ".join(ENTERED)),
)
FAULT_FIELDS = (
    ScenarioField("at", "moment", "when it begins"),
    ScenarioField("until", "moment", "when it is over; absent, as for_min: never", required=False),
    ScenarioField("for_min", "number", "instead of until: how long [min]", required=False, low=0.1, high=525_600),
    ScenarioField(
        "target",
        "text",
        "what is struck: node:<id or pattern>, crew:<id or pattern>, "
        + ", ".join(name for name in KINDS if name not in NAMED),
    ),
    ScenarioField("kind", "text", "what is wrong with it; see the table of faults"),
    ScenarioField(
        "strength",
        "number",
        "how badly, in the unit of the kind; absent: its default",
        required=False,
        low=-1e9,
        high=1e9,
    ),
    ScenarioField(
        "share",
        "number",
        "share of the matching nodes or crews that is struck",
        required=False,
        low=0,
        high=1,
        default=1.0,
    ),
)

_HABITS = {
    "refuse_share": "orders that a crew lets lie",
    "late_share": "orders that it accepts long after it saw them",
    "lie_share": "orders that it claims done and has not done",
    "breakdown_share": "orders on whose way the cart breaks",
    "offline_share": "orders whose claim reaches the office late, for want of network",
    "accept_median_s": "median time until an order is accepted [s]",
    "late_median_s": "the same for late ones [s]",
    "breakdown_median_s": "median time of standing still [s]",
    "offline_median_s": "median time without network [s]",
    "walk_factor": "walking time against that of the plan",
}


def _habit(name: str, about: str) -> ScenarioField:
    high = 1.0 if name.endswith("_share") else 86_400.0 if name.endswith("_s") else 10.0
    low = 0.0 if name.endswith("_share") else 0.1
    return ScenarioField(name, "number", about, required=False, low=low, high=high, default=getattr(Habits(), name))


CREWS_FIELDS = tuple(_habit(name, about) for name, about in _HABITS.items())

SECTIONS = {
    "visitors": VISITORS_FIELDS,
    "weather": WEATHER_FIELDS,
    "mishaps": MISHAPS_FIELDS,
    "crews": CREWS_FIELDS,
}
"""Tables of a file."""
LISTS = {
    ("visitors", "group"): GROUP_FIELDS,
    ("visitors", "crowd"): CROWD_FIELDS,
    ("visitors", "quiet"): QUIET_FIELDS,
    ("weather", "storm"): STORM_FIELDS,
    ("mishaps", "planned"): PLANNED_FIELDS,
    ("occasion",): OCCASION_FIELDS,
    ("fault",): FAULT_FIELDS,
}
"""Lists of tables of a file, as in ``[[visitors.group]]``."""
