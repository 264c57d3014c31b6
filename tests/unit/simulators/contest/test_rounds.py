"""Rounds and windows: every bin once, when work is possible, and who sweeps what."""

from collections import Counter
from itertools import pairwise

import numpy as np

from simulators.contest.fixed import Fixed
from simulators.contest.policy import CrewReport, CrewView
from simulators.contest.rounds import PARAMETERS, Sweeper, tour
from simulators.contest.windows import MINUTE_MS, Windows
from tests.unit.simulators.contest.stages import NINE_S, stage

NINE_MS = round(NINE_S * 1000)
SQUARE = stage().square


def crew(crew_id="pagi-1", *, ahead=(), is_on_shift=True):
    return CrewView(crew_id, crew_id.split("-")[0], is_on_shift, False, tuple(ahead), None)


def test_a_round_takes_every_bin_once_whoever_is_on_shift():
    """The rounds of the crews of each shift together are all bins, none twice, fairly shared."""
    fixed = Fixed()
    fixed.begin(SQUARE, NINE_MS)
    for shift in SQUARE.plan.shift_plan.shifts:
        crews = [crew(c.id) for c in SQUARE.plan.crews if c.shift == shift.id]
        orders = fixed.decide(NINE_MS, crews)
        bins = Counter(stop.target for order in orders for stop in order.stops)
        assert bins == Counter(SQUARE.volumes_l.keys())
        assert {len(order.stops) for order in orders} == {len(bins) // len(crews)}


def test_what_a_round_left_undone_comes_first_in_the_next():
    """After three and a half hours the next round begins with the bins that were not reached."""
    fixed = Fixed()
    fixed.begin(SQUARE, NINE_MS)
    (first,) = fixed.decide(NINE_MS, [crew()])
    later_ms = NINE_MS + 4 * 3_600_000
    assert fixed.decide(NINE_MS + 3_600_000, [crew(ahead=first.stops)]) == []
    (second,) = fixed.decide(later_ms, [crew(ahead=first.stops[-2:])])
    assert second.stops[:2] == first.stops[-2:]
    assert sorted(second.stops) == sorted(first.stops)


def test_a_tour_is_shorter_than_the_order_of_the_file():
    """Nearest first from the post: all bins, much less walking."""

    def length_m(order):
        places = [SQUARE.homes["pagi-1"], *(SQUARE.asset(one).place for one in order)]
        return sum(SQUARE.walks.distance_m(a, b) for a, b in pairwise(places))

    order = tour(SQUARE, list(SQUARE.volumes_l), SQUARE.homes["pagi-1"])
    assert sorted(order) == sorted(SQUARE.volumes_l)
    assert length_m(order) < 0.8 * length_m(list(SQUARE.volumes_l))


def test_idle_crews_share_the_zones_and_rest_when_all_are_swept():
    """Nobody gets a zone that another one sweeps; each is swept again after three hours."""
    sweeper = Sweeper(SQUARE)
    sweeper.now_ms = NINE_MS
    taken = [sweeper.idle(crew(one)) for one in ("pagi-1", "pagi-2")]
    assert taken[0] != taken[1]
    swept = set()
    for _ in SQUARE.zones:
        (stop,) = sweeper.idle(crew("pagi-1"))
        assert stop.target not in swept
        swept.add(stop.target)
        sweeper.report(CrewReport("pagi-1", "swept", NINE_MS, NINE_MS, stop))
        if len(swept) == len(SQUARE.zones) - 1:
            break
    assert sweeper.idle(crew("pagi-1")) == (), "the last one is being swept by the other crew"
    sweeper.now_ms += round(PARAMETERS["sweep_every_h"].value * 3_600_000)
    assert sweeper.idle(crew("pagi-1")) != ()


def test_a_crew_that_is_sweeping_is_left_alone():
    """The same stop as long as it is on its list."""
    sweeper = Sweeper(SQUARE)
    sweeper.now_ms = NINE_MS
    first = sweeper.idle(crew())
    assert sweeper.idle(crew(ahead=first)) == first
    sweeper.release([crew(is_on_shift=False)])
    assert sweeper.idle(crew("pagi-2")) == first


def test_windows_agree_with_plan_and_hours_minute_by_minute():
    """For every bin and a whole day: possible means open and somebody there."""
    windows = Windows(SQUARE, NINE_MS, 1440)
    for asset_id in list(SQUARE.volumes_l)[::7]:
        allowed = windows.allowed(asset_id)
        for minute in range(0, 1440, 13):
            at_ms = NINE_MS + minute * MINUTE_MS
            is_staffed = any(SQUARE.plan.is_on_shift(shift.id, at_ms) for shift in SQUARE.plan.shift_plan.shifts)
            assert allowed[minute] == (is_staffed and SQUARE.is_open("empty", asset_id, at_ms / 1000))
        for minute in range(0, 1440, 97):
            opens, closes = windows.next_open(asset_id, minute), windows.next_closed(asset_id, minute)
            assert opens == next((m for m in range(minute, 1440) if allowed[m]), 1440)
            assert closes == next((m for m in range(minute, 1440) if not allowed[m]), 1440)


def test_the_time_after_a_shift_counts_only_when_asked_for():
    """Accepted work is finished within the handover after the shift: the bound allows for it."""
    plain = Windows(SQUARE, NINE_MS, 1440).staffed
    more = Windows(SQUARE, NINE_MS, 1440, with_handover=True).staffed
    assert np.all(more | ~plain)
    assert more.sum() - plain.sum() == SQUARE.plan.shift_plan.handover_min
