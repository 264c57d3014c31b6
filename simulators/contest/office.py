"""An office without a store: the decisions of the alert engine in memory, fast enough for thousands of runs.

The same domain code decides (`alerts.domain`); what the engine writes into tables, change log and audit is left out,
and a bin is judged in full only where the answer can matter: its level is full, or an incident or a task is open. A
test holds the tasks of the real engine against these, reading by reading.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from alerts.domain import estimate, verification
from alerts.domain.dispatch import Work, Worker, give, may_send, take_back, work_of
from alerts.domain.dispatch import plan as plan_work
from alerts.domain.estimate import BinEstimate, BinMemory, Sample
from alerts.domain.incidents import Slot, advance
from alerts.domain.model import CREW_TASK_STATES, TASK_STEPS, Incident, Rule, Task, check_step
from alerts.domain.rules import Verdict, bin_verdicts, silence
from alerts.views import is_stale
from simulators.contest.policy import Belief, CrewReport, CrewView, Observation, Order, Stop
from simulators.contest.square_view import SquareView

BREAK_MS: Final = 120_000
"""Without any reading for so long [ms] the way to the office is taken to be cut; afterwards all waiting begins anew."""
_FULL_RULES: Final[tuple[Rule, ...]] = ("full", "overflow")
_FULL_LEVELS: Final = frozenset(_FULL_RULES)


class BinFile:
    """What the office keeps of one bin.

    Parameters
    ----------
    asset_id
        The bin.
    interval_s
        Report interval of its node [s].
    expected_from_ms
        From when on it could report [ms].
    """

    __slots__ = ("asset_id", "expected_from_ms", "found", "interval_s", "is_late", "is_silent", "memory", "newest_ms")

    def __init__(self, asset_id: str, interval_s: int, expected_from_ms: int) -> None:
        self.asset_id = asset_id
        self.interval_s = interval_s
        self.expected_from_ms = expected_from_ms
        self.memory = BinMemory()
        self.found: BinEstimate | None = None
        self.newest_ms: int | None = None
        self.is_late = False
        self.is_silent = False


class Office:
    """Bins, incidents and tasks of one square.

    Parameters
    ----------
    square
        The plan.
    now_ms
        Beginning [ms].
    """

    def __init__(self, square: SquareView, now_ms: int) -> None:
        self.square = square
        self.now_ms = now_ms
        self.bins = {
            asset_id: BinFile(asset_id, square.asset(asset_id).interval_s, now_ms) for asset_id in square.volumes_l
        }
        self.incidents: dict[Slot, Incident] = {}
        self.tasks: dict[int, Task] = {}
        """Active tasks by number, oldest first."""
        self.closed: list[Task] = []
        """Of a run: what became of every task."""
        self._episodes: dict[Slot, int] = {}
        self._by_asset: dict[str, Task] = {}
        self._doubted_ms: dict[str, int] = {}
        self._next_id = 1
        self._heard_ms = now_ms
        self._expected_from_ms = 0
        self._shown: dict[str, tuple[Stop, ...]] = {}

    # ------------------------------------------------------------------ readings

    def observe(self, seen: Observation) -> None:
        """Take a reading and judge its bin at once."""
        file = self.bins.get(seen.asset)
        if file is None:
            return
        now_ms = seen.arrived_ms
        if now_ms - self._heard_ms > BREAK_MS:
            self._expected_from_ms = now_ms
        self._heard_ms = max(self._heard_ms, now_ms)
        rules = self.square.rules
        sample = Sample(seen.ts_ms, seen.seq, seen.boot, seen.fill_pct, seen.state, seen.distance_mm)
        if not estimate.take(file.memory, sample, rules):
            return
        file.found = None
        if file.memory.tip.last is sample:
            file.newest_ms = seen.ts_ms
            file.is_late = now_ms - seen.ts_ms > rules.late_s * 1000
        is_open = (seen.asset, "full") in self.incidents or (seen.asset, "overflow") in self.incidents
        may_be_full = file.memory.tip.level in _FULL_LEVELS or estimate.is_heaped(file.memory, rules)
        if is_open or may_be_full or seen.asset in self._by_asset:
            self.now_ms = max(self.now_ms, now_ms)
            self._judge(file)

    def _judge(self, file: BinFile) -> None:
        """Open and close incidents by what is known, and ask the sensor about the task of the bin."""
        for verdict in bin_verdicts(self.known(file), self.square.rules):
            if verdict.rule in _FULL_RULES:
                self._advance(file.asset_id, verdict)
        task = self._by_asset.get(file.asset_id)
        if task is not None:
            self._settle(task, self._outcome(task, file, self.now_ms, 0), file, may_give_up=False)

    def known(self, file: BinFile) -> BinEstimate:
        """Return what is known of a bin that has reported."""
        if file.found is None:
            file.found = estimate.estimate(file.memory, self.square.rules)
            assert file.found is not None
        return file.found

    def _advance(self, asset_id: str, verdict: Verdict) -> None:
        step = advance(asset_id, verdict, self.incidents, self._episodes)
        if step is None:
            return
        slot = (asset_id, verdict.rule)
        if step.what == "closed":
            del self.incidents[slot]
        else:
            self.incidents[slot] = step.incident
            self._episodes[slot] = step.incident.episode

    # ------------------------------------------------------------------ crews

    def report(self, said: CrewReport) -> None:
        """Take what a crew did with a task."""
        task = None if said.stop is None or said.stop.task_id is None else self.tasks.get(said.stop.task_id)
        if task is None or task.crew_id != said.crew_id:
            return
        if said.kind == "accepted" and task.state == "assigned":
            task.state, task.accepted_ms = "accepted", said.arrived_ms
        elif said.kind == "claimed" and task.state == "accepted":
            task.state, task.claimed_ms = "claimed", said.arrived_ms

    # ------------------------------------------------------------------ tasks

    def settle(self, now_ms: int, crews: Sequence[CrewView]) -> None:
        """Do what time alone brings to tasks: verification, ends of shifts, orders that nobody accepted."""
        self.now_ms = now_ms
        heard_ms = now_ms if now_ms - self._heard_ms <= BREAK_MS else self._heard_ms
        for task in list(self.tasks.values()):
            file = self.bins[task.asset_id]
            self._settle(task, self._outcome(task, file, heard_ms, self._expected_from_ms), file, may_give_up=True)
        shifts = {crew.crew_id: crew for crew in crews}
        for task in list(self.tasks.values()):
            if task.state in CREW_TASK_STATES and task.crew_id is not None:
                self._release(task, shifts.get(task.crew_id))

    def _release(self, task: Task, crew: CrewView | None) -> None:
        is_gone = crew is None or (
            not crew.is_on_shift and (task.state == "assigned" or self.square.plan.has_left(crew.shift, self.now_ms))
        )
        if is_gone:
            self._close(task, "cancelled")
        else:
            take_back(task, self.now_ms, self.square.rules)

    def want(self, also: Iterable[str] = ()) -> None:
        """Make a task for every full bin that has none, and for the bins of `also` whatever their level."""
        full = [slot[0] for slot, _ in sorted(self.incidents.items(), key=lambda item: item[1].opened_ms)]
        for asset_id in full:
            if self._may_send(asset_id, is_early=False):
                self._add(asset_id, "empty")
        for asset_id in also:
            if self._may_send(asset_id, is_early=True):
                self._add(asset_id, "early")

    def _may_send(self, asset_id: str, *, is_early: bool) -> bool:
        """Whether somebody may be sent to a bin: heard of lately, no task, no claim in doubt."""
        file, rules = self.bins[asset_id], self.square.rules
        if asset_id in self._by_asset or file.newest_ms is None:
            return False
        if self._doubted_ms.get(asset_id, 0) > self.now_ms - rules.redispatch_s * 1000:
            return False
        return may_send(
            self.known(file),
            newest_ms=file.newest_ms,
            is_late=file.is_late,
            interval_s=file.interval_s,
            now_ms=self.now_ms,
            policy=rules,
            is_early=is_early,
        )

    def _add(self, asset_id: str, kind: str) -> None:
        task = Task(
            asset_id=asset_id,
            kind=kind,
            state="open",
            created_ms=self.now_ms,
            id=self._next_id,
            fill_before_pct=self.known(self.bins[asset_id]).fill_pct,
        )
        self.tasks[self._next_id] = self._by_asset[asset_id] = task
        self._next_id += 1

    def _outcome(self, task: Task, file: BinFile, now_ms: int, expected_from_ms: int) -> verification.Outcome | None:
        found = self.known(file)
        return verification.outcome(
            task,
            good_ms=found.good_ms,
            fill_pct=found.fill_pct,
            emptied_ms=found.emptied_ms,
            interval_s=file.interval_s,
            now_ms=now_ms,
            policy=self.square.rules,
            expected_from_ms=expected_from_ms,
        )

    def _settle(self, task: Task, said: verification.Outcome | None, file: BinFile, *, may_give_up: bool) -> None:
        if said == "verified" or (said == "unverified" and may_give_up):
            self._close(task, said)
            if said == "verified":
                self._close_full(file)
            else:
                self._doubt(task, file)
        elif said is None and task.state != "claimed" and not self._is_wanted(task, file):
            self._close(task, "cancelled")

    def _doubt(self, task: Task, file: BinFile) -> None:
        """Hold a claim without a witness against a heap that only an obstructed sensor speaks for."""
        self._doubted_ms[task.asset_id] = self.now_ms
        if task.claimed_ms is not None and self.known(file).is_heaped:
            estimate.doubt(file.memory, task.claimed_ms)
            file.found = None
            self._judge(file)

    def _close_full(self, file: BinFile) -> None:
        found = self.known(file)
        if file.newest_ms is None or found.fill_pct is None or found.fill_pct > self.square.rules.full_clear_pct:
            return
        for rule in _FULL_RULES:
            self._advance(file.asset_id, Verdict(rule, holds=False, at_ms=file.newest_ms))

    def _is_wanted(self, task: Task, file: BinFile) -> bool:
        if task.kind == "early" or any((task.asset_id, rule) in self.incidents for rule in _FULL_RULES):
            return True
        return self.known(file).is_dropping

    def _close(self, task: Task, state: str) -> None:
        task.state = check_step(TASK_STEPS, task.state, state)
        task.closed_ms = self.now_ms
        assert task.id is not None
        del self.tasks[task.id], self._by_asset[task.asset_id]
        self.closed.append(task)

    # ------------------------------------------------------------------ dispatch

    def dispatch(self, crews: Sequence[CrewView]) -> None:
        """Give open tasks to crews on shift, as the engine does."""
        waiting = {task.id: task for task in self.tasks.values() if task.state == "open" and task.id is not None}
        if not waiting:
            return
        rules = self.square.rules
        loads = self._loads()
        last = {task.crew_id: task.asset_id for task in sorted(self.tasks.values(), key=_assigned)}
        workers = [
            Worker(
                crew.crew_id,
                self._place(crew.crew_id, last.get(crew.crew_id)),
                # In the handover a crew finishes what it has.
                max(loads[crew.crew_id], rules.max_open_tasks) if crew.is_leaving else loads[crew.crew_id],
            )
            for crew in sorted(crews)
            if crew.is_on_shift
        ]
        plan = plan_work(
            [self._work(task) for task in waiting.values()],
            workers,
            walk=self.square.walks.distance_m,
            centre=self.square.plan.base,
            now_ms=self.now_ms,
            policy=rules,
        )
        for assignment in plan.assignments:
            give(waiting[assignment.task_id], assignment, self.now_ms)

    def _loads(self) -> Counter[str]:
        """Tasks in hand by crew."""
        return Counter(t.crew_id for t in self.tasks.values() if t.state in CREW_TASK_STATES and t.crew_id is not None)

    def _place(self, crew_id: str, last_asset: str | None) -> tuple[float, float]:
        return self.square.homes[crew_id] if last_asset is None else self.square.asset(last_asset).place

    def _work(self, task: Task) -> Work:
        return work_of(
            task,
            self.known(self.bins[task.asset_id]),
            place=self.square.asset(task.asset_id).place,
            is_serviceable=self.square.is_open("empty", task.asset_id, self.now_ms / 1000),
            policy=self.square.rules,
        )

    def orders(
        self,
        crews: Sequence[CrewView],
        *,
        idle: Callable[[CrewView], tuple[Stop, ...]],
        sequence: Callable[[CrewView, list[Task]], list[Task]],
    ) -> list[Order]:
        """Return the orders of crews whose list changed.

        Parameters
        ----------
        crews
            All crews.
        idle
            What a crew on shift does without tasks.
        sequence
            Puts the tasks of a crew, oldest first, in the order in which it shall do them.
        """
        in_hand: dict[str, list[Task]] = {crew.crew_id: [] for crew in crews}
        for task in self.tasks.values():
            if task.state in CREW_TASK_STATES and task.crew_id in in_hand:
                in_hand[task.crew_id].append(task)
        found: list[Order] = []
        for crew in crews:
            tasks = in_hand[crew.crew_id]
            stops = tuple(Stop("empty", task.asset_id, task.id) for task in sequence(crew, tasks))
            if not stops and crew.is_on_shift and not crew.is_leaving:
                stops = idle(crew)
            is_done = bool(stops) and not crew.ahead  # the same zone once more
            if is_done or stops != self._shown.get(crew.crew_id, ()):
                self._shown[crew.crew_id] = stops
                found.append(Order(crew.crew_id, stops))
        return found

    # ------------------------------------------------------------------ belief

    def believe(self, now_ms: int) -> list[Belief]:
        """Return what is believed of each bin, silence judged as of the last sign of the way to the office."""
        rules = self.square.rules
        heard_ms = now_ms if now_ms - self._heard_ms <= BREAK_MS else self._heard_ms
        beliefs: list[Belief] = []
        for file in self.bins.values():
            since_ms = file.expected_from_ms if file.newest_ms is None else file.newest_ms
            if not file.is_silent:
                since_ms = max(since_ms, self._expected_from_ms)
            file.is_silent = bool(silence(since_ms, file.interval_s, heard_ms, rules).holds)
            if file.newest_ms is None:
                beliefs.append(Belief(file.asset_id, None, "unknown", is_silent=file.is_silent))
                continue
            found = self.known(file)
            beliefs.append(
                Belief(
                    asset=file.asset_id,
                    fill_pct=found.fill_pct,
                    level=found.level,
                    as_of_ms=file.newest_ms,
                    p10_ms=found.full.p10_ms,
                    p50_ms=found.full.at_ms,
                    p90_ms=found.full.p90_ms,
                    emptied_ms=found.emptied_ms,
                    is_stale=is_stale(file.newest_ms, file.interval_s, now_ms),
                    is_silent=file.is_silent,
                    is_faulty=any(one.holds for one in bin_verdicts(found, rules) if one.rule == "fault"),
                )
            )
        return beliefs


def by_age(crew: CrewView, tasks: list[Task]) -> list[Task]:  # noqa: ARG001 - a sequence of `Office.orders`
    """Leave tasks as the crew's page lists them: oldest first."""
    return tasks


def _assigned(task: Task) -> int:
    return task.assigned_ms or 0
