"""Episodes: from what the rules say to incidents that open, change severity and close.

An episode is one unbroken stretch in which a rule holds on an asset. At most one episode per asset and rule is
open at a time; the next one is a new incident with the next number.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from alerts.domain.model import INCIDENT_STEPS, Incident, check_step
from alerts.domain.rules import Verdict

Slot = tuple[str, str]
"""(asset id, rule)."""


class Step(msgspec.Struct, frozen=True):
    """What happened to an incident; ``incident`` is already in its new state."""

    what: Literal["opened", "severity", "closed"]
    incident: Incident


def advance(
    asset_id: str, verdict: Verdict, current: Mapping[Slot, Incident], last_episodes: Mapping[Slot, int]
) -> Step | None:
    """Return what a verdict does to the incidents of an asset, None when nothing.

    Parameters
    ----------
    asset_id : str
        The asset that was judged.
    verdict : Verdict
        What one rule says of it.
    current : Mapping[tuple[str, str], Incident]
        Incidents that are not closed, one per asset and rule.
    last_episodes : Mapping[tuple[str, str], int]
        Number of the last episode per asset and rule.
    """
    if verdict.holds is None:
        return None
    slot = (asset_id, verdict.rule)
    incident = current.get(slot)
    if not verdict.holds:
        if incident is None:
            return None
        check_step(INCIDENT_STEPS, incident.state, "closed")
        closed_ms = max(verdict.at_ms, incident.opened_ms)
        return Step("closed", msgspec.structs.replace(incident, state="closed", closed_ms=closed_ms))
    if incident is None:
        return Step(
            "opened",
            Incident(
                asset_id=asset_id,
                rule=verdict.rule,
                episode=last_episodes.get(slot, 0) + 1,
                severity=verdict.severity,
                state="open",
                opened_ms=verdict.at_ms,
                detail=dict(verdict.detail),
            ),
        )
    if incident.severity != verdict.severity:
        return Step(
            "severity",
            msgspec.structs.replace(incident, severity=verdict.severity, detail=dict(verdict.detail)),
        )
    return None
