"""Truth and belief joined: how good an estimate, an alarm, a forecast was. Figures that judgement must show."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from alerts.domain.model import LEVELS
from simulators.contest.chronicle import FULL, Episode, Floats, Line, lines_of
from simulators.contest.truth import BROKEN, QUIET, BeliefLog, NodeFault, TruthLog

FULL_LEVELS: Final = frozenset({"full", "overflow"})
QUANTILES: Final = (0.1, 0.5, 0.9)
NEAR_PCT: Final = 5.0
"""A bin that is called full so little below the threshold is not called so wrongly."""
HORIZON_MS: Final = 48 * 3_600_000
"""A forecast without an end is taken to end here."""
STALE_INTERVALS: Final = 2.0
MATCH_INTERVALS: Final = 3.0
"""An emptying is believed rightly when it is dated so near to the true one."""
_HOUR_MS: Final = 3_600_000.0
_DAY_MS: Final = 24 * _HOUR_MS


class Joined:
    """A truth log and a belief log about the same bins, by bin.

    Parameters
    ----------
    truth, belief
        Of the same square.

    Raises
    ------
    ValueError
        They are about other bins or another time, or the truth never says how full one was.
    """

    def __init__(self, truth: TruthLog, belief: BeliefLog) -> None:
        missing = sorted(set(truth.head.assets) - set(belief.head.assets))
        if missing:
            few = ", ".join(missing[:5])
            raise ValueError(f"the belief says nothing of {few} ({len(missing)} bins): take two logs of one square")
        if not truth.fills:
            raise ValueError('the truth has no line of kind "fill": let the square run for longer')
        self.assets = truth.head.assets
        self.full_pct = truth.head.thresholds_pct[FULL]
        self.thresholds = np.array(truth.head.thresholds_pct)
        self.interval_ms = [1000 * one for one in truth.head.interval_s]
        self.min_drop_pct = truth.head.min_drop_pct
        self.lines = lines_of(truth)
        self.faults = truth.faults
        self.beliefs = sorted(belief.beliefs, key=lambda one: one.at_ms)
        self.at_ms = np.array([one.at_ms for one in self.beliefs], dtype=float)
        self.column = [belief.head.assets.index(asset_id) for asset_id in self.assets]
        self.begin_ms = min((float(line.at_ms[0]) for line in self.lines if line.at_ms.size), default=0.0)
        self.end_ms = max((float(line.at_ms[-1]) for line in self.lines if line.at_ms.size), default=0.0)
        if not ((self.begin_ms <= self.at_ms) & (self.at_ms <= self.end_ms)).any():
            raise ValueError("no moment of the belief lies within the time of the truth: take two logs of one run")

    def series(self, name: str, n: int) -> list[Any]:
        """One field of what is believed of bin `n`, over time; None where the log leaves it out."""
        column = self.column[n]
        return [values[column] if (values := getattr(one, name)) else None for one in self.beliefs]

    def is_current(self, n: int) -> list[bool]:
        """Whether the fill of bin `n` is given as current: known, and not called stale, silent or faulty."""
        fields = (self.series(name, n) for name in ("fill_pct", "stale", "silent", "faulty"))
        return [
            fill is not None and not (stale or silent or faulty)
            for fill, stale, silent, faulty in zip(*fields, strict=True)
        ]


def score(truth: TruthLog, belief: BeliefLog) -> dict[str, Any]:
    """Return all figures; what could not be judged is None.

    Raises
    ------
    ValueError
        The two logs are about other bins or another time.
    """
    joined = Joined(truth, belief)
    return {
        "who": belief.head.who,
        "bins": len(joined.assets),
        "moments": len(joined.beliefs),
        "fill": _fill(joined),
        "full": _full(joined),
        "forecast": _forecast(joined),
        "emptied": _emptied(joined),
        "fault": _flagged(joined, BROKEN, ("faulty", "silent")),
        "silence": _flagged(joined, QUIET, ("silent",)),
        "stale": _stale(joined),
    }


def _fill(joined: Joined) -> dict[str, Any]:
    errors: list[Floats] = []
    trues: list[Floats] = []
    asked = 0
    for n, line in enumerate(joined.lines):
        is_current = np.array(joined.is_current(n), dtype=bool)
        asked += is_current.size
        given = np.array([np.nan if one is None else one for one in joined.series("fill_pct", n)], dtype=float)[
            is_current
        ]
        true = line.at(joined.at_ms[is_current])
        errors.append(given - true)
        trues.append(true)
    error = np.concatenate(errors) if errors else np.empty(0)
    true = np.concatenate(trues) if trues else np.empty(0)
    rank = (true[:, None] >= joined.thresholds[None, :]).sum(axis=1)
    by_level = {level: _errors(error[rank == index]) for index, level in enumerate(LEVELS)}
    return _errors(error) | {"share_known": _share(error.size, asked), "by_level": by_level}


def _errors(error: Floats) -> dict[str, Any]:
    if not error.size:
        return {"count": 0, "mae_pct": None, "p95_pct": None, "bias_pct": None}
    size = np.abs(error)
    return {
        "count": int(error.size),
        "mae_pct": _rounded(size.mean()),
        "p95_pct": _rounded(np.quantile(size, 0.95)),
        "bias_pct": _rounded(error.mean()),
    }


def _full(joined: Joined) -> dict[str, Any]:
    true_count = found = believed_count = right = 0
    delays: list[float] = []
    for n, line in enumerate(joined.lines):
        called = _called_full(joined, n)
        believed_count += len(called)
        right += sum(_is_right(line, one, joined.full_pct) for one in called)
        for episode in line.full:
            if episode.until_ms - episode.from_ms < joined.interval_ms[n]:
                continue  # over before a node had to report
            true_count += 1
            meeting = [one for one in called if one.from_ms <= episode.until_ms and one.until_ms >= episode.from_ms]
            if meeting:
                found += 1
                delays.append(max(0.0, (meeting[0].from_ms - episode.from_ms) / 1000))
    return {
        "episodes": true_count,
        "believed": believed_count,
        "precision": _share(right, believed_count),
        "recall": _share(found, true_count),
        **_delays(delays),
    }


def _called_full(joined: Joined, n: int) -> list[Episode]:
    """Stretches in which a bin is called full; "unknown" between does not end one."""
    found: list[Episode] = []
    since: int | None = None
    last = 0
    for one, level in zip(joined.beliefs, joined.series("level", n), strict=True):
        if level in FULL_LEVELS:
            since = one.at_ms if since is None else since
            last = one.at_ms
        elif level != "unknown" and since is not None:
            found.append(Episode(since, last, is_open=False))
            since = None
    if since is not None:
        found.append(Episode(since, last, is_open=True))
    return found


def _is_right(line: Line, called: Episode, full_pct: float) -> bool:
    ends = np.array([called.from_ms, called.until_ms], dtype=float)
    inside = (line.at_ms >= called.from_ms) & (line.at_ms <= called.until_ms)
    highest = max(float(line.at(ends).max()), float(line.fill_pct[inside].max(initial=0.0)))
    return highest >= full_pct - NEAR_PCT


def _forecast(joined: Joined) -> dict[str, Any]:
    losses: list[tuple[float, float, float]] = []
    errors: list[float] = []
    inside = judged = censored = missing = 0
    for n, line in enumerate(joined.lines):
        columns = [joined.series(name, n) for name in ("p10_ms", "p50_ms", "p90_ms")]
        fills = line.at(joined.at_ms)
        for moment, one in enumerate(joined.beliefs):
            if fills[moment] >= joined.full_pct:
                continue
            actual_ms = line.next_full_ms(one.at_ms)
            early, middle, late = (column[moment] for column in columns)
            if middle is None:
                missing += actual_ms is not None and actual_ms - one.at_ms <= HORIZON_MS
                continue
            if actual_ms is None:
                censored += 1
                continue
            judged += 1
            early_ms = one.at_ms if early is None else early
            late_ms = one.at_ms + HORIZON_MS if late is None else late
            losses.append(_pinball(actual_ms, (early_ms, middle, late_ms)))
            errors.append(abs(actual_ms - middle) / _HOUR_MS)
            inside += early_ms <= actual_ms <= late_ms
    loss = np.array(losses).mean(axis=0).tolist() if losses else [None, None, None]
    return {
        "judged": judged,
        "censored": censored,
        "missing": missing,
        "mae_h": _rounded(np.mean(errors)) if errors else None,
        "pinball_p10_h": _rounded(loss[0]),
        "pinball_p50_h": _rounded(loss[1]),
        "pinball_p90_h": _rounded(loss[2]),
        "coverage_p10_p90": _share(inside, judged),
    }


def _pinball(actual_ms: int, quantiles_ms: Sequence[int]) -> tuple[float, float, float]:
    a, b, c = (
        max(q * (actual_ms - given), (q - 1.0) * (actual_ms - given)) / _HOUR_MS
        for q, given in zip(QUANTILES, quantiles_ms, strict=True)
    )
    return a, b, c


def _emptied(joined: Joined) -> dict[str, Any]:
    true_count = found = believed_count = right = 0
    delays: list[float] = []
    for n, line in enumerate(joined.lines):
        near_ms = MATCH_INTERVALS * joined.interval_ms[n]
        said: dict[int, int] = {}
        for one, emptied_ms in zip(joined.beliefs, joined.series("emptied_ms", n), strict=True):
            if emptied_ms is not None and emptied_ms >= joined.begin_ms:
                said.setdefault(emptied_ms, one.at_ms)
        believed_count += len(said)
        true_ms = [one.at_ms for one in line.emptied]
        right += sum(any(abs(at_ms - one) <= near_ms for one in true_ms) for at_ms in said)
        for true in line.emptied:
            if true.before_pct < joined.min_drop_pct or true.at_ms > joined.end_ms - near_ms:
                continue  # too little to be seen, or too late to be told
            true_count += 1
            matches = [at_ms for at_ms in said if abs(at_ms - true.at_ms) <= near_ms]
            if matches:
                found += 1
                delays.append(max(0.0, (min(said[at_ms] for at_ms in matches) - true.at_ms) / 1000))
    return {
        "emptyings": true_count,
        "believed": believed_count,
        "precision": _share(right, believed_count),
        "recall": _share(found, true_count),
        **_delays(delays),
    }


def _flagged(joined: Joined, kinds: frozenset[str], names: Sequence[str]) -> dict[str, Any]:
    """How well flags tell faults of some kinds: recall and delay, and stretches that were flagged wrongly."""
    found = 0
    delays: list[float] = []
    by_kind: dict[str, list[bool]] = {}
    false_alarms = 0
    place = {asset_id: n for n, asset_id in enumerate(joined.assets)}
    faults = [one for one in joined.faults if one.what in kinds and one.asset in place]
    for fault in faults:
        n = place[fault.asset]
        flags = _any(joined.series(name, n) for name in names)
        until_ms = joined.end_ms if fault.until_ms is None else fault.until_ms
        if until_ms - fault.from_ms < 2 * joined.interval_ms[n]:
            continue  # over before it could be told from a hiccup
        grace_ms = until_ms + joined.interval_ms[n]
        first = next(
            (
                one.at_ms
                for one, flag in zip(joined.beliefs, flags, strict=True)
                if flag and fault.from_ms <= one.at_ms <= grace_ms
            ),
            None,
        )
        by_kind.setdefault(fault.what, []).append(first is not None)
        if first is not None:
            found += 1
            delays.append((first - fault.from_ms) / 1000)
    for n, asset_id in enumerate(joined.assets):
        mine = [one for one in joined.faults if one.asset == asset_id]
        false_alarms += _false_stretches(joined, n, joined.series(names[0], n), mine)
    days = max(1e-9, (joined.end_ms - joined.begin_ms) / _DAY_MS) * len(joined.assets)
    counted = sum(len(one) for one in by_kind.values())
    return {
        "faults": counted,
        "recall": _share(found, counted),
        "recall_by_kind": {kind: _share(sum(hits), len(hits)) for kind, hits in sorted(by_kind.items())},
        "false_alarms": false_alarms,
        "false_alarms_per_1000_device_days": _rounded(1000 * false_alarms / days),
        **_delays(delays),
    }


def _any(columns: Iterable[Sequence[object]]) -> list[bool]:
    return [any(row) for row in zip(*columns, strict=True)]


def _false_stretches(joined: Joined, n: int, flags: Sequence[object], faults: Sequence[NodeFault]) -> int:
    """Stretches of a flag that meet no fault at all, of whatever kind."""
    grace_ms = 3 * joined.interval_ms[n]
    spans = [(one.from_ms, (joined.end_ms if one.until_ms is None else one.until_ms) + grace_ms) for one in faults]
    count = 0
    before = False
    excused = False
    for one, flag in zip([*joined.beliefs, None], [*flags, False], strict=True):
        if flag and one is not None:
            meets = any(from_ms <= one.at_ms <= until_ms for from_ms, until_ms in spans)
            excused = meets or (before and excused)
        elif before and not excused:
            count += 1
        before = bool(flag)
    return count


def _stale(joined: Joined) -> dict[str, Any]:
    shown = wrong = 0
    is_dated = False
    for n in range(len(joined.assets)):
        limit_ms = STALE_INTERVALS * joined.interval_ms[n]
        dated = joined.series("as_of_ms", n)
        for one, as_of_ms, is_current in zip(joined.beliefs, dated, joined.is_current(n), strict=True):
            if is_current and as_of_ms is not None:
                is_dated = True
                shown += 1
                wrong += one.at_ms - as_of_ms > limit_ms
    return {"shown": shown, "stale_as_current": wrong if is_dated else None, "share": _share(wrong, shown)}


def _delays(delays: Sequence[float]) -> dict[str, Any]:
    if not delays:
        return {"delay_median_s": None, "delay_p90_s": None}
    return {
        "delay_median_s": _rounded(np.quantile(delays, 0.5)),
        "delay_p90_s": _rounded(np.quantile(delays, 0.9)),
    }


def _share(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: Any) -> Any:
    return None if value is None else round(float(value), 6)
