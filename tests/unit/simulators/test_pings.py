"""The node's formulas are those of the firmware; pings behave as the physics says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.core import distance
from simulators import pings

BLIND_MM, REACH_MM = 200, 4500
ECHOES_US = st.one_of(st.just(pings.LOST), st.integers(0, 40_000), st.integers(3_000, 3_400), st.integers(1_000, 1_300))


SCATTERED_US = st.builds(
    lambda base, offsets, others: [base + offset for offset in offsets] + others,
    st.integers(1_200, 25_000),
    st.lists(st.integers(-800, 800), max_size=9),  # 800 us are 140 mm: around every limit of agreement
    st.lists(ECHOES_US, max_size=2),
).filter(bool)


@given(st.one_of(SCATTERED_US, st.lists(ECHOES_US, min_size=1, max_size=9)), st.integers(-4_000, 12_500))
@settings(max_examples=400)
def test_the_node_summarises_as_its_firmware_does(echoes_us, temp_cdeg):
    """Distance, quality and state equal those of the firmware for any echoes at any temperature."""
    temp_c, is_compensated = distance.sound_c(temp_cdeg)
    as_device = ["no-echo" if us == pings.LOST else distance.echo_mm(us, temp_c) for us in echoes_us]
    expected = distance.summarise(as_device, BLIND_MM, REACH_MM, is_compensated)
    assert tuple(pings.summarise(echoes_us, temp_cdeg, BLIND_MM, REACH_MM)) == expected


@pytest.mark.parametrize(
    ("distances_mm", "expected"),
    [
        ([650, 700, 700, 700, 700, 730, 700], (700, 4, "ok")),  # 730 is 30 mm away: just kept, and 6 of 7 agree
        ([650, 700, 700, 700, 700, 731, 700], (700, 3, "ok")),  # 731 is not: 5 of 7 are less than three quarters
        ([640, 660, 680, 700, 720, 740, 760], (700, 3, "ok")),  # a spread of 120 mm is the widest
        ([640, 660, 680, 700, 720, 740, 761], (None, 2, "no-echo")),
        ([199, 199, 199, 700, 700, 700, 700], (700, 3, "ok")),  # 3 in the blind zone are not more than 4 others
        ([199, 199, 199, 199, 700, 700, 700], (None, 1, "obstructed")),
        ([4500, 4500, 4500, 4500, 4501, 4501, 4501], (4500, 3, "ok")),  # 4,500 mm is in reach
        ([], (None, 0, "no-echo")),
    ],
)
def test_the_limits_of_agreement(distances_mm, expected):
    """At each limit the node decides as its firmware does, and as the comment says."""
    us = [-(-mm * 20_000 // (3313 + 6 * 28)) for mm in distances_mm] or [pings.LOST]
    assert tuple(pings.summarise(us, 2800, BLIND_MM, REACH_MM)) == expected
    as_device = ["no-echo" if one == pings.LOST else distance.echo_mm(one, 28) for one in us]
    assert distance.summarise(as_device, BLIND_MM, REACH_MM, True) == expected


@pytest.mark.parametrize(("temp_c", "mps"), [(-20, 318.9), (20, 343.2), (40, 354.7)])
def test_speed_of_sound_of_the_tables(temp_c, mps):
    """331.3 * sqrt(1 + T / 273.15) gives the values of the tables within 0.05 m/s."""
    assert pings.speed_of_sound_mps(np.array([float(temp_c)]))[0] == pytest.approx(mps, abs=0.05)


def echoes(nearest_mm: float, *, lost=0.0, wild=0.0, near=0.0, count=4_000, temp_c=28.0):
    """Echo times of many measurements of one surface."""
    random = np.random.default_rng(7)
    full = np.full(count, 1.0)
    return pings.echoes_us(
        nearest_mm * full,
        temp_c * full,
        random.standard_normal((count, 7)),
        random.random((count, 7, 4)),
        lost=lost * full,
        wild=wild * full,
        near=near * full,
    )


def test_one_wild_ping_of_nine_does_not_move_the_result():
    """With a ninth of wild pings nearly all distances stay within the noise of good ones."""
    seen = [pings.summarise(e, 2800, BLIND_MM, REACH_MM) for e in echoes(700, wild=1 / 9, count=400).tolist()]
    assert sum(d.distance_mm is not None and abs(d.distance_mm - 700) <= 12 for d in seen) > 0.95 * len(seen)


def test_wild_pings_come_from_anywhere_up_to_a_second_bounce():
    """All wild, at 700 mm: evenly from the edge of the blind zone to twice the distance, 800 mm on average."""
    metres = echoes(700, wild=1.0) * 1e-6 * float(pings.speed_of_sound_mps(np.array([28.0]))[0]) / 2
    assert metres.min() == pytest.approx(0.2, abs=0.005)
    assert metres.max() == pytest.approx(1.4, abs=0.005)
    assert metres.mean() == pytest.approx(0.8, abs=0.01)


def test_a_wrong_temperature_errs_as_the_speed_of_sound_does():
    """Ten degrees too warm reads 1.7 percent too far: 0.6 m/s a degree of 347 m/s."""
    cool, right = (pings.summarise(echoes(1000, count=1).tolist()[0], t, BLIND_MM, REACH_MM) for t in (3800, 2800))
    assert cool.distance_mm / right.distance_mm == pytest.approx(1 + 6.0 / 348.1, abs=0.002)


@given(st.floats(0, 199))
def test_the_blind_zone_is_an_obstruction_and_never_a_number(nearest_mm):
    """A surface nearer than the blind zone, the sensor's face included, gives no distance at all."""
    for e in echoes(nearest_mm, count=5).tolist():
        seen = pings.summarise(e, 2800, BLIND_MM, REACH_MM)
        # a ping of a surface just below the edge may come from above it, by its noise
        assert seen.distance_mm is None or (nearest_mm > 180 and seen.distance_mm >= BLIND_MM)


def test_the_share_of_lost_pings_is_the_one_asked_for():
    """Lost pings are as many as their share, within 3 standard deviations, and all of them at 1."""
    assert np.mean(echoes(700, lost=0.3) == pings.LOST) == pytest.approx(0.3, abs=3 * (0.21 / 28_000) ** 0.5)
    assert (echoes(700, lost=1.0) == pings.LOST).all()


def test_the_nearest_thing_in_the_cone_answers():
    """Rough waste reads nearer, the more of it the cone covers; a flat floor and a narrow cone do not."""
    one = np.ones(4)
    surface = np.array([150.0, 400.0, 800.0, 800.0])
    rough = np.array([20.0, 20.0, 20.0, 0.0])
    bias = surface - pings.nearest_mm(surface, rough, 1e9 * one, 0 * one)
    assert list(bias[:3]) == sorted(bias[:3])
    assert 30 < bias[2] < 50  # 20 degrees to each side at 800 mm: 18 patches of 120 mm, 1.8 deviations of 20 mm
    assert bias[3] == 0
    narrow = surface - pings.nearest_mm(surface, rough, 120.0**2 * one, 0 * one)
    assert (narrow == 0).all()
