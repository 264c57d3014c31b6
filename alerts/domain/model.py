"""The words of the domain: levels, rules, severities, states and the steps between them.

The transition tables are the only places that say which step is allowed; the desk, the engine and the
documentation read them.
"""

from typing import Final, Literal

import msgspec

Level = Literal["empty", "half", "filling", "full", "overflow", "unknown"]
Rule = Literal["full", "overflow", "soon-full", "silent", "bad-air", "fault", "gateway-silent"]
Severity = Literal["info", "warning", "major", "critical"]
TaskState = Literal["open", "assigned", "accepted", "claimed", "verified", "unverified", "cancelled"]
WaitingReason = Literal["no-crew-on-shift", "outside-service-hours", "crews-busy"]

LEVELS: Final[tuple[Level, ...]] = ("empty", "half", "filling", "full", "overflow")
"""Known levels, rising."""

RULES: Final[tuple[Rule, ...]] = ("full", "overflow", "soon-full", "silent", "bad-air", "fault", "gateway-silent")
"""All but the last are about an asset; ``gateway-silent`` is about the whole site and stands under the gateway's id."""

HOUR_MS: Final = 3_600_000

OWNERS: Final[dict[Rule, str]] = {
    "full": "mandor",
    "overflow": "mandor",
    "soon-full": "mandor",
    "silent": "teknisi",
    "bad-air": "operator",
    "fault": "teknisi",
    "gateway-silent": "teknisi",
}
"""Who looks after an incident of each rule (roles of the square)."""

INCIDENT_STEPS: Final[dict[str, frozenset[str]]] = {
    "open": frozenset({"acked", "closed"}),
    "acked": frozenset({"closed"}),
    "closed": frozenset(),
}
"""Incident state -> states it may go to. A new episode is a new incident; nothing reopens."""

TASK_STEPS: Final[dict[str, frozenset[str]]] = {
    "open": frozenset({"assigned", "verified", "cancelled"}),
    "assigned": frozenset({"open", "accepted", "verified", "cancelled"}),
    "accepted": frozenset({"claimed", "verified", "cancelled"}),
    "claimed": frozenset({"verified", "unverified", "cancelled"}),
    "verified": frozenset(),
    "unverified": frozenset(),
    "cancelled": frozenset(),
}
"""Task state -> states it may go to. ``verified`` without a claim means that the sensor saw the emptying.

``assigned`` -> ``open``: nobody accepted it in time. ``claimed`` -> ``cancelled``: the bin left the plan, so no sensor
will ever speak.
"""

ACTIVE_TASK_STATES: Final = ("open", "assigned", "accepted", "claimed")
"""States of a task that still wants something from somebody."""

CREW_TASK_STATES: Final = ("assigned", "accepted")
"""States that occupy a crew: a claimed task waits for the sensor, not for the crew."""


class TransitionError(ValueError):
    """A step that the table does not have: always a mistake in the code, never a user's."""


def check_step(table: dict[str, frozenset[str]], old: str, new: str) -> str:
    """Return ``new`` when ``table`` allows ``old`` -> ``new``.

    Raises
    ------
    TransitionError
        When the table does not have the step.

    Examples
    --------
    >>> check_step(TASK_STEPS, "open", "assigned")
    'assigned'
    """
    if new not in table[old]:
        raise TransitionError(f"no step from {old} to {new}")
    return new


class Incident(msgspec.Struct):
    """One episode of one rule on one asset. ``id`` is None until the store has numbered it."""

    asset_id: str
    rule: str
    episode: int
    severity: str
    state: str
    opened_ms: int
    id: int | None = None
    acked_ms: int | None = None
    acked_by: str | None = None
    closed_ms: int | None = None
    detail: dict[str, object] = msgspec.field(default_factory=dict)


class Task(msgspec.Struct):
    """One piece of work. ``id`` is None until the store has numbered it.

    Attributes
    ----------
    passed_over : list[str]
        Crew members who had it assigned and did not accept it in time: they come last for it.
    """

    asset_id: str
    kind: str
    state: str
    created_ms: int
    id: int | None = None
    incident_id: int | None = None
    crew_id: str | None = None
    assigned_ms: int | None = None
    accepted_ms: int | None = None
    claimed_ms: int | None = None
    closed_ms: int | None = None
    due_ms: int | None = None
    waiting_reason: str | None = None
    fill_before_pct: float | None = None
    fill_after_pct: float | None = None
    passed_over: list[str] = msgspec.field(default_factory=list)
