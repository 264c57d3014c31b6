"""What all runs of a contest share: one scenario, its square, and how to make a fresh world for a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.contest.square_view import SquareView
from simulators.faults import FaultScript
from simulators.ground import Ground
from simulators.habits import Habits
from simulators.model import SquareModel
from simulators.radio import Radio
from simulators.scenario import Scenario
from simulators.sensing import BinSensors
from square.geometry import LonLat
from square.registry import Registry
from square.site import Site, load_site


@dataclass(frozen=True, eq=False)
class Stage:
    """A square and what it goes through.

    Attributes
    ----------
    scenario : Scenario
        What happens.
    site : Site
        The plan; other crews or bins than the scenario's site has in a sweep.
    ground : Ground
        Geometry for the crowd.
    square : SquareView
        What policies see.
    registry : Registry
        Which device sits on which bin.
    """

    scenario: Scenario
    site: Site
    ground: Ground = field(repr=False)
    square: SquareView = field(repr=False)
    registry: Registry = field(repr=False)

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        site: Site | None = None,
        *,
        homes: Mapping[str, LonLat] | None = None,
        unload_places: tuple[LonLat, ...] = (),
    ) -> "Stage":
        """Stage of a scenario, on its own site unless another one is given."""
        site = load_site(scenario.site) if site is None else site
        square = SquareView.of(site, homes=homes, unload_places=unload_places)
        return cls(scenario, site, Ground.of(site), square, Registry.from_site(site))

    @property
    def start_ms(self) -> int:
        """Beginning, on a whole minute [ms]."""
        return round(self.scenario.start_s) // 60 * 60_000

    @property
    def habits(self) -> Habits:
        """How crews behave."""
        return self.scenario.crews

    @property
    def faults(self) -> FaultScript:
        """What breaks."""
        return self.scenario.faults

    def world(self, seed: int) -> SquareModel:
        """Make a fresh world of a seed; policies have no part in it."""
        return SquareModel.of(
            self.ground,
            self.scenario,
            seed=seed,
            start_s=self.start_ms / 1000,
            initial_fill_pct=self.scenario.initial_fill_pct,
        )

    def sensors(self, seed: int) -> BinSensors:
        """Make the sensors of the square for a seed."""
        return BinSensors(
            list(self.registry.placements()),
            self.ground.bins,
            seed=seed,
            start_s=self.start_ms / 1000,
            faults=self.faults,
        )

    def radio(self, seed: int) -> Radio:
        """Make the radios and clocks of the nodes that `sensors` has."""
        names = [
            p.device.id for p in self.registry.placements() if p.kind == "bin" and p.asset.id in self.square.volumes_l
        ]
        return Radio(names, seed=seed, faults=self.faults)

    def __reduce__(self) -> tuple[Any, ...]:
        # Views keep caches that cannot travel to another process: it builds its own.
        return _stage_of, (self.scenario, self.site, dict(self.square.homes), self.square.unload_places)


def _stage_of(scenario: Scenario, site: Site, homes: Mapping[str, LonLat], unload_places: tuple[LonLat, ...]) -> Stage:
    return Stage.of(scenario, site, homes=homes, unload_places=unload_places)
