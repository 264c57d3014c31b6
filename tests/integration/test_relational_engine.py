"""The engine on both kinds of store: from readings to incidents, tasks, crews and back."""

import random
import stat
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alerts.adapters.database import Database, fetch
from alerts.adapters.tables import ASSET_STATES, AUDIT, CURSORS, DEVICES, INCIDENTS, TASKS
from alerts.domain.model import TASK_STEPS
from alerts.domain.policy import Policy
from alerts.engine import Engine
from alerts.errors import TaskConflict
from alerts.plan import SquarePlan
from alerts.timekeeping import GatewaySign
from ingest.readings import Reading, Status
from square.calendar import ServiceHours, Window
from tests.integration.relational import Reader, database, database_url, postgres
from tests.unit.alerts.readings import HOUR_MS, MINUTE_MS, T0_MS, air_reading, bin_reading, square_plan

__all__ = ["database", "database_url", "postgres"]

POLICY = Policy(max_open_tasks=2)


class Square:
    """An engine and a desk on one store, driven by minutes after ``T0_MS`` (09:00 WIB)."""

    def __init__(self, database: Database, plan: SquarePlan | None = None, links: Path | None = None) -> None:
        self.database = database
        self.plan = plan or square_plan()
        self.links = links
        self.restart(0)

    def restart(self, minute: float) -> None:
        self.engine = Engine(self.database, self.plan, POLICY, links_file=self.links)
        self.engine.load(self.at(minute))
        self.desk = Reader.of_plan(self.database, self.plan)

    @staticmethod
    def at(minute: float) -> int:
        return T0_MS + round(minute * MINUTE_MS)

    def read(self, now: float, *readings: Reading, tick: bool = True) -> None:
        self.engine.apply(readings, [], self.at(now))
        if tick:
            self.tick(now)

    def tick(self, now: float, **options: Any) -> None:
        self.engine.tick(self.at(now), **options)

    def tasks(self, now: float) -> list[dict[str, Any]]:
        return self.desk.tasks(self.at(now))

    def rules_of(self, asset_id: str) -> list[str]:
        return [rule for asset, rule in self.rules() if asset == asset_id]

    def rules(self) -> list[tuple[str, str]]:
        return sorted((incident["asset_id"], incident["rule"]) for incident in self.desk.incidents())


@pytest.fixture
def square(database: Database) -> Square:
    """Return three bins, one station and two crews of the morning shift."""
    return Square(database)


def test_from_full_to_verified(square: Square) -> None:
    """A full bin gets an incident, a task, a crew; accepted, claimed, and verified by the sensor."""
    square.read(0, bin_reading(0, 92.0))
    (task,) = square.tasks(0)
    assert (task["state"], task["asset_id"], task["fill_before_pct"]) == ("assigned", "bin-001", 92.0)
    assert task["due_ms"] == square.at(60)
    crew_id = task["crew_id"]
    square.desk.accept_task(task["id"], crew_id, square.at(3))
    square.desk.claim_task(task["id"], crew_id, square.at(8))
    square.read(10, bin_reading(10, 5.0))
    (task,) = square.tasks(10)
    assert (task["state"], task["fill_after_pct"], task["closed_ms"]) == ("verified", 5.0, square.at(10))
    assert square.rules_of("bin-001") == []  # crew and sensor agree: nothing is left to do there
    square.read(20, bin_reading(20, 6.0))
    assert square.rules_of("bin-001") == []
    (bin_,) = [one for one in square.desk.bins(square.at(20)) if one["asset_id"] == "bin-001"]
    assert (bin_["level"], bin_["fill_pct"], bin_["emptied_at_ms"]) == ("empty", 6.0, square.at(10))


def test_an_emptying_without_a_claim_closes_the_task(square: Square) -> None:
    """The crew forgot to tap: two low readings are enough."""
    square.read(0, bin_reading(0, 92.0))
    square.read(10, bin_reading(10, 5.0))
    assert [task["state"] for task in square.tasks(10)] == ["assigned"]
    square.read(20, bin_reading(20, 6.0))
    assert [task["state"] for task in square.tasks(20)] == ["verified"]
    (line,) = [one for one in _all(square.database, AUDIT) if one["action"] == "bin.emptied"]
    assert line["entity"] == "bin:bin-001"
    assert line["detail"] == {"at_ms": square.at(10), "before_pct": 92.0, "after_pct": 6.0, "source": "sensor"}


def test_a_claim_that_the_sensor_denies_is_unverified_and_given_out_again_later(square: Square) -> None:
    """After 15 min with a full bin the claim fails; half an hour later the bin gets a new task."""
    square.read(0, bin_reading(0, 92.0))
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(1))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(2))
    square.read(10, bin_reading(10, 93.0))
    square.tick(17)
    assert [one["state"] for one in square.tasks(17)] == ["claimed"]
    square.tick(17.1, may_give_up=False)  # readings wait: no judgement yet
    assert [one["state"] for one in square.tasks(17)] == ["claimed"]
    square.tick(17.1)
    assert [one["state"] for one in square.tasks(18)] == ["unverified"]
    square.read(40, bin_reading(40, 94.0))
    assert [one["state"] for one in square.tasks(40)] == ["unverified"]
    square.read(50, bin_reading(50, 94.0))
    assert [one["state"] for one in square.tasks(50)] == ["unverified", "assigned"]


