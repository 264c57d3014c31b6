"""When a roll-out opens its next stage, and when it stops. Pure: time and facts are handed in.

A roll-out gives one release to the nodes of one class, stage by stage. What a node says is folded into its `Track` by
minima, maxima and sets alone, so neither the order of statuses nor a repeat changes it, and a gateway that was killed
goes on from the tracks on its disk. `judge` reads a node's state out of its track, `step` the fate of the roll-out
out of those of all nodes.

Unit of time: milliseconds of square time since 1970 UTC.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

Phase = Literal["running", "halted", "done", "superseded"]
Outcome = Literal[
    "waiting", "away", "offered", "loading", "ready", "trial", "confirmed", "failed", "skipped", "postponed"
]

AT_WORK: tuple[Outcome, ...] = ("offered", "loading", "ready", "trial")
"""Outcomes of a node that can be reached and has not got there yet: a stage waits for it."""

_STATED: dict[str, Outcome] = {"loading": "loading", "ready": "ready", "trial": "trial"}
_SETTLED = ("confirmed", "idle")
_LOW_BATTERY = "refused-battery"
_DAY_MS = 86_400_000
MAX_STALL_DAYS = 60
"""Longest limit for a node that does not get there, and so the most days that a track keeps."""


class Plan(msgspec.Struct, frozen=True):
    """What was ordered.

    Attributes
    ----------
    version
        Version as a number, major*10000 + minor*100 + patch.
    node_class
        `bin` or `air`.
    nodes
        Device ids in the order in which they get it.
    shares
        Share of the nodes that each stage reaches [%, ascending, the last 100].
    max_failures
        So many failed nodes halt the roll-out [1 or more].
    soak_ms
        How long after the last confirmation a stage is watched.
    silence_ms
        How long a node that was heard since its offer may stay silent.
    stall_days
        On so many days a node may say that it is on its way; on the next one it has failed [1 to 60].
    everyone
        Whether nodes that turn up later get it, too, once the roll-out is done.
    is_image
        Whether it is a firmware image, whose version is not the one that `fw` names.
    """

    version: int
    node_class: str
    nodes: tuple[str, ...]
    shares: tuple[int, ...] = (1, 10, 50, 100)
    max_failures: int = 1
    soak_ms: int = 3_600_000
    silence_ms: int = 14_400_000
    stall_days: int = 7
    everyone: bool = True
    is_image: bool = False

    def reach(self, stage: int) -> int:
        """Return how many nodes the stages up to `stage` reach; at least one per stage as far as there are any."""
        share = -(-len(self.nodes) * self.shares[stage] // 100)
        return min(len(self.nodes), max(share, stage + 1))

    @property
    def last_stage(self) -> int:
        """Number of the first stage that reaches every node."""
        return next(stage for stage in range(len(self.shares)) if self.reach(stage) == len(self.nodes))

    def members(self, stage: int) -> tuple[str, ...]:
        """Return the nodes that the stages up to `stage` reach."""
        return self.nodes[: self.reach(stage)]


class Track(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one node in one roll-out; every field is a minimum, a maximum or a set over all statuses.

    Attributes
    ----------
    seen_ms
        Last message of the node, of any kind.
    offered_ms
        First offer to it.
    confirmed_ms, settled_ms
        First and last status in which it ran this version (or a newer one) for good.
    baseline
        Its count of crashes in that first status.
    crashes, crashed_ms
        Highest count of crashes in such a status, and the first status that gave it.
    watchdog_ms, rolled_back_ms, refused_ms
        First status that told of a watchdog reset in this version, of a roll-back, of a refusal.
    refusal
        What the first refusal said.
    older_ms
        Last status of an older version.
    said_ms, said, at
        Last status, what it said of this update, and how much of the bundle the node had [bytes].
    fetched
        How far into the bundle it was ever sent a part [bytes].
    days
        First days on which it said, after its offer, that it is on its way [days since 1970 UTC, ascending].
    """

    seen_ms: int | None = None
    offered_ms: int | None = None
    confirmed_ms: int | None = None
    settled_ms: int | None = None
    baseline: int = 0
    crashes: int = 0
    crashed_ms: int | None = None
    watchdog_ms: int | None = None
    rolled_back_ms: int | None = None
    refused_ms: int | None = None
    refusal: str = ""
    older_ms: int | None = None
    said_ms: int | None = None
    said: str = ""
    at: int = 0
    fetched: int = 0
    days: tuple[int, ...] = ()


