"""How long a node sleeps, by hand."""

from firmware.core import interval


class Config:
    interval_s = 600
    fast_interval_s = 120
    night_interval_s = 1800
    night_from_min = 1380
    night_to_min = 270
    low_mv = 3500
    critical_mv = 3300
    send_every = 3
    fast_rise_pct_h = 20
    near_full_mm = 350


NOON = 720
MIDNIGHT = 0
SLOW = (0, 0, 0, 900, 600, 890)
FAST = (0, 0, 0, 900, 600, 860)  # 40 mm in 600 s = 240 mm/h
FULL = (0, 0, 0, 350, 600, 350)


def following_s(now_local_min, battery_mv, history):
    return interval.next_interval_s(Config, now_local_min, battery_mv, history)


def test_day_night_and_an_unknown_clock():
    """Noon 600 s, midnight 1,800 s; without a clock it is day."""
    assert following_s(NOON, 3900, SLOW) == 600
    assert following_s(MIDNIGHT, 3900, SLOW) == 1800
    assert following_s(None, 3900, SLOW) == 600
    assert following_s(NOON, None, ()) == 600


def test_the_edges_of_the_night():
    """23:00 to 04:29 is night, 04:30 is day; a night of no length is none."""
    for minute, is_night in ((1379, False), (1380, True), (269, True), (270, False)):
        assert interval.is_night(minute, 1380, 270) is is_night
    assert not interval.is_night(60, 60, 60)


def test_fast_filling_hurries_even_at_night():
    """240 mm/h is above 20 % of a metre in an hour."""
    assert interval.rise_mm_h(FAST) == 240
    assert following_s(NOON, 3900, FAST) == 120
    assert following_s(MIDNIGHT, 3900, FAST) == 120


def test_nearly_full_hurries_by_day():
    """At near_full_mm: 120 s at noon, 1,800 s at midnight, when nobody empties."""
    assert following_s(NOON, 3900, FULL) == 120
    assert following_s(MIDNIGHT, 3900, FULL) == 1800


def test_a_weak_cell_beats_all_hurry():
    """Below 3,500 mV 1,800 s (night interval, more than twice 600), below 3,300 mV 3,600 s."""
    assert following_s(NOON, 3500, FAST) == 120
    assert following_s(NOON, 3499, FAST) == 1800
    assert following_s(NOON, 3299, FAST) == 3600


def test_the_local_day():
    """1795488752 is 2026-11-24 02:52 UTC: 09:52 in the west of Indonesia."""
    assert interval.local_min(1795488752, 420) == 9 * 60 + 52
    assert interval.local_min(0, -60) == 1380
    assert interval.local_min(None, 420) is None


def test_history_keeps_four_points_apart():
    """Points closer than 300 s to the one before the last replace the last; the oldest go."""
    history = ()
    for now_s in range(0, 3000, 120):
        history = interval.remember(history, now_s, {"distance_mm": 900})
    times = [history[place] for place in range(2, len(history), 2)]
    assert len(times) == 4
    assert times[-1] == 2880
    assert times[2] - times[0] >= 600


def test_emptying_starts_a_new_history():
    """From 300 to 900 mm: the rise before the emptying says nothing about after it."""
    history = interval.remember(FULL, 1200, {"distance_mm": 900})
    assert history == (0, 0, 1200, 900)
    assert interval.rise_mm_h(history) == 0


def test_a_reading_without_distance_is_no_point():
    """No echo leaves the points alone and forgets a suspicion."""
    assert interval.remember((), 5, {"state": "no-echo"}) == ()
    assert interval.remember((300, 1, 0, 900), 5, {"state": "no-echo"}) == (0, 0, 0, 900)


def test_what_goes_out_at_once():
    """First reading, changed state, nearly full, heat: now. Else every third."""
    ok = {"state": "ok"}
    assert interval.due_to_send(Config, 1, ok, None, SLOW)
    assert interval.due_to_send(Config, 1, {"state": "tilted"}, "ok", SLOW)
    assert interval.due_to_send(Config, 1, ok, "tilted", SLOW)
    assert interval.due_to_send(Config, 1, ok, "ok", FULL)
    assert interval.due_to_send(Config, 1, ok, "ok", SLOW, True)
    assert not interval.due_to_send(Config, 2, ok, "ok", SLOW)
    assert interval.due_to_send(Config, 3, ok, "ok", SLOW)


def test_a_node_speaks_once_a_day_whatever_is_configured():
    """144 readings a message and a reading a day would be half a year in which nobody could take it back."""

    class Slow(Config):
        interval_s = 43200
        send_every = 144

    assert not interval.due_to_send(Slow, 1, {"state": "ok"}, "ok", SLOW)
    assert interval.due_to_send(Slow, 2, {"state": "ok"}, "ok", SLOW)


def test_the_second_point_moves_until_it_is_far_enough():
    """Readings at 0, 120, 240 and 360 s: two points until the second is 300 s away, then it stays."""
    history = ()
    for now_s in (0, 120, 240):
        history = interval.remember(history, now_s, {"distance_mm": 900})
    assert history == (0, 0, 0, 900, 240, 900)
    history = interval.remember(history, 360, {"distance_mm": 890})
    assert history == (0, 0, 0, 900, 360, 890)
    assert interval.remember(history, 480, {"distance_mm": 880}) == (0, 0, 0, 900, 360, 890, 480, 880)


def test_the_edge_of_a_fast_rise():
    """20 % of a metre an hour: 100 mm in half an hour is fast, 99 mm is not."""
    assert following_s(NOON, 3900, (0, 0, 0, 900, 1800, 800)) == 120
    assert following_s(NOON, 3900, (0, 0, 0, 900, 1800, 801)) == 600


def test_a_held_back_distance_is_looked_at_again_soon():
    """A suspicion hurries by day and by night, but a weak cell still comes first."""
    held = (300, 1, 0, 900)
    assert following_s(NOON, 3900, held) == 120
    assert following_s(MIDNIGHT, 3900, held) == 120
    assert following_s(MIDNIGHT, 3400, held) == 1800


def test_a_weak_cell_stretches_a_long_interval_too():
    """25 minutes by day: a low cell makes it 50, a critical one 100; never more than a day."""

    class Slow(Config):
        interval_s = 1500

    assert interval.next_interval_s(Slow, NOON, 3499, SLOW) == 3000
    assert interval.next_interval_s(Slow, NOON, 3299, SLOW) == 6000

    class Daily(Config):
        interval_s = 43201

    assert interval.next_interval_s(Daily, NOON, 3499, SLOW) == 86400


def test_an_emptied_bin_is_told_from_noise():
    """150 mm farther may be a bag that sank and stays in the history; 151 mm begins a new one."""
    history = (0, 0, 0, 800, 600, 700)
    assert interval.remember(history, 1200, {"distance_mm": 850}) == (0, 0, 0, 800, 600, 700, 1200, 850)
    assert interval.remember(history, 1200, {"distance_mm": 851}) == (0, 0, 1200, 851)


def test_points_are_five_minutes_apart():
    """A second point 299 s after the first is replaced, one 300 s after it stays."""
    assert interval.remember((0, 0, 0, 800, 299, 790), 400, {"distance_mm": 780}) == (0, 0, 0, 800, 400, 780)
    assert len(interval.remember((0, 0, 0, 800, 300, 790), 400, {"distance_mm": 780})) == 8
