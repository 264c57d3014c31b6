"""The fault script: what breaks, when, where, and how badly. Pure.

A fault is data. Who applies it depends on its target: `simulators.sensing` and `simulators.radio` for nodes, the
channel of the contest or the live stack for broker, gateway, uplink, store, disk and clock, the crews for crews.
"""

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo


class FaultKind(NamedTuple):
    """One kind of fault.

    Attributes
    ----------
    about : str
        What happens.
    unit : str
        What its strength counts; empty when the kind has none.
    default : float
        Strength when none is given.
    low, high : float
        Smallest and largest strength.
    """

    about: str
    unit: str = ""
    default: float = 1.0
    low: float = 1.0
    high: float = 1.0


def _share(about: str, default: float = 1.0) -> FaultKind:
    return FaultKind(about, "share", default, 0.0, 1.0)


KINDS: Mapping[str, Mapping[str, FaultKind]] = {
    "node": {
        "silent": FaultKind("the node is dead: it measures nothing"),
        "radio-hole": FaultKind("no radio: it measures and keeps, and sends when the hole is over"),
        "stuck": FaultKind(
            "the distance stays the same, whatever the bin does; 0: at a level by chance", "% full", 0, 0, 120
        ),
        "drift": FaultKind(
            "the value moves away from the truth; percent a day at an air station", "mm/day", 40, -500, 500
        ),
        "no-echo": _share("pings are lost; at an air station particles"),
        "wild": _share("pings come back from anywhere", 0.5),
        "blocked": _share("something hangs before the sensor: pings come from inside the blind zone"),
        "tilted": FaultKind("the sensor hangs askew and looks at the wall", "degree", 55, 0, 180),
        "water": FaultKind("water stands in the housing"),
        "battery-low": FaultKind("the cell is nearly empty", "mV", 3150, 2000, 4200),
        "reboot-loop": _share("the node starts again and again: readings are never made", 0.5),
        "clock-off": FaultKind("the node's clock is wrong", "s", -3600, -1e9, 1e9),
        "lost-storage": FaultKind("what was kept and not yet acknowledged is gone"),
    },
    "broker": {"down": FaultKind("nobody can connect")},
    "gateway": {
        "down": FaultKind("the gateway process stands still"),
        "full-disk": FaultKind("its spool takes nothing more"),
    },
    "uplink": {
        "cut": FaultKind("nothing comes from the square to the office"),
        "slow": FaultKind("everything comes later", "s", 120, 0, 86400),
    },
    "store": {
        "down": FaultKind("the time-series store does not answer"),
        "rejects": _share("it refuses writes"),
    },
    "disk": {"full": FaultKind("no free space where the stack keeps its data")},
    "clock": {"jump": FaultKind("the square's clock is set, once", "s", 3600, -1e6, 1e6)},
    "crew": {
        "away": FaultKind("nobody is there"),
        "offline": FaultKind("works on, and the office hears of it afterwards"),
        "lying": _share("claims work done that was not done"),
    },
}
"""Target -> kind -> what it is. `node` and `crew` need a name behind a colon, with ``*`` and ``?`` for many."""

SQUARE_ZONE = ZoneInfo("Asia/Jakarta")
"""Of times of day, where no site says otherwise."""
NAMED = frozenset({"node", "crew"})
MOMENTS = frozenset({"lost-storage", "jump"})
"""Kinds that are a moment, not a time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    at_s, until_s : float
        From when until when [s since 1970 UTC]; ``until_s`` itself is sound again. A moment lasts no time.
    target : str
        "node:<id or pattern>", "crew:<id or pattern>", or one of the other keys of `KINDS`.
    kind : str
        A key of `KINDS` of the target.
    strength : float
        How badly, in the unit of the kind.
    share : float
        Share of the names that match the target which are struck [0..1]; each by its own, fixed chance.
    """

    at_s: float
    until_s: float
    target: str
    kind: str
    strength: float = 1.0
    share: float = 1.0

    @property
    def target_kind(self) -> str:
        """What is struck: a key of `KINDS`."""
        return self.target.partition(":")[0]

    @property
    def pattern(self) -> str:
        """Which of them; empty where there is only one."""
        return self.target.partition(":")[2]

    def strikes(self, name: str) -> bool:
        """Whether a node or crew of this id is struck; the only broker always is."""
        if self.target_kind not in NAMED:
            return True
        if not fnmatchcase(name, self.pattern):
            return False
        return self.share >= 1.0 or chance_of(f"{self.at_s:.3f} {self.kind} {name}") < self.share

    def is_active(self, at_s: float) -> bool:
        """Whether it acts at a moment."""
        return self.at_s <= at_s < self.until_s


class Change(NamedTuple):
    """A fault begins or ends at a moment [s since 1970 UTC]."""

    at_s: float
    fault: Fault
    begins: bool


def chance_of(text: str) -> float:
    """Return a fixed number in [0, 1) for a text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


class FaultScript:
    """All faults of a run, in order of their beginning.

    Parameters
    ----------
    faults
        In any order.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = sorted(faults, key=_order)
        self.version = 0
        """Counts what was added, for those who keep what they looked up."""

    @classmethod
    def parse(cls, tables: Sequence[Mapping[str, Any]], start_s: float, zone: ZoneInfo = SQUARE_ZONE) -> "FaultScript":
        """Build a script from ``[[fault]]`` tables, as a scenario file has them.

        Parameters
        ----------
        tables
            As parsed from TOML; the keys are those of `simulators.scenario_schema.FAULT_FIELDS`.
        start_s
            Moment of the start, from which times of day and ``+h:mm`` count.
        zone
            Time zone of the square.

        Raises
        ------
        ScenarioError
            A table is wrong: the first fault, with what to do about it.
        """
        from simulators.scenario import faults_of

        return faults_of(tables, start_s, zone)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All of them, by beginning."""
        return tuple(self._faults)

    def __len__(self) -> int:
        return len(self._faults)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FaultScript) and self._faults == other._faults

    __hash__ = None  # type: ignore[assignment]  # it grows

    def add(self, fault: Fault) -> None:
        """Add a fault while the square runs."""
        bisect.insort(self._faults, fault, key=_order)
        self.version += 1

    def of(self, target_kind: str) -> tuple[Fault, ...]:
        """List the faults of one target, by beginning."""
        return tuple(f for f in self._faults if f.target_kind == target_kind)

    def active(self, target_kind: str, name: str, at_s: float) -> tuple[Fault, ...]:
        """List what acts on a node, a crew, or the only broker at a moment; `name` is empty for the latter."""
        return tuple(f for f in self._faults if f.is_active(at_s) and f.target_kind == target_kind and f.strikes(name))

    def find(self, target_kind: str, name: str, kind: str, at_s: float) -> Fault | None:
        """Return the newest active fault of one kind, None when there is none."""
        return next((f for f in reversed(self.active(target_kind, name, at_s)) if f.kind == kind), None)

    def changes_between(self, after_s: float, to_s: float) -> tuple[Change, ...]:
        """List what begins or ends after `after_s` and not later than `to_s`; an end comes before a beginning."""
        changes = [Change(f.at_s, f, begins=True) for f in self._faults if after_s < f.at_s <= to_s]
        changes += [
            Change(f.until_s, f, begins=False)
            for f in self._faults
            if after_s < f.until_s <= to_s and f.until_s > f.at_s and f.until_s != inf
        ]
        return tuple(sorted(changes, key=lambda change: (change.at_s, change.begins, _order(change.fault))))


def _order(fault: Fault) -> tuple[float, str, str, float, float]:
    return fault.at_s, fault.target, fault.kind, fault.until_s, fault.strength
