"""The fault script: who is struck when, what begins and ends, and what grows while the square runs."""

from datetime import datetime
from itertools import pairwise
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.errors import ScenarioError
from simulators.faults import KINDS, MOMENTS, NAMED, Fault, FaultScript
from simulators.node_faults import NodeFaults

ZONE = ZoneInfo("Asia/Jakarta")
NOON_S = datetime(2026, 11, 24, 12, tzinfo=ZONE).timestamp()
NAMES = [f"rsk-b{i:03d}" for i in range(1, 201)]


def test_a_window_includes_its_beginning_and_not_its_end():
    """A fault acts from its first moment and is over at its last."""
    script = FaultScript([Fault(100, 200, "uplink", "cut")])
    assert [bool(script.active("uplink", "", at)) for at in (99.9, 100, 199.9, 200)] == [False, True, True, False]


def test_patterns_and_shares_choose_who_is_struck():
    """A pattern strikes its matches; a share strikes about so many of them, and the same ones every time."""
    some = Fault(0, 1, "node:rsk-b1*", "silent", share=0.4)
    struck = [name for name in NAMES if some.strikes(name)]
    assert all(name.startswith("rsk-b1") for name in struck)
    assert 25 <= len(struck) <= 55
    assert struck == [name for name in NAMES if some.strikes(name)]
    assert not any(Fault(0, 1, "node:rsk-b1*", "silent", share=0.0).strikes(name) for name in NAMES)
    other = Fault(0, 1, "node:rsk-b1*", "stuck", share=0.4)
    both = [name for name in struck if other.strikes(name)]
    assert 0.2 < len(both) / len(struck) < 0.6  # two faults choose independently: 0.4 of each other


def test_only_the_target_that_is_named_is_struck():
    """A node's fault is none of a crew of that name, nor of the broker."""
    script = FaultScript([Fault(0, 9, "node:*", "silent"), Fault(0, 9, "broker", "down")])
    assert script.active("crew", "rsk-b001", 1) == ()
    assert [f.kind for f in script.active("node", "rsk-b001", 1)] == ["silent"]
    assert [f.kind for f in script.active("broker", "", 1)] == ["down"]


TIMES = st.integers(0, 20)
FAULTS = st.lists(
    st.builds(lambda a, n, kind: Fault(a, a + n, "node:*", kind), TIMES, TIMES, st.sampled_from(["silent", "water"]))
)


@given(FAULTS, st.lists(TIMES, min_size=2, max_size=6))
def test_changes_are_told_once_however_time_is_cut(faults, cuts):
    """Changes over pieces of time, together, are those over the whole; none is told twice, ends before beginnings."""
    script = FaultScript(faults)
    edges = sorted({-1, *cuts, 50})
    pieces = [c for a, b in pairwise(edges) for c in script.changes_between(a, b)]
    whole = list(script.changes_between(-1, 50))
    assert pieces == whole
    assert sum(c.begins for c in whole) == len(faults)
    for one, two in pairwise(whole):
        assert (one.at_s, one.begins) <= (two.at_s, two.begins)


@given(FAULTS, TIMES)
def test_what_is_active_is_what_began_and_has_not_ended(faults, at_s):
    """Folding the changes up to a moment gives the faults that act then."""
    script = FaultScript(faults)
    acting = []
    for change in script.changes_between(-1, at_s):
        if change.begins:
            acting += [change.fault] if change.fault.until_s > change.at_s else []
        else:
            acting.remove(change.fault)
    assert sorted(acting, key=repr) == sorted(script.active("node", "any", at_s), key=repr)


