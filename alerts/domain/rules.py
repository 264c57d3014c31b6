"""Rules: what about an asset deserves an incident. Each rule answers yes, no, or "no evidence"."""

from typing import Final

import msgspec

from alerts.domain.air import AirEstimate
from alerts.domain.estimate import STUCK, BinEstimate
from alerts.domain.model import HOUR_MS, LEVELS, OWNERS, Rule, Severity
from alerts.domain.policy import Policy

FAULT_AT_ONCE: Final = frozenset({"tilted", "water", "sensor-fault", STUCK})
"""States that are proved by one reading (stuck: by a run); the others are an everyday sight until a second one."""
FAULT_READINGS: Final = 2
_MAJOR_FAULTS: Final = frozenset({"tilted", "water"})
_SOON_CLEAR: Final = 1.5


class Verdict(msgspec.Struct, frozen=True):
    """What one rule says of one asset.

    Attributes
    ----------
    rule : str
        The rule.
    holds : bool | None
        True: there is an incident; False: there is none; None: no evidence, leave things as they are.
    severity : str
        Severity now, when it holds.
    at_ms : int
        Event time [ms] of the evidence.
    detail : dict
        What a person should know: small, JSON, numbers with their unit in the name.
    """

    rule: Rule
    holds: bool | None
    at_ms: int
    severity: Severity = "warning"
    detail: dict[str, object] = msgspec.field(default_factory=dict)


def bin_verdicts(bin_: BinEstimate, policy: Policy) -> list[Verdict]:
    """Judge a bin by its readings: full, overflow, soon-full and fault."""
    at_ms = bin_.newest.ts_ms
    if bin_.level == "unknown":
        filling = [Verdict(rule, holds=None, at_ms=at_ms) for rule in ("full", "overflow", "soon-full")]
        return [*filling, _fault(bin_.state, bin_.fault_since_ms, bin_.fault_count, at_ms)]
    fill: dict[str, object] = {"fill_pct": None if bin_.fill_pct is None else round(bin_.fill_pct, 1)}
    if bin_.is_heaped:
        fill["heaped"] = True
    rank = LEVELS.index(bin_.level)
    is_full = rank >= LEVELS.index("full")
    is_over = bin_.level == "overflow"
    # A fall that only one reading has seen closes nothing: a hand in the beam looks the same.
    gone = None if bin_.is_dropping else False
    is_cleared = bin_.fill_pct is not None and bin_.fill_pct <= policy.full_clear_pct
    return [
        Verdict(
            "full",
            holds=True if is_full else gone if is_cleared else None,
            at_ms=at_ms,
            severity="major" if is_over else "warning",
            detail={**fill, "owner": OWNERS["full"]},
        ),
        Verdict(
            "overflow",
            holds=True if is_over else gone,
            at_ms=at_ms,
            severity="critical",
            detail={**fill, "owner": OWNERS["overflow"]},
        ),
        _soon_full(bin_, at_ms, policy, is_full=is_full),
        # A heap is work for a crew; a technician comes when two of them found nothing to take away.
        Verdict("fault", holds=None, at_ms=at_ms)
        if bin_.is_heaped
        else _fault(bin_.state, bin_.fault_since_ms, bin_.fault_count, at_ms),
    ]


def _soon_full(bin_: BinEstimate, at_ms: int, policy: Policy, *, is_full: bool) -> Verdict:
    full_ms = bin_.full.at_ms
    if is_full or full_ms is None:
        return Verdict("soon-full", holds=False, at_ms=at_ms)
    left_h = (full_ms - at_ms) / HOUR_MS
    if left_h <= policy.soon_full_h:
        detail: dict[str, object] = {
            "full_at_ms": full_ms,
            "full_at_p10_ms": bin_.full.p10_ms,
            "full_at_p90_ms": bin_.full.p90_ms,
            "owner": OWNERS["soon-full"],
        }
        return Verdict("soon-full", holds=True, at_ms=at_ms, severity="info", detail=detail)
    return Verdict("soon-full", holds=False if left_h > _SOON_CLEAR * policy.soon_full_h else None, at_ms=at_ms)


