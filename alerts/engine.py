"""The alert engine of one site: readings in, states, incidents and tasks out, one transaction at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import Connection

from alerts.adapters.database import Database
from alerts.adapters.ledger import Ledger, Row
from alerts.domain.air import KEEP_HOURS
from alerts.domain.incidents import Slot
from alerts.domain.model import HOUR_MS
from alerts.domain.policy import Policy
from alerts.plan import SquarePlan
from alerts.roster import issue_links, sync_crews, sync_devices
from alerts.tally import Tally
from alerts.timekeeping import GatewaySign
from alerts.tracked import Tracked
from alerts.turn import Turn
from alerts.views import View, device_view
from ingest.readings import Reading, Status

SERVICE: Final = "alerts"
UNKNOWN_GATEWAY: Final = "gateway"
"""Stands for the gateway of a site that has never heard one."""
_FOR_PEOPLE: Final = ("battery_mv", "rssi_dbm")


class Engine:
    """Decides for one site.

    Memory is a cache of the store: whenever a transaction fails, :meth:`load` reads it back, so memory never
    knows more than was committed. One process at a time decides for a site: who holds its seat.

    Parameters
    ----------
    database : Database
        The open relational store.
    plan : SquarePlan
        The site.
    policy : Policy
        Its thresholds.
    links_file : Path | None
        Where tokens of new crew members are written.
    check_seat : Callable[[], None]
        Asked in each transaction before anything is written; raises what ends this engine when another one may decide.
    """

    def __init__(
        self,
        database: Database,
        plan: SquarePlan,
        policy: Policy,
        *,
        links_file: Path | None = None,
        check_seat: Callable[[], None] = lambda: None,
    ) -> None:
        self.tally = Tally()
        self.event_ms = 0
        """Newest event time [ms] evaluated and committed, 0 before the first."""
        self.arrived_ms = 0
        self.transactions = 0
        self._database = database
        self._plan = plan
        self._policy = policy
        self._links_file = links_file
        self._check_seat = check_seat
        self._tracked: dict[str, Tracked] = {}
        self._devices: dict[str, Row] = {}
        self._episodes: dict[Slot, int] = {}
        self._crews_shown: dict[str, View] = {}
        self._gateway_id: str | None = None

    @property
    def assets(self) -> int:
        """Bins and air stations that are followed."""
        return len(self._tracked)

    @property
    def silent(self) -> int:
        """Of these, how many said nothing for longer than allowed."""
        return sum(asset.is_silent for asset in list(self._tracked.values()))

    def load(self, now_ms: int) -> None:
        """Bring the store in line with the site folder and read back what is known.

        Raises
        ------
        DatabaseError
            If the store cannot be used; nothing changed then.
        SettingsError
            If the crew links cannot be written.
        """
        self._check_seat()
        with self._database.reading() as connection:
            known = {row["id"] for row in Ledger(connection, self._plan.site_id).all_crews()}
        tokens = issue_links(known, self._plan, self._links_file)
        with self._writing() as connection:
            ledger = Ledger(connection, self._plan.site_id)
            devices = sync_devices(ledger, self._plan)
            sync_crews(ledger, self._plan, tokens)
            tracked = self._load_assets(ledger, devices, now_ms)
            episodes = ledger.last_episodes()
            cursor = ledger.cursor()
            if cursor is None:
                ledger.save_cursor(event_ms=0, arrived_ms=0, updated_ms=now_ms)
        self._tracked, self._devices, self._episodes = tracked, devices, episodes
        self._crews_shown = {}
        self._gateway_id = None if cursor is None else cursor["gateway"]
        self.event_ms, self.arrived_ms = (0, 0) if cursor is None else (cursor["event_ms"], cursor["arrived_ms"])

    def _load_assets(self, ledger: Ledger, devices: Mapping[str, Row], now_ms: int) -> dict[str, Tracked]:
        rows = {row["asset_id"]: row for row in ledger.states()}
        gone = [asset_id for asset_id in rows if asset_id not in self._plan.assets]
        if gone:
            ledger.delete_states(gone)
        newest_ms = max((row["ts_ms"] for row in rows.values() if row["ts_ms"] is not None), default=now_ms)
        hours: dict[str, dict[int, str]] = {}
        for hour in ledger.air_hours(newest_ms - (KEEP_HOURS + 1) * HOUR_MS):
            hours.setdefault(hour["asset_id"], {})[hour["hour_ms"]] = hour["data"]
        tracked: dict[str, Tracked] = {}
        new: list[Row] = []
        for asset in self._plan.assets.values():
            found = Tracked(asset, now_ms)
            if asset.device_id is not None and asset.device_id in devices:
                found.announced_s = devices[asset.device_id]["announced_s"]
            row = rows.get(asset.id)
            if row is not None and row["kind"] == asset.kind:
                found.restore(row, hours.get(asset.id, {}), self._policy)
            else:
                new.append(found.row(self._plan.site_id, now_ms))
            tracked[asset.id] = found
        ledger.save_states(new)
        return tracked

    # ------------------------------------------------------------------ turns

    def apply(self, readings: Sequence[Reading], statuses: Sequence[Status], now_ms: int) -> Tally:
        """Take readings and status messages and decide what follows, in one transaction.

        Readings may come twice and in any order. They are judged one by one, in the order given, so incidents do not
        depend on how readings were put together into batches. Nothing is given to a crew here: see :meth:`tick`.

        Returns
        -------
        Tally
            What this turn did.

        Raises
        ------
        DatabaseError
            If the store failed: nothing was written, memory was read back or is read back by the next
            :meth:`load`, and the caller MUST offer the same readings again.
        """
        heard: dict[str, Row] = {}
        event_ms, arrived_ms = self.event_ms, self.arrived_ms

        def decide(turn: Turn, ledger: Ledger) -> None:
            nonlocal event_ms, arrived_ms
            for reading in readings:
                event_ms, arrived_ms = max(event_ms, reading.ts_ms), max(arrived_ms, reading.arrived_ms)
                self._note_reading(heard, reading)
                self._take(reading, turn)
            for status in statuses:
                self._note_status(heard, status)
            ledger.save_devices(list(heard.values()))
            for status in statuses:
                if status.kind == "status" and status.device in heard:
                    turn.announce_device(device_view(heard[status.device], now_ms))
            ledger.save_cursor(event_ms=event_ms, arrived_ms=arrived_ms, updated_ms=now_ms)

        tally = self._turn(now_ms, decide)
        self._devices.update(heard)
        self.event_ms, self.arrived_ms = event_ms, arrived_ms
        self.tally.add(tally)
        return tally

    def _take(self, reading: Reading, turn: Turn) -> None:
        """Take one reading and judge at once: an episode that begins and ends within one batch is an episode, too."""
        tally = turn.tally
        tally.readings += 1
        asset = self._tracked.get(reading.asset)
        if asset is None:
            tally.unplaced += 1
        elif asset.take(reading, turn.now_ms, self._policy):
            tally.late += turn.now_ms - reading.ts_ms > self._policy.late_s * 1000
            turn.judge(asset)
        else:
            tally.duplicates += 1

    def tick(
        self,
        now_ms: int,
        *,
        expected_from_ms: int = 0,
        may_judge_silence: bool = True,
        may_give_up: bool = True,
        gateway: GatewaySign | None = None,
        beat: tuple[float, dict[str, Any]] | None = None,
    ) -> Tally:
        """Do what time alone brings: silence, verification, shifts, new tasks and dispatch.

        Parameters
        ----------
        now_ms : int
            The instant at which to judge [ms].
        expected_from_ms : int
            Nobody is silent for longer than since here [ms]; see :mod:`alerts.timekeeping`.
        may_judge_silence, may_give_up : bool
            Whether missing readings prove anything now.
        gateway : GatewaySign | None
            What is known of the gateway: devices and claims are judged as of its last batch. None: it is there.
        beat : tuple[float, dict] | None
            Wall time [s] and detail of a sign of life to write.

        Raises
        ------
        DatabaseError
            If the store failed: nothing was written.
        """
        shown = dict(self._crews_shown)
        gateway_id = (gateway and gateway.id) or self._gateway_id
        heard_ms = now_ms if gateway is None else min(now_ms, gateway.heard_ms or 0)

        def decide(turn: Turn, ledger: Ledger) -> None:
            if gateway is not None:
                turn.judge_gateway(gateway, gateway_id or UNKNOWN_GATEWAY)
            if gateway_id is not None and gateway_id != self._gateway_id:
                ledger.save_gateway(gateway_id)
            if may_judge_silence:
                for asset in self._tracked.values():
                    turn.judge_silence(asset, heard_ms=heard_ms, expected_from_ms=expected_from_ms)
            turn.close_orphans()
            turn.settle_tasks(may_give_up=may_give_up, heard_ms=heard_ms, expected_from_ms=expected_from_ms)
            turn.release_shifts()
            turn.return_unaccepted()
            turn.want_tasks()
            turn.dispatch()
            for crew_id, view in turn.crew_views().items():
                if shown.get(crew_id) != view:
                    if crew_id in shown:
                        turn.announce_crew(view)
                    shown[crew_id] = view
            if beat is not None:
                wall_s, detail = beat
                ledger.beat(SERVICE, at_ms=now_ms, wall_s=wall_s, detail=detail)

        tally = self._turn(now_ms, decide)
        self._crews_shown, self._gateway_id = shown, gateway_id
        self.tally.add(tally)
        return tally

    def beat(self, now_ms: int, beat: tuple[float, dict[str, Any]]) -> None:
        """Write a sign of life and nothing else: ``beat`` is wall time [s] and detail."""
        with self._writing() as connection:
            wall_s, detail = beat
            Ledger(connection, self._plan.site_id).beat(SERVICE, at_ms=now_ms, wall_s=wall_s, detail=detail)

    def prune(self, *, keep_changes: int) -> None:
        """Delete what nobody needs any more: old lines of the change log and hourly sums."""
        with self._writing() as connection:
            Ledger(connection, self._plan.site_id).prune(
                keep_changes=keep_changes, air_before_ms=self.event_ms - 2 * KEEP_HOURS * HOUR_MS
            )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield the writing connection of the store, which nobody else has, to whoever holds the seat."""
        with self._database.writing() as connection:
            self._check_seat()
            yield connection

    def _turn(self, now_ms: int, decide: Callable[[Turn, Ledger], None]) -> Tally:
        try:
            with self._writing() as connection:
                ledger = Ledger(connection, self._plan.site_id)
                turn = Turn(
                    ledger,
                    self._plan,
                    self._policy,
                    tracked=self._tracked,
                    episodes=self._episodes,
                    now_ms=now_ms,
                )
                decide(turn, ledger)
                turn.finish()
        except BaseException:
            self._tracked = {}  # memory may know more than the store: useless until load()
            raise
        self.transactions += 1
        return turn.tally

    @property
    def is_loaded(self) -> bool:
        """Whether memory agrees with the store; after a failed turn :meth:`load` MUST come first."""
        return bool(self._tracked) or not self._plan.assets

    # ------------------------------------------------------------------ devices

    def _note_reading(self, heard: dict[str, Row], reading: Reading) -> None:
        row = self._row_of(heard, reading.device)
        if row is None:
            return
        if row["last_seen_ms"] is None or reading.ts_ms >= row["last_seen_ms"]:
            row["last_seen_ms"] = reading.ts_ms
            for name in _FOR_PEOPLE:
                if name in reading.values:
                    row[name] = round(reading.values[name])

    def _note_status(self, heard: dict[str, Row], status: Status) -> None:
        row = self._row_of(heard, status.device)
        if row is None or status.kind != "status":
            return  # a last will is the broker's word about a device, no sign of life
        row["last_seen_ms"] = max(row["last_seen_ms"] or 0, status.arrived_ms)
        said = {
            "battery_mv": status.battery_mv,
            "rssi_dbm": status.rssi_dbm,
            "firmware": status.fw,
            "queue": status.queue,
            "dropped": status.dropped,
            "announced_s": status.interval_s,
            "days_left": status.days_left,
            "reset": status.reset,
            "ota": status.ota,
        }
        row.update({name: value for name, value in said.items() if value is not None})
        row["crash"] = status.crash  # a status without one says that the last start went well
        asset = self._tracked.get(row["asset_id"])
        if asset is not None and status.interval_s is not None:
            asset.announced_s = status.interval_s

    def _row_of(self, heard: dict[str, Row], device_id: str) -> Row | None:
        if device_id not in heard:
            row = self._devices.get(device_id)
            if row is None:
                return None
            heard[device_id] = dict(row)
        return heard[device_id]
