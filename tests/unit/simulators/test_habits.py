"""Crews have habits: shares of orders go as they say, each order by itself, whatever was asked before."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.habits import PARAMETERS, Habits, Temper

SHARES = ("refuse_share", "late_share", "lie_share", "breakdown_share", "offline_share")
ORDERS = 2000


def answers(habits, crew="pagi-1", count=ORDERS, seed=7):
    temper = Temper(habits, seed, crew)
    return [temper.answer(number) for number in range(count)]


def test_crews_obey_unless_told_otherwise():
    """With the defaults nothing is refused, claimed falsely, broken or offline, and no time is strange."""
    for answer in answers(Habits(), count=200):
        assert not answer.refuses
        assert not answer.lies
        assert answer.breaks_down_s == answer.offline_s == 0.0
        assert 0 < answer.accept_after_s < 45 * math.exp(0.5 * 5)
        assert 0.2 < answer.empty_factor < 4
        assert 0.4 < answer.walk_factor < 2.2


@pytest.mark.parametrize("share", SHARES)
def test_a_share_is_a_share(share):
    """A quarter of the orders goes the way that has a share of a quarter: 500 of 2,000 within five sigma (97)."""
    odd = {
        "refuse_share": lambda a: a.refuses,
        "late_share": lambda a: a.accept_after_s > 250,  # 45 s * e^(0.5 * 3.4) at most for one who is not late
        "lie_share": lambda a: a.lies,
        "breakdown_share": lambda a: a.breaks_down_s > 0,
        "offline_share": lambda a: a.offline_s > 0,
    }[share]
    found = sum(odd(answer) for answer in answers(Habits(**{share: 0.25, "late_median_s": 9000.0})))
    assert abs(found - 500) < 97


@pytest.mark.parametrize("share", SHARES)
def test_a_share_changes_nothing_else(share):
    """Common random numbers: another share of one trouble leaves every other field of every answer as it was."""
    fields = {"refuse_share": 0, "late_share": 1, "lie_share": 2, "breakdown_share": 3, "offline_share": 4}
    without, everywhere = answers(Habits(), count=50), answers(Habits(**{share: 1.0}), count=50)
    for one, other in zip(without, everywhere, strict=True):
        changed = {i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b}
        assert changed == {fields[share]}


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_an_answer_depends_on_its_number_alone(seed, numbers):
    """The same order gets the same answer, in any order of asking and from another object."""
    habits = Habits(refuse_share=0.5, lie_share=0.5, late_share=0.5)
    one, other = Temper(habits, seed, "a"), Temper(habits, seed, "a")
    forwards = [one.answer(number) for number in numbers]
    assert [other.answer(number) for number in reversed(numbers)] == forwards[::-1]


def test_crews_and_seeds_differ():
    """Another crew, and another seed, answer differently."""
    first = answers(Habits(), count=5)
    assert first != answers(Habits(), "pagi-2", 5)
    assert first != answers(Habits(), count=5, seed=8)


def test_medians_are_medians():
    """Half of the times lie below the median: of 2,000 the middle one within 10 %."""
    middle = sorted(answer.accept_after_s for answer in answers(Habits(accept_median_s=100.0)))[ORDERS // 2]
    assert middle == pytest.approx(100, rel=0.1)
    stops = sorted(answer.breaks_down_s for answer in answers(Habits(breakdown_share=1.0)))
    assert stops[ORDERS // 2] == pytest.approx(PARAMETERS["breakdown_median_s"].value, rel=0.1)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"refuse_share": 1.1}, "refuse_share"), ({"lie_share": -0.1}, "lie_share"), ({"walk_factor": 0.0}, "walk_factor"),
     ({"late_median_s": math.nan}, "late_median_s"), ({"offline_share": math.nan}, "offline_share")],
)  # fmt: skip
def test_impossible_habits_are_refused(change, word):
    """A share beyond 0..1 and a time of nothing are refused with the name of the field."""
    with pytest.raises(ValueError, match=word):
        Habits(**change)