def _fault(state: str, since_ms: int | None, count: int, at_ms: int) -> Verdict:
    if state == "ok":
        return Verdict("fault", holds=False, at_ms=at_ms)
    if state not in FAULT_AT_ONCE and count < FAULT_READINGS:
        return Verdict("fault", holds=None, at_ms=at_ms)
    detail: dict[str, object] = {"state": state, "since_ms": since_ms, "owner": OWNERS["fault"]}
    return Verdict(
        "fault", holds=True, at_ms=at_ms, severity="major" if state in _MAJOR_FAULTS else "warning", detail=detail
    )


def air_verdicts(air: AirEstimate, *, state: str, at_ms: int, policy: Policy) -> list[Verdict]:
    """Judge a station by its readings: bad-air (indicative) and fault.

    Bad air needs a whole hour that was measured enough. In an hour of fog (``fog_pct``) optical sensors count
    droplets, so it proves nothing; between ``humid_pct`` and that the incident says that it was humid. A station
    has no passing states: the newest reading's state decides.
    """
    return [_bad_air(air, policy), _fault(state, at_ms, FAULT_READINGS, at_ms)]


def _bad_air(air: AirEstimate, policy: Policy) -> Verdict:
    mean = air.mean_1h_pm25_ugm3
    end_ms = air.hour_ms + HOUR_MS
    humidity = air.mean_1h_rh_pct
    if mean is None:
        return Verdict("bad-air", holds=None, at_ms=end_ms)
    if mean <= policy.bad_air_clear_ugm3:
        return Verdict("bad-air", holds=False, at_ms=end_ms)
    if mean <= policy.bad_air_pm25_ugm3 or (humidity is not None and humidity >= policy.fog_pct):
        return Verdict("bad-air", holds=None, at_ms=end_ms)
    detail: dict[str, object] = {
        "mean_1h_pm25_ugm3": round(mean, 1),
        "mean_1h_rh_pct": None if humidity is None else round(humidity, 1),
        "humid": humidity is not None and humidity > policy.humid_pct,
        "indicative": True,
        "owner": OWNERS["bad-air"],
    }
    return Verdict("bad-air", holds=True, at_ms=end_ms, severity="warning", detail=detail)


def silence(since_ms: int, interval_s: int, now_ms: int, policy: Policy) -> Verdict:
    """Judge whether a device is silent.

    Parameters
    ----------
    since_ms : int
        Its newest reading [ms], or the time from which one could be expected.
    interval_s : int
        Its report interval [s].
    now_ms : int
        The instant up to which readings would have arrived [ms].

    Examples
    --------
    >>> silence(0, 600, 1_800_000, Policy()).holds, silence(0, 600, 1_800_001, Policy()).holds
    (False, True)
    """
    quiet_ms = now_ms - since_ms
    if quiet_ms <= policy.silent_factor * interval_s * 1000:
        return Verdict("silent", holds=False, at_ms=now_ms)
    is_offline = quiet_ms > policy.offline_factor * interval_s * 1000
    detail: dict[str, object] = {"last_ms": since_ms, "interval_s": interval_s, "owner": OWNERS["silent"]}
    return Verdict("silent", holds=True, at_ms=now_ms, severity="major" if is_offline else "warning", detail=detail)


def gateway_silence(last_ms: int | None, now_ms: int, *, is_silent: bool) -> Verdict:
    """Say of the whole site that nothing comes from its gateway; while it holds, no device can be called silent.

    Parameters
    ----------
    last_ms : int | None
        When the gateway was heard last [ms], None for never.
    now_ms : int
        Square time [ms].
    is_silent : bool
        Measured in wall time, since the gateway's heartbeat is: :class:`alerts.timekeeping.Timekeeper`.
    """
    if not is_silent:
        return Verdict("gateway-silent", holds=False, at_ms=now_ms)
    detail: dict[str, object] = {"last_ms": last_ms, "owner": OWNERS["gateway-silent"]}
    return Verdict("gateway-silent", holds=True, at_ms=now_ms, severity="major", detail=detail)
