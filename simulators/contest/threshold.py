"""What Resik does today: a task for each full bin, worst first, to the nearest crew that has room."""

from collections.abc import Iterable, Sequence

from alerts.domain.model import Task
from simulators.contest.office import Office, by_age
from simulators.contest.policy import Belief, CrewReport, CrewView, Observation, Order
from simulators.contest.rounds import Sweeper
from simulators.contest.square_view import SquareView


class Threshold:
    """The alert engine of Resik as a policy."""

    name = "threshold"
    every_s = 60

    def begin(self, square: SquareView, now_ms: int) -> None:
        """Open the office."""
        self.office = Office(square, now_ms)
        self._sweeper = Sweeper(square)

    def observe(self, observation: Observation) -> None:
        """Hand a reading to the estimator."""
        self.office.observe(observation)

    def report(self, report: CrewReport) -> None:
        """Note what a crew did."""
        self.office.report(report)
        self._sweeper.report(report)

    def decide(self, now_ms: int, crews: Sequence[CrewView]) -> Sequence[Order]:
        """Take one turn of the engine."""
        self._sweeper.now_ms = now_ms
        self._sweeper.release(crews)
        self.office.settle(now_ms, crews)
        self.office.want(self._early(now_ms))
        self.office.dispatch(crews)
        return self.office.orders(crews, idle=self._sweeper.idle, sequence=self._sequence)

    def believe(self, now_ms: int) -> Sequence[Belief]:
        """Return the states of all bins."""
        return self.office.believe(now_ms)

    def _early(self, now_ms: int) -> Iterable[str]:  # noqa: ARG002 - for who looks ahead
        """Return the bins that are wanted before they are full: none."""
        return ()

    def _sequence(self, crew: CrewView, tasks: list[Task]) -> list[Task]:
        """Put the tasks of a crew, oldest first, in the order in which it shall do them."""
        return by_age(crew, tasks)