@given(FAULTS, FAULTS)
def test_a_script_that_grows_is_the_script_of_all(faults, more):
    """Adding one by one gives the same script, and who looks faults up sees them at once."""
    grown = FaultScript(faults)
    looking = NodeFaults(["rsk-b001"], grown)
    looking.at(5.0)
    for fault in more:
        grown.add(fault)
    assert grown == FaultScript([*more, *faults])
    assert grown != FaultScript([*more, *faults, Fault(0, 1, "disk", "full")])
    struck, fresh = looking.at(5.0), NodeFaults(["rsk-b001"], FaultScript([*faults, *more])).at(5.0)
    assert (struck is None) == (fresh is None)
    assert struck is None or (struck.silent[0], struck.water[0]) == (fresh.silent[0], fresh.water[0])


@given(FAULTS, st.lists(TIMES, min_size=1, max_size=8))
def test_looking_up_in_any_order_is_looking_up_afresh(faults, moments):
    """What acts on a node does not depend on when somebody looked before."""
    looking = NodeFaults(["rsk-b001"], FaultScript(faults))
    for at_s in moments:
        struck = looking.at(at_s)
        kinds = {f.kind for f in FaultScript(faults).active("node", "rsk-b001", at_s)}
        assert {"silent"} & kinds == ({"silent"} if struck is not None and struck.silent[0] else set())
        assert {"water"} & kinds == ({"water"} if struck is not None and struck.water[0] else set())


def test_looking_back_across_a_beginning_is_not_answered_from_memory():
    """Who looked at the moment of a beginning, and then before it, is told that nothing acts there."""
    looking = NodeFaults(["rsk-b001"], FaultScript([Fault(5, 9, "node:*", "silent")]))
    assert [looking.at(at) is None for at in (5.0, 4.0, 8.9, 9.0, 4.9)] == [False, True, False, True, True]


def test_the_newest_of_one_kind_counts():
    """Of two drifts at once the later one is found and acts."""
    script = FaultScript([Fault(5, 99, "node:*", "drift", 10), Fault(1, 99, "node:*", "drift", 70)])
    assert script.find("node", "rsk-b001", "drift", 50).strength == 10
    struck = NodeFaults(["rsk-b001"], script).at(50)
    assert struck.drift_mm(5.0 + 86_400)[0] == pytest.approx(10)


def test_tables_become_faults():
    """Times of day are local and the next ones; a duration, an end and neither are understood; defaults are filled."""
    script = FaultScript.parse(
        [
            {"at": "14:30", "for_min": 20, "target": "uplink", "kind": "slow"},
            {"at": "11:00", "until": "10:00", "target": "node:rsk-b001", "kind": "drift", "strength": -5},
            {"at": "+0:30", "target": "crew:pagi-1", "kind": "away"},
            {"at": datetime(2026, 11, 24, 13, 0), "target": "clock", "kind": "jump", "strength": 600},  # noqa: DTZ001
        ],
        NOON_S,
        ZONE,
    )
    hour = 3600.0
    assert script.faults == (
        Fault(NOON_S + 0.5 * hour, inf, "crew:pagi-1", "away", 1.0),
        Fault(NOON_S + hour, NOON_S + hour, "clock", "jump", 600.0),
        Fault(NOON_S + 2.5 * hour, NOON_S + 2.5 * hour + 1200, "uplink", "slow", 120.0),
        Fault(NOON_S + 23 * hour, NOON_S + 46 * hour, "node:rsk-b001", "drift", -5.0),
    )


def test_a_wrong_table_says_what_to_do():
    """The error names what is wrong and the nearest known word."""
    with pytest.raises(ScenarioError, match=r'"stuk" is no fault of a node\. Did you mean stuck\?'):
        FaultScript.parse([{"at": "14:30", "target": "node:*", "kind": "stuk"}], NOON_S)


def test_every_kind_has_a_default_inside_its_range():
    """Strengths without a unit are 1; moments exist; named targets are known."""
    assert set(KINDS) > NAMED
    assert {kind for kinds in KINDS.values() for kind in kinds} >= MOMENTS
    for kinds in KINDS.values():
        for known in kinds.values():
            assert known.low <= known.default <= known.high
            assert known.unit or known.default == 1
