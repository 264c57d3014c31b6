"""Nodes and roll-outs in plain words: what the commands `resik node` and `resik ota` print."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gateway.orders import Command, Config, Node, Rollout
from gateway.rollout import Track, Verdict, verdicts, version_text
from square.clock import WIB

BAR = 24
"""Width of a progress bar [characters]."""

QUIET_MS = 2 * 3_600_000
"""Silence that is nothing to worry about, whatever the interval of a node [ms]."""

SECRETS = ("wifi_psk",)
"""Settings that are never printed."""

_FAULTS = (
    "no acknowledgement from the gateway", "a sensor does not answer", "the clock is not set", "readings were dropped",
    "a broker was refused for its certificate", "the battery is low", "a configuration was refused",
)  # fmt: skip
"""Meaning of the bits of `faults`, as firmware/health.py sets them."""


def moment(at_ms: int | None) -> str:
    """Return an instant as people on the square say it."""
    return "never" if not at_ms else datetime.fromtimestamp(at_ms / 1000, WIB).strftime("%d-%m-%Y %H.%M WIB")


def age(at_ms: int | None, now_ms: int) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    if not at_ms:
        return "never"
    seconds = max(0, now_ms - at_ms) // 1000
    for length_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s} {unit} ago"
    return f"{seconds} s ago"


def faults_text(bits: int) -> list[str]:
    """Return what is wrong with a node, one sentence for each bit."""
    known = [text for bit, text in enumerate(_FAULTS) if bits >> bit & 1]
    rest = bits >> len(_FAULTS)
    return known + ([f"unknown fault {rest << len(_FAULTS)}"] if rest else [])


def hidden(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without their secrets."""
    return {key: "(hidden)" if key in SECRETS else value for key, value in changes.items()}


# -- nodes -------------------------------------------------------------------------------------


def troubles(node: Node, now_ms: int) -> list[str]:
    """Return what the office should know of a node; nothing when all is well."""
    said = node.status
    interval_s = int(said.get("interval_s", 3600))
    found = []
    if now_ms - node.seen_ms > max(6 * interval_s * 1000, QUIET_MS):
        found.append(f"silent for {age(node.seen_ms, now_ms).removesuffix(' ago')}")
    if said.get("crash"):
        found.append(f"last crash {said['crash']} ({said.get('crashes', 1)} so far)")
    if said.get("reset") in {"watchdog", "brown-out"}:
        found.append(f"last start after {said['reset']}")
    if said.get("cfg_bad"):
        found.append(f"configuration refused: {said['cfg_bad']}")
    if "days_left" in said and said["days_left"] < 14:  # noqa: PLR2004 - two weeks to plan a visit
        found.append(f"battery for {said['days_left']} days")
    return found + faults_text(int(said.get("faults", 0)))


def node_table(nodes: Mapping[str, Node | None], now_ms: int) -> Iterator[str]:
    """Yield one line per node: when heard, version, battery, queue, and what is wrong."""
    yield f"{'device':20} {'heard':>11}  {'version':9} {'battery':>8} {'days':>5} {'queue':>6}  remarks"
    for device, node in nodes.items():
        if node is None:
            yield f"{device:20} {'never':>11}  {'-':9} {'-':>8} {'-':>5} {'-':>6}  never heard"
            continue
        said = node.status
        battery = f"{said['battery_mv'] / 1000:.2f} V" if "battery_mv" in said else "-"
        yield (
            f"{device:20} {age(node.seen_ms, now_ms):>11}  {said.get('fw', '-'):9} {battery:>8} "
            f"{said.get('days_left', '-')!s:>5} {said.get('queue', '-')!s:>6}  "
            f"{'; '.join(troubles(node, now_ms)) or 'well'}"
        )


def node_fact(device: str, node: Node | None, config: Config | None, now_ms: int) -> dict[str, Any]:
    """Return a node for programs."""
    return {
        "device": device,
        "seen_ms": node.seen_ms if node is not None else None,
        "status_ms": node.status_ms if node is not None else None,
        "status": node.status if node is not None else {},
        "troubles": troubles(node, now_ms) if node is not None else ["never heard"],
        "config": None if config is None else {"cfg": config.cfg, "set": hidden(config.changes)},
    }


def node_page(
    device: str, node: Node | None, config: Config | None, commands: list[Command], now_ms: int
) -> Iterator[str]:
    """Yield all that is known of one node."""
    yield device
    if node is None:
        yield "  never heard"
    else:
        yield f"  heard          {moment(node.seen_ms)} ({age(node.seen_ms, now_ms)})"
        yield f"  last status    {moment(node.status_ms)}"
        for key, value in node.status.items():
            yield f"  {key:14} {value}"
        for trouble in troubles(node, now_ms):
            yield f"  !              {trouble}"
    if config is not None:
        in_force = node.status.get("cfg") if node is not None else None
        state = "in force" if in_force == config.cfg else "not in force yet" if config.sent_ms else "not sent yet"
        yield f"  configuration  number {config.cfg}, {state}: {_settings(config)}"
    for command in commands:
        yield f"  command {command.id:6} {_command(command, now_ms)}"


