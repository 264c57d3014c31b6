"""The threshold policy of the contest decides what the real alert engine decides, reading by reading."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.adapters.database import open_database
from alerts.adapters.ledger import Ledger
from alerts.desk import Desk
from alerts.domain.model import Task
from alerts.engine import Engine
from alerts.errors import TaskConflict
from ingest.readings import Reading
from simulators.contest.loop import Loop
from simulators.contest.policy import CrewReport, CrewView, Observation, Order
from simulators.contest.square_view import SquareView
from simulators.contest.stage import Stage
from simulators.contest.threshold import Threshold
from simulators.contest.variants import with_crews
from simulators.faults import Fault, FaultScript
from simulators.habits import Habits
from simulators.scenario import load_scenario
from simulators.scenario_sections import Visits
from square.site import load_site

MINUTES = 180
NINE_O_CLOCK_S = 1_795_485_600.0


class Twin(Threshold):
    """The threshold policy with the real engine beside it; every decision of both is compared."""

    def __init__(self, folder: Path) -> None:
        self._database = open_database(f"sqlite:///{folder / 'resik.sqlite3'}")
        self._readings: list[Reading] = []
        self.compared = self.heaped = self.passed_over = 0
        self.states: set[str] = set()

    def begin(self, square: SquareView, now_ms: int) -> None:
        super().begin(square, now_ms)
        self._plan = square.plan
        self._engine = Engine(self._database, square.plan, square.rules)
        self._engine.load(now_ms)
        self._desk = Desk.of_plan(self._database, square.plan)

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        o = observation
        values = {} if o.fill_pct is None else {"fill_pct": o.fill_pct}
        reading = Reading(
            self._plan.site_id, o.device, o.asset, "", "bin", o.boot, o.seq, o.ts_ms, o.arrived_ms,
            values, o.state, o.quality, 0,
        )  # fmt: skip
        self._readings.append(reading)

    def _apply(self) -> None:
        """Offer what has arrived to the engine: its decisions do not depend on how readings are put together."""
        if self._readings:
            self._engine.apply(self._readings, [], max(one.arrived_ms for one in self._readings))
            self._readings = []

    def report(self, report: CrewReport) -> None:
        super().report(report)
        self._apply()
        if report.stop is None or report.stop.task_id is None:
            return
        move = {"accepted": self._desk.accept_task, "claimed": self._desk.claim_task}[report.kind]
        with suppress(TaskConflict):  # taken back meanwhile: the crew is told so
            move(report.stop.task_id, report.crew_id, report.arrived_ms)

    def decide(self, now_ms: int, crews: Sequence[CrewView]) -> Sequence[Order]:
        orders = super().decide(now_ms, crews)
        self._apply()
        self._engine.tick(now_ms)
        with self._database.reading() as connection:
            active = Ledger(connection, self._plan.site_id).active_tasks()
            open_now = set(Ledger(connection, self._plan.site_id).incidents())
        assert [_seen(task) for task in active] == [_seen(task) for task in self.office.tasks.values()], now_ms
        assert {slot for slot in open_now if slot[1] in {"full", "overflow"}} == set(self.office.incidents), now_ms
        self.compared += len(active)
        self.passed_over += sum(bool(task.passed_over) for task in active)
        self.heaped += sum(self.office.known(one).is_heaped for one in self.office.bins.values() if one.newest_ms)
        self.states |= {task.state for task in active} | {task.state for task in self.office.closed}
        return orders


def _seen(task: Task) -> tuple[object, ...]:
    moments = (task.created_ms, task.assigned_ms, task.accepted_ms, task.claimed_ms, task.due_ms)
    return (task.id, task.asset_id, task.state, task.crew_id, *moments, task.passed_over, task.fill_before_pct)


@pytest.mark.parametrize(
    ("factor", "fill_pct", "habits", "crews"),
    [
        # Bins that fill while crews are about: forecasts rank, orders are let lie, work is cut off by the shift.
        (5.0, (40.0, 95.0), Habits(refuse_share=0.3, late_share=0.2, breakdown_share=0.2, breakdown_median_s=9e3), 9),
        # Heaps above the rim, and crews that lie about them.
        (30.0, (50.0, 110.0), Habits(lie_share=0.8, offline_share=0.2), 6),
    ],
    ids=["forecasts", "heaps"],
)
def test_the_engine_decides_the_same_tasks(
    tmp_path: Path, factor: float, fill_pct: tuple[float, float], habits: Habits, crews: int
) -> None:
    """Every task and every full or overflowing bin is the same for both, in every minute."""
    scenario = replace(
        load_scenario("quiet-tuesday"),
        start_s=NINE_O_CLOCK_S,
        initial_fill_pct=fill_pct,
        visits=Visits(per_day_factor=factor),
        crews=habits,
        faults=FaultScript([Fault(NINE_O_CLOCK_S, NINE_O_CLOCK_S + 7200, "node:rsk-b00?", "wild", 0.8)]),
    )
    twin = Twin(tmp_path)
    site = with_crews(load_site(scenario.site), crews)
    # A claim is given up sooner than on the square, so that the second one comes within the run.
    site = replace(site, rules=replace(site.rules, verify_within_s=300))
    Loop(Stage.of(scenario, site), twin, seed=4, minutes=MINUTES).run()
    assert twin.compared > 300
    assert {"assigned", "accepted", "claimed", "verified"} <= twin.states
    if habits.lie_share:
        assert twin.heaped > 100
        assert max(file.memory.doubts for file in twin.office.bins.values()) > 1
    else:
        assert twin.passed_over > 0
        assert "cancelled" in twin.states
