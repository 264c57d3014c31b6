"""How many people are expected on a square, for what purpose, at each minute of a day.

Pure. An ordinary day is shared out over purposes, hours and weekdays; prayers stand at that day's own times;
occasions of the calendar add their crowds on top, each where the religious day puts it (a night belongs to the date
that follows); a scenario adds groups and crowds or thins a time out; rain keeps people away.

Every number is in `PARAMETERS` or in the tables under it, with its source or the word "assumed": results that rest on
them are results about the model, not about Pasuruan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulators.parameters import Parameter
from simulators.scenario_sections import PURPOSES, Group, Visits
from square.calendar import local_time
from square.occasions import Occasions
from square.prayer import PrayerTimes, prayer_times
from square.site import Site

People = npt.NDArray[np.float64]

PARAMETERS: Mapping[str, Parameter] = {
    "visitors_per_day": Parameter(
        3_800,
        "visitors/day",
        "city figure, January to 24 November 2023 (detik 2023-11-24); assumed to cross the square",
    ),
    "pilgrims_share": Parameter(0.22, "1", "assumed share of ordinary visitors who come to pray or to the tomb"),
    "groups_share": Parameter(0.10, "1", "assumed share who come by bus in a group"),
    "families_share": Parameter(0.26, "1", "assumed share who stroll and let children play"),
    "exercise_share": Parameter(0.08, "1", "assumed share who run or do gymnastics"),
    "food_share": Parameter(0.20, "1", "assumed share who come to eat"),
    "passers_by_share": Parameter(0.14, "1", "assumed share who only cross the square"),
    "vendors_extra": Parameter(
        0.3, "1", "assumed rise of food while vendors sell, 15:00-23:00 (hours: Instruksi Wali Kota 1738/2022)"
    ),
    "stall_items": Parameter(4, "1/h", "assumed: items that a stall throws away while it sells"),
    "stall_closing_items": Parameter(8, "1", "assumed: and when it closes, at 15:00 and 23:00"),
    "prayer_width_min": Parameter(18, "min", "assumed standard deviation of the arrivals for a prayer"),
    "prayer_lead_min": Parameter(8, "min", "assumed: so long before the call half of them have come"),
    "malam_jumat_people": Parameter(1_300, "visitors", "assumed: Thursday maghrib to midnight, on top of the day"),
    "friday_prayer_people": Parameter(840, "visitors", "assumed: before zuhur on Fridays, on top of the day"),
    "jumat_legi_people": Parameter(6_000, "visitors", "assumed: night before Jumat Legi, on top of malam Jumat"),
    "haul_people": Parameter(
        90_000, "visitors", "about 90,000 people in 2023 (disway 727775); assumed on the day itself"
    ),
    "haul_eve_people": Parameter(15_000, "visitors", "assumed: the day before, from noon on"),
    "haul_meals": Parameter(0.83, "1/visitor", "75,000 wrapped rice meals for about 90,000 people in 2023 (pantura7)"),
    "haul_stay": Parameter(3, "1", "assumed: pilgrims stay so many times longer on the day of the haul"),
    "ramadan_day_factor": Parameter(0.35, "1", "assumed: families, food and exercise between subuh and 15:30"),
    "tarawih_factor": Parameter(2.5, "1", "assumed: pilgrims at isya in Ramadan"),
    "takjil_people": Parameter(1_200, "visitors", "assumed: buyers from 15:30 to magrib in Ramadan"),
    "takbiran_people": Parameter(6_000, "visitors", "assumed: evening before Idul Fitri"),
    "idul_fitri_people": Parameter(5_000, "visitors", "assumed: prayer of the feast, about an hour after sunrise"),
    "idul_fitri_factor": Parameter(1.6, "1", "assumed: families and food on the day of the feast"),
    "idul_adha_people": Parameter(4_000, "visitors", "assumed: prayer of the feast"),
    "maulid_people": Parameter(2_000, "visitors", "assumed: night of the Maulid"),
    "muharram_people": Parameter(1_500, "visitors", "assumed: night of 1 Muharram"),
    "rain_stays_away_mmph": Parameter(3, "mm/h", "assumed: rain at which 63 % of those who mind rain stay away"),
    "rain_undeterred": Parameter(0.15, "1", "assumed share who come in any rain"),
}

# Share of a purpose's day in each local hour, 0..23 [relative]. Assumed; pilgrims also come to the prayers.
HOURS: Mapping[str, tuple[float, ...]] = {
    "pilgrims": (1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6, 5, 4, 3, 2),
    "groups": (1, 0, 1, 3, 3, 3, 5, 7, 8, 8, 8, 6, 5, 5, 5, 5, 5, 4, 4, 5, 5, 4, 3, 2),
    "families": (0, 0, 0, 0, 1, 3, 5, 5, 4, 3, 2, 2, 2, 2, 3, 6, 11, 12, 9, 12, 11, 6, 2, 1),
    "exercise": (0, 0, 0, 1, 10, 24, 22, 12, 4, 1, 1, 0, 0, 0, 1, 4, 9, 7, 2, 1, 1, 0, 0, 0),
    "food": (1, 0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 5, 4, 4, 6, 8, 9, 11, 13, 11, 7, 4, 2),
    "takjil": (0,) * 24,
    "passers-by": (1, 1, 1, 1, 3, 5, 7, 7, 6, 5, 5, 5, 5, 5, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1),
}
# Monday..Sunday [relative]. Assumed; what the calendar adds comes on top.
WEEKDAYS: Mapping[str, tuple[float, ...]] = {
    "pilgrims": (0.8, 0.8, 0.85, 1.0, 1.05, 1.2, 1.3),
    "groups": (0.6, 0.6, 0.7, 1.1, 1.0, 1.5, 1.5),
    "families": (0.7, 0.7, 0.75, 0.8, 0.9, 1.5, 1.65),
    "exercise": (0.7, 0.7, 0.7, 0.7, 0.7, 1.0, 2.5),
    "food": (0.85, 0.85, 0.9, 1.0, 1.1, 1.2, 1.1),
    "takjil": (1.0,) * 7,
    "passers-by": (1.1, 1.1, 1.1, 1.1, 1.0, 0.85, 0.75),
}
# Share of the ordinary pilgrims who come for a prayer, and how they spread over the five: subuh .. isya. Assumed.
PRAYER_SHARE = 0.6
PRAYERS: tuple[float, ...] = (1.0, 1.0, 0.8, 1.6, 1.2)

DAY_MIN = 1_440
HOUR_MIN = 60
SLOT_MIN = 10
"""Rain is looked at so often."""
_THURSDAY, _FRIDAY = 3, 4
# Hawkers [ramapati 2024-02], then vendors [Instruksi Wali Kota 1738/2022]; so long they tidy up. Local minutes.
_HAWKERS_MIN, _VENDORS_MIN = (7 * 60, 15 * 60), (15 * 60, 23 * 60)
_CLOSING_MIN = 20
_TAKJIL_FROM_MIN = 15 * 60 + 30
# Minutes after maghrib at which a night's crowd starts, is all there, thins out and is gone. Assumed.
_NIGHT_MIN = (0.0, 45.0, 270.0, 480.0)
# Local minutes between which the haul's crowd arrives, and the day before's. Assumed: the prayer is in the morning.
_HAUL_MIN = (2 * 60.0, 5 * 60.0, 9 * 60.0, 14 * 60.0)
_HAUL_EVE_MIN = (12 * 60.0, 17 * 60.0, 21 * 60.0, 24 * 60.0)
_FEAST_AFTER_SUNRISE_MIN = 45
_KEPT_DAYS = 3  # yesterday, today, tomorrow
_KEPT_HOURS = 16
_MINUTES = np.arange(DAY_MIN, dtype=np.float64)
_ROW = {name: i for i, name in enumerate(PURPOSES)}


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


@dataclass(frozen=True)
class Arrivals:
    """Who is expected in an hour.

    Attributes
    ----------
    per_minute : NDArray
        People expected in each minute (n_purposes, 60), in the order of `PURPOSES`; announced groups excepted.
    groups : tuple[Group, ...]
        Announced groups; they come in any weather.
    meals : float
        Wrapped meals handed to each pilgrim.
    pilgrims_stay : float
        Factor on how long pilgrims stay at a place.
    """

    per_minute: People
    groups: tuple[Group, ...] = ()
    meals: float = 0.0
    pilgrims_stay: float = 1.0


class Demand:
    """Expected arrivals of a square.

    Parameters
    ----------
    site
        The plan: place and zone decide the prayer times.
    occasions
        The calendar.
    visits
        What a scenario changes.
    rain_mmph
        Rain at a moment [s since 1970 UTC] -> [mm/h].
    """

    def __init__(self, site: Site, occasions: Occasions, visits: Visits, rain_mmph: Callable[[float], float]) -> None:
        self._zone = site.zone_info
        self._lon_deg, self._lat_deg = site.centre
        self._occasions = occasions
        self._visits = visits
        self._rain_mmph = rain_mmph
        self._day = lru_cache(_KEPT_DAYS)(self._table)
        self.rain_mmph = lru_cache(_KEPT_HOURS * HOUR_MIN // SLOT_MIN)(self._rain_in)
        """Rain [mm/h] in a slot of `SLOT_MIN` minutes, counted from 1970."""

    def hour(self, hour_index: int) -> Arrivals:
        """Return who is expected in an hour since 1970."""
        day = local_time(hour_index * 3600, self._zone).date()
        is_haul = "haul" in self._occasions.on(day)
        return Arrivals(
            per_minute=self.per_minute(hour_index),
            groups=tuple(g for g in self._visits.groups if g.at_s // 3600 == hour_index),
            meals=value("haul_meals") if is_haul else 0.0,
            pilgrims_stay=value("haul_stay") if is_haul else 1.0,
        )

    def per_minute(self, hour_index: int) -> People:
        """Return the people expected in each minute of an hour since 1970, announced groups excepted.

        Returns
        -------
        NDArray
            (n_purposes, 60), in the order of `PURPOSES`.
        """
        at_s = _minutes_of(hour_index)
        people = self._local(hour_index, self._day) * self._visits.per_day_factor * self._quiet(at_s)
        for crowd in self._visits.crowds:
            inside_s = np.minimum(at_s + 60.0, crowd.until_s) - np.maximum(at_s, crowd.from_s)
            people[_ROW[crowd.purpose]] += crowd.people * np.maximum(inside_s, 0.0) / (crowd.until_s - crowd.from_s)
        return people * self._in_rain(hour_index)

    def stall_items(self, hour_index: int) -> People:
        """Return the items that one stall is expected to throw away in each minute of an hour since 1970, (60,).

        Fewer visitors buy less; more of them than usual cannot buy more than the stall has.
        """
        sold = min(1.0, self._visits.per_day_factor) * self._quiet(_minutes_of(hour_index))
        items = self._local(hour_index, self._stalls)[0] * sold
        return np.asarray(items * self._in_rain(hour_index), dtype=np.float64)

    def _rain_in(self, slot: int) -> float:
        return max(0.0, self._rain_mmph((slot + 0.5) * SLOT_MIN * 60.0))

    def _local(self, hour_index: int, table_of: Callable[[date], People]) -> People:
        """Return the columns of an hour since 1970 from tables of civil days, (n, 60)."""
        local = local_time(hour_index * 3600, self._zone)
        first = local.hour * HOUR_MIN + local.minute
        columns = table_of(local.date())[:, first : first + HOUR_MIN]
        if columns.shape[1] < HOUR_MIN:  # a zone with half hours: the hour ends tomorrow
            tomorrow = table_of(local.date() + timedelta(days=1))
            columns = np.concatenate([columns, tomorrow[:, : HOUR_MIN - columns.shape[1]]], axis=1)
        return columns

    def _quiet(self, at_s: People) -> People:
        """Share of the ordinary visitors that comes at moments for which a scenario wants it quiet."""
        share = np.ones(at_s.size)
        for quiet in self._visits.quiet:
            share *= np.where((at_s >= quiet.from_s) & (at_s < quiet.until_s), quiet.factor, 1.0)
        return share

    def _in_rain(self, hour_index: int) -> People:
        """Share of people who come in the weather of each minute of an hour, (60,)."""
        slots = range(hour_index * HOUR_MIN // SLOT_MIN, (hour_index + 1) * HOUR_MIN // SLOT_MIN)
        rain = np.repeat([self.rain_mmph(slot) for slot in slots], SLOT_MIN)
        undeterred = value("rain_undeterred")
        share = undeterred + (1.0 - undeterred) * np.exp(-rain / value("rain_stays_away_mmph"))
        return np.asarray(share, dtype=np.float64)

    def _stalls(self, day: date) -> People:
        """Return the items of one stall in each minute of a civil day, (1, 1440)."""
        fasting = "ramadan" in self._occasions.on(day)
        table = np.zeros((1, DAY_MIN))
        for (open_min, close_min), share in (
            (_HAWKERS_MIN, value("ramadan_day_factor") if fasting else 1.0),
            (_VENDORS_MIN, 1.0),
        ):
            table[0, open_min:close_min] += share * value("stall_items") / HOUR_MIN
            closing = slice(close_min, close_min + _CLOSING_MIN)
            table[0, closing] += share * value("stall_closing_items") / _CLOSING_MIN
        return table

    def _times(self, day: date) -> PrayerTimes:
        return prayer_times(day, self._lat_deg, self._lon_deg, self._zone)

    def _table(self, day: date) -> People:
        """People of each purpose in each minute of a civil day, (n_purposes, 1440)."""
        times, on = self._times(day), self._occasions.on(day)
        table = np.stack([self._ordinary(purpose, day) for purpose in PURPOSES])
        pilgrims = table[_ROW["pilgrims"]]
        at_prayers = np.stack([_for_prayer(minute) for minute in times.five])
        weights = np.array(PRAYERS) / sum(PRAYERS)
        if "ramadan" in self._occasions.on(day + timedelta(days=1)):  # its nights begin the evening before
            weights[-1] *= value("tarawih_factor")
        praying = pilgrims.sum() * PRAYER_SHARE * (weights @ at_prayers)
        table[_ROW["pilgrims"]] = pilgrims * (1.0 - PRAYER_SHARE) + praying
        if day.weekday() == _FRIDAY:
            table[_ROW["pilgrims"]] += value("friday_prayer_people") * at_prayers[1]
        if "ramadan" in on:
            self._fast(table, times)
        if "idul-fitri" in on:
            for purpose in ("families", "food"):
                table[_ROW[purpose]] *= value("idul_fitri_factor")
        for name in ("idul-fitri", "idul-adha"):
            if name in on:
                feast = _for_prayer(times.terbit + _FEAST_AFTER_SUNRISE_MIN)
                table[_ROW["pilgrims"]] += value(f"{name.replace('-', '_')}_people") * feast
        for name, corners in (("haul", _HAUL_MIN), ("haul-eve", _HAUL_EVE_MIN)):
            if name in on:
                table[_ROW["pilgrims"]] += value(f"{name.replace('-', '_')}_people") * _trapezoid(_MINUTES, corners)
        return table + self._nights(day)

    def _ordinary(self, purpose: str, day: date) -> People:
        """Return an ordinary day of a purpose, without prayers: (1440,)."""
        share = PARAMETERS.get(f"{purpose.replace('-', '_')}_share")
        if share is None:
            return np.zeros(DAY_MIN)
        week = WEEKDAYS[purpose]
        total = value("visitors_per_day") * share.value * week[day.weekday()] * len(week) / sum(week)
        hours = np.array(HOURS[purpose], dtype=np.float64)
        # joined through the middles of the hours, around midnight too
        middles = (np.arange(-1, 25) + 0.5) * HOUR_MIN
        shape = np.interp(_MINUTES + 0.5, middles, np.concatenate([hours[-1:], hours, hours[:1]]))
        if purpose == "food":
            open_min, close_min = _VENDORS_MIN
            shape[open_min:close_min] *= 1.0 + value("vendors_extra")
        return np.asarray(total * shape / shape.sum(), dtype=np.float64)

    def _fast(self, table: People, times: PrayerTimes) -> None:
        """Ramadan: quiet by day, then takjil."""
        by_day = (times.subuh <= _MINUTES) & (_MINUTES < _TAKJIL_FROM_MIN)
        for purpose in ("families", "food", "exercise"):
            table[_ROW[purpose], by_day] *= value("ramadan_day_factor")
        corners = (_TAKJIL_FROM_MIN, times.magrib - 45.0, times.magrib - 15.0, times.magrib + 5.0)
        table[_ROW["takjil"]] += value("takjil_people") * _trapezoid(_MINUTES, corners)

    def _nights(self, day: date) -> People:
        """Crowds of the night that begins on a day, and of the one before it, that goes on past midnight."""
        table = np.zeros((len(PURPOSES), DAY_MIN))
        for evening, shift in ((day, 0), (day - timedelta(days=1), DAY_MIN)):
            after_maghrib = _MINUTES + shift - self._times(evening).magrib
            night = _trapezoid(after_maghrib, _NIGHT_MIN, total=_area(_NIGHT_MIN))
            following = self._occasions.on(evening + timedelta(days=1))
            pilgrims = sum(value(f"{n}_people") for n in ("maulid", "muharram") if n in following)
            pilgrims += value("malam_jumat_people") if evening.weekday() == _THURSDAY else 0.0
            pilgrims += value("jumat_legi_people") if "jumat-legi-eve" in self._occasions.on(evening) else 0.0
            table[_ROW["pilgrims"]] += pilgrims * night
            if "takbiran" in self._occasions.on(evening):
                table[_ROW["families"]] += value("takbiran_people") * night
        return table


def _for_prayer(minute: int) -> People:
    """Arrivals for a prayer at a minute of the day, summing to one: (1440,)."""
    off_min = _MINUTES + 0.5 - (minute - value("prayer_lead_min"))
    off_min = (off_min + DAY_MIN / 2) % DAY_MIN - DAY_MIN / 2  # far north, isya may lie beyond midnight
    bell = np.exp(-0.5 * (off_min / value("prayer_width_min")) ** 2)
    return np.asarray(bell / bell.sum(), dtype=np.float64)


def _trapezoid(at_min: People, corners: tuple[float, ...], total: float | None = None) -> People:
    """Rise, plateau and fall, summing to one over `at_min` (or over all, when the whole area is given)."""
    shape = np.interp(at_min + 0.5, corners, (0.0, 1.0, 1.0, 0.0))
    return np.asarray(shape / (shape.sum() if total is None else total), dtype=np.float64)


def _area(corners: tuple[float, ...]) -> float:
    start, full, thins, end = corners
    return (full - start) / 2 + (thins - full) + (end - thins) / 2


def _minutes_of(hour_index: int) -> People:
    return hour_index * 3600 + 60.0 * np.arange(HOUR_MIN, dtype=np.float64)
