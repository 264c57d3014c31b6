"""ISPU: bounds, gaps, the open end, and points worked out by hand."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.ispu import BOUNDS_UGM3, CATEGORIES, ispu, sub_index
from tests.unit.alerts.reference import reference_file

POLLUTANTS = sorted(BOUNDS_UGM3)


@pytest.mark.parametrize("pollutant", POLLUTANTS)
@pytest.mark.parametrize(("position", "index"), [(0, 0), (1, 50), (2, 100), (3, 200), (4, 300), (5, 500)])
def test_a_bound_maps_to_itself(pollutant: str, position: int, index: float) -> None:
    """Every printed bound of every pollutant gives its printed index."""
    assert sub_index(pollutant, BOUNDS_UGM3[pollutant][position]).value == pytest.approx(index)


@pytest.mark.parametrize(
    ("pollutant", "mean", "index", "category"),
    [
        ("pm25", 35.0, 74.436, "sedang"),  # 50/39.9 * 19.5 + 50
        ("pm25", 100.0, 146.947, "tidak-sehat"),  # 100/95 * 44.6 + 100
        ("pm10", 150.0, 100.0, "sedang"),  # a bound belongs to the lower class
        ("pm10", 385.0, 250.0, "sangat-tidak-sehat"),  # 100/70 * 35 + 200
        ("pm10", 50.5, 50.25, "sedang"),  # between the printed classes 50 and 51
        ("pm25", 15.55, 50.0627, "sedang"),  # between 15.5 and 15.6: 50/39.9 * 0.05 + 50
        ("pm25", 55.45, 100.0526, "tidak-sehat"),  # 100/95 * 0.05 + 100
        ("pm25", 0.0, 0.0, "baik"),
        ("pm25", -0.4, 0.0, "baik"),  # a sensor's offset is no negative index
    ],
)
def test_points_between_the_bounds(pollutant: str, mean: float, index: float, category: str) -> None:
    """Values inside and between printed classes follow the line through the bounds."""
    found = sub_index(pollutant, mean)
    assert found.value == pytest.approx(index, abs=5e-4)
    assert found.category == category
    assert found.value <= 500


def test_above_the_scale_is_extrapolated() -> None:
    """PM2.5 600 continues the last segment: 200/249.6 * 349.6 + 300 = 580.128, more than the top of the scale."""
    found = sub_index("pm25", 600.0)
    assert found.value == pytest.approx(580.128, abs=5e-4)
    assert found.category == "berbahaya"


def test_the_top_is_a_parameter_and_is_reported() -> None:
    """O3 900 is 350 on a scale that ends at 400 and 400 on one that ends at 500."""
    assert sub_index("o3", 900.0, top=400).value == pytest.approx(350.0)
    assert sub_index("o3", 900.0, top=500).value == pytest.approx(400.0)
    found = ispu({"o3": 900.0}, top=400)
    assert found is not None
    assert found.top == 400


def test_the_worst_pollutant_is_the_parameter_kritis() -> None:
    """PM2.5 60 (index 104.8) outranks PM10 60 (index 55); a pollutant without a mean takes no part."""
    found = ispu({"pm10": 60.0, "pm25": 60.0, "no2": None})
    assert found is not None
    assert (found.parameter, found.category) == ("pm25", "tidak-sehat")
    assert found.value == pytest.approx(104.842, abs=5e-4)


def test_no_mean_gives_no_index() -> None:
    """Without any 24 h mean there is no index, not a zero."""
    assert ispu({"pm25": None, "pm10": None}) is None
    assert ispu({}) is None


@pytest.mark.parametrize(("pollutant", "top"), [("pm1", 500), ("pm25", 450)])
def test_unknown_pollutant_or_top_is_refused(pollutant: str, top: int) -> None:
    """A typing mistake never becomes a number."""
    with pytest.raises(ValueError, match="ISPU"):
        sub_index(pollutant, 10.0, top=top)


@settings(deadline=None)
@given(
    st.sampled_from(POLLUTANTS),
    st.floats(0, 60_000, allow_nan=False),
    st.floats(0, 60_000, allow_nan=False),
    st.sampled_from([400, 500]),
)
def test_more_of_a_pollutant_is_never_better(pollutant: str, one: float, other: float, top: int) -> None:
    """The index rises with the concentration, everywhere, and so does the class."""
    low, high = sorted((one, other))
    first, second = sub_index(pollutant, low, top=top), sub_index(pollutant, high, top=top)
    assert first.value <= second.value
    assert CATEGORIES.index(first.category) <= CATEGORIES.index(second.category)


@settings(deadline=None)
@given(st.sampled_from(POLLUTANTS), st.integers(0, 5))
def test_the_scale_has_no_step(pollutant: str, position: int) -> None:
    """Just below and just above a bound the indices differ by almost nothing."""
    bound = BOUNDS_UGM3[pollutant][position]
    below, above = sub_index(pollutant, bound - 1e-6), sub_index(pollutant, bound + 1e-6)
    assert abs(above.value - below.value) < 1e-3


@pytest.mark.reference
def test_the_published_examples() -> None:
    """16 of 16 published O3 pairs with their category; they follow the decree of 1997, whose scale ends at 400."""
    with reference_file("ispu/worked_examples_o3.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for row in rows:
        found = sub_index("o3", float(row["o3_ugm3"]), top=400)
        assert found.value == pytest.approx(float(row["ispu_published"]), abs=5e-5)
        assert found.category == row["category_published"].lower().replace(" ", "-")


@pytest.mark.reference
def test_the_table_in_the_code_is_the_published_one() -> None:
    """Every bound in the code stands in the transcribed table of the regulation."""
    with reference_file("ispu/breakpoints_permen_lhk_14_2020.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for pollutant, bounds in BOUNDS_UGM3.items():
        assert bounds == (0.0, *(float(row[pollutant]) for row in rows))