def test_repeated_and_shuffled_batches_change_nothing(square: Square) -> None:
    """The same readings again, in any order: no new incident, task, change or state."""
    readings = [bin_reading(10 * k, 50.0 + 4 * k) for k in range(11)] + [air_reading(5 * k, 20.0) for k in range(24)]
    for k in range(0, len(readings), 5):
        square.read(120, *readings[k : k + 5], tick=False)
    before = square.desk.snapshot(square.at(120))
    random.Random(4).shuffle(readings)
    square.read(120, *readings, *readings[:7], tick=False)
    assert square.desk.snapshot(square.at(120)) == before
    assert square.engine.tally.duplicates == len(readings) + 7


def test_the_order_of_arrival_does_not_matter(database_url: str, tmp_path: Path) -> None:
    """Two engines fed the same readings in different orders end with the same states."""
    from alerts.adapters.database import open_database

    readings = [bin_reading(10 * k, (37 * k) % 110, asset=f"bin-{1 + k % 3:03}") for k in range(60)]
    readings += [air_reading(5 * k, float(k % 90)) for k in range(60)]
    results = []
    for k, seed in enumerate((1, 2)):
        opened = open_database(f"sqlite:///{tmp_path}/{k}.sqlite3")
        square = Square(opened)
        shuffled = list(readings)
        random.Random(seed).shuffle(shuffled)
        for start in range(0, len(shuffled), 17):
            square.engine.apply(shuffled[start : start + 17], [], square.at(600))
        results.append((square.desk.bins(square.at(600)), square.desk.air(square.at(600))))
        opened.close()
    assert results[0] == results[1]


HISTORY = [(0, 50), (10, 90), (20, 100), (30, 100), (40, 5), (50, 6), (60, 20), (70, 92), (80, 5), (90, 6)]
"""Filled, overflowing, emptied, full, emptied: minute and fill [%]."""


def incidents_of(database: Database) -> list[tuple[Any, ...]]:
    """Return what is recorded of every incident, without its number."""
    columns = ("asset_id", "rule", "episode", "severity", "state", "opened_ms", "closed_ms", "detail")
    rows = sorted(_all(database, INCIDENTS), key=lambda row: (row["asset_id"], row["rule"], row["episode"]))
    return [tuple(row[name] for name in columns) for row in rows]


def test_an_episode_within_one_batch_is_an_episode(square: Square) -> None:
    """Twice full and emptied in one batch: the episodes, opened and closed at the times of their readings."""
    square.engine.apply([bin_reading(minute, float(fill)) for minute, fill in HISTORY], [], square.at(90))
    found = [
        (rule, (opened - T0_MS) // MINUTE_MS, (closed - T0_MS) // MINUTE_MS)
        for _, rule, _, _, _, opened, closed, _ in incidents_of(square.database)
    ]
    assert found == [("full", 10, 50), ("full", 70, 90), ("overflow", 20, 50)]


@pytest.mark.parametrize("seed", range(12))
def test_incidents_do_not_depend_on_batching(tmp_path: Path, seed: int) -> None:
    """One stream of readings, ordered or not, cut in different ways: the same incidents, states and audit."""
    from alerts.adapters.database import open_database

    rng = random.Random(seed)
    stream: list[Reading] = []
    fills = {f"bin-{k:03}": rng.uniform(40, 90) for k in range(1, 4)}
    for minute in range(0, 400, 10):
        for asset, fill in fills.items():
            fills[asset] = fill + rng.uniform(0, 15) if fill < 110 and rng.random() < 0.8 else rng.uniform(0, 10)
            state = rng.choice(["ok"] * 8 + ["lid-open", "tilted"])
            stream.append(bin_reading(minute, fills[asset], asset=asset, state=state))
        stream.append(air_reading(minute, rng.uniform(20, 90)))
    if seed % 2:  # late ones and repeats, as after an outage
        stream += rng.sample(stream, 10)
        for _ in range(20):
            stream.insert(rng.randrange(len(stream)), stream.pop(rng.randrange(len(stream))))
    results = []
    for k, size in enumerate((1, 3, 17, len(stream))):
        opened = open_database(f"sqlite:///{tmp_path}/{k}.sqlite3")
        square = Square(opened)
        for start in range(0, len(stream), size):
            square.engine.apply(stream[start : start + size], [], square.at(400))
        audit = [(line["action"], line["detail"]) for line in _all(opened, AUDIT)]
        results.append((incidents_of(opened), square.desk.bins(square.at(400)), audit))
        opened.close()
    assert len(results[0][0]) > 5
    assert all(result == results[0] for result in results)


def test_a_claim_is_verified_by_the_first_reading_that_agrees(square: Square) -> None:
    """Emptied and full again within one batch: the task is verified, and both episodes of full are there."""
    square.read(0, bin_reading(0, 92.0))
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(1))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(2))
    square.engine.apply([bin_reading(10, 5.0), bin_reading(20, 93.0)], [], square.at(20))
    (task,) = square.tasks(20)
    assert (task["state"], task["fill_after_pct"]) == ("verified", 5.0)
    full = [one for one in incidents_of(square.database) if one[1] == "full"]
    assert [(one[4], one[5]) for one in full] == [("closed", square.at(0)), ("open", square.at(20))]


