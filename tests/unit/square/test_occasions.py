"""Occasions of the year, against the dates that the domain notes and the press give."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.occasions import NAMES, HijriDate, Occasions, from_hijri, to_hijri

DAYS = st.dates(date(1900, 1, 1), date(2200, 1, 1))


def day(text: str) -> date:
    return date.fromisoformat(text)


@given(DAYS)
def test_hijri_is_an_inverse(civil):
    """Every civil date has one tabular date, and the other way round; months have 29 or 30 days."""
    hijri = to_hijri(civil)
    assert from_hijri(hijri) == civil
    assert 1 <= hijri.month <= 12
    assert 1 <= hijri.day <= 30


@given(DAYS)
def test_hijri_moves_on_day_by_day(civil):
    """Order of the calendar is order of time."""
    assert to_hijri(civil) < to_hijri(civil + timedelta(days=1))


def test_leap_years_are_those_of_the_table():
    """Year lengths over a cycle: 355 days in the named years, 354 in the others, 10,631 in all."""
    lengths = [(from_hijri(HijriDate(y + 1, 1, 1)) - from_hijri(HijriDate(y, 1, 1))).days for y in range(1, 31)]
    assert [y for y, length in enumerate(lengths, 1) if length == 355] == [2, 5, 7, 10, 13, 16, 18, 21, 24, 26, 29]
    assert sum(lengths) == 10_631
    # the feast of 1445 was announced for 2024-04-10
    assert to_hijri(day("2024-04-10")) == HijriDate(1445, 10, 1)


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("ramadan", "2027-02-08"),
        ("ramadan", "2027-03-09"),
        ("takbiran", "2027-03-09"),
        ("idul-fitri", "2027-03-10"),
        ("idul-adha", "2027-05-17"),
        ("muharram", "2027-06-06"),
        ("haul-eve", "2027-08-11"),
        ("haul", "2027-08-12"),
        ("maulid", "2027-08-15"),
        ("ramadan", "2028-01-28"),
        ("ramadan", "2028-02-26"),
        ("takbiran", "2028-02-26"),
        ("idul-fitri", "2028-02-27"),
        ("idul-adha", "2028-05-05"),
        ("muharram", "2028-05-25"),
        ("haul", "2028-07-31"),
        ("maulid", "2028-08-03"),
        ("jumat-legi-eve", "2026-11-19"),
        ("jumat-legi", "2026-11-20"),
        ("jumat-legi", "2027-03-05"),
        ("jumat-legi-eve", "2023-01-19"),
    ],
)
def test_computed_dates_of_two_years(name, when):
    """The dates that the notes on the square compute, and the night that the press describes."""
    assert name in Occasions().on(day(when))


@pytest.mark.parametrize("when", ["2011-02-12", "2021-10-16", "2022-10-05", "2023-09-25", "2024-09-14"])
def test_past_hauls_are_met_within_a_day(when):
    """All hauls whose date is known lie on the computed day or next to it."""
    around = [day(when) + timedelta(days=d) for d in (-1, 0, 1)]
    assert any("haul" in Occasions().on(d) for d in around)


def test_ramadan_ends_where_the_feast_begins():
    """No fasting on the feast and before the first day; 29 or 30 days."""
    days = [day("2027-01-01") + timedelta(days=i) for i in range(365)]
    fasting = [d for d in days if "ramadan" in Occasions().on(d)]
    assert (fasting[0], fasting[-1], len(fasting)) == (day("2027-02-08"), day("2027-03-09"), 30)


def test_overlaps_add():
    """2027-03-05 is Jumat Legi inside Ramadan: both."""
    assert Occasions().on(day("2027-03-05")) == {"jumat-legi", "ramadan"}


def test_an_official_date_overrides_and_both_are_kept():
    """The feast announced a day later: Ramadan has a day more, the eve moves, the computed date is still known."""
    occasions = Occasions({day("2027-03-11"): ["idul-fitri"]})
    assert "idul-fitri" not in occasions.on(day("2027-03-10"))
    assert {"ramadan", "takbiran"} <= occasions.on(day("2027-03-10"))
    assert "idul-fitri" in occasions.on(day("2027-03-11"))
    assert "idul-fitri" in occasions.computed(day("2027-03-10"))
    assert occasions.official == {day("2027-03-11"): {"idul-fitri"}}
    assert "idul-fitri" in occasions.on(day("2028-02-27"))  # the next year is computed as before


def test_an_official_date_far_from_the_computed_one_counts_too():
    """A haul that was moved by weeks is where the office says, and only there."""
    occasions = Occasions({day("2027-09-20"): ["haul"]})
    hauls = [d for i in range(365) if "haul" in occasions.on(d := day("2027-01-01") + timedelta(days=i))]
    assert hauls == [day("2027-09-20")]
    assert "haul-eve" in occasions.on(day("2027-09-19"))


def test_an_official_first_day_of_ramadan():
    """Ramadan announced a day later begins later and ends as computed."""
    occasions = Occasions({day("2027-02-09"): ["ramadan"]})
    assert "ramadan" not in occasions.on(day("2027-02-08"))
    assert "ramadan" in occasions.on(day("2027-02-09"))


def test_only_known_names_can_be_entered():
    """A misspelt name is told, not ignored; an eve follows from its feast and is not entered."""
    for name in ("idul-fitr", "takbiran"):
        with pytest.raises(ValueError, match=name):
            Occasions({day("2027-03-10"): [name]})


@given(DAYS)
def test_names_are_known(civil):
    """Whatever the day, only names of the list come out."""
    assert Occasions().on(civil) <= set(NAMES)
