"""Crews of a contest: what they do about ordered stops, on the agenda of the loop. They touch the square, and report.

A bin is out when the crew has come to it, ground is clean when the sweeping is over; the report follows the work. What
a crew does about a stop is its `simulators.habits.Temper`; the same crews meet every policy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simulators.contest.policy import CrewReport, CrewView, ReportKind, Stop
from simulators.contest.square_view import SquareView
from simulators.faults import Fault, FaultScript, chance_of
from simulators.habits import Answer, Temper
from simulators.parameters import Parameter
from square.geometry import LonLat
from square.site import Crew

PARAMETERS: Mapping[str, Parameter] = {
    "sweep_base_s": Parameter(240, "s", "assumed: time to walk a zone with the broom and find little"),
    "sweep_s_per_l": Parameter(4, "s/l", "assumed: time to pick up a litre of loose litter"),
    "sweep_max_s": Parameter(2_700, "s", "assumed: nobody sweeps one zone for longer"),
    "unload_s": Parameter(300, "s", "assumed: time to empty a cart at the transfer point"),
    "early_pct": Parameter(50, "%", "assumed: a visit to a bin with less than this in it was wasted"),
}
_DONE: Mapping[str, ReportKind] = {"empty": "claimed", "sweep": "swept", "unload": "unloaded"}


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


def sweep_s(litter_l: float, factor: float = 1.0) -> float:
    """Return how long a zone with so much litter takes [s], for who needs `factor` times as long as planned."""
    loose_s = value("sweep_base_s") + value("sweep_s_per_l") * litter_l
    return min(loose_s * factor, value("sweep_max_s"))


class Yard(Protocol):
    """What crews can do to the square, and to whom they report."""

    def empty(self, asset_id: str, at_ms: int) -> float:
        """Take out a bin: litres."""

    def sweep(self, zone_id: str) -> float:
        """Clean a zone: litres."""

    def litter_l(self, zone_id: str) -> float:
        """Litter that lies in a zone [l]."""

    def call(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Put something on the agenda."""

    def tell(self, report: CrewReport) -> None:
        """Send a report to the office."""


@dataclass
class Pending:
    """A stop that a crew was given: its answer to it, and whether it may be begun."""

    stop: Stop
    answer: Answer
    is_ready: bool
    is_lie: bool = False


@dataclass
class Labour:
    """What one crew has cost so far."""

    work_ms: int = 0
    distance_m: float = 0.0
    emptied: int = 0
    swept: int = 0
    unloaded: int = 0
    lied: int = 0
    let_lie: int = 0


