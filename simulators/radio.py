"""Radio and clock of the nodes: when a node is heard, and what time it believes it is. Pure.

A node that is not heard keeps its readings and sends them when it is heard again. Holes are stretches of time, not lost
packets: somebody parks a bus before the node, a market stands between it and the access point.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from simulators import noise
from simulators.faults import FaultScript
from simulators.node_faults import Bools, NodeFaults
from simulators.noise import Floats
from simulators.parameters import Parameter
from simulators.sensing import Which, rssi_of

PARAMETERS: Mapping[str, Parameter] = {
    "hole_s": Parameter(600, "s", "assumed: a node is heard or not for about this long"),
    "hole_share_weak": Parameter(0.03, "1", "assumed share of the time that a node at the edge is not heard"),
    "hole_margin_db": Parameter(6, "dB", "assumed: so much more signal halves that share"),
    "clock_drift_ppm": Parameter(60, "ppm", "assumed standard deviation; an ESP32's clock is worse in deep sleep"),
    "clock_sync_h": Parameter(24, "h", "assumed: a node asks for the time once a day"),
}
_EDGE_DBM = -82.0


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


class Radio:
    """Radios and clocks of some nodes.

    Parameters
    ----------
    names
        Device ids; `which` counts in their order.
    seed
        Of the square.
    faults
        What breaks; may grow meanwhile.
    """

    def __init__(self, names: Sequence[str], *, seed: int, faults: FaultScript | None = None) -> None:
        self.names = tuple(names)
        self._acting = NodeFaults(self.names, FaultScript() if faults is None else faults)
        margin_db = np.maximum(rssi_of(self.names, seed) - _EDGE_DBM, 0.0)
        self._hole_share = value("hole_share_weak") * 0.5 ** np.floor(margin_db / value("hole_margin_db"))
        self._hole_key = noise.keys(seed, "radio hole", self.names)
        self._phase = noise.uniform(noise.keys(seed, "radio phase", self.names))
        self._drift = noise.normal(noise.keys(seed, "clock drift", self.names)) * value("clock_drift_ppm") * 1e-6

    def reaches(self, which: Which, at_s: float) -> Bools:
        """Return for each node whether the gateway hears it at a moment, (n,)."""
        stretch = np.floor(at_s / value("hole_s") + self._phase[which]).astype(np.int64)
        chance = noise.uniform(noise.at_places(self._hole_key[which], stretch))
        heard: Bools = chance >= self._hole_share[which]
        struck = self._acting.at(at_s)
        return heard if struck is None else heard & ~struck.unheard[which] & ~struck.silent[which]

    def ts_s(self, which: Which, at_s: float) -> Floats:
        """Return the time that each node believes it is [s since 1970 UTC], (n,): it drifts between two syncs."""
        period_s = value("clock_sync_h") * 3600.0
        since_s = (at_s + self._phase[which] * period_s) % period_s
        believed: Floats = at_s + self._drift[which] * since_s
        struck = self._acting.at(at_s)
        return believed if struck is None else believed + struck.clock_s[which]
