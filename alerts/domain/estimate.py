"""What is known about a bin, from readings that come twice, late and in any order.

The readings of a bin form a set ordered by ``(ts_ms, seq, boot)``. The newest :data:`WINDOW` of them are
kept; what falls out of the window is folded into ``base``. The state is a fold over ``base`` and the
window, so it depends on which readings were seen and not on the order in which they came. A reading
older than everything in a full window can no longer change the state: it is counted as too late.

A heap above the rim stands in the blind zone of an ultrasonic sensor, which then says ``obstructed``: of the fullest
bins nobody would ever hear. So ``obstructed`` twice in a row counts as overflow, without a number, when the bin was at
``filling`` or more, or rising so fast that it would be full by now, and no fall was seen. Crews are witnesses against
it: :func:`doubt`.

A sensor that stands still is believed in nothing (:mod:`alerts.domain.stillness`): its state is ``stuck`` then.
"""

from bisect import bisect_left
from typing import Final

import msgspec

from alerts.domain.forecast import NO_FORECAST, Forecast, Rate, fill_rate, reaches
from alerts.domain.model import HOUR_MS, LEVELS, Level
from alerts.domain.policy import Policy
from alerts.domain.stillness import NO_RUN, Run, extended

WINDOW: Final = 64
HOLD_STATES: Final = frozenset({"lid-open", "no-echo"})
"""Passing states: a hand in the opening is no reason to forget the level at once."""
STUCK: Final = "stuck"
"""State of a bin whose sensor says ``ok`` and stands still; no node says it of itself."""

HEAP_READINGS: Final = 2
"""Readings in a row that must find the sensor obstructed before a filling bin is taken for heaped."""
HEAP_DOUBTS: Final = 2
"""Claims without a witness after which an obstructed sensor is what it says: one crew can be mistaken, or lie."""
DOUBT_MS: Final = 2 * HOUR_MS
"""So long it then is; doubled by each further claim, since a bin can be heaped anew before its next reading."""

