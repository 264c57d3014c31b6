"""One turn of the engine: decisions inside one transaction, written together at its end."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from alerts.adapters.ledger import Ledger, Row
from alerts.adapters.log import add_audit, add_changes
from alerts.domain import verification
from alerts.domain.dispatch import Work, Worker, give, may_send, take_back, work_of
from alerts.domain.dispatch import plan as plan_work
from alerts.domain.incidents import Slot, advance
from alerts.domain.model import CREW_TASK_STATES, TASK_STEPS, Rule, Task, check_step
from alerts.domain.policy import Policy
from alerts.domain.rules import Verdict, gateway_silence, silence
from alerts.plan import SquarePlan
from alerts.tally import Tally
from alerts.timekeeping import GatewaySign
from alerts.tracked import Tracked
from alerts.views import View, crew_view, incident_view, task_view

ENGINE = "engine"
_FULL_RULES: tuple[Rule, ...] = ("full", "overflow")
_RULES_OF_THE_SITE: tuple[Rule, ...] = ("gateway-silent",)


class Turn:
    """Decisions of one transaction.

    Parameters
    ----------
    ledger : Ledger
        Rows of the site, inside a writing transaction.
    plan, policy : SquarePlan, Policy
        The site and its thresholds.
    tracked : Mapping[str, Tracked]
        Assets by id.
    episodes : dict[tuple[str, str], int]
        Last episode by asset and rule; advanced here.
    now_ms : int
        The instant at which to judge [ms].
    """

    def __init__(
        self,
        ledger: Ledger,
        plan: SquarePlan,
        policy: Policy,
        *,
        tracked: Mapping[str, Tracked],
        episodes: dict[Slot, int],
        now_ms: int,
    ) -> None:
        self.tally = Tally()
        self._ledger = ledger
        self._plan = plan
        self._policy = policy
        self._tracked = tracked
        self._episodes = episodes
        self.now_ms = now_ms
        self._incidents = ledger.incidents()
        self._tasks = ledger.active_tasks()
        self._changed: dict[str, Tracked] = {}
        self._changes: list[Row] = []
        self._audit: list[Row] = []

    # ------------------------------------------------------------------ incidents

    def judge(self, asset: Tracked) -> None:
        """Evaluate an asset that has just taken a reading, and ask its sensor about its task."""
        self._changed[asset.plan.id] = asset
        before_ms = None if asset.estimate is None else asset.estimate.emptied_ms
        verdicts = asset.evaluate(self._policy)
        if asset.estimate is not None and asset.estimate.emptied_ms not in {None, before_ms}:
            self._note_emptying(asset)
        for verdict in verdicts:
            self._advance(asset.plan.id, verdict)
        if asset.is_silent:
            self.judge_silence(asset, heard_ms=self.now_ms, expected_from_ms=0)
        for task in [task for task in self._tasks if task.asset_id == asset.plan.id]:
            self._settle(task, self._outcome(task, asset, self.now_ms, 0), asset, may_give_up=False)

    def _note_emptying(self, asset: Tracked) -> None:
        found = asset.estimate
        assert found is not None
        detail = {"at_ms": found.emptied_ms, "before_pct": found.emptied_before_pct, "after_pct": found.fill_pct}
        self._note("bin.emptied", f"bin:{asset.plan.id}", detail | {"source": "sensor"})

    def judge_silence(self, asset: Tracked, *, heard_ms: int, expected_from_ms: int) -> None:
        """Judge whether an asset had been quiet too long when its gateway was heard last, at ``heard_ms``.

        Nobody is for longer than since ``expected_from_ms``.
        """
        since_ms = asset.expected_from_ms if asset.newest is None else asset.newest[0]
        if not asset.is_silent:
            since_ms = max(since_ms, expected_from_ms)
        verdict = silence(since_ms, asset.interval_s, heard_ms, self._policy)
        if asset.plan.device_id is None:
            verdict = Verdict("silent", holds=False, at_ms=self.now_ms)
        self._advance(asset.plan.id, verdict)
        if asset.is_silent != verdict.holds:
            asset.is_silent = bool(verdict.holds)
            self._changed[asset.plan.id] = asset

    def close_orphans(self) -> None:
        """Close what is open about assets that the plan no longer has."""
        gone = [slot for slot in self._incidents if slot[0] not in self._tracked and slot[1] not in _RULES_OF_THE_SITE]
        for asset_id, rule in gone:
            self._advance(asset_id, Verdict(cast("Rule", rule), holds=False, at_ms=self.now_ms))

    def judge_gateway(self, sign: GatewaySign, gateway_id: str) -> None:
        """Open or close the one incident that says that nothing comes from the gateway."""
        if sign.is_silent is None:
            return
        verdict = gateway_silence(sign.heard_ms, self.now_ms, is_silent=sign.is_silent)
        standing = [asset_id for asset_id, rule in self._incidents if rule == verdict.rule]
        for asset_id in standing or [gateway_id]:
            self._advance(asset_id, verdict)

    def _advance(self, asset_id: str, verdict: Verdict) -> None:
        if verdict.rule == "soon-full" and verdict.holds and (asset_id, "full") in self._incidents:
            return  # already full: "soon" would be a second message about the same thing
        step = advance(asset_id, verdict, self._incidents, self._episodes)
        if step is None:
            return
        incident = step.incident
        slot = (asset_id, verdict.rule)
        if step.what == "opened":
            self._ledger.add_incident(incident)
            self._episodes[slot] = incident.episode
            self._incidents[slot] = incident
            self.tally.incidents_opened += 1
        else:
            self._ledger.save_incident(incident)
            self._incidents[slot] = incident
            if step.what == "closed":
                del self._incidents[slot]
                self.tally.incidents_closed += 1
        view = incident_view(msgspec.structs.asdict(incident))
        self._record("incident", incident.id, step.what, view)

    # ------------------------------------------------------------------ tasks

    def settle_tasks(self, *, may_give_up: bool, heard_ms: int, expected_from_ms: int) -> None:
        """Ask the sensor about every active task.

        Parameters
        ----------
        may_give_up : bool
            Whether a claim may be called unverified now: not while readings wait to be processed.
        heard_ms, expected_from_ms : int
            Up to when, and from when on, a reading of the sensor could have come [ms].
        """
        for task in list(self._tasks):
            asset = self._tracked.get(task.asset_id)
            if asset is None:
                self._close(task, "cancelled", why="bin left the plan")
            else:
                said = self._outcome(task, asset, heard_ms, expected_from_ms)
                self._settle(task, said, asset, may_give_up=may_give_up)

    def _settle(self, task: Task, said: verification.Outcome | None, asset: Tracked, *, may_give_up: bool) -> None:
        if said == "verified" or (said == "unverified" and may_give_up):
            task.fill_after_pct = asset.fill_pct
            self._close(task, said)
            if said == "verified":
                self._close_full(asset)
            else:
                self._doubt(task, asset)
        elif said is None and task.state != "claimed" and not self._is_wanted(asset):
            self._close(task, "cancelled", why="no longer full")

    def _doubt(self, task: Task, asset: Tracked) -> None:
        """Hold a claim against a heap that only an obstructed sensor speaks for: after two of them it is a fault."""
        if task.claimed_ms is not None and asset.doubt(task.claimed_ms):
            self.judge(asset)

    def _close_full(self, asset: Tracked) -> None:
        """Close what a verified emptying has settled: crew and sensor agree, so no further reading is waited for."""
        if asset.newest is None or asset.fill_pct is None or asset.fill_pct > self._policy.full_clear_pct:
            return
        for rule in _FULL_RULES:
            self._advance(asset.plan.id, Verdict(rule, holds=False, at_ms=asset.newest[0]))

    def _outcome(self, task: Task, asset: Tracked, heard_ms: int, expected_from_ms: int) -> verification.Outcome | None:
        if asset.estimate is None:
            return None
        found = asset.estimate
        return verification.outcome(
            task,
            good_ms=found.good_ms,
            fill_pct=found.fill_pct,
            emptied_ms=found.emptied_ms,
            interval_s=asset.interval_s,
            now_ms=heard_ms,
            policy=self._policy,
            expected_from_ms=expected_from_ms,
        )

    def _is_wanted(self, asset: Tracked) -> bool:
        """Whether an active task still has its reason: an open incident, or a fall that is not yet believed."""
        if any((asset.plan.id, rule) in self._incidents for rule in _FULL_RULES):
            return True
        return asset.estimate is not None and asset.estimate.is_dropping

    def release_shifts(self) -> None:
        """Take back the work of crews whose shift is over; the bin gets a new task for the next shift."""
        crews = {row["id"]: row for row in self._ledger.crews()} if self._tasks else {}
        for task in list(self._tasks):
            if task.state not in CREW_TASK_STATES or task.crew_id is None:
                continue
            row = crews.get(task.crew_id)
            is_gone = row is None or (
                not self._plan.is_on_shift(row["shift"], self.now_ms)
                if task.state == "assigned"
                else self._plan.has_left(row["shift"], self.now_ms)
            )
            if is_gone:
                self._close(task, "cancelled", why="shift over")

    def return_unaccepted(self) -> None:
        """Take back work that its crew let lie, so that somebody else can do it."""
        for task in self._tasks:
            crew_id = take_back(task, self.now_ms, self._policy)
            if crew_id is not None:
                self.tally.tasks_returned += 1
                self._ledger.save_task(task)
                self._announce(task, why=f"not accepted by {crew_id}")

    def want_tasks(self) -> None:
        """Make a task for every full bin that has none, if its newest reading is fresh enough to send somebody."""
        busy = {task.asset_id for task in self._tasks}
        resting: set[str] | None = None
        for (asset_id, rule), incident in sorted(self._incidents.items(), key=lambda item: item[1].opened_ms):
            asset = self._tracked.get(asset_id)
            if rule not in _FULL_RULES or asset_id in busy or asset is None or not self._may_send(asset):
                continue
            if resting is None:
                resting = self._ledger.unverified_since(self.now_ms - self._policy.redispatch_s * 1000)
            if asset_id in resting:
                continue
            task = Task(
                asset_id=asset_id,
                kind="empty",
                state="open",
                created_ms=self.now_ms,
                incident_id=incident.id,
                fill_before_pct=asset.fill_pct,
            )
            self._tasks.append(self._ledger.add_task(task))
            self.tally.tasks_created += 1
            busy.add(asset_id)
            self._announce(task)

    def _may_send(self, asset: Tracked) -> bool:
        if asset.estimate is None or asset.newest is None:
            return False
        return may_send(
            asset.estimate,
            newest_ms=asset.newest[0],
            is_late=asset.is_late,
            interval_s=asset.interval_s,
            now_ms=self.now_ms,
            policy=self._policy,
        )

    def dispatch(self) -> None:
        """Give open tasks to crews on shift."""
        waiting = {task.id: task for task in self._tasks if task.state == "open" and task.id is not None}
        if not waiting:
            return
        loads = self._loads()
        last = {task.crew_id: task.asset_id for task in sorted(self._tasks, key=lambda task: task.assigned_ms or 0)}
        workers = [
            Worker(
                row["id"],
                self._plan.place_of_crew(last.get(row["id"])),
                # In the handover a crew finishes what it has.
                max(loads.get(row["id"], 0), self._policy.max_open_tasks)
                if self._plan.is_leaving(row["shift"], self.now_ms)
                else loads.get(row["id"], 0),
            )
            for row in self._ledger.crews()
            if self._plan.is_on_shift(row["shift"], self.now_ms)
        ]
        plan = plan_work(
            [self._work(task) for task in waiting.values()],
            workers,
            walk=self._plan.walk_m,
            centre=self._plan.base,
            now_ms=self.now_ms,
            policy=self._policy,
        )
        for assignment in plan.assignments:
            task = waiting[assignment.task_id]
            give(task, assignment, self.now_ms)
            self._ledger.save_task(task)
            self.tally.tasks_dispatched += 1
            self._announce(task)
        for task_id, reason in plan.waiting.items():
            task = waiting[task_id]
            if task.waiting_reason != reason:
                task.waiting_reason = reason
                self._ledger.save_task(task)
                self._changes.append(_change("task", str(task.id), self.now_ms, _task(task)))

    def _work(self, task: Task) -> Work:
        asset = self._tracked[task.asset_id]
        return work_of(
            task,
            asset.estimate,
            place=asset.plan.place,
            is_serviceable=self._plan.is_serviceable(task.asset_id, self.now_ms),
            policy=self._policy,
        )

    def _close(self, task: Task, state: str, *, why: str | None = None) -> None:
        task.state = check_step(TASK_STEPS, task.state, state)
        task.closed_ms = self.now_ms
        task.waiting_reason = None
        self._tasks.remove(task)
        self._ledger.save_task(task)
        name = f"tasks_{state}"
        setattr(self.tally, name, getattr(self.tally, name) + 1)
        self._announce(task, why=why)

    # ------------------------------------------------------------------ crews

    def crew_views(self) -> dict[str, View]:
        """Return every crew member as the map shows it."""
        loads = self._loads()
        return {
            row["id"]: crew_view(
                row,
                on_shift=self._plan.is_on_shift(row["shift"], self.now_ms),
                open_tasks=loads.get(row["id"], 0),
            )
            for row in self._ledger.crews()
        }

    def _loads(self) -> dict[str, int]:
        """Tasks in hand by crew."""
        in_hand = (task.crew_id for task in self._tasks if task.state in CREW_TASK_STATES)
        return Counter(crew_id for crew_id in in_hand if crew_id is not None)

    def announce_crew(self, view: View) -> None:
        """Put a crew member into the change log."""
        self._changes.append(_change("crew", view["id"], self.now_ms, view))

    def announce_device(self, view: View) -> None:
        """Put a device into the change log."""
        self._changes.append(_change("device", view["id"], self.now_ms, view))

    # ------------------------------------------------------------------ writing

    def _announce(self, task: Task, *, why: str | None = None) -> None:
        self._record("task", task.id, task.state, _task(task), why=why)

    def _record(self, kind: str, entity_id: int | None, what: str, view: View, *, why: str | None = None) -> None:
        self._changes.append(_change(kind, str(entity_id), self.now_ms, view))
        detail: dict[str, Any] = {"asset_id": view["asset_id"]}
        if why is not None:
            detail["why"] = why
        self._note(f"{kind}.{what}", f"{kind}:{entity_id}", detail)

    def _note(self, action: str, entity: str, detail: dict[str, Any]) -> None:
        self._audit.append({"at_ms": self.now_ms, "who": ENGINE, "action": action, "entity": entity, "detail": detail})

    def finish(self) -> None:
        """Write the states that changed, the change log and the audit."""
        states, hours, shown = [], [], []
        for asset in self._changed.values():
            row = asset.row(self._plan.site_id, self.now_ms)
            states.append(row)
            hours.extend(asset.take_dirty_hours(self._plan.site_id))
            shown.append(_change(asset.plan.kind, asset.plan.id, self.now_ms, asset.view(row, self.now_ms)))
        self._ledger.save_states(states)
        self._ledger.save_air_hours(hours)
        add_changes(self._ledger.connection, self._plan.site_id, [*shown, *self._changes])
        add_audit(self._ledger.connection, self._plan.site_id, self._audit)


def _task(task: Task) -> View:
    return task_view(msgspec.structs.asdict(task))


def _change(kind: str, entity_id: str, now_ms: int, payload: View) -> Row:
    return {"at_ms": now_ms, "kind": kind, "entity_id": entity_id, "payload": payload}