def test_late_readings_make_history_and_no_work(square: Square) -> None:
    """A full reading that is 16 min old when it comes opens an incident and sends nobody; a fresh one does."""
    square.read(16, bin_reading(0, 92.0))
    assert (square.rules_of("bin-001"), square.tasks(16)) == (["full"], [])
    assert square.engine.tally.late == 1
    square.read(20, bin_reading(20, 93.0))
    assert [task["state"] for task in square.tasks(20)] == ["assigned"]


def test_crews_are_never_given_more_than_they_can_carry(database: Database) -> None:
    """Nine full bins, two crews with two tasks each: four assigned, five wait and say why; the worst go first."""
    square = Square(database, square_plan(9))
    square.read(0, *[bin_reading(0, 86.0 + 2 * k, asset=f"bin-{k:03}") for k in range(1, 10)])
    tasks = square.tasks(0)
    assigned = [task for task in tasks if task["state"] == "assigned"]
    assert sorted(task["crew_id"] for task in assigned) == ["pagi-1", "pagi-1", "pagi-2", "pagi-2"]
    assert {task["asset_id"] for task in assigned} >= {"bin-007", "bin-008", "bin-009"}  # 100, 102, 104 %
    waiting = [task["waiting_reason"] for task in tasks if task["state"] == "open"]
    assert waiting == ["crews-busy"] * 5
    crews = square.desk.crews(square.at(0))
    assert [crew["open_tasks"] for crew in crews] == [2, 2]
    square.desk.accept_task(assigned[0]["id"], assigned[0]["crew_id"], square.at(1))
    square.desk.claim_task(assigned[0]["id"], assigned[0]["crew_id"], square.at(2))
    square.tick(2)  # a claimed task waits for the sensor, its crew is free again
    assert len([task for task in square.tasks(2) if task["state"] == "assigned"]) == 4


def test_outside_its_hours_a_bin_waits(database: Database) -> None:
    """Closed until 09:30: the task waits with the reason, and goes out when the window opens."""
    square = Square(database, square_plan(hours=ServiceHours(closed=(Window(480, 570),))))
    square.read(0, bin_reading(0, 92.0))
    assert [task["waiting_reason"] for task in square.tasks(0)] == ["outside-service-hours"]
    square.tick(29)
    assert [task["state"] for task in square.tasks(29)] == ["open"]
    square.read(30, bin_reading(30, 93.0))
    assert [(task["state"], task["waiting_reason"]) for task in square.tasks(30)] == [("assigned", None)]


def test_nobody_on_shift_then_the_next_shift(database: Database) -> None:
    """At 19:00 nobody works: the task waits; crews of the shift that ended get nothing."""
    square = Square(database)
    square.read(600, bin_reading(600, 92.0))
    assert [task["waiting_reason"] for task in square.tasks(600)] == ["no-crew-on-shift"]


def test_a_shift_that_ends_gives_its_work_back(database: Database) -> None:
    """Assigned in the morning, not accepted at 11:30: cancelled, and a new task goes to the afternoon crew."""
    square = Square(database, square_plan(crews=[("pagi-1", "pagi"), ("siang-1", "siang")]))
    square.read(120, bin_reading(120, 92.0))
    assert [task["crew_id"] for task in square.tasks(120)] == ["pagi-1"]
    square.read(150, bin_reading(150, 93.0))
    tasks = square.tasks(150)
    assert [(task["state"], task["crew_id"]) for task in tasks] == [("cancelled", "pagi-1"), ("assigned", "siang-1")]


def test_work_that_nobody_accepts_goes_to_another_crew(square: Square) -> None:
    """Not accepted for 15 min: back to open and at once given to the other crew; a late tap of the first is refused."""
    square.read(0, bin_reading(0, 92.0))
    square.tick(14.9)
    assert [(task["state"], task["crew_id"]) for task in square.tasks(14)] == [("assigned", "pagi-1")]
    square.tick(15)
    (task,) = square.tasks(15)
    assert (task["state"], task["crew_id"], task["assigned_ms"]) == ("assigned", "pagi-2", square.at(15))
    assert task["due_ms"] == square.at(75)
    assert square.engine.tally.tasks_returned == 1
    lines = [line for line in _all(square.database, AUDIT) if line["entity"] == f"task:{task['id']}"]
    assert [line["action"] for line in lines] == ["task.open", "task.assigned", "task.open", "task.assigned"]
    assert lines[2]["detail"]["why"] == "not accepted by pagi-1"
    with pytest.raises(TaskConflict):
        square.desk.accept_task(task["id"], "pagi-1", square.at(16))


