"""Truth logs made up for tests of the score, and what a perfect judge would believe of them."""

from simulators.contest.policy import Belief
from simulators.contest.truth import SCHEMA, BeliefLog, Emptied, Fill, Head, NodeFault, TruthLog, believed

T0_MS = 1_795_485_600_000
STEP_MS = 600_000
MOMENTS = 288
ASSETS = ["bin-a", "bin-b", "bin-c"]
THRESHOLDS = [50.0, 70.0, 85.0, 100.0]
LEVELS = ("empty", "half", "filling", "full", "overflow")
PCT_PER_STEP = {"bin-a": 2.0, "bin-b": 3.5, "bin-c": 1.0}
EMPTY_AT = {"bin-a": 100.0, "bin-b": 98.0, "bin-c": 200.0}
"""Fill [%] at which a bin is taken out."""
FAULTS = [
    NodeFault("bin-a", "stuck", T0_MS + 60 * STEP_MS, T0_MS + 90 * STEP_MS),
    NodeFault("bin-b", "silent", T0_MS + 100 * STEP_MS, T0_MS + 140 * STEP_MS),
]


def head(who: str = "") -> Head:
    return Head(SCHEMA, "test", "made-up", ASSETS, THRESHOLDS, [600] * len(ASSETS), 30.0, who)


def at(step: int) -> int:
    return T0_MS + step * STEP_MS


def truth() -> TruthLog:
    """Two days of bins that fill evenly; each is taken out at the sample at which it has reached its mark."""
    log = TruthLog(head(), faults=list(FAULTS))
    fill = dict.fromkeys(ASSETS, 0.0)
    for step in range(MOMENTS):
        for asset in ASSETS:
            if fill[asset] >= EMPTY_AT[asset]:
                log.emptied.append(Emptied(at(step), asset, fill[asset]))
                fill[asset] = 0.0
        log.fills.append(Fill(at(step), [fill[asset] for asset in ASSETS]))
        for asset in ASSETS:
            fill[asset] += PCT_PER_STEP[asset]
    return log


def level_of(fill_pct: float) -> str:
    return LEVELS[sum(fill_pct >= bound for bound in THRESHOLDS)]


def perfect() -> list[list[Belief]]:
    """Return what is true, told at once: fill, level, when it is full, when it was emptied, who is broken."""
    log = truth()
    emptied = dict.fromkeys(ASSETS)
    moments = []
    for fill in log.fills:
        row = []
        for asset, fill_pct in zip(ASSETS, fill.fill_pct, strict=True):
            full_ms = None
            if fill_pct < THRESHOLDS[2]:
                full_ms = round(fill.at_ms + (THRESHOLDS[2] - fill_pct) / PCT_PER_STEP[asset] * STEP_MS)
            faults = [f.what for f in FAULTS if f.asset == asset and f.from_ms <= fill.at_ms < f.until_ms]
            done = [one.at_ms for one in log.emptied if one.asset == asset and one.at_ms == fill.at_ms]
            emptied[asset] = done[0] if done else emptied[asset]
            row.append(
                Belief(
                    asset,
                    fill_pct,
                    level_of(fill_pct),
                    as_of_ms=fill.at_ms,
                    p10_ms=full_ms,
                    p50_ms=full_ms,
                    p90_ms=full_ms,
                    emptied_ms=emptied[asset],
                    is_silent="silent" in faults,
                    is_faulty="stuck" in faults,
                )
            )
        moments.append(row)
    return moments


def belief_log(moments: list[list[Belief]], who: str = "perfect") -> BeliefLog:
    return BeliefLog(head(who), [believed(at(step), ASSETS, row) for step, row in enumerate(moments)])