class Run(msgspec.Struct, frozen=True):
    """Where a roll-out is.

    Attributes
    ----------
    phase
        running, halted, done or superseded.
    stage
        Highest open stage, from 0.
    opened_ms
        When it was opened.
    resumed_ms
        When a person resumed it last: nodes that had failed by then are skipped. 0 = never.
    why
        What halted it.
    without
        Nodes that a person left out: they are offered nothing, and neither what they say nor their silence counts.
    """

    phase: Phase = "running"
    stage: int = 0
    opened_ms: int = 0
    resumed_ms: int = 0
    why: str = ""
    without: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """State of a node in words: what it is doing, and for a failure why and since when."""

    outcome: Outcome
    why: str = ""
    at_ms: int = 0


def version_number(text: str) -> int | None:
    """Return `major.minor.patch` as a number, or None for anything else.

    >>> version_number("1.4.0"), version_number("1.4"), version_number("dev")
    (10400, None, None)
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):  # noqa: PLR2004
        return None
    major, minor, patch = (int(part) for part in parts)
    return major * 10_000 + minor * 100 + patch if minor < 100 and patch < 100 else None  # noqa: PLR2004 - two digits each


def version_text(number: int) -> str:
    """Return a version number as people write it.

    >>> version_text(10400)
    '1.4.0'
    """
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def in_order(nodes: Iterable[str], reachable: Iterable[str], version: int) -> tuple[str, ...]:
    """Return nodes in the order of a roll-out: those that can be reached first, else by lot, another for each version.

    The lot keeps the first stage from being the same few bins every time; it is the same on every machine.
    """
    known = set(reachable)

    def lot(node: str) -> tuple[bool, bytes, str]:
        return node not in known, hashlib.sha256(f"{version} {node}".encode()).digest(), node

    return tuple(sorted(set(nodes), key=lot))


def note(track: Track, plan: Plan, status: Mapping[str, Any], at_ms: int) -> Track:
    """Fold one status (as `wire.decode_status` gives it), arrived at `at_ms`, into a track."""
    changes: dict[str, Any] = {"seen_ms": _latest(track.seen_ms, at_ms)}
    stated = str(status.get("ota", "")) if status.get("ota_ver") == plan.version else ""
    running = _running(plan, status)
    if running is not None and running < plan.version:
        changes["older_ms"] = _latest(track.older_ms, at_ms)
    if running is not None and running >= plan.version:
        is_settled = running > plan.version or status.get("ota", "") in _SETTLED
        changes |= _note_running(track, status, at_ms, is_settled=is_settled)
    if stated == "rolled-back":
        changes["rolled_back_ms"] = _first(track.rolled_back_ms, at_ms)
    if stated.startswith("refused") and stated != _LOW_BATTERY:
        refused_ms = at_ms + 1 if track.refused_ms is None else track.refused_ms
        if (at_ms, stated) < (refused_ms, track.refusal):
            changes |= {"refused_ms": at_ms, "refusal": stated}
    is_there = running is not None and running >= plan.version and stated != "trial"
    if stated in {"", "idle", *_STATED} and track.offered_ms is not None and track.offered_ms <= at_ms and not is_there:
        changes["days"] = tuple(sorted({*track.days, at_ms // _DAY_MS})[: MAX_STALL_DAYS + 1])
    mark = int(status.get("ota_at", 0)) if stated else 0
    if track.said_ms is None or (at_ms, stated, mark) > (track.said_ms, track.said, track.at):
        changes |= {"said_ms": at_ms, "said": stated, "at": mark}
    return msgspec.structs.replace(track, **changes)


def _running(plan: Plan, status: Mapping[str, Any]) -> int | None:
    """Return the version that runs on a node, as far as this roll-out goes; None when the status does not say."""
    if not plan.is_image:
        return version_number(str(status.get("fw", "")))
    # what a node says of its image is the outcome of its last update
    return plan.version if status.get("ota") == "confirmed" and status.get("ota_ver") == plan.version else None


def lacks(plan: Plan, track: Track, status: Mapping[str, Any]) -> bool:
    """Whether a node of the class, as its last status says, does not have the release and may be offered it."""
    if status.get("class", plan.node_class) != plan.node_class:
        return False
    stated = status.get("ota") if status.get("ota_ver") == plan.version else None
    if stated in {"ready", "trial", "rolled-back"}:
        return False
    if stated is not None and stated.startswith("refused") and stated != _LOW_BATTERY:
        return False  # it never looks at this version again; each offer would only cost it a start
    if plan.is_image:
        return track.confirmed_ms is None and stated != "confirmed"
    running = version_number(str(status.get("fw", "")))
    return running is not None and running < plan.version


def _note_running(track: Track, status: Mapping[str, Any], at_ms: int, *, is_settled: bool) -> dict[str, Any]:
    crashes = int(status.get("crashes", 0))
    changes: dict[str, Any] = {}
    if is_settled:
        changes["settled_ms"] = _latest(track.settled_ms, at_ms)
        if track.confirmed_ms is None or (at_ms, crashes) < (track.confirmed_ms, track.baseline):
            changes |= {"confirmed_ms": at_ms, "baseline": crashes}
        if track.crashed_ms is None or (crashes, -at_ms) > (track.crashes, -track.crashed_ms):
            changes |= {"crashes": crashes, "crashed_ms": at_ms}
        if status.get("reset") == "watchdog":
            changes["watchdog_ms"] = _first(track.watchdog_ms, at_ms)
    return changes


def heard(track: Track, at_ms: int) -> Track:
    """Fold any other message of the node into a track."""
    return msgspec.structs.replace(track, seen_ms=_latest(track.seen_ms, at_ms))


def fetched(track: Track, upto: int) -> Track:
    """Note that the node was sent the bundle up to a byte."""
    return msgspec.structs.replace(track, fetched=max(track.fetched, upto))


def offered(track: Track, at_ms: int) -> Track:
    """Note that the node was offered the release."""
    return msgspec.structs.replace(track, offered_ms=_first(track.offered_ms, at_ms))


def _first(known: int | None, at_ms: int) -> int:
    return at_ms if known is None else min(known, at_ms)


def _latest(known: int | None, at_ms: int) -> int:
    return at_ms if known is None else max(known, at_ms)


def judge(plan: Plan, run: Run, track: Track, now_ms: int, listening_ms: int) -> Verdict:
    """Say what a node is doing.

    Parameters
    ----------
    plan, run, track
        The roll-out, where it is, and what is known of the node.
    now_ms
        Square time.
    listening_ms
        Since when the gateway has been able to hear nodes: silence before that is its own, not theirs.
    """
    failure = _failure(track)
    if failure is not None and failure.at_ms > run.resumed_ms:
        return failure
    seen_ms = track.seen_ms or 0
    is_offered = track.offered_ms is not None
    is_quiet = now_ms - max(seen_ms, listening_ms, run.resumed_ms) > plan.silence_ms
    if is_quiet and is_offered and seen_ms > max(track.offered_ms or 0, run.resumed_ms):
        return Verdict("failed", "silent since the update", seen_ms)
    outcome: Outcome = _STATED.get(track.said, "offered" if is_offered else "waiting")
    why, at_ms = "", track.said_ms or 0
    if track.confirmed_ms is None and outcome in AT_WORK and len(track.days) > plan.stall_days and not is_quiet:
        stalled_ms = track.days[plan.stall_days] * _DAY_MS
        is_new = stalled_ms > run.resumed_ms
        return Verdict("failed" if is_new else "skipped", "did not get there", stalled_ms)
    if failure is not None and track.said not in _STATED:
        outcome, why, at_ms = "skipped", failure.why, failure.at_ms
    elif track.confirmed_ms is not None:
        outcome, at_ms = "confirmed", track.confirmed_ms
    elif track.seen_ms is None or is_quiet:
        outcome, at_ms = "away", seen_ms
    elif track.said == _LOW_BATTERY:
        outcome, why = "postponed", "its battery is low"
    return Verdict(outcome, why, at_ms)


def _failure(track: Track) -> Verdict | None:
    """Return the last failure that no later confirmation has healed."""
    settled_ms = -1 if track.settled_ms is None else track.settled_ms
    found: list[tuple[int, str]] = []
    if track.rolled_back_ms is not None and track.rolled_back_ms > settled_ms:
        found.append((track.rolled_back_ms, "rolled back to the old version"))
    if track.refused_ms is not None and track.refused_ms > settled_ms:
        why = track.refusal.removeprefix("refused").strip("- ")
        found.append((track.refused_ms, f"refused: {why}" if why else "refused"))
    if track.crashed_ms is not None and track.crashes > track.baseline:
        found.append((track.crashed_ms, "crashed in the new version"))
    if track.watchdog_ms is not None:
        found.append((track.watchdog_ms, "hung in the new version (watchdog)"))
    if track.settled_ms is not None and track.older_ms is not None and track.older_ms > track.settled_ms:
        found.append((track.settled_ms, "is back in an older version"))
    at_ms, why = max(found, default=(0, ""))
    return Verdict("failed", why, at_ms) if found else None


def verdicts(plan: Plan, run: Run, tracks: Mapping[str, Track], now_ms: int, listening_ms: int) -> dict[str, Verdict]:
    """Judge every node of a roll-out, in its order."""
    left_out = Verdict("skipped", "left out")
    return {
        node: left_out if node in run.without else judge(plan, run, tracks.get(node, Track()), now_ms, listening_ms)
        for node in plan.nodes
    }


def step(plan: Plan, run: Run, tracks: Mapping[str, Track], now_ms: int, listening_ms: int) -> Run:
    """Return where the roll-out is now: the same, a stage further, done, or halted.

    A stage opens when every node of the one before that can be reached, and whose battery allows it, has the version
    confirmed, at least one of those that it added among them, and nothing happened for the soak time. Failures below
    the limit hold nothing up, but begin the soak time anew. So many failures as the limit says halt the roll-out.
    """
    if run.phase != "running":
        return run
    states = verdicts(plan, run, tracks, now_ms, listening_ms)
    failed = {node: state for node, state in states.items() if state.outcome == "failed"}
    if len(failed) >= plan.max_failures:
        first = min(failed, key=lambda node: (failed[node].at_ms, node))
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return msgspec.structs.replace(run, phase="halted", why=f"{first} {failed[first].why}{more}")
    members = plan.members(run.stage)
    is_last = run.stage >= plan.last_stage
    proven = members if is_last or run.stage == 0 else members[plan.reach(run.stage - 1) :]
    is_through = (
        not any(states[node].outcome in (*AT_WORK, "waiting") for node in members)
        and any(states[node].outcome == "confirmed" for node in proven)
        and now_ms - _last_event_ms(run, states, tracks, members) >= plan.soak_ms
    )
    if not is_through:
        return run
    if is_last:
        return msgspec.structs.replace(run, phase="done")
    return msgspec.structs.replace(run, stage=run.stage + 1, opened_ms=now_ms)


def _last_event_ms(run: Run, states: Mapping[str, Verdict], tracks: Mapping[str, Track], members: Sequence[str]) -> int:
    times = [run.opened_ms, run.resumed_ms]
    for node in members:
        times.append(tracks.get(node, Track()).confirmed_ms or 0)
        times.append(states[node].at_ms if states[node].outcome == "failed" else 0)
    return max(times)


def is_meant_for(plan: Plan, run: Run, node: str, node_class: str | None) -> bool:
    """Whether a node may have the release now: the stages that are open hold it, or all have it and it came later."""
    if node in run.without:
        return False
    if run.phase == "running":
        return node in plan.members(run.stage)
    if run.phase == "done":
        return node in plan.nodes or (plan.everyone and node_class == plan.node_class)
    return False