def test_who_let_work_lie_comes_last_also_after_a_restart(database: Database) -> None:
    """Crew 1 let it lie, then crew 2: crew 1 is asked again, and the order is in the store."""
    square = Square(database)
    square.read(0, bin_reading(0, 92.0))
    square.tick(15)
    square.restart(16)
    square.tick(30)
    assert [(task["state"], task["crew_id"]) for task in square.tasks(30)] == [("assigned", "pagi-1")]
    assert [row["passed_over"] for row in _all(database, TASKS)] == [["pagi-1", "pagi-2"]]


def test_accepted_work_is_not_taken_away(square: Square) -> None:
    """A crew that said yes keeps its task past the due time."""
    square.read(0, bin_reading(0, 92.0))
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(14))
    for minute in range(15, 90, 5):
        square.tick(minute)
    assert [(one["state"], one["crew_id"]) for one in square.tasks(90)] == [("accepted", task["crew_id"])]


def test_in_the_handover_a_crew_gets_nothing_new(database: Database) -> None:
    """At 11:20 the morning crew finishes what it has; the task waits ten minutes for the next shift."""
    square = Square(database, square_plan(crews=[("pagi-1", "pagi"), ("siang-1", "siang")]))
    square.read(140, bin_reading(140, 92.0))
    assert [task["waiting_reason"] for task in square.tasks(140)] == ["crews-busy"]
    square.read(150, bin_reading(150, 92.0))
    assert [task["crew_id"] for task in square.tasks(150)] == ["siang-1"]


def test_the_nearest_crew_is_sent(database: Database) -> None:
    """Crew 2 was sent to bin 4: bin 5 is its neighbour, although crew 1 is free and comes first by name."""
    square = Square(database, square_plan(5))
    square.read(0, bin_reading(0, 92.0, asset="bin-001"), bin_reading(0, 92.0, asset="bin-002"))
    square.read(1, bin_reading(1, 92.0, asset="bin-004"))
    assert [task["crew_id"] for task in square.tasks(1)] == ["pagi-1", "pagi-1", "pagi-2"]
    for task in square.tasks(1)[:2]:
        square.desk.accept_task(task["id"], "pagi-1", square.at(2))
        square.desk.claim_task(task["id"], "pagi-1", square.at(3))
    square.read(4, bin_reading(4, 92.0, asset="bin-005"))
    assert square.tasks(4)[-1]["crew_id"] == "pagi-2"


def test_a_crew_is_where_it_was_sent(square: Square) -> None:
    """Nobody shares a position: crew 1 was sent to bin 3, 100 m from bin 2; crew 2 waits at the depot, 200 m away."""
    square.read(0, bin_reading(0, 92.0, asset="bin-003"))
    square.read(1, bin_reading(1, 92.0, asset="bin-002"))
    assert [task["crew_id"] for task in square.tasks(1)] == ["pagi-1", "pagi-1"]


def test_a_silent_device_has_an_owner_and_is_over_when_it_speaks(square: Square) -> None:
    """Three intervals of 10 min: nothing at 30 min, an incident after, closed by the next reading."""
    square.read(0, bin_reading(0, 40.0))
    square.tick(30)
    assert ("bin-001", "silent") not in square.rules()
    square.tick(30.1)
    (incident,) = [one for one in square.desk.incidents() if one["asset_id"] == "bin-001"]
    assert (incident["rule"], incident["severity"], incident["detail"]["owner"]) == ("silent", "warning", "teknisi")
    assert [b["silent"] for b in square.desk.bins(square.at(31)) if b["asset_id"] == "bin-001"] == [True]
    square.tick(60.1)
    assert [one["severity"] for one in square.desk.incidents() if one["asset_id"] == "bin-001"] == ["major"]
    square.read(62, bin_reading(62, 41.0), tick=False)
    assert ("bin-001", "silent") not in square.rules()
    assert [b["silent"] for b in square.desk.bins(square.at(62)) if b["asset_id"] == "bin-001"] == [False]


def test_a_longer_interval_that_a_node_announced_is_no_silence(square: Square) -> None:
    """Planned 10 min, announced 30 min: quiet is silence after 90 min, not after 30, and it survives a restart."""
    square.read(0, bin_reading(0, 40.0))
    square.engine.apply([], [Status("rsk-001", "status", square.at(0), 7, interval_s=1800)], square.at(0))
    square.restart(1)
    square.tick(89)
    assert ("bin-001", "silent") not in square.rules()
    assert [b["stale"] for b in square.desk.bins(square.at(59)) if b["asset_id"] == "bin-001"] == [False]
    square.tick(90.1)
    assert ("bin-001", "silent") in square.rules()


def test_no_node_can_announce_its_silence_away(square: Square) -> None:
    """Announced 24 h counts as 4 h, so quiet is silence after 12 h; a shorter one than planned counts as planned."""
    square.read(0, bin_reading(0, 40.0))
    square.read(0, bin_reading(0, 40.0, asset="bin-002"))
    statuses = [
        Status("rsk-001", "status", square.at(0), 7, interval_s=86_400),
        Status("rsk-002", "status", square.at(0), 7, interval_s=60),
    ]
    square.engine.apply([], statuses, square.at(0))
    square.tick(29)
    assert ("bin-002", "silent") not in square.rules()
    square.tick(12 * 60 - 1)
    assert ("bin-001", "silent") not in square.rules()
    square.tick(12 * 60 + 1)
    assert ("bin-001", "silent") in square.rules()


