"""Radio holes and node clocks: stretches of silence by signal, times that drift, faults on top."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import radio
from simulators.faults import Fault, FaultScript
from simulators.radio import Radio
from simulators.sensing import rssi_of

NAMES = [f"rsk-b{i:03d}" for i in range(500)]
ALL = np.arange(len(NAMES))
START_S = 1_795_453_200.0


def heard(square: Radio, hours=48) -> np.ndarray:
    """Return who is heard at each minute (minutes, nodes)."""
    return np.array([square.reaches(ALL, START_S + 60 * i) for i in range(60 * hours)])


def test_weak_nodes_have_holes_and_strong_ones_hardly_any():
    """Nodes at the edge are unheard about 3 percent of the time, those with 18 dB more at most an eighth of that."""
    away = 1 - heard(Radio(NAMES, seed=1)).mean(axis=0)
    rssi = rssi_of(NAMES, 1)
    assert away[rssi < -77].mean() == pytest.approx(radio.value("hole_share_weak"), rel=0.35)
    assert away[rssi > -63].mean() < radio.value("hole_share_weak") / 4


def test_a_hole_is_a_stretch_of_time():
    """Who is heard changes at most once in 10 minutes: a hole outlasts a resend."""
    minutes = heard(Radio(NAMES, seed=1), hours=12)
    changes = (minutes[1:] != minutes[:-1]).astype(int)
    for start in range(len(changes) - 10):
        assert changes[start : start + 10].sum(axis=0).max() <= 1


@given(st.lists(st.integers(0, len(NAMES) - 1), min_size=1, max_size=5), st.integers(0, 10**6))
def test_it_does_not_matter_with_whom_a_node_is_asked_for(which, after_s):
    """Reach and clock of a node are its own."""
    square, at_s = Radio(NAMES, seed=4), START_S + after_s
    assert square.reaches(np.array(which), at_s).tolist() == [
        bool(square.reaches(np.array([i]), at_s)[0]) for i in which
    ]
    assert square.ts_s(np.array(which), at_s).tolist() == [square.ts_s(np.array([i]), at_s)[0] for i in which]


def test_clocks_drift_between_two_syncs_and_no_further():
    """No clock is off by more than a day's drift of 3.5 deviations, and just after a sync each is right."""
    square = Radio(NAMES, seed=1)
    away = np.array([square.ts_s(ALL, START_S + 600 * i) - (START_S + 600 * i) for i in range(200)])
    assert np.abs(away).max() < 86_400 * 3.5 * 60e-6
    assert np.abs(away).max() > 5
    assert np.abs(away).min(axis=0).max() < 0.2  # 600 s of at most 210 ppm after the sync at the latest


def test_faults_act_on_radio_and_clock():
    """In an ordered hole nobody is heard, a silent node neither, and a clock that is set wrong is wrong by so much."""
    script = FaultScript([Fault(START_S, START_S + 600, "node:*", "radio-hole")])
    square = Radio(NAMES, seed=1, faults=script)
    assert not square.reaches(ALL, START_S).any()
    assert square.reaches(ALL, START_S + 600).mean() > 0.95
    script.add(Fault(START_S + 600, 1e12, "node:rsk-b007", "clock-off", -3600.0))
    script.add(Fault(START_S + 600, 1e12, "node:rsk-b008", "silent"))
    off = square.ts_s(ALL, START_S + 600) - (START_S + 600)
    assert off[7] == pytest.approx(-3600, abs=20)
    assert np.abs(np.delete(off, 7)).max() < 20
    assert not square.reaches(np.array([8]), START_S + 600)[0]
