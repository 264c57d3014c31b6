"""The way to the office: late, in the right order, never lost and never twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.contest.channel import Channel
from simulators.contest.policy import Observation
from simulators.faults import Fault, FaultScript

T0_S = 1_795_485_600


def reading(seq, at_s, device="rsk-b001", ts_s=None):
    ts_ms = round(1000 * (at_s if ts_s is None else ts_s))
    return Observation(device, "bin-001", ts_ms, ts_ms, seq, 1, 50.0, 400, "ok", 4, 3700)


def way(*faults):
    return Channel(FaultScript(faults), seed=1)


def arrived_s(channel, at_s):
    channel.send(reading(1, at_s), round(at_s * 1000))
    (seen,) = channel.arrivals(10**16)
    return seen.arrived_ms / 1000


def test_without_a_fault_a_reading_is_there_at_once():
    """Minutes are the measure of the contest: a second of latency is none."""
    assert arrived_s(way(), T0_S) == T0_S


@pytest.mark.parametrize(
    ("target", "kind", "earliest", "latest"),
    [("uplink", "cut", 3600, 3610), ("broker", "down", 3600, 3900), ("gateway", "full-disk", 3600, 3900)],
)
def test_what_is_broken_holds_readings_until_it_is_mended(target, kind, earliest, latest):
    """An hour down: nodes come back within five minutes, a gateway empties its spool at once."""
    channel = way(Fault(T0_S, T0_S + 3600, target, kind))
    assert T0_S + earliest <= arrived_s(channel, T0_S + 60) <= T0_S + latest
    assert channel.late == 1


def test_a_store_that_is_down_delays_nothing():
    """Alerts read beside the store."""
    assert arrived_s(way(Fault(T0_S, T0_S + 3600, "store", "down")), T0_S + 60) == T0_S + 60


def test_a_slow_uplink_is_late_by_its_strength():
    """Two minutes more, as the fault says."""
    assert arrived_s(way(Fault(T0_S, T0_S + 3600, "uplink", "slow", 120.0)), T0_S + 60) == T0_S + 180


def test_an_impossible_clock_is_put_aside():
    """Ingest refuses what is more than 2 min ahead or 7 days old; an hour behind is late and counts."""
    channel = way()
    for ahead_s in (3600, -8 * 86_400):
        channel.send(reading(1, T0_S, ts_s=T0_S + ahead_s), T0_S * 1000)
    assert (channel.refused, list(channel.arrivals(10**16))) == (2, [])
    channel.send(reading(2, T0_S, ts_s=T0_S - 3600), T0_S * 1000)
    assert len(list(channel.arrivals(10**16))) == 1


FAULTS = st.builds(
    lambda at, length, what: Fault(T0_S + at, T0_S + at + length, what[0], what[1], 90.0),
    st.integers(0, 7200),
    st.integers(60, 7200),
    st.sampled_from([("uplink", "cut"), ("uplink", "slow"), ("broker", "down"), ("gateway", "down"), ("disk", "full")]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FAULTS, max_size=4), st.lists(st.integers(0, 14_400), min_size=1, max_size=20))
def test_every_reading_comes_once_and_never_before_it_was_measured(faults, moments):
    """Under any faults that end, everything arrives, once, in order of arrival, and not while its way is cut."""
    channel = way(*faults)
    for seq, after_s in enumerate(sorted(moments)):
        channel.send(reading(seq, T0_S + after_s), (T0_S + after_s) * 1000)
    seen = list(channel.arrivals(10**16))
    assert sorted(one.seq for one in seen) == list(range(len(moments)))
    assert channel.waiting == 0
    assert [one.arrived_ms for one in seen] == sorted(one.arrived_ms for one in seen)
    for one in seen:
        assert one.arrived_ms >= one.ts_ms
        cuts = [f for f in faults if (f.target, f.kind) == ("uplink", "cut")]
        assert not any(f.at_s <= one.arrived_ms / 1000 < f.until_s for f in cuts)