class Hand:
    """One crew.

    Parameters
    ----------
    crew
        Who, and its shift.
    square
        Places, distances, planned times.
    yard
        The square and the office.
    temper
        What it does about orders.
    faults
        What strikes crews.
    """

    def __init__(self, crew: Crew, square: SquareView, yard: Yard, *, temper: Temper, faults: FaultScript) -> None:
        self.crew_id = crew.id
        self.shift = crew.shift
        self.labour = Labour()
        self._square = square
        self._yard = yard
        self._temper = temper
        self._script = faults
        self._looked_up = (-1, tuple[Fault, ...]())
        self._ordinal = 0
        self._place: LonLat = square.homes[crew.id]
        self._cart_l = 0.0
        self._pending: list[Pending] = []
        self._doing: Stop | None = None
        self._finished: set[int] = set()
        self._held: Sequence[Stop] | None = None
        self._ahead: list[Stop] = []
        self._at: Stop | None = None
        self.is_on_shift = False
        self.is_leaving = False
        self.has_left = True

    # ------------------------------------------------------------------ the office

    def view(self) -> CrewView:
        """Return what the office knows."""
        return CrewView(self.crew_id, self.shift, self.is_on_shift, self.is_leaving, tuple(self._ahead), self._at)

    def heard(self, report: CrewReport) -> None:
        """Note that a report has come to the office."""
        if report.stop is not None and report.kind != "accepted":
            if report.stop in self._ahead:
                self._ahead.remove(report.stop)
            self._at = report.stop

    def order(self, stops: Sequence[Stop], now_ms: int) -> None:
        """Take a new list; what is begun goes on. Who has gone home takes none."""
        if self.has_left and not self.is_on_shift:
            return
        self._ahead = list(stops)
        if self._struck("offline", now_ms):
            self._held = stops
            return
        kept = {one.stop: one for one in self._pending}
        self._pending = []
        for stop in stops:
            if stop == self._doing or (stop.task_id is not None and stop.task_id in self._finished):
                continue
            self._pending.append(kept.get(stop) or self._taken(stop, now_ms))
        self.go_on(now_ms)

    def _taken(self, stop: Stop, now_ms: int) -> Pending:
        answer = self._temper.answer(self._ordinal)
        self._ordinal += 1
        one = Pending(stop, answer, is_ready=stop.task_id is None and not answer.refuses)
        if answer.refuses:
            self.labour.let_lie += 1
        elif stop.task_id is not None:
            self._yard.call(now_ms + round(1000 * answer.accept_after_s), lambda at_ms: self._accept(one, at_ms))
        return one

    def _accept(self, one: Pending, at_ms: int) -> None:
        if one not in self._pending or not self.is_on_shift or self._struck("away", at_ms):
            return
        one.is_ready = True
        self._tell("accepted", one.stop, at_ms, 0.0)
        self.go_on(at_ms)

    @property
    def _faults(self) -> tuple[Fault, ...]:
        """What strikes this crew; the script may grow while the square is watched."""
        version, faults = self._looked_up
        if version != self._script.version:
            faults = tuple(f for f in self._script.of("crew") if f.strikes(self.crew_id))
            self._looked_up = (self._script.version, faults)
        return faults

    def _tell(self, kind: ReportKind, stop: Stop | None, at_ms: int, later_s: float) -> None:
        arrived_ms = at_ms + round(1000 * later_s)
        for fault in self._faults:
            if fault.kind == "offline" and fault.is_active(at_ms / 1000):
                arrived_ms = max(arrived_ms, round(1000 * fault.until_s))
        self._yard.tell(CrewReport(self.crew_id, kind, at_ms, arrived_ms, stop))

    def _struck(self, kind: str, at_ms: int) -> bool:
        return any(f.kind == kind and f.is_active(at_ms / 1000) for f in self._faults)

    # ------------------------------------------------------------------ the shift

    def clock(self, now_ms: int, *, is_on_shift: bool, is_leaving: bool, has_left: bool) -> None:
        """Let a minute begin."""
        if is_on_shift != self.is_on_shift:
            self._tell("on-shift" if is_on_shift else "off-shift", None, now_ms, 0.0)
            if is_on_shift:
                self._place, self._cart_l, self._at = self._square.homes[self.crew_id], 0.0, None
        self.is_on_shift, self.is_leaving = is_on_shift, is_leaving
        if not is_on_shift:
            # Accepted tasks are finished in the time after the shift; everything else is over.
            self._pending = [] if has_left else [p for p in self._pending if p.is_ready and p.stop.task_id is not None]
            if has_left != self.has_left:
                self._ahead = []
        self.has_left = has_left
        if self._held is not None and not self._struck("offline", now_ms):
            held, self._held = self._held, None
            self.order(held, now_ms)
        if self._pending:
            self.go_on(now_ms)

    # ------------------------------------------------------------------ work

    def go_on(self, now_ms: int) -> None:
        """Begin the first stop that may be begun, unless something is in hand."""
        if self._doing is not None or self._struck("away", now_ms) or (self.has_left and not self.is_on_shift):
            return
        for one in self._pending:
            if one.is_ready and self._square.is_open(one.stop.kind, one.stop.target, now_ms / 1000):
                if self._has_room(one.stop):
                    self._pending.remove(one)
                    self._set_out(one, now_ms)
                else:
                    answer = one.answer._replace(breaks_down_s=0.0, offline_s=0.0, lies=False)
                    self._set_out(Pending(Stop("unload", ""), answer, is_ready=True), now_ms)
                return

    def _has_room(self, stop: Stop) -> bool:
        more_l = self._square.volumes_l[stop.target] if stop.kind == "empty" else 1.0
        return stop.kind == "unload" or self._cart_l <= 0.0 or self._cart_l + more_l <= self._square.cart_l

    def _set_out(self, one: Pending, now_ms: int) -> None:
        self._doing = one.stop
        answer = one.answer
        one.is_lie = one.stop.kind != "unload" and (answer.lies or self._is_lying(one.stop, now_ms))
        if one.is_lie:
            self.labour.lied += 1
            spent_ms = round(1000 * self._square.empty_s * answer.empty_factor)
            self._yard.call(now_ms + spent_ms, lambda at_ms: self._done(one, 0.0, at_ms))
            return
        place = self._square.place_of(one.stop.kind, one.stop.target, self._place)
        metres = self._square.walks.distance_m(self._place, place)
        walk_s = metres / self._square.walk_mps * answer.walk_factor + answer.breaks_down_s
        self.labour.distance_m += metres
        self.labour.work_ms += round(1000 * walk_s)
        self._place = place
        self._yard.call(now_ms + round(1000 * walk_s), lambda at_ms: self._arrive(one, at_ms))

    def _is_lying(self, stop: Stop, now_ms: int) -> bool:
        return any(
            f.kind == "lying"
            and f.is_active(now_ms / 1000)
            and chance_of(f"{self.crew_id} {self._ordinal} {stop.target}") < f.strength
            for f in self._faults
        )

    def _arrive(self, one: Pending, at_ms: int) -> None:
        kind, target = one.stop.kind, one.stop.target
        if not self._square.is_open(kind, target, at_ms / 1000) or (self.has_left and not self.is_on_shift):
            self._doing = None  # closed meanwhile: it stays on the list
            one.answer = one.answer._replace(breaks_down_s=0.0)
            self._pending.insert(0, one)
            self.go_on(at_ms)
            return
        took_l = 0.0
        if kind == "empty":
            took_l = self._yard.empty(target, at_ms)
            work_s = self._square.empty_s * one.answer.empty_factor
            self.labour.emptied += 1
        elif kind == "sweep":
            work_s = sweep_s(self._yard.litter_l(target), one.answer.empty_factor)
            self.labour.swept += 1
        else:
            work_s = value("unload_s")
            self._cart_l = 0.0
            self.labour.unloaded += 1
        self.labour.work_ms += round(1000 * work_s)
        self._yard.call(at_ms + round(1000 * work_s), lambda done_ms: self._done(one, took_l, done_ms))

    def _done(self, one: Pending, took_l: float, at_ms: int) -> None:
        stop = one.stop
        if stop.kind == "sweep" and not one.is_lie:
            took_l = self._yard.sweep(stop.target)
        self._cart_l += took_l
        if stop.task_id is not None:
            self._finished.add(stop.task_id)
        self._doing = None
        self._tell(_DONE[stop.kind], stop, at_ms, one.answer.offline_s)
        self.go_on(at_ms)
