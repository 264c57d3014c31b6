"""A run in closed loop: the square moves, nodes measure, the policy hears and decides, crews do it; minute by minute.

No MQTT and no store: readings go through `channel`, which knows what faults do to their way. Within a minute the order
is: the square moves, crews work off the agenda in order of time, nodes measure, what has arrived is told to the policy,
the policy decides. Everything that is drawn has an address (`simulators.chance`), so policies change nothing but what
their crews do.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from simulators.contest.bound import Foresight
from simulators.contest.channel import Channel
from simulators.contest.errors import PolicyError
from simulators.contest.hands import Hand, Labour
from simulators.contest.measures import PARAMETERS as MEASURE_PARAMETERS
from simulators.contest.measures import Measures
from simulators.contest.nodes import Nodes
from simulators.contest.oracle import Clairvoyant
from simulators.contest.policy import Belief, CrewReport, Order, Policy
from simulators.contest.stage import Stage
from simulators.habits import Temper
from simulators.sensing import value as sensing_value

MINUTE_MS: Final = 60_000
LOG_EVERY_MIN: Final = 10
"""Truth and belief are logged this often."""


class Recorder(Protocol):
    """Who keeps truth and belief of a run (`simulators.contest.truth`)."""

    def truth(self, at_ms: int, fill_pct: Sequence[float]) -> None:
        """Take the true fill of all bins."""

    def sensors(self, at_ms: int, states: Mapping[str, Sequence[bool]]) -> None:
        """Take what the world has done to sensors: stolen, tilted, lid-open; whether it is so, for each bin."""

    def emptied(self, at_ms: int, asset_id: str, before_pct: float) -> None:
        """Take a bin that is taken out."""

    def belief(self, at_ms: int, beliefs: Sequence[Belief]) -> None:
        """Take what the policy believes."""


@dataclass
class Outcome:
    """What a run came to.

    Attributes
    ----------
    figures : dict[str, float]
        By the names of `measures.FIGURES`.
    generated_mg : int
        Waste of the whole run: the same for every policy on a seed.
    readings : int
        Made: ``readings == heard + waiting + lost + refused``.
    heard, waiting, lost, refused, late : int
        Told to the policy; still held by nodes or on the way; lost with a node's storage; put aside for an impossible
        clock; of those heard, more than a minute late.
    """

    figures: dict[str, float]
    generated_mg: int
    readings: int
    heard: int
    waiting: int
    lost: int
    refused: int
    late: int
    labour: dict[str, Labour] = field(default_factory=dict)


class Loop:
    """One policy on one seed.

    Parameters
    ----------
    stage
        The square.
    policy
        Freshly made.
    seed
        Of the world, the sensors and the crews.
    minutes
        Length of the run.
    foresight
        For a clairvoyant policy.
    recorder
        Keeps truth and belief.
    each_minute
        Called after each minute with the loop: tests look into the run here.
    """

    def __init__(
        self,
        stage: Stage,
        policy: Policy,
        *,
        seed: int,
        minutes: int,
        foresight: Foresight | None = None,
        recorder: Recorder | None = None,
        each_minute: Callable[["Loop"], None] | None = None,
    ) -> None:
        self.stage = stage
        self.policy = policy
        self.seed = seed
        self.model = stage.world(seed)
        self.now_ms = stage.start_ms
        self._minutes = minutes
        self._nodes = Nodes(stage, seed)
        self._channel = Channel(stage.faults, seed)
        self._recorder = recorder
        self._each_minute = each_minute
        self._measures = Measures()
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._targets = {"empty": set(self.model.bins), "sweep": set(self.model.zones), "unload": {""}}
        self._entries = 0
        self._heard = 0
        self._reports: list[tuple[int, int, CrewReport]] = []
        self._zone_index = {zone_id: i for i, zone_id in enumerate(self.model.zones)}
        bin_zone = [self._zone_index[stage.square.zone_of[asset_id]] for asset_id in self.model.bins]
        self._bin_zone = np.array(bin_zone, dtype=np.int64)
        self.hands = {
            crew.id: Hand(crew, stage.square, self, temper=Temper(stage.habits, seed, crew.id), faults=stage.faults)
            for crew in stage.square.plan.crews
        }
        policy.begin(stage.square, self.now_ms)
        if isinstance(policy, Clairvoyant):
            if foresight is None:
                raise ValueError(f"policy {policy.name} needs foresight: run the bound first")
            policy.reveal(self.model, foresight)

    # ------------------------------------------------------------------ the yard of the crews

    def empty(self, asset_id: str, at_ms: int) -> float:
        """Take out a bin for a crew."""
        column = self.model.index[asset_id]
        fill_pct, full_since_s = float(self.model.fill_pct[column]), float(self.model.full_since_s[column])
        took_l = self.model.empty(asset_id)
        self._measures.emptying(fill_pct, full_since_s, at_ms / 1000, took_l)
        if self._recorder is not None:
            self._recorder.emptied(at_ms, asset_id, fill_pct)
        return took_l

    def sweep(self, zone_id: str) -> float:
        """Clean a zone for a crew."""
        return self.model.sweep(zone_id)

    def litter_l(self, zone_id: str) -> float:
        """Litter of a zone [l]."""
        return float(self.model.litter_l[self._zone_index[zone_id]])

    def call(self, at_ms: int, what: Callable[[int], None]) -> None:
        """Put something on the agenda."""
        self._entries += 1
        heapq.heappush(self._agenda, (at_ms, self._entries, what))

    def tell(self, report: CrewReport) -> None:
        """Send a report to the office."""
        self._entries += 1
        heapq.heappush(self._reports, (report.arrived_ms, self._entries, report))

    # ------------------------------------------------------------------ time

    def run(self) -> Outcome:
        """Let the whole time pass."""
        for _ in range(self._minutes):
            self.minute()
        return self.outcome()

    def minute(self) -> None:
        """Let one minute pass."""
        self.now_ms += MINUTE_MS
        now_ms = self.now_ms
        self.model.advance(now_ms / 1000)
        self._change_shifts(now_ms)
        while self._agenda and self._agenda[0][0] <= now_ms:
            at_ms, _, what = heapq.heappop(self._agenda)
            what(at_ms)
        for seen in self._nodes.measure(self.model, now_ms):
            self._channel.send(seen, now_ms)
        is_news = self._deliver(now_ms)
        if is_news or (now_ms // 1000) % self.policy.every_s == 0:
            views = [hand.view() for hand in self.hands.values()]
            for order in self.policy.decide(now_ms, views):
                self._check(order)
                self.hands[order.crew_id].order(order.stops, now_ms)
        self._look(now_ms)
        if self._each_minute is not None:
            self._each_minute(self)

    def _check(self, order: Order) -> None:
        """See that an order names what the square has.

        Raises
        ------
        PolicyError
            It does not.
        """
        who = f'policy "{self.policy.name}"'
        if order.crew_id not in self.hands:
            raise PolicyError(
                f"{who} gives an order to {order.crew_id!r}, who is no crew of this square: mend the policy, the crews "
                f"are {', '.join(self.hands)}"
            )
        for stop in order.stops:
            known = self._targets.get(stop.kind)
            if known is None:
                kinds = ", ".join(self._targets)
                raise PolicyError(f"{who} orders {stop.kind!r}: mend the policy, a stop is one of {kinds}")
            if stop.target not in known:
                raise PolicyError(
                    f"{who} orders {stop.kind} {stop.target!r}, which this square does not have: mend the policy"
                )

    def _change_shifts(self, now_ms: int) -> None:
        plan = self.stage.square.plan
        states = {
            shift.id: (
                plan.is_on_shift(shift.id, now_ms),
                plan.is_leaving(shift.id, now_ms),
                plan.has_left(shift.id, now_ms),
            )
            for shift in plan.shift_plan.shifts
        }
        for hand in self.hands.values():
            is_on, is_leaving, has_left = states[hand.shift]
            hand.clock(now_ms, is_on_shift=is_on, is_leaving=is_on and is_leaving, has_left=has_left)

    def _deliver(self, now_ms: int) -> bool:
        """Tell the policy what has arrived; whether crews had news."""
        for seen in self._channel.arrivals(now_ms):
            self._heard += 1
            self.policy.observe(seen)
        is_news = False
        while self._reports and self._reports[0][0] <= now_ms:
            report = heapq.heappop(self._reports)[2]
            self.hands[report.crew_id].heard(report)
            self.policy.report(report)
            is_news = True
        return is_news

    def _look(self, now_ms: int) -> None:
        if (now_ms // 1000) % int(MEASURE_PARAMETERS["look_s"].value) == 0:
            litter_l = self.model.litter_l
            is_bad = litter_l > self.model.dirty_l
            is_bad[self._bin_zone[self.model.fill_pct >= self.stage.square.rules.overflow_pct]] = True
            self._measures.look(self.model.crowd.present(now_ms / 1000), is_bad, float(litter_l.sum()))
        if self._recorder is not None and (now_ms // MINUTE_MS) % LOG_EVERY_MIN == 0:
            truths = self.model.bin_truths()
            self._recorder.truth(now_ms, truths.fill_pct.tolist())
            states = {
                "stolen": truths.stolen,
                "tilted": truths.tilted_deg > sensing_value("tilted_deg"),
                "lid-open": truths.lid_open,
            }
            self._recorder.sensors(now_ms, {name: flags.tolist() for name, flags in states.items()})
            self._recorder.belief(now_ms, self.policy.believe(now_ms))

    def outcome(self) -> Outcome:
        """Return what the run has come to so far."""
        model = self.model
        figures = self._measures.figures(
            overflow_s=model.overflow_s,
            dirty_zone_s=model.dirty_zone_s,
            full_since_s=model.full_since_s,
            end_s=self.now_ms / 1000,
            labour=[hand.labour for hand in self.hands.values()],
        )
        return Outcome(
            figures=figures,
            generated_mg=model.totals.generated_mg,
            readings=self._nodes.made,
            heard=self._heard,
            waiting=self._nodes.holding + self._channel.waiting,
            lost=self._nodes.lost,
            refused=self._channel.refused,
            late=self._channel.late,
            labour={hand.crew_id: replace(hand.labour) for hand in self.hands.values()},
        )