Key = tuple[int, int, int]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One reading of a bin as the estimator needs it.

    Attributes
    ----------
    ts_ms : int
        Event time [ms].
    seq, boot : int
        The device's numbering; they break ties of the event time.
    fill_pct : float | None
        Fill [%], None when the reading has none.
    state : str
        ``ok`` or a state in which the fill means nothing.
    distance_mm : float | None
        What was measured [mm], None from sensors that give a fill alone.
    """

    ts_ms: int
    seq: int
    boot: int
    fill_pct: float | None
    state: str
    distance_mm: float | None = None

    @property
    def key(self) -> Key:
        """Place in the order of readings."""
        return (self.ts_ms, self.seq, self.boot)

    @property
    def is_good(self) -> bool:
        """Whether the fill may be believed."""
        return self.state == "ok" and self.fill_pct is not None


class Fold(msgspec.Struct, array_like=True):
    """Running state while readings are folded in event order.

    ``drop_*`` describe a fall that is seen and not yet believed; ``fault_*`` the run of readings in a state
    other than ok that lasts until now; ``still`` the good readings that were the same until now.
    """

    last: Sample | None = None
    level: Level = "unknown"
    good_ms: int | None = None
    good_pct: float | None = None
    filling_since_ms: int | None = None
    emptied_ms: int | None = None
    emptied_before_pct: float | None = None
    drop_ms: int | None = None
    drop_before_pct: float = 0.0
    drop_count: int = 0
    fault_since_ms: int | None = None
    fault_count: int = 0
    still: Run = NO_RUN

    def copy(self) -> "Fold":
        """Return an independent copy."""
        return msgspec.structs.replace(self)

    def take(self, sample: Sample, policy: Policy) -> None:
        """Fold in the next reading in event order."""
        self.last = sample
        if not sample.is_good:
            if sample.state != "ok":
                self.fault_count += 1
                if self.fault_since_ms is None:
                    self.fault_since_ms = sample.ts_ms
            return
        assert sample.fill_pct is not None
        self.fault_since_ms = None
        self.fault_count = 0
        self.still = extended(self.still, sample.ts_ms, sample.distance_mm)
        self._watch_drop(sample.ts_ms, sample.fill_pct, policy)
        self.level = level_after(self.level, sample.fill_pct, policy)
        self.good_ms = sample.ts_ms
        self.good_pct = sample.fill_pct
        if self.filling_since_ms is None:
            self.filling_since_ms = sample.ts_ms

    def _watch_drop(self, ts_ms: int, fill_pct: float, policy: Policy) -> None:
        if self.drop_ms is None:
            if self.good_pct is None or fill_pct > self.good_pct - policy.min_drop_pct:
                return
            self.drop_ms, self.drop_before_pct, self.drop_count = ts_ms, self.good_pct, 0
        if fill_pct > self.drop_before_pct - policy.min_drop_pct:
            self.drop_ms, self.drop_count = None, 0  # back up: something had hung in the beam
            return
        self.drop_count += 1
        if self.drop_count >= policy.emptied_readings:
            self.emptied_ms, self.emptied_before_pct = self.drop_ms, self.drop_before_pct
            self.filling_since_ms = self.drop_ms
            self.drop_ms, self.drop_count = None, 0


class BinMemory(msgspec.Struct):
    """What the estimator keeps of one bin between readings; stored as JSON with the state.

    ``doubts`` counts emptyings claimed during the present run of faulty readings, the last at ``doubted_ms``.
    """

    base: Fold = msgspec.field(default_factory=Fold)
    window: list[Sample] = msgspec.field(default_factory=list)
    tip: Fold = msgspec.field(default_factory=Fold)
    too_late: int = 0
    doubted_ms: int = 0
    doubts: int = 0


class BinEstimate(msgspec.Struct, frozen=True):
    """The state of a bin as of its newest reading.

    Attributes
    ----------
    level : str
        empty, half, filling, full, overflow or unknown.
    fill_pct : float | None
        Fill [%] that belongs to the level, None when the level is unknown.
    state : str
        The newest reading's own state, or ``stuck`` where that is ok and the sensor stands still.
    rate : Rate | None
        Robust fill rate since the last emptying.
    full : Forecast
        When ``full_pct`` is reached.
    is_heaped : bool
        The level is overflow because waste stands in the blind zone; there is no fill to show then.
    """

    level: Level
    fill_pct: float | None
    state: str
    newest: Sample
    rate: Rate | None
    full: Forecast
    emptied_ms: int | None
    emptied_before_pct: float | None
    good_ms: int | None
    is_dropping: bool
    fault_since_ms: int | None
    fault_count: int
    is_heaped: bool = False


def level_of(fill_pct: float, policy: Policy) -> Level:
    """Return the level of a fill without history.

    Examples
    --------
    >>> level_of(85.0, Policy()), level_of(69.9, Policy())
    ('full', 'half')
    """
    return LEVELS[sum(fill_pct >= bound for bound in policy.thresholds_pct)]


def level_after(level: Level, fill_pct: float, policy: Policy) -> Level:
    """Return the level after a good reading: up at a threshold, down only ``hysteresis_pct`` below it.

    Examples
    --------
    >>> level_after("full", 84.0, Policy()), level_after("full", 79.0, Policy())
    ('full', 'filling')
    """
    risen = level_of(fill_pct, policy)
    if level == "unknown" or LEVELS.index(risen) >= LEVELS.index(level):
        return risen
    fallen = level_of(fill_pct + policy.hysteresis_pct, policy)
    return fallen if LEVELS.index(fallen) < LEVELS.index(level) else level


def take(memory: BinMemory, sample: Sample, policy: Policy) -> bool:
    """Add a reading to what is known and say whether that changed anything.

    False for a reading that was seen before and for one that is older than a full window.
    """
    window = memory.window
    key = sample.key
    if not window or key > window[-1].key:
        if memory.base.last is not None and key <= memory.base.last.key:
            memory.too_late += 1
            return False
        window.append(sample)
        memory.tip.take(sample, policy)
        _shrink(memory, policy)
        return True
    at = bisect_left(window, key, key=lambda kept: kept.key)
    if window[at].key == key:
        return False
    if memory.base.last is not None and key <= memory.base.last.key:
        memory.too_late += 1
        return False
    window.insert(at, sample)
    _shrink(memory, policy)
    memory.tip = memory.base.copy()
    for kept in window:
        memory.tip.take(kept, policy)
    return True


def _shrink(memory: BinMemory, policy: Policy) -> None:
    while len(memory.window) > WINDOW:
        memory.base.take(memory.window.pop(0), policy)


def estimate(memory: BinMemory, policy: Policy) -> BinEstimate | None:
    """Return the state of the bin, None when it never reported."""
    tip = memory.tip
    newest = tip.last
    if newest is None:
        return None
    held = (
        newest.is_good
        or newest.state == "ok"
        or (
            newest.state in HOLD_STATES
            and tip.good_ms is not None
            and newest.ts_ms - tip.good_ms <= policy.hold_s * 1000
        )
    )
    is_stuck = tip.still.is_stuck
    is_known = held and tip.good_pct is not None and not is_stuck
    says_stuck = is_stuck and newest.state == "ok"
    heaped = is_heaped(memory, policy)
    rate = fill_rate(_filling(memory))
    return BinEstimate(
        level="overflow" if heaped else tip.level if is_known else "unknown",
        fill_pct=tip.good_pct if is_known else None,
        state=STUCK if says_stuck else newest.state,
        newest=newest,
        rate=rate,
        full=reaches(rate, policy.full_pct) if is_known and (tip.good_pct or 0.0) < policy.full_pct else NO_FORECAST,
        emptied_ms=tip.emptied_ms,
        emptied_before_pct=tip.emptied_before_pct,
        good_ms=tip.good_ms,
        is_dropping=tip.drop_ms is not None,
        fault_since_ms=tip.still.since_ms if says_stuck else tip.fault_since_ms,
        fault_count=tip.fault_count,
        is_heaped=heaped,
    )


def is_heaped(memory: BinMemory, policy: Policy) -> bool:
    """Whether an obstructed sensor is taken for a heap above the rim.

    Examples
    --------
    >>> memory = BinMemory()
    >>> for at, (fill_pct, state) in enumerate([(80.0, "ok"), (None, "obstructed"), (None, "obstructed")]):
    ...     _ = take(memory, Sample(at, at, 1, fill_pct, state), Policy())
    >>> is_heaped(memory, Policy())
    True
    """
    tip = memory.tip
    if tip.last is None or tip.last.state != "obstructed" or tip.good_pct is None or tip.fault_since_ms is None:
        return False
    if tip.still.is_stuck:
        return False
    if memory.doubts >= HEAP_DOUBTS and memory.doubted_ms >= tip.fault_since_ms:
        until_ms = memory.doubted_ms + DOUBT_MS * 2 ** (memory.doubts - HEAP_DOUBTS)
        if tip.last.ts_ms < until_ms:
            return False
    if tip.fault_count < HEAP_READINGS or tip.drop_ms is not None:
        return False
    return tip.good_pct >= policy.filling_pct or _expected_pct(memory, tip.last.ts_ms) >= policy.full_pct


def _expected_pct(memory: BinMemory, at_ms: int) -> float:
    """Fill [%] at ``at_ms`` if the bin went on filling as it last did: by its rate, or its last two good readings."""
    tip = memory.tip
    assert tip.good_pct is not None
    assert tip.good_ms is not None
    points = _filling(memory)
    rate = fill_rate(points)
    pct_h = 0.0 if rate is None else rate.pct_h
    if len(points) > 1:
        (before_ms, before_pct), (last_ms, last_pct) = points[-2:]
        if last_ms > before_ms:
            pct_h = max(pct_h, (last_pct - before_pct) / ((last_ms - before_ms) / HOUR_MS))
    return tip.good_pct + pct_h * (at_ms - tip.good_ms) / HOUR_MS


def doubt(memory: BinMemory, claimed_ms: int) -> None:
    """Note that a crew claims to have emptied the bin at ``claimed_ms``, and its sensor is obstructed as before."""
    since_ms = memory.tip.fault_since_ms
    if since_ms is None or claimed_ms < since_ms:
        return
    memory.doubts = memory.doubts + 1 if memory.doubted_ms >= since_ms else 1
    memory.doubted_ms = claimed_ms


def _filling(memory: BinMemory) -> list[tuple[int, float]]:
    """Time [ms] and fill [%] of good readings since the last emptying, without those of a fall not yet believed."""
    tip = memory.tip
    since_ms = tip.filling_since_ms
    if since_ms is None:
        return []
    until_ms = tip.drop_ms
    return [
        (sample.ts_ms, sample.fill_pct)
        for sample in memory.window
        if sample.fill_pct is not None
        and sample.state == "ok"
        and sample.ts_ms >= since_ms
        and (until_ms is None or sample.ts_ms < until_ms)
    ]