def test_a_device_that_never_spoke_becomes_silent(square: Square) -> None:
    """Known since minute 0 and never heard: silent after three intervals."""
    square.tick(31)
    assert ("bin-002", "silent") in square.rules()


def test_no_mass_alarm_when_the_clock_jumps(square: Square) -> None:
    """With the mark of a jump nobody is silent; without it everybody would be."""
    square.read(0, *[bin_reading(0, 40.0, asset=f"bin-{k:03}") for k in (1, 2, 3)], air_reading(0, 10.0))
    square.tick(1000, expected_from_ms=square.at(1000))
    square.tick(1000, may_judge_silence=False)
    assert square.rules() == []
    square.tick(1000)
    assert len(square.rules()) == 4


def test_a_silent_gateway_makes_one_incident_and_no_silent_devices(database: Database) -> None:
    """Two hours without a batch: one incident for the technician, 21 devices are not called silent, a claim waits."""
    square = Square(database, square_plan(20))
    square.read(0, *[bin_reading(0, 92.0 if k == 1 else 20.0, asset=f"bin-{k:03}") for k in range(1, 21)])
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(1))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(2))
    square.tick(2, gateway=GatewaySign("gw-utama", square.at(2), False))
    for minute in range(3, 120):
        square.tick(minute, gateway=GatewaySign("gw-utama", square.at(2), True))
    assert square.rules() == [("bin-001", "full"), ("gw-utama", "gateway-silent")]
    (incident,) = [one for one in square.desk.incidents() if one["rule"] == "gateway-silent"]
    assert (incident["severity"], incident["opened_ms"], incident["detail"]) == (
        "major",
        square.at(3),
        {"last_ms": square.at(2), "owner": "teknisi"},
    )
    assert [one["state"] for one in square.tasks(119)] == ["claimed"]
    back = {"gateway": GatewaySign("gw-utama", square.at(120), False), "expected_from_ms": square.at(120)}
    square.tick(120, **back)
    assert square.rules() == [("bin-001", "full")]
    square.tick(134, **back | {"gateway": GatewaySign("gw-utama", square.at(134), False)})
    assert [one["state"] for one in square.tasks(134)] == ["claimed"]
    square.tick(151, **back | {"gateway": GatewaySign("gw-utama", square.at(151), False)})
    assert len([rule for _, rule in square.rules() if rule == "silent"]) == 21
    assert [one["state"] for one in square.tasks(151)] == ["unverified"]


def test_a_silent_gateway_is_remembered_over_a_restart(square: Square) -> None:
    """The incident outlives the engine, stays one, and closes when whichever gateway is heard; ids are kept."""
    silent = GatewaySign(None, None, True)
    square.tick(1, gateway=silent)
    assert square.rules() == [("gateway", "gateway-silent")]  # none was ever heard here
    square.restart(2)
    square.tick(2, gateway=silent)
    square.tick(3, gateway=GatewaySign(None, None, None))
    assert square.rules() == [("gateway", "gateway-silent")]
    square.tick(4, gateway=GatewaySign("gw-utama", square.at(4), False), expected_from_ms=square.at(4))
    assert square.rules() == []
    assert [row["gateway"] for row in _all(square.database, CURSORS)] == ["gw-utama"]
    square.restart(5)
    square.tick(6, gateway=silent, may_judge_silence=False)
    assert square.rules() == [("gw-utama", "gateway-silent")]


def test_a_replay_of_years_keeps_up_and_stays_quiet(square: Square) -> None:
    """Daily readings of two years in steps: no silence for a device that reports each step, one state at the end."""
    plan = square_plan(1, stations=0, interval_s=86_400)
    square.plan = plan
    square.restart(0)
    day = 24 * 60
    for k in range(730):
        square.read(k * day, bin_reading(k * day, float(k % 80), seq=k + 1))
    assert square.rules() == []
    assert "silent" not in {one["rule"] for one in _all(square.database, INCIDENTS)}


def test_a_full_bin_that_turns_faulty_stays_open_and_is_not_full(square: Square) -> None:
    """Readings of a broken sensor are no evidence: full stays as it was, level unknown, fault opened."""
    square.read(0, bin_reading(0, 92.0))
    square.read(10, bin_reading(10, 110.0, state="sensor-fault"))
    square.read(20, bin_reading(20, 110.0, state="sensor-fault"))
    assert square.rules_of("bin-001") == ["fault", "full"]
    (bin_,) = [one for one in square.desk.bins(square.at(20)) if one["asset_id"] == "bin-001"]
    assert (bin_["level"], bin_["fill_pct"], bin_["state"]) == ("unknown", None, "sensor-fault")