def _settings(config: Config) -> str:
    shown = ", ".join(f"{key} = {value}" for key, value in hidden(config.changes).items())
    return shown or "nothing but what it was made with"


def _command(command: Command, now_ms: int) -> str:
    words = " ".join(str(value) if key == "cmd" else f"{key}={value}" for key, value in command.body.items())
    if command.done_ms is not None:
        return f"{words}: done {moment(command.done_ms)}"
    if command.expires_ms <= now_ms:
        return f"{words}: expired {moment(command.expires_ms)}"
    return f"{words}: {'sent, not done yet' if command.sent_ms else 'not sent yet'}"


# -- roll-outs ---------------------------------------------------------------------------------

_WORDS = {
    "waiting": "is offered it at its next word",
    "away": "not heard lately; gets it when it is back",
    "offered": "was offered it",
    "loading": "is loading it",
    "ready": "has loaded it, starts it soon",
    "trial": "runs it on trial",
    "confirmed": "has it",
    "failed": "FAILED",
    "skipped": "skipped",
    "postponed": "waits",
}
_PHASES = {
    "running": "under way",
    "halted": "HALTED",
    "done": "done",
    "superseded": "ended by a newer one",
}


def judged(rollout: Rollout, tracks: Mapping[str, Track], now_ms: int) -> dict[str, Verdict]:
    """Judge the nodes of a roll-out at the last moment at which any of them was heard.

    The command does not know whether the gateway could hear since then, and silence before a deaf gateway is none.
    """
    heard_ms = max((track.seen_ms or 0 for track in tracks.values()), default=0)
    return verdicts(rollout.plan, rollout.run, tracks, min(now_ms, heard_ms) or now_ms, 0)


def rollout_page(rollout: Rollout, tracks: Mapping[str, Track], now_ms: int) -> Iterator[str]:
    """Yield a roll-out with its stages and nodes."""
    plan, run, found = rollout.plan, rollout.run, judged(rollout, tracks, now_ms)
    has = [node for node in plan.nodes if found[node].outcome == "confirmed"]
    what = f"{version_text(plan.version)} for {plan.node_class} nodes"
    yield f"{what} ({rollout.release.type}, {rollout.release.size} bytes): {_PHASES[run.phase]}"
    yield f"  since  {moment(rollout.made_ms)}"
    if run.why:
        yield f"  why    {run.why}"
    filled = BAR * len(has) // len(plan.nodes)
    yield f"  [{'#' * filled}{'-' * (BAR - filled)}] {len(has)} of {len(plan.nodes)} nodes have it"
    for stage in range(plan.last_stage + 1):
        yield "  " + _stage_line(rollout, found, stage)
    turn = {node: stage for stage in range(plan.last_stage, -1, -1) for node in plan.members(stage)}
    for node in plan.nodes:
        verdict = found[node]
        words = _WORDS[verdict.outcome] + (f": {verdict.why}" if verdict.why else "")
        if turn[node] > run.stage and verdict.outcome != "confirmed" and node not in run.without:
            words = f"not its turn yet (stage {turn[node] + 1})"
        elif verdict.outcome == "loading":
            words += f", {100 * max(tracks[node].at, tracks[node].fetched) // rollout.release.size} %"
        elif verdict.outcome == "offered":
            words += f" {age(tracks[node].offered_ms, now_ms)}"
        yield f"  {node:20} {words}"


def _stage_line(rollout: Rollout, found: Mapping[str, Verdict], stage: int) -> str:
    plan, run = rollout.plan, rollout.run
    members = plan.members(stage)
    has = sum(found[node].outcome == "confirmed" for node in members)
    if stage > run.stage:
        state = "closed"
    elif stage < run.stage or run.phase == "done":
        state = "passed"
    else:
        state = f"open since {moment(run.opened_ms)}"
    return f"stage {stage + 1}: {plan.shares[stage]:3} %, {has} of {len(members)} nodes have it, {state}"


def rollout_fact(rollout: Rollout, tracks: Mapping[str, Track], now_ms: int) -> dict[str, Any]:
    """Return a roll-out for programs."""
    plan, run = rollout.plan, rollout.run
    return {
        "version": version_text(plan.version),
        "class": plan.node_class,
        "type": rollout.release.type,
        "size": rollout.release.size,
        "phase": run.phase,
        "why": run.why,
        "stage": run.stage + 1,
        "stages": [{"share_pct": plan.shares[n], "nodes": plan.reach(n)} for n in range(plan.last_stage + 1)],
        "max_failures": plan.max_failures,
        "nodes": {
            node: {"outcome": verdict.outcome, "why": verdict.why, "bytes": max(track.at, track.fetched)}
            for node, verdict in judged(rollout, tracks, now_ms).items()
            for track in [tracks.get(node, Track())]
        },
    }
