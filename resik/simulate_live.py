"""A square that a person watches and disturbs: the closed loop of a contest, by the minute, and what is to be seen."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from simulators.chance import stream
from simulators.contest.errors import UnknownPolicy
from simulators.contest.loop import Loop
from simulators.contest.oracle import Clairvoyant
from simulators.contest.policy import Belief, policy_maker
from simulators.contest.stage import Stage
from simulators.faults import KINDS, Change, Fault
from simulators.scenario import Scenario
from simulators.weather import Air

REMEMBERED = 200
MINUTE_S = 60


class Told(NamedTuple):
    """A line of what happened: square time [s], Indonesian and English words, and whether it is bad news."""

    at_s: float
    words: str
    is_bad: bool


class Mischief(NamedTuple):
    """A fault that a key makes.

    Attributes
    ----------
    words_id, words_en : str
        What it is.
    target : str
        A target of `simulators.faults.KINDS`.
    kind : str
        A kind of that target.
    minutes : int
        How long it lasts.
    """

    words_id: str
    words_en: str
    target: str
    kind: str
    minutes: int


MISCHIEFS: tuple[Mischief, ...] = (
    Mischief("simpul diam", "silent node", "node", "silent", 180),
    Mischief("sensor macet", "stuck sensor", "node", "stuck", 360),
    Mischief("sensor liar", "wild sensor", "node", "wild", 180),
    Mischief("radio mati", "no radio", "node:*", "radio-hole", 60),
    Mischief("pialang mati", "broker down", "broker", "down", 60),
    Mischief("gerbang mati", "gateway down", "gateway", "down", 60),
    Mischief("jalur putus", "uplink cut", "uplink", "cut", 60),
    Mischief("petugas pergi", "crew away", "crew", "away", 120),
    Mischief("petugas bohong", "crew lies", "crew", "lying", 240),
)
"""By the digits 1 to 9."""

_EVENTS: Mapping[str, tuple[str, bool]] = {
    "scavenged": ("pemulung / waste pickers", False),
    "bin-theft": ("tong hilang / bin stolen", True),
    "sensor-theft": ("sensor hilang / sensor stolen", True),
    "moved": ("tong digeser / bin moved", True),
    "tipped": ("tong terguling / bin tipped over", True),
    "lid-open": ("tutup terbuka / lid left open", False),
    "fire": ("kebakaran / fire", True),
    "fire-out": ("api padam / fire is out", False),
    "burning": ("pembakaran terbuka di dekat alun-alun / open burning near the square", True),
    "returned": ("kembali seperti semula / as before", False),
    "blown-away": ("sampah tertiup angin / litter blown off the square", False),
    "emptied": ("dikosongkan / emptied", False),
}
"""Sweeping, which goes on all day, is counted and not told."""
_STOPS: Mapping[str, str] = {"empty": "kosongkan/empty", "sweep": "sapu/sweep", "unload": "buang/unload"}


@dataclass(frozen=True)
class BinRow:
    """A bin as it is and as the office believes it to be."""

    asset_id: str
    name: str
    fill_pct: float
    belief: Belief | None


@dataclass(frozen=True)
class CrewRow:
    """A crew: whether it works, what it goes for, what it has done."""

    crew_id: str
    name: str
    is_on_shift: bool
    stop: str
    emptied: int
    swept: int
    distance_m: float


@dataclass(frozen=True)
class ZoneRow:
    """A zone: litter [l], from how much it counts as dirty [l], and people in it."""

    zone_id: str
    name: str
    litter_l: float
    dirty_l: float
    people: int


class LiveSquare:
    """One scenario under one policy, to look at.

    Parameters
    ----------
    scenario
        What the square goes through.
    policy
        Name of who sends the crews.
    seed
        Instead of the scenario's.

    Raises
    ------
    UnknownPolicy
        There is none of this name, or it plays in contests only.
    """

    def __init__(self, scenario: Scenario, *, policy: str = "threshold", seed: int | None = None) -> None:
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.told: deque[Told] = deque(maxlen=REMEMBERED)
        """What happened, the newest last."""
        self.told_count = 0
        """Lines so far, those included that are forgotten."""
        self._stage = Stage.of(scenario)
        self._minutes = round(scenario.hours * 60)
        decides = policy_maker(policy)()
        if isinstance(decides, Clairvoyant):
            raise UnknownPolicy(f'policy "{policy}" needs to know the future, which keys may change: choose another')
        self._loop = Loop(self._stage, decides, seed=self.seed, minutes=self._minutes)
        self._done = 0
        self._mischiefs = 0
        self._beliefs: tuple[int, dict[str, Belief]] = (-1, {})
        self.policy = policy

    # -- time ------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Square time [s since 1970 UTC]."""
        return self._loop.now_ms / 1000

    @property
    def local(self) -> datetime:
        """Square time on the clocks of the square."""
        return datetime.fromtimestamp(self.now_s, self._stage.site.zone_info)

    @property
    def is_over(self) -> bool:
        """Whether the scenario has ended."""
        return self._done >= self._minutes

    @property
    def share_done(self) -> float:
        """How much of the scenario is past [0..1]."""
        return min(1.0, self._done / self._minutes)

    def minute(self) -> None:
        """Let a minute pass, and note what happened in it."""
        before_s = self.now_s
        self._loop.minute()
        self._done += 1
        for change in self._stage.faults.changes_between(before_s, self.now_s):
            self._tell_fault(change)
        for event in self._loop.model.take_events():
            if (words := _EVENTS.get(event.kind)) is not None:
                self._tell(event.at_s, ": ".join(filter(None, (words[0], self._name(event.target)))), is_bad=words[1])

    def _tell(self, at_s: float, words: str, *, is_bad: bool) -> None:
        self.told.append(Told(at_s, words, is_bad))
        self.told_count += 1

    def _tell_fault(self, change: Change) -> None:
        fault = change.fault
        words = "gangguan / fault" if change.begins else "gangguan selesai / fault is over"
        self._tell(change.at_s, f"{words}: {fault.target} {fault.kind}", is_bad=change.begins)

    def _name(self, target: str) -> str:
        """Return the name of a bin or a zone, the id of anything else."""
        named = {one.id: one.name_id for one in self._stage.site.bins}
        named |= {zone.id: zone.name_id for zone in self._stage.site.zones}
        return f"{target} {named[target]}" if target in named else target

    # -- what is to be seen ------------------------------------------------------------------------

    def bins(self) -> list[BinRow]:
        """Return all bins, the fullest first."""
        model = self._loop.model
        if self._beliefs[0] != self._loop.now_ms:
            found = {belief.asset: belief for belief in self._loop.policy.believe(self._loop.now_ms)}
            self._beliefs = (self._loop.now_ms, found)
        rows = [
            BinRow(one.id, one.name_id, float(model.fill_pct[model.index[one.id]]), self._beliefs[1].get(one.id))
            for one in self._stage.ground.bins
        ]
        return sorted(rows, key=lambda row: (-row.fill_pct, row.asset_id))

    def zones(self) -> list[ZoneRow]:
        """Return all zones, the dirtiest first."""
        model = self._loop.model
        people = model.crowd.present(self.now_s)
        rows = [
            ZoneRow(zone.id, zone.name_id, float(litter_l), float(dirty_l), int(count))
            for zone, litter_l, dirty_l, count in zip(
                self._stage.site.zones, model.litter_l, model.dirty_l, people, strict=True
            )
        ]
        return sorted(rows, key=lambda row: (-row.litter_l / row.dirty_l, row.zone_id))

    def crews(self) -> list[CrewRow]:
        """Return all crews, in the order of the plan."""
        names = {crew.id: crew.name for crew in self._stage.site.crews}
        rows = []
        for crew_id, hand in self._loop.hands.items():
            view, labour = hand.view(), hand.labour
            stop = view.ahead[0] if view.is_on_shift and view.ahead else None
            rows.append(
                CrewRow(
                    crew_id,
                    names.get(crew_id, crew_id),
                    view.is_on_shift,
                    f"{_STOPS[stop.kind]} {stop.target}".strip() if stop is not None else "",
                    labour.emptied,
                    labour.swept,
                    labour.distance_m,
                )
            )
        return rows

    def air(self) -> Air:
        """Return the weather."""
        return self._loop.model.weather.at(self.now_s)

    def faults(self) -> tuple[Fault, ...]:
        """Return what is broken now."""
        return tuple(fault for fault in self._stage.faults.faults if fault.is_active(self.now_s))

    def figures(self) -> dict[str, float]:
        """Return the figures of the contest so far."""
        return self._loop.outcome().figures

    def play(self) -> dict[str, object]:
        """Run to the end; return scenario, policy, seed, and the figures."""
        while not self.is_over:
            self.minute()
        figures = {name: round(value, 6) for name, value in self.figures().items()}
        return {"scenario": self.scenario.id, "policy": self.policy, "seed": self.seed, "figures": figures}

    # -- what a person does --------------------------------------------------------------------------

    def make_mischief(self, number: int) -> Fault:
        """Break something: `number` is an index of `MISCHIEFS`. Which node or crew it strikes, the seed decides."""
        mischief = MISCHIEFS[number]
        self._mischiefs += 1
        target = mischief.target
        if target in {"node", "crew"}:
            names = self._candidates(target)
            chance = stream(self.seed, "mischief", self._mischiefs)
            target = f"{target}:{names[int(chance.integers(len(names)))]}"
        strength = KINDS[mischief.target.partition(":")[0]][mischief.kind].default
        fault = Fault(self.now_s, self.now_s + mischief.minutes * 60, target, mischief.kind, strength)
        self._stage.faults.add(fault)
        self._tell_fault(Change(self.now_s, fault, begins=True))
        return fault

    def _candidates(self, target: str) -> list[str]:
        """Return whom a mischief may strike: crews that work before those that rest."""
        if target == "node":
            return [placement.device.id for placement in self._stage.registry.placements() if placement.kind == "bin"]
        working = [row.crew_id for row in self.crews() if row.is_on_shift]
        return working or [row.crew_id for row in self.crews()]

    def empty_fullest(self) -> BinRow:
        """Empty the fullest bin by hand; return it as it was."""
        row = self.bins()[0]
        self._loop.empty(row.asset_id, self._loop.now_ms)
        return row