def test_a_heap_in_the_blind_zone_is_work_for_a_crew(square: Square) -> None:
    """78 %, then obstructed twice: overflow without a number, a task, no fault; emptied, the sensor verifies it."""
    square.read(0, bin_reading(0, 78.0))
    square.read(10, bin_reading(10, None, state="obstructed"))
    assert square.rules_of("bin-001") == []
    square.read(20, bin_reading(20, None, state="obstructed"))
    assert square.rules_of("bin-001") == ["full", "overflow"]
    (bin_,) = [one for one in square.desk.bins(square.at(20)) if one["asset_id"] == "bin-001"]
    assert (bin_["level"], bin_["fill_pct"], bin_["state"]) == ("overflow", None, "obstructed")
    (task,) = square.tasks(20)
    assert (task["state"], task["fill_before_pct"]) == ("assigned", None)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(21))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(25))
    square.read(30, bin_reading(30, 4.0))
    assert [one["state"] for one in square.tasks(30)] == ["verified"]
    assert square.rules_of("bin-001") == []


def test_two_crews_that_find_no_heap_make_it_a_fault(square: Square) -> None:
    """A leaf on the sensor of a bin at 78 %: the second claim that no reading bears out calls the technician."""
    square.read(0, bin_reading(0, 78.0))
    for minute in (10, 20):
        square.read(minute, bin_reading(minute, None, state="obstructed"))
    for minute in (30, 100):  # the bin rests for half an hour after a claim that failed
        (task,) = [one for one in square.tasks(minute) if one["state"] == "assigned"]
        assert "fault" not in square.rules_of("bin-001")
        square.desk.accept_task(task["id"], task["crew_id"], square.at(minute + 1))
        square.desk.claim_task(task["id"], task["crew_id"], square.at(minute + 2))
        for later in range(minute + 10, minute + 70, 10):
            square.read(later, bin_reading(later, None, state="obstructed"))
    assert square.rules_of("bin-001") == ["fault", "full", "overflow"]
    (bin_,) = [one for one in square.desk.bins(square.at(160)) if one["asset_id"] == "bin-001"]
    assert (bin_["level"], bin_["state"]) == ("unknown", "obstructed")
    assert [one["state"] for one in square.tasks(160) if one["state"] in {"open", "assigned"}] == []
    square.restart(161)
    square.tick(162)
    assert square.rules_of("bin-001") == ["fault", "full", "overflow"]


def test_episodes_count_up(square: Square) -> None:
    """Full, emptied, full again: two incidents, episodes 1 and 2, never two open at once."""
    for minute, fill in [(0, 90.0), (10, 5.0), (20, 6.0), (30, 90.0), (40, 5.0), (50, 5.0)]:
        square.read(minute, bin_reading(minute, fill))
    found = [one for one in _all(square.database, INCIDENTS) if one["rule"] == "full"]
    assert [(one["episode"], one["state"]) for one in found] == [(1, "closed"), (2, "closed")]
    assert found[0]["closed_ms"] <= found[1]["opened_ms"]


def test_a_restart_goes_on_where_it_was(square: Square) -> None:
    """Stopped between two readings, a new engine ends with the same states, incidents and tasks as one that ran on."""
    readings = [bin_reading(10 * k, 60.0 + 6 * k) for k in range(12)] + [air_reading(5 * k, 30.0) for k in range(24)]
    readings.sort(key=lambda one: one.ts_ms)
    square.read(0, *readings[:1])
    for k, reading in enumerate(readings[1:]):
        minute = (reading.ts_ms - T0_MS) / MINUTE_MS
        if k % 4 == 0:
            square.restart(minute)
        square.read(minute, reading)
    bins, air = square.desk.bins(square.at(120)), square.desk.air(square.at(120))
    assert [one["fill_rate_pct_h"] for one in bins if one["asset_id"] == "bin-001"] == [pytest.approx(36.0)]
    assert len([task for task in square.tasks(120) if task["state"] == "assigned"]) == 1
    square.restart(120)
    assert (square.desk.bins(square.at(120)), square.desk.air(square.at(120))) == (bins, air)


