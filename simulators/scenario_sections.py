"""Sections of a scenario: what it changes about visitors, weather and mishaps. Plain data, all moments absolute.

Moments are seconds since 1970 UTC. The defaults are an ordinary day: what a scenario leaves out stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "people_per_bus": Parameter(62, "people", "a group of 250 people in 4 buses (ramapati 2023-01-26)"),
    "scavengers_per_day": Parameter(6, "1/day", "assumed visits of waste pickers to the square"),
    "bin_thefts_per_day": Parameter(0.002, "1/day", "assumed: a bin disappears once in one to two years"),
    "sensor_thefts_per_day": Parameter(0.01, "1/day", "assumed: a sensor is torn off every few months"),
    "moved_per_day": Parameter(0.2, "1/day", "assumed: somebody moves a bin once a week"),
    "tipped_per_day": Parameter(0.1, "1/day", "assumed: a bin is tipped over every ten days"),
    "lids_left_open_per_day": Parameter(1, "1/day", "assumed: somebody leaves a lid up, and rain gets in"),
    "bin_fires_per_day": Parameter(0.01, "1/day", "assumed: a cigarette sets a bin on fire every few months"),
    "burnings_per_day": Parameter(0.3, "1/day", "assumed: somebody burns waste near the square every few days"),
}

PURPOSES = ("pilgrims", "groups", "families", "exercise", "food", "takjil", "passers-by")
"""Why somebody comes; a crowd of a scenario has one of these."""
MISHAPS = ("scavenged", "bin-theft", "sensor-theft", "moved", "tipped", "lid-open", "fire", "burning")
"""What can happen to a bin, or near the square (burning)."""


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


@dataclass(frozen=True, slots=True)
class Group:
    """Buses that arrive together at the terminal.

    Attributes
    ----------
    at_s : float
        Moment of arrival.
    buses : int
        How many.
    people_per_bus : float
        In each of them.
    """

    at_s: float
    buses: int
    people_per_bus: float = value("people_per_bus")


@dataclass(frozen=True, slots=True)
class CrowdSpell:
    """People who come on top of the ordinary, evenly over a time.

    Attributes
    ----------
    from_s, until_s : float
        When they come; ``until_s`` is later.
    people : int
        How many are expected in all.
    purpose : str
        One of `PURPOSES`: decides where they go and what they drop.
    """

    from_s: float
    until_s: float
    people: int
    purpose: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """A time in which fewer come: a curfew, a closed square.

    Attributes
    ----------
    from_s, until_s : float
        When.
    factor : float
        Share of the ordinary visitors that comes all the same [0..1].
    """

    from_s: float
    until_s: float
    factor: float = 0.0


@dataclass(frozen=True, slots=True)
class Visits:
    """Section ``[visitors]``.

    Attributes
    ----------
    per_day_factor : float
        Factor on the visitors of every ordinary day and occasion [>= 0].
    groups : tuple[Group, ...]
        Bus groups that were announced.
    crowds : tuple[CrowdSpell, ...]
        Crowds on top of what the calendar brings.
    quiet : tuple[Quiet, ...]
        Times in which fewer come.
    """

    per_day_factor: float = 1.0
    groups: tuple[Group, ...] = ()
    crowds: tuple[CrowdSpell, ...] = ()
    quiet: tuple[Quiet, ...] = ()


@dataclass(frozen=True, slots=True)
class Storm:
    """Rain and wind that a scenario orders.

    Attributes
    ----------
    from_s, until_s : float
        When; it rises and falls inside this time.
    rain_mmph : float
        Rain at its height [mm/h].
    wind_mps : float
        Wind at its height [m/s].
    """

    from_s: float
    until_s: float
    rain_mmph: float
    wind_mps: float


@dataclass(frozen=True, slots=True)
class WeatherOverrides:
    """Section ``[weather]``.

    Attributes
    ----------
    is_dry : bool
        No rain but that of `storms`.
    temp_shift_c : float
        Warmer than usual by this [C].
    rh_shift_pct : float
        Damper than usual by this [percentage points].
    wind_factor : float
        Factor on the usual wind [>= 0].
    storms : tuple[Storm, ...]
        Ordered storms, on top of what the season brings.
    """

    is_dry: bool = False
    temp_shift_c: float = 0.0
    rh_shift_pct: float = 0.0
    wind_factor: float = 1.0
    storms: tuple[Storm, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedMishap:
    """A mishap that a scenario orders.

    Attributes
    ----------
    at_s : float
        When.
    kind : str
        One of `MISHAPS`.
    bin_id : str
        Asset id of the bin; empty lets the seed choose one (and for burning, which is near no bin).
    """

    at_s: float
    kind: str
    bin_id: str = ""


@dataclass(frozen=True, slots=True)
class MishapRates:
    """Section ``[mishaps]``: expected numbers a day for the whole square, and what is ordered.

    Attributes
    ----------
    scavengers_per_day, bin_thefts_per_day, sensor_thefts_per_day, moved_per_day, tipped_per_day : float
        By kind [1/day, >= 0].
    lids_left_open_per_day : float
        Lids that somebody leaves up [1/day, >= 0].
    bin_fires_per_day, burnings_per_day : float
        Fires in a bin, and open burning near by [1/day, >= 0].
    planned : tuple[PlannedMishap, ...]
        Ordered ones, on top of those that are drawn.
    """

    scavengers_per_day: float = value("scavengers_per_day")
    bin_thefts_per_day: float = value("bin_thefts_per_day")
    sensor_thefts_per_day: float = value("sensor_thefts_per_day")
    moved_per_day: float = value("moved_per_day")
    tipped_per_day: float = value("tipped_per_day")
    lids_left_open_per_day: float = value("lids_left_open_per_day")
    bin_fires_per_day: float = value("bin_fires_per_day")
    burnings_per_day: float = value("burnings_per_day")
    planned: tuple[PlannedMishap, ...] = ()
