"""Days that fill the square: Jumat Legi, the haul, Ramadan and the feasts of the Islamic year.

The Islamic dates are those of the tabular calendar: 30 years of 10,631 days, of which years 2, 5, 7, 10, 13, 16, 18,
21, 24, 26 and 29 are leap years, counted from 16 July 622 Julian. It is right to a day; the ministry decides, so an
official date overrides the computed one, and both stay known. The religious day starts at maghrib: a night belongs to
the date that follows, which is why an eve has a name of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from square.calendar import is_jumat_legi

NAMES = (
    "jumat-legi-eve",
    "jumat-legi",
    "haul-eve",
    "haul",
    "ramadan",
    "takbiran",
    "idul-fitri",
    "idul-adha",
    "maulid",
    "muharram",
)
"""Every occasion; one civil day can have several."""
ENTERED = ("haul", "ramadan", "idul-fitri", "idul-adha", "maulid", "muharram")
"""Occasions for which an official date may be entered: for Ramadan its first day. The others follow from these."""
_HIJRI_DATE = {
    "muharram": (1, 1),
    "haul": (3, 9),
    "maulid": (3, 12),
    "ramadan": (9, 1),
    "idul-fitri": (10, 1),
    "idul-adha": (12, 10),
}
"""Month and day of the Islamic year. The haul of KH Abdul Hamid was held on 8 to 10 Rabiul Awal in all years known."""
_EVE_NAMES = {"haul": "haul-eve", "idul-fitri": "takbiran"}
_EPOCH_ORDINAL = date(622, 7, 19).toordinal()
"""1 Muharram of year 1: 16 July 622 in the Julian calendar, 19 July in ours."""
_CYCLE_YEARS = 30
_CYCLE_DAYS = 10_631
_LEAP_OFFSET = 14
"""Places the leap years 2, 5, 7, 10, 13, 16, 18, 21, 24, 26, 29 in `(11 y + 14) mod 30 < 11`."""
_LEAP_YEARS = 11
_MONTHS = 12


@dataclass(frozen=True, slots=True, order=True)
class HijriDate:
    """A date of the tabular Islamic calendar: year [>= 1], month [1..12], day [1..30]."""

    year: int
    month: int
    day: int


def to_hijri(day: date) -> HijriDate:
    """Date of the tabular Islamic calendar on whose daytime a civil date falls.

    Examples
    --------
    >>> to_hijri(date(2027, 3, 10))
    HijriDate(year=1448, month=10, day=1)
    """
    days = day.toordinal() - _EPOCH_ORDINAL
    year = (_CYCLE_YEARS * days + _CYCLE_DAYS + 15) // _CYCLE_DAYS
    while from_hijri(HijriDate(year, 1, 1)) > day:
        year -= 1
    while from_hijri(HijriDate(year + 1, 1, 1)) <= day:
        year += 1
    month = next(m for m in range(_MONTHS, 0, -1) if from_hijri(HijriDate(year, m, 1)) <= day)
    return HijriDate(year, month, (day - from_hijri(HijriDate(year, month, 1))).days + 1)


def from_hijri(hijri: HijriDate) -> date:
    """Civil date of a date of the tabular Islamic calendar; the inverse of `to_hijri`."""
    years = hijri.year - 1
    leaps = (_LEAP_YEARS * years + _LEAP_OFFSET) // _CYCLE_YEARS
    days = 354 * years + leaps + (59 * (hijri.month - 1) + 1) // 2 + hijri.day - 1
    return date.fromordinal(_EPOCH_ORDINAL + days)


class Occasions:
    """Which occasions a civil day has.

    Parameters
    ----------
    official
        Dates that the office entered, each with names of `ENTERED`; for Ramadan its first day. Each replaces the
        computed date of that name nearest to it; what is entered twice for one year is held twice.

    Raises
    ------
    ValueError
        If a name is not one of `ENTERED`.
    """

    def __init__(self, official: Mapping[date, Iterable[str]] | None = None) -> None:
        self.official: Mapping[date, frozenset[str]] = {d: frozenset(n) for d, n in (official or {}).items()}
        """What was entered."""
        unknown = sorted({name for names in self.official.values() for name in names}.difference(ENTERED))
        if unknown:
            raise ValueError(f"no official date can be entered for {', '.join(unknown)}; known: {', '.join(ENTERED)}")
        self._years: dict[tuple[int, bool], dict[date, set[str]]] = {}

    def on(self, day: date) -> frozenset[str]:
        """Occasions of a civil day, by the official dates where there are some."""
        return self._on(day, use_official=True)

    def computed(self, day: date) -> frozenset[str]:
        """Occasions of a civil day by computation alone."""
        return self._on(day, use_official=False)

    def _on(self, day: date, *, use_official: bool) -> frozenset[str]:
        year = to_hijri(day).year
        names = {name for y in (year - 1, year, year + 1) for name in self._year(y, use_official).get(day, ())}
        if is_jumat_legi(day):
            names.add("jumat-legi")
        if is_jumat_legi(day + timedelta(days=1)):
            names.add("jumat-legi-eve")
        return frozenset(names)

    def _year(self, year: int, use_official: bool) -> dict[date, set[str]]:
        """Occasions of one Islamic year, by civil date."""
        key = (year, use_official)
        if key not in self._years:
            dates = {name: self._dates(name, year, use_official) for name in _HIJRI_DATE}
            eve = timedelta(days=1)
            found: dict[date, set[str]] = {}
            for name, days in dates.items():
                for day in () if name == "ramadan" else days:
                    found.setdefault(day, set()).add(name)
                    if name in _EVE_NAMES:
                        found.setdefault(day - eve, set()).add(_EVE_NAMES[name])
            for ordinal in range(dates["ramadan"][0].toordinal(), dates["idul-fitri"][0].toordinal()):
                found.setdefault(date.fromordinal(ordinal), set()).add("ramadan")
            self._years[key] = found
        return self._years[key]

    def _dates(self, name: str, year: int, use_official: bool) -> list[date]:
        entered = sorted(d for d, names in self.official.items() if name in names and _year_of(name, d) == year)
        return entered if use_official and entered else [_computed(name, year)]


def _computed(name: str, year: int) -> date:
    return from_hijri(HijriDate(year, *_HIJRI_DATE[name]))


def _year_of(name: str, day: date) -> int:
    """Islamic year whose computed date of this name lies nearest to a day."""
    year = to_hijri(day).year
    return min((year - 1, year, year + 1), key=lambda y: abs((_computed(name, y) - day).days))