def test_a_failed_transaction_is_not_remembered(square: Square, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails at the end of a turn: memory is dropped, and after a load the same readings count again."""
    square.read(0, bin_reading(0, 40.0))
    from alerts.turn import Turn

    def fail(_turn: Turn) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Turn, "finish", fail)
        with pytest.raises(OSError, match="disk full"):
            square.engine.apply([bin_reading(10, 92.0)], [], square.at(10))
    assert not square.engine.is_loaded
    assert square.rules() == []
    square.engine.load(square.at(10))
    square.read(10, bin_reading(10, 92.0))
    assert square.rules() == [("bin-001", "full")]
    assert square.engine.tally.readings == 2


def test_every_step_is_audited_and_in_the_table(square: Square) -> None:
    """The audit of a task is a path through the table of steps, each with who and when."""
    square.read(0, bin_reading(0, 92.0))
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(1))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(2))
    square.read(10, bin_reading(10, 5.0))
    lines = [line for line in _all(square.database, AUDIT) if line["entity"] == f"task:{task['id']}"]
    states = [line["action"].removeprefix("task.") for line in lines]
    assert states == ["open", "assigned", "accepted", "claimed", "verified"]
    assert all(new in TASK_STEPS[old] for old, new in pairwise(states))
    assert [line["who"] for line in lines] == ["engine", "engine", "crew:pagi-1", "crew:pagi-1", "engine"]


def test_the_change_log_rebuilds_the_map(square: Square) -> None:
    """A map that applies every change to an empty picture ends with the snapshot."""
    for minute, fill in [(0, 70.0), (10, 92.0), (20, 104.0), (30, 5.0), (40, 6.0)]:
        square.read(minute, bin_reading(minute, fill), bin_reading(minute, fill / 2, asset="bin-002"))
    picture: dict[tuple[str, str], Any] = {}
    for change in square.desk.changes_since(0).changes:
        picture[change.kind, change.entity_id] = change.payload
    snapshot = square.desk.snapshot(square.at(40))
    for bin_ in snapshot.bins:
        if bin_["ts_ms"] is not None:
            assert picture["bin", bin_["asset_id"]] == bin_
    assert {key[1]: view for key, view in picture.items() if key[0] == "task"} == {
        str(task["id"]): task for task in snapshot.tasks
    }
    closed = [view for key, view in picture.items() if key[0] == "incident" and view["state"] == "closed"]
    assert len(closed) == len([key for key in picture if key[0] == "incident"]) - len(snapshot.incidents)


def test_devices_tell_when_they_were_last_heard(square: Square) -> None:
    """A reading and a status message are signs of life; a last will is not."""
    square.engine.apply([bin_reading(5, 40.0)], [], square.at(5))
    statuses = [
        Status(
            "rsk-002",
            "status",
            square.at(6),
            7,
            fw="1.2.0",
            battery_mv=3600,
            rssi_dbm=-70,
            queue=3,
            dropped=1,
            days_left=140,
            reset="watchdog",
            crash="OSError node.py:talk",
            ota="trial",
        ),
        Status("rsk-003", "will", square.at(6), 7),
        Status("stranger", "status", square.at(6), 7),
    ]
    square.engine.apply([], statuses, square.at(6))
    devices = {one["id"]: one for one in square.desk.devices(square.at(6))}
    assert (devices["rsk-001"]["last_seen_ms"], devices["rsk-001"]["battery_mv"]) == (square.at(5), 3700)
    assert (devices["rsk-002"]["last_seen_ms"], devices["rsk-002"]["firmware"]) == (square.at(6), "1.2.0")
    assert (devices["rsk-002"]["queue"], devices["rsk-002"]["dropped"]) == (3, 1)
    assert (devices["rsk-002"]["days_left"], devices["rsk-002"]["crash"]) == (140, "OSError node.py:talk")
    assert (devices["rsk-002"]["reset"], devices["rsk-002"]["ota"]) == ("watchdog", "trial")
    assert devices["rsk-003"]["last_seen_ms"] is None
    assert "stranger" not in devices
    square.restart(7)
    assert {one["id"]: one for one in square.desk.devices(square.at(6))} == devices


def test_links_are_written_once_for_the_owner_only(database: Database, tmp_path: Path) -> None:
    """Each crew gets a working link at the first start; restarts, also without the file, keep them."""
    import json

    links = tmp_path / "secrets" / "crew-links.json"
    square = Square(database, links=links)
    tokens = json.loads(links.read_text())
    assert sorted(tokens) == ["pagi-1", "pagi-2"]
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    assert square.desk.crew_by_token(tokens["pagi-2"], square.at(0))["id"] == "pagi-2"
    links.unlink()
    square.plan = square_plan(crews=[("pagi-1", "pagi"), ("siang-1", "siang")])
    square.restart(1)
    assert sorted(json.loads(links.read_text())) == ["siang-1"]
    assert square.desk.crew_by_token(tokens["pagi-1"], square.at(1))["id"] == "pagi-1"
    assert [crew["id"] for crew in square.desk.crews(square.at(1))] == ["pagi-1", "siang-1"]


def test_an_asset_that_leaves_the_plan_leaves_the_map(square: Square) -> None:
    """Its incident closes, its task is cancelled, its device is retired; what happened stays in the store."""
    square.read(0, bin_reading(0, 92.0, asset="bin-003"))
    square.plan = square_plan(2)
    square.restart(1)
    square.tick(1)
    assert [one["asset_id"] for one in square.desk.bins(square.at(1))] == ["bin-001", "bin-002"]
    assert square.rules() == []
    assert [task["state"] for task in square.tasks(1)] == ["cancelled"]
    assert {one["id"]: one["status"] for one in _all(square.database, DEVICES)}["rsk-003"] == "retired"


def test_a_claim_of_a_bin_that_left_the_plan_is_cancelled(square: Square) -> None:
    """No sensor will ever speak for it: cancelled at the next look, and nothing stays open."""
    square.read(0, bin_reading(0, 92.0, asset="bin-003"))
    (task,) = square.tasks(0)
    square.desk.accept_task(task["id"], task["crew_id"], square.at(1))
    square.desk.claim_task(task["id"], task["crew_id"], square.at(2))
    square.plan = square_plan(2)
    square.restart(3)
    square.tick(3)
    assert [one["state"] for one in square.tasks(3)] == ["cancelled"]
    assert _all(square.database, AUDIT)[-1]["detail"]["why"] == "bin left the plan"


def test_links_are_written_while_the_store_is_free(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk under the links file holds up nobody: meanwhile another writer gets its turn."""
    from alerts import roster

    written = []

    def write(path: Path, links: dict[str, str]) -> None:
        with database.writing() as connection:
            connection.execute(sa.text("SELECT 1"))
        written.append((path, sorted(links)))

    monkeypatch.setattr(roster, "write_links", write)
    Square(database, links=tmp_path / "links.json")
    assert written == [(tmp_path / "links.json", ["pagi-1", "pagi-2"])]


def test_a_crew_without_work_does_not_fill_the_log(square: Square) -> None:
    """An idle square writes nothing: a hundred ticks add no line."""
    square.read(0, bin_reading(0, 40.0))
    before = square.desk.last_event_id()
    for k in range(100):
        square.tick(k / 60)
    assert square.desk.last_event_id() == before


def test_pruning_keeps_the_newest_lines_and_a_day_of_air(square: Square) -> None:
    """The change log is cut by count, hourly sums by age; the cut is known to readers."""
    for k in range(40):
        square.read(k * 60, air_reading(k * 60, 10.0), tick=False)
    square.engine.prune(keep_changes=5)
    assert len(square.desk.changes_since(square.desk.last_event_id() - 5).changes) == 5
    assert square.desk.changes_since(0).reset


@pytest.mark.parametrize("seed", range(3))
def test_random_days_never_break_the_promises(database: Database, seed: int) -> None:
    """Random fills, faults, taps, delays, restarts: steps of the table only, capacity kept, one episode, one task."""
    rng = random.Random(seed)
    square = Square(database, square_plan(5, crews=[("pagi-1", "pagi"), ("siang-1", "siang"), ("siang-2", "siang")]))
    fills = {f"bin-{k:03}": rng.uniform(0, 80) for k in range(1, 6)}
    held: list[Reading] = []
    for minute in range(0, 420, 10):
        readings: list[Reading] = []
        for asset, fill in fills.items():
            fills[asset] = fill + rng.uniform(0, 12) if fill < 115 and rng.random() > 0.12 else rng.uniform(0, 10)
            state = rng.choice(["ok"] * 9 + ["obstructed", "lid-open"])
            readings.append(bin_reading(minute, fills[asset], asset=asset, state=state))
        late = [one for one in readings if rng.random() < 0.2]
        readings = [one for one in readings if one not in late] + held + rng.sample(readings, 1)
        held = late
        rng.shuffle(readings)
        square.read(minute, *readings)
        for task in square.tasks(minute):
            if task["state"] == "assigned" and rng.random() < 0.5:
                square.desk.accept_task(task["id"], task["crew_id"], square.at(minute))
            elif task["state"] == "accepted" and rng.random() < 0.5:
                square.desk.claim_task(task["id"], task["crew_id"], square.at(minute))
        if rng.random() < 0.1:
            square.restart(minute)
        _check_promises(square)
    _check_paths(_all(database, AUDIT))


def _check_promises(square: Square) -> None:
    tasks = [one for one in _all(square.database, TASKS) if one["closed_ms"] is None]
    assert len({one["asset_id"] for one in tasks}) == len(tasks)
    for crew_id in {one["crew_id"] for one in tasks if one["crew_id"]}:
        mine = [one for one in tasks if one["crew_id"] == crew_id and one["state"] in {"assigned", "accepted"}]
        assert len(mine) <= POLICY.max_open_tasks
    incidents = [one for one in _all(square.database, INCIDENTS) if one["state"] != "closed"]
    assert len({(one["asset_id"], one["rule"]) for one in incidents}) == len(incidents)


def _check_paths(lines: Sequence[dict[str, Any]]) -> None:
    paths: dict[str, list[str]] = {}
    for line in lines:
        if line["entity"].startswith("task:"):
            paths.setdefault(line["entity"], []).append(line["action"].removeprefix("task."))
    assert paths
    for states in paths.values():
        assert states[0] == "open"
        assert all(new in TASK_STEPS[old] for old, new in pairwise(states))


def _all(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return fetch(connection, sa.select(table).order_by(*table.primary_key))


def test_an_ispu_appears_after_a_day(square: Square) -> None:
    """24 h of 35 ug/m3 give mean 35 and an indicative ISPU of 74, kept across a restart; hours sum up in the store."""
    for hour in range(25):
        square.engine.apply(
            [air_reading(hour * 60 + 5 * k, 35.0) for k in range(12)], [], T0_MS + hour * HOUR_MS + 59 * MINUTE_MS
        )
        if hour == 12:
            square.restart(hour * 60)
    (air,) = square.desk.air(square.at(24 * 60 + 59))
    assert (air["mean_24h_pm25_ugm3"], air["ispu"], air["ispu_category"]) == (35.0, 74, "sedang")
    assert (air["ispu_parameter"], air["indicative"]) == ("pm25", True)
    assert _all(square.database, ASSET_STATES)[0]["values"]["ispu"] == 74
