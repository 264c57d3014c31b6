"""Statistics and distance: the same figures on both interpreters."""

from firmware.core import distance, stats


def test_median_of_odd_and_even_counts():
    """The middle value; of two middle ones their mean, rounded down."""
    assert stats.median([9, 1, 5]) == 5
    assert stats.median([4, 1]) == 2  # 2.5 rounded down
    assert stats.median([-3]) == -3


def test_mad_ignores_one_wild_value():
    """Deviations of 1 2 3 4 1000 from 3 are 2 1 0 1 997: their median is 1."""
    assert stats.mad([1, 2, 3, 4, 1000]) == 1


def test_reject_drops_the_wild_and_keeps_the_order():
    """With a floor of 30 the value 300 away goes, those 10 away stay where they were."""
    assert stats.reject([710, 1000, 700, 690], 3, 30) == [710, 700, 690]
    assert stats.reject([]) == []


def test_echo_at_three_temperatures():
    """5,831 us there and back: 0 C 331.3 m/s = 965.9 mm, 20 C 343.3 m/s = 1000.9 mm, -20 C 319.3 m/s = 930.9 mm."""
    assert distance.echo_mm(5831, 0) == 965
    assert distance.echo_mm(5831, 20) == 1000
    assert distance.echo_mm(5831, -20) == 930


def test_sound_temperature_is_rounded_and_bounded():
    """31.5 C is 32; nothing measured is 28 and says so; a fire is computed as 60 and says so."""
    assert distance.sound_c(3150) == (32, True)
    assert distance.sound_c(-50) == (0, True)
    assert distance.sound_c(None) == (28, False)
    assert distance.sound_c(9500) == (60, False)
    assert distance.sound_c(-3000) == (-20, False)


def test_seven_close_echoes_are_accepted_by_validation():
    """Seven within 12 mm and a measured temperature: the median with quality 4."""
    assert distance.summarise([740, 741, 738, 745, 740, 733, 742], 250, 4500) == (740, 4, "ok")


def test_unmeasured_temperature_costs_a_step():
    """The same without a temperature: quality 3."""
    assert distance.summarise([740] * 7, 250, 4500, False) == (740, 3, "ok")


def test_a_bare_majority_is_plausible_only():
    """Four of seven agree: a distance of quality 3; three of seven: none."""
    assert distance.summarise([740, 742, 744, 741, "no-echo", "no-echo", 3000], 250, 4500) == (741, 3, "ok")
    assert distance.summarise([740, 742, 744, "no-echo", "no-echo", "no-echo", 3000], 250, 4500) == (None, 2, "no-echo")


def test_scattered_echoes_give_no_distance():
    """Seven echoes spread over two metres agree on nothing."""
    assert distance.summarise([400, 700, 1000, 1300, 1700, 2000, 2400], 250, 4500) == (None, 2, "no-echo")


def test_blind_zone_is_obstructed_and_never_zero():
    """Echoes from 0 to 249 mm: full or blocked, and no distance; 250 mm is a distance."""
    assert distance.summarise([210] * 7, 250, 4500) == (None, 1, "obstructed")
    assert distance.summarise([0] * 7, 250, 4500) == (None, 1, "obstructed")
    assert distance.summarise([250] * 7, 250, 4500) == (250, 4, "ok")


def test_beyond_the_range_there_is_no_distance():
    """Echoes from farther than the part can hear are not echoes of waste."""
    assert distance.summarise([4501] * 7, 250, 4500) == (None, 2, "no-echo")


def test_silence_and_a_dead_part_are_told_apart():
    """No echo is news about the bin; no answer is news about the sensor."""
    assert distance.summarise(["no-echo"] * 7, 250, 4500) == (None, 0, "no-echo")
    assert distance.summarise(["no-answer"] * 7, 250, 4500) == (None, 0, "sensor-fault")
    assert distance.summarise(["stuck"] * 4 + ["no-echo"] * 3, 250, 4500) == (None, 0, "sensor-fault")
    assert distance.summarise([], 250, 4500) == (None, 0, "sensor-fault")


def test_the_limit_of_rejection_is_three_deviations():
    """Deviations from 500 are 0 20 20 40 40 180 181, MAD 40: 3 * 1.5 * 40 = 180 keeps 320 and drops 681."""
    assert stats.reject([500, 480, 520, 460, 540, 320, 681], 3, 30) == [500, 480, 520, 460, 540, 320]


def test_near_echoes_obstruct_only_as_the_majority():
    """Three near ones against three of waste agree on nothing; two near ones among five of waste change nothing."""
    assert distance.summarise([210] * 3 + [740] * 3, 250, 4500) == (None, 2, "no-echo")
    assert distance.summarise([210] * 3 + [740] * 5, 250, 4500) == (740, 3, "ok")
    assert distance.summarise([210] * 4 + [740] * 3, 250, 4500) == (None, 1, "obstructed")
    assert distance.summarise([210] * 2 + ["no-echo"] * 5, 250, 4500) == (None, 2, "no-echo")


def test_the_farthest_distance_counts():
    """An echo at exactly max_mm is one."""
    assert distance.summarise([4500] * 7, 250, 4500) == (4500, 4, "ok")


def test_the_edges_of_quality():
    """30 mm apart is close, 31 is not; six of eight are three quarters, five of seven not; three of three will do."""
    assert distance.summarise([740, 745, 750, 755, 760, 765, 770], 250, 4500)[1] == 4
    assert distance.summarise([740, 745, 750, 755, 760, 765, 771], 250, 4500)[1] == 3
    assert distance.summarise([3000] * 6 + [3060], 250, 4500)[1] == 4  # 2 % of 3,000 mm
    assert distance.summarise([740] * 6 + ["no-echo"] * 2, 250, 4500)[1] == 4
    assert distance.summarise([740] * 5 + ["no-echo"] * 2, 250, 4500)[1] == 3
    assert distance.summarise([740] * 4, 250, 4500)[1] == 3
    assert distance.summarise([740] * 3, 250, 4500) == (740, 3, "ok")
    assert distance.summarise([740] * 2, 250, 4500) == (None, 2, "no-echo")


def test_a_part_that_fails_now_and_then_is_not_dead():
    """Half of the pings without answer: the other half still says what it saw."""
    assert distance.summarise(["no-answer"] * 3 + ["no-echo"] * 3, 250, 4500) == (None, 0, "no-echo")
    assert distance.summarise(["no-answer"] * 4 + ["no-echo"] * 3, 250, 4500) == (None, 0, "sensor-fault")


def test_the_widest_spread_that_is_a_distance():
    """Five echoes evenly over 120 mm make a distance, over 124 mm none; far away an eighth of the distance counts."""
    assert distance.summarise([680, 710, 740, 770, 800], 250, 4500) == (740, 3, "ok")
    assert distance.summarise([678, 709, 740, 771, 802], 250, 4500) == (None, 2, "no-echo")
    assert distance.summarise([1500, 1550, 1600, 1650, 1700], 250, 4500) == (1600, 3, "ok")
    assert distance.summarise([1498, 1549, 1600, 1651, 1702], 250, 4500) == (None, 2, "no-echo")
