"""Which nodes of a site are struck by what, as arrays, at one moment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.faults import Fault, FaultScript
from simulators.noise import Floats

Bools = npt.NDArray[np.bool_]
DAY_S = 86_400.0


@dataclass
class Struck:
    """What acts on each node (n,); nan and 0 mean nothing.

    Attributes
    ----------
    silent, unheard, water : NDArray
        Dead; without radio; with water in the housing.
    reboots, lost, wild, near : NDArray
        Shares: of readings never made; of pings that are lost, come from anywhere, come from right before the sensor.
    stuck_pct : NDArray
        Fill at which the distance stays [%]; 0 = a level by chance, nan = not stuck.
    drift_mmpd, drift_since_s : NDArray
        How fast the distance grows away from the truth [mm/day] and since when.
    askew_deg : NDArray
        How far the sensor looks aside [degrees].
    cell_mv : NDArray
        Voltage of a nearly empty cell [mV], nan = the ordinary one.
    clock_s : NDArray
        How wrong the clock is [s].
    """

    silent: Bools
    unheard: Bools
    water: Bools
    reboots: Floats
    lost: Floats
    wild: Floats
    near: Floats
    stuck_pct: Floats
    drift_mmpd: Floats
    drift_since_s: Floats
    askew_deg: Floats
    cell_mv: Floats
    clock_s: Floats

    @classmethod
    def none(cls, count: int) -> "Struck":
        """Return sound nodes."""
        return cls(
            silent=np.zeros(count, dtype=np.bool_),
            unheard=np.zeros(count, dtype=np.bool_),
            water=np.zeros(count, dtype=np.bool_),
            reboots=np.zeros(count),
            lost=np.zeros(count),
            wild=np.zeros(count),
            near=np.zeros(count),
            stuck_pct=np.full(count, np.nan),
            drift_mmpd=np.zeros(count),
            drift_since_s=np.zeros(count),
            askew_deg=np.zeros(count),
            cell_mv=np.full(count, np.nan),
            clock_s=np.zeros(count),
        )

    def drift_mm(self, at_s: float) -> Floats:
        """Return how far the distances are away from the truth at a moment [mm]."""
        away: Floats = self.drift_mmpd * ((at_s - self.drift_since_s) / DAY_S)
        return away

    def strike(self, fault: Fault, who: Bools) -> None:
        """Let a fault act on some nodes; of two of one kind the later one counts."""
        kind, strength = fault.kind, fault.strength
        flags = {"silent": self.silent, "radio-hole": self.unheard, "water": self.water}
        numbers = {
            "reboot-loop": self.reboots,
            "no-echo": self.lost,
            "wild": self.wild,
            "blocked": self.near,
            "stuck": self.stuck_pct,
            "drift": self.drift_mmpd,
            "tilted": self.askew_deg,
            "battery-low": self.cell_mv,
            "clock-off": self.clock_s,
        }
        if kind in flags:
            flags[kind][who] = True
        elif kind in numbers:
            numbers[kind][who] = strength
        if kind == "drift":
            self.drift_since_s[who] = fault.at_s


class NodeFaults:
    """The faults of a script that strike nodes, looked up again only when something begins or ends.

    Parameters
    ----------
    names
        Device ids, in the order of all arrays.
    script
        May grow meanwhile.
    """

    def __init__(self, names: Sequence[str], script: FaultScript) -> None:
        self._names = tuple(names)
        self._script = script
        self._version = -1
        self._faults: tuple[tuple[Fault, Bools], ...] = ()
        self._from_s = self._until_s = 0.0
        self._struck: Struck | None = None

    def at(self, at_s: float) -> Struck | None:
        """Return what acts on the nodes at a moment, None when nothing does."""
        if self._version != self._script.version:
            self._faults = tuple((f, self._who(f)) for f in self._script.of("node"))
            self._version = self._script.version
            self._until_s = self._from_s = 0.0
        if not self._from_s <= at_s < self._until_s:
            self._look(at_s)
        return self._struck

    def _who(self, fault: Fault) -> Bools:
        return np.array([fault.strikes(name) for name in self._names], dtype=np.bool_)

    def _look(self, at_s: float) -> None:
        edges = [edge for f, _ in self._faults for edge in (f.at_s, f.until_s)]
        self._from_s = max((edge for edge in edges if edge <= at_s), default=-np.inf)
        self._until_s = min((edge for edge in edges if edge > at_s), default=np.inf)
        acting = [(f, who) for f, who in self._faults if f.is_active(at_s)]
        self._struck = Struck.none(len(self._names)) if acting else None
        for fault, who in acting:
            assert self._struck is not None
            self._struck.strike(fault, who)
