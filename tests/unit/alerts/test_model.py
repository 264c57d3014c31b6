"""The tables of states and steps, and what is tunable."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.model import (
    ACTIVE_TASK_STATES,
    CREW_TASK_STATES,
    INCIDENT_STEPS,
    TASK_STEPS,
    TransitionError,
    check_step,
)
from alerts.domain.policy import Policy


@settings(deadline=None)
@given(st.sampled_from([INCIDENT_STEPS, TASK_STEPS]), st.data())
def test_only_steps_of_the_table_are_taken(table: dict[str, frozenset[str]], data: st.DataObject) -> None:
    """Any pair of states is either in the table or an error."""
    old, new = data.draw(st.sampled_from(sorted(table))), data.draw(st.sampled_from(sorted(table)))
    if new in table[old]:
        assert check_step(table, old, new) == new
    else:
        with pytest.raises(TransitionError):
            check_step(table, old, new)


@pytest.mark.parametrize("table", [INCIDENT_STEPS, TASK_STEPS])
def test_every_state_is_reached_and_every_step_leads_somewhere(table: dict[str, frozenset[str]]) -> None:
    """From open every state of a table can be reached, and no step leads out of the table."""
    reached, frontier = {"open"}, ["open"]
    while frontier:
        for state in table[frontier.pop()]:
            if state not in reached:
                reached.add(state)
                frontier.append(state)
    assert reached == set(table)


def test_active_states_are_those_with_a_way_out() -> None:
    """A task is active exactly as long as the table has a next step for it."""
    assert set(ACTIVE_TASK_STATES) == {state for state, steps in TASK_STEPS.items() if steps}
    assert set(CREW_TASK_STATES) < set(ACTIVE_TASK_STATES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"half_pct": 0.0},
        {"full_pct": 100.0},
        {"hysteresis_pct": 50.0},
        {"hysteresis_pct": -1.0},
        {"full_clear_pct": 90.0},
        {"silent_factor": 0.5},
        {"offline_factor": 2.0},
    ],
)
def test_thresholds_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    """A policy that would flap or never fire cannot be made."""
    with pytest.raises(ValueError, match="must"):
        Policy(**wrong)  # type: ignore[arg-type]
