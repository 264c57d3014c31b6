"""What the rules say of bins, and how incidents follow from it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.estimate import BinMemory, Sample, estimate, take
from alerts.domain.incidents import Slot, advance
from alerts.domain.model import INCIDENT_STEPS, OWNERS, RULES, Incident
from alerts.domain.policy import Policy
from alerts.domain.rules import Verdict, bin_verdicts, gateway_silence, silence

POLICY = Policy()
MINUTE_MS = 60_000


def verdicts(*readings: tuple[float | None, str] | float) -> dict[str, Verdict]:
    """Verdicts by rule after readings 10 minutes apart."""
    memory = BinMemory()
    for k, reading in enumerate(readings):
        fill_pct, state = reading if isinstance(reading, tuple) else (reading, "ok")
        take(memory, Sample(10 * k * MINUTE_MS, k + 1, 7, fill_pct, state), POLICY)
    found = estimate(memory, POLICY)
    assert found is not None
    return {verdict.rule: verdict for verdict in bin_verdicts(found, POLICY)}


@pytest.mark.parametrize(
    ("fill", "full", "overflow"),
    [(0.0, False, False), (60.0, False, False), (60.1, None, False), (84.9, None, False), (85.0, True, False),
     (99.9, True, False), (100.0, True, True), (120.0, True, True)],
)  # fmt: skip
def test_full_and_overflow_at_their_thresholds(fill: float, full: bool | None, overflow: bool) -> None:
    """Full opens at 85 and closes at 60; between them an incident stays as it is."""
    found = verdicts(fill)
    assert (found["full"].holds, found["overflow"].holds) == (full, overflow)


def test_overflow_makes_full_worse_and_both_name_an_owner() -> None:
    """Severity goes up with the overflow and down when it is over."""
    assert verdicts(90.0)["full"].severity == "warning"
    over = verdicts(90.0, 104.0)
    assert (over["full"].severity, over["overflow"].severity) == ("major", "critical")
    assert verdicts(90.0, 104.0, 94.0)["full"].severity == "warning"
    assert over["full"].detail["owner"] == OWNERS["full"] == "mandor"


def test_a_fall_seen_once_closes_nothing() -> None:
    """90 -> 5 is no evidence yet, 90 -> 5 -> 6 closes."""
    assert verdicts(90.0, 5.0)["full"].holds is None
    assert verdicts(90.0, 5.0, 6.0)["full"].holds is False


@pytest.mark.parametrize("state", ["obstructed", "tilted", "water", "sensor-fault", "no-echo", "lid-open"])
def test_a_fault_never_opens_full(state: str) -> None:
    """A faulty reading of 110 % is no evidence for full or overflow; two of them are a fault."""
    found = verdicts((110.0, state), (110.0, state))
    assert (found["full"].holds, found["overflow"].holds, found["fault"].holds) == (None, None, True)
    assert found["fault"].detail["state"] == state


def test_a_heap_is_for_a_crew_and_not_for_the_technician() -> None:
    """Overflow and full hold and say why there is no number; a fault neither opens nor closes."""
    found = verdicts(80.0, (110.0, "obstructed"), (110.0, "obstructed"))
    assert (found["full"].holds, found["overflow"].holds, found["fault"].holds) == (True, True, None)
    assert found["overflow"].detail == {"fill_pct": None, "heaped": True, "owner": "mandor"}


@pytest.mark.parametrize(
    ("state", "at_once"),
    [
        ("tilted", True),
        ("water", True),
        ("sensor-fault", True),
        ("lid-open", None),
        ("obstructed", None),
        ("no-echo", None),
    ],
)
def test_everyday_states_need_a_second_reading(state: str, at_once: bool | None) -> None:
    """A lid that happens to be open is no fault; a bin that lies on its side is one at once."""
    assert verdicts((50.0, state))["fault"].holds is at_once
    assert verdicts((50.0, state), 50.0)["fault"].holds is False


def test_soon_full_opens_within_two_hours_and_clears_beyond_three() -> None:
    """20 %/h at 65 % is an hour from 85: info. 2 %/h at 45 % is 20 h away: none."""
    fast = verdicts(*[45.0 + 20 * k / 6 for k in range(7)])["soon-full"]
    assert (fast.holds, fast.severity) == (True, "info")
    assert verdicts(*[43.0 + 2 * k / 6 for k in range(7)])["soon-full"].holds is False
    assert verdicts(*[20.0 + 20 * k / 6 for k in range(7)])["soon-full"].holds is None  # 40 %: 2.25 h


def test_silence_grows_worse() -> None:
    """Nothing at 3 intervals, warning beyond, major beyond 6; the owner is the technician."""
    quiet = [silence(0, 600, minutes * MINUTE_MS, POLICY) for minutes in (0, 30, 31, 60, 61)]
    assert [(v.holds, v.severity) for v in quiet if v.holds] == [
        (True, "warning"), (True, "warning"), (True, "major"),
    ]  # fmt: skip
    assert quiet[-1].detail["owner"] == "teknisi"


def test_every_rule_has_an_owner() -> None:
    """No incident without somebody who looks after it."""
    assert set(OWNERS) == set(RULES)


def test_a_silent_gateway_is_for_the_technician() -> None:
    """One verdict about the site, major, with the time of the last batch; none while the gateway is heard."""
    verdict = gateway_silence(5_000, 90_000, is_silent=True)
    assert (verdict.rule, verdict.holds, verdict.severity) == ("gateway-silent", True, "major")
    assert verdict.detail == {"last_ms": 5_000, "owner": "teknisi"}
    assert gateway_silence(90_000, 90_000, is_silent=False).holds is False


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bin-1", "bin-2"]),
            st.sampled_from(["full", "silent"]),
            st.sampled_from([True, False, None]),
            st.sampled_from(["warning", "major"]),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_at_most_one_open_episode(events: list[tuple[str, str, bool | None, str, bool]]) -> None:
    """Whatever the rules say, an asset has at most one open incident per rule and episodes count up by one."""
    open_now: dict[Slot, Incident] = {}
    last: dict[Slot, int] = {}
    log: list[Incident] = []
    for at_ms, (asset_id, rule, holds, severity, is_acked) in enumerate(events):
        verdict = Verdict(rule, holds=holds, at_ms=at_ms, severity=severity)  # type: ignore[arg-type]
        before = open_now.get((asset_id, rule))
        if before is not None and is_acked and before.state == "open":
            before.state = "acked"
        step = advance(asset_id, verdict, open_now, last)
        if step is None:
            continue
        slot = (asset_id, rule)
        if step.what == "opened":
            assert before is None
            assert step.incident.episode == last.get(slot, 0) + 1
            open_now[slot], last[slot] = step.incident, step.incident.episode
            log.append(step.incident)
        elif step.what == "closed":
            assert before is not None
            assert "closed" in INCIDENT_STEPS[before.state]
            assert step.incident.closed_ms is not None
            assert step.incident.closed_ms >= step.incident.opened_ms
            del open_now[slot]
        else:
            assert before is not None
            assert (step.incident.state, step.incident.episode) == (before.state, before.episode)
            open_now[slot] = step.incident
    assert len({(i.asset_id, i.rule, i.episode) for i in log}) == len(log)
