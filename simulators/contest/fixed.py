"""What a square without sensors does: every crew takes out its share of all bins on fixed rounds, full or not."""

from collections.abc import Mapping, Sequence

from simulators.contest.policy import Belief, CrewReport, CrewView, Observation, Order, Stop
from simulators.contest.rounds import Sweeper, home_near, tour
from simulators.contest.square_view import SquareView
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "round_every_h": Parameter(
        3.5, "h", "assumed: two rounds in a shift, so that bins are taken out by 14:30 and 22:00 (vendors' rule)"
    ),
}


class Fixed:
    """Rounds by the clock; readings are ignored."""

    name = "fixed"
    every_s = 60

    def begin(self, square: SquareView, now_ms: int) -> None:  # noqa: ARG002 - part of the protocol
        """Cut the square into rounds, one for each crew of a shift, by walking distance from their post."""
        self._square = square
        self._sweeper = Sweeper(square)
        self._begun_ms: dict[str, int] = {}
        self._shown: dict[str, tuple[Stop, ...]] = {}
        self._rounds = _rounds(square)

    def observe(self, observation: Observation) -> None:
        """Ignore a reading."""

    def report(self, report: CrewReport) -> None:
        """Note what was swept."""
        self._sweeper.report(report)

    def decide(self, now_ms: int, crews: Sequence[CrewView]) -> Sequence[Order]:
        """Begin rounds that are due, and let who has finished one sweep."""
        self._sweeper.now_ms = now_ms
        self._sweeper.release(crews)
        every_ms = round(PARAMETERS["round_every_h"].value * 3_600_000)
        orders: list[Order] = []
        for crew in crews:
            if not crew.is_on_shift:
                self._begun_ms.pop(crew.crew_id, None)
                self._shown.pop(crew.crew_id, None)
                continue
            begun_ms = self._begun_ms.get(crew.crew_id)
            stops: tuple[Stop, ...] | None = None
            if (begun_ms is None or now_ms - begun_ms >= every_ms) and not crew.is_leaving:
                self._begun_ms[crew.crew_id] = now_ms
                left = [stop for stop in crew.ahead if stop.kind == "empty"]  # not done in the round before: first
                stops = (*left, *(stop for stop in self._rounds[crew.crew_id] if stop not in left))
            elif not any(stop.kind == "empty" for stop in crew.ahead) and not crew.is_leaving:
                stops = self._sweeper.idle(crew)
                if stops == crew.ahead:
                    stops = None
            if stops is not None and (stops or self._shown.get(crew.crew_id)):
                self._shown[crew.crew_id] = stops
                orders.append(Order(crew.crew_id, stops))
        return orders

    def believe(self, now_ms: int) -> Sequence[Belief]:  # noqa: ARG002 - part of the protocol
        """Believe nothing."""
        return ()


def _rounds(square: SquareView) -> Mapping[str, tuple[Stop, ...]]:
    """Share the bins nearest to each home among the crews of every shift, in stretches of a tour."""
    homes = sorted(set(square.homes.values()))
    bins_of: dict[tuple[float, float], list[str]] = {home: [] for home in homes}
    for asset_id in square.volumes_l:
        bins_of[home_near(homes, square.asset(asset_id).place)].append(asset_id)
    found: dict[str, tuple[Stop, ...]] = {}
    for home, assets in bins_of.items():
        order = tour(square, assets, home)
        for shift in square.plan.shift_plan.shifts:
            crews = [c.id for c in square.plan.crews if c.shift == shift.id and square.homes[c.id] == home]
            for n, crew_id in enumerate(crews):
                mine = order[n * len(order) // len(crews) : (n + 1) * len(order) // len(crews)]
                found[crew_id] = tuple(Stop("empty", asset_id) for asset_id in mine)
    return found
