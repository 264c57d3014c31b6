"""The alert process: batches of the gateways in, decisions out, acknowledged after the commit.

It reads the same batches as ingest through an MQTT session of its own, so a time-series store that is down
pauses no decision. The order that loses nothing::

    decode -> one transaction: states, incidents, change log, cursor -> MQTT ack, in order of arrival

What the broker lost is read from the time-series store, as soon as that answers. Several processes may run for one
site: one holds its seat and decides, see :mod:`alerts.standby`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from alerts.adapters.database import Database, open_database
from alerts.adapters.seat import open_seat
from alerts.catchup import missed
from alerts.engine import SERVICE, Engine
from alerts.errors import AlertsError, DatabaseError
from alerts.plan import SquarePlan, policy_of
from alerts.settings import AlertsSettings
from alerts.standby import DATABASE_NAME, Standby
from alerts.timekeeping import Timekeeper
from firmware import wire
from ingest.decode import Batch, BatchError, decode_batch
from ingest.errors import StoreError, StoreRefused
from ingest.readings import Reading, Status
from ingest.store import TimeSeriesStore
from ingest.stores import open_store
from square.clock import Clock, now_ms, open_clock
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable, SquareError
from square.health import Health, HealthServer
from square.mqtt import Delivery, MqttConnection
from square.outage import Outage
from square.process import EXIT_FAULT, EXIT_OK, EXIT_SETTINGS, stop_on_signals
from square.registry import Registry
from square.settings import read_secret
from square.site import load_site

_log = logging.getLogger(__name__)

INBOUND_LIMIT: Final = 64
"""Batches that may wait in memory: up to 500 rows each; the rest waits at the broker."""
BEAT_EVERY_S: Final = 2.0
PRUNE_EVERY_S: Final = 60.0
CATCH_UP_RETRY_S: Final = 30.0
CATCH_UP_AGAIN_S: Final = 60.0
"""A second look [s] after the first: what the broker lost may still have been on its way into the store."""
STALLED_AFTER_S: Final = 120.0
"""Nothing decided for this long [s] is a fault of the engine: the dead man's switch."""


class AlertService:
    """The loop of the alert process, for as long as it holds the seat of its site.

    Parameters
    ----------
    engine : Engine
        Decides.
    registry : Registry
        Places rows, as in ingest.
    connection : MqttConnection
        Subscribed, manual ack, a session of its own.
    store : TimeSeriesStore
        For catching up.
    clock : Clock
        Square time.
    settings : AlertsSettings
        Pace and limits.
    stop : threading.Event
        Ends the loop.
    check_seat : Callable[[], None]
        Raises :class:`~alerts.errors.SeatLost` once another engine may decide.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        registry: Registry,
        connection: MqttConnection,
        store: TimeSeriesStore,
        clock: Clock,
        settings: AlertsSettings,
        stop: threading.Event,
        check_seat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._connection = connection
        self._store = store
        self._clock = clock
        self._settings = settings
        self._stop = stop
        self._check_seat = check_seat
        self._time = Timekeeper(clock, time.monotonic())
        self._sessions_lost = 0
        self._catch_up_at_s: float | None = 0.0
        self._looks_left = 2
        self._next_tick_s = 0.0
        self._next_beat_s = 0.0
        self._next_prune_s = time.monotonic() + PRUNE_EVERY_S
        self._decided_s = time.monotonic()
        self._database_outage = Outage(DATABASE_NAME, stop, expects=DatabaseError)
        self._store_fault = ""
        self._is_idle = False
        self.batches = 0
        self.bad_batches = 0
        self.dead_rows = 0
        self.caught_up = 0

    # ------------------------------------------------------------------ life

    def serve(self) -> int:
        """Work until stopped and return the exit code: a fault when this process hears nothing more.

        Raises
        ------
        BrokerRefused
            If the broker refuses our credentials at the start.
        SeatLost
            If another engine may decide now: nothing was written since.
        """
        if not self._persist(self._load):
            return EXIT_OK
        self._connection.start()  # first, so that the broker keeps what comes while we catch up
        try:
            self._connection.wait_connected(5.0)
        except BrokerUnavailable as error:
            _log.warning("%s", error)
        while not self._stop.is_set():
            if self._connection.is_deaf():
                _log.error("nothing more is heard from %s: ending, to be started again", self._connection.endpoint)
                return EXIT_FAULT
            self._catch_up_if_due()
            self._take_deliveries()
            self._tick_if_due()
        return EXIT_OK

    def _load(self) -> None:
        self._engine.load(self._time.now_ms(time.monotonic()))

    def _persist(self, action: Callable[[], None]) -> bool:
        """Do ``action`` until the relational store takes it; False when asked to stop meanwhile.

        A disk that is full or a password that was changed is waited for, too: what is in hand is not acknowledged, so
        nothing is lost, and a person can repair it without a restart.
        """

        def act() -> None:
            try:
                if not self._engine.is_loaded and action != self._load:
                    self._load()
                action()
            except DatabaseError:
                self._check_seat()  # who cannot reach the store may have lost it meanwhile
                raise

        return self._database_outage.complete(act)

    # ------------------------------------------------------------------ readings

    def _take_deliveries(self) -> None:
        wait_s = max(0.01, min(self._next_tick_s - time.monotonic(), self._settings.tick_s))
        readings: list[Reading] = []
        statuses: list[Status] = []
        group: list[Delivery] = []
        delivery = self._connection.get(wait_s)
        while delivery is not None:
            group.append(delivery)
            batch = self._read(delivery)
            if batch is not None:
                readings += [placed.reading for placed in batch.readings]
                statuses += [status for _, status in batch.statuses]
            if len(readings) + len(statuses) >= self._settings.max_readings:
                break
            delivery = self._connection.get()
        self._is_idle = not group
        if not group:
            return
        if (readings or statuses) and not self._persist(lambda: self._apply(readings, statuses)):
            return
        for done in group:
            self._connection.ack(done)

    def _read(self, delivery: Delivery) -> Batch | None:
        """Decode a batch as ingest does. What ingest buries is not looked at here, and never stops the others."""
        self.batches += 1
        self._time.heard(delivery.topic.split("/")[3], time.monotonic())  # also when the rest cannot be read
        try:
            batch = decode_batch(delivery.payload, self._registry, delivery.topic)
        except BatchError as error:
            self.bad_batches += 1
            _log.warning("batch on %s is left to ingest: %s", delivery.topic, error)
            return None
        except Exception:  # noqa: BLE001 - a fault of ours must not stop the flow of the others
            self.bad_batches += 1
            _log.exception("a batch on %s could not be read", delivery.topic)
            return None
        self.dead_rows += len(batch.dead)
        return batch

    def _apply(self, readings: list[Reading], statuses: list[Status]) -> None:
        wall_s = time.monotonic()
        for reading in readings:
            self._time.saw(reading.ts_ms, wall_s)
        self._engine.apply(readings, statuses, self._time.now_ms(wall_s))

    # ------------------------------------------------------------------ catching up

    def _catch_up_if_due(self) -> None:
        if self._connection.session_lost != self._sessions_lost:
            self._sessions_lost = self._connection.session_lost
            self._catch_up_at_s, self._looks_left = 0.0, 2
        if self._catch_up_at_s is None or time.monotonic() < self._catch_up_at_s:
            return
        self._catch_up_at_s = None
        try:
            self._catch_up()
        except StoreError as error:
            if str(error) != self._store_fault:
                _log.warning("catching up waits: %s", error)
            self._store_fault = str(error)
            self._catch_up_at_s = time.monotonic() + CATCH_UP_RETRY_S
        else:
            self._store_fault = ""
            self._looks_left -= 1
            if self._looks_left > 0:
                self._catch_up_at_s = time.monotonic() + CATCH_UP_AGAIN_S

    def _catch_up(self) -> None:
        self._store.prepare()
        before = self.caught_up
        to_ms = now_ms(self._clock)
        for chunk in missed(self._store, self._registry.site, now_ms=to_ms, max_h=self._settings.catch_up_max_h):
            if not self._persist(lambda chunk=chunk: self._apply(chunk, [])):  # type: ignore[misc]
                return
            self.caught_up += len(chunk)
            self._beat_if_due()
        if self.caught_up > before:
            _log.info("compared %d readings of the time-series store", self.caught_up - before)

    # ------------------------------------------------------------------ time

    def _tick_if_due(self) -> None:
        wall_s = time.monotonic()
        if wall_s < self._next_tick_s:
            return
        self._next_tick_s = wall_s + self._settings.tick_s
        is_backlog_empty = self._is_idle and self._connection.waiting == 0
        self._persist(lambda: self._tick(is_backlog_empty=is_backlog_empty))
        self._decided_s = time.monotonic()
        if wall_s >= self._next_prune_s:
            self._next_prune_s = wall_s + PRUNE_EVERY_S
            self._persist(lambda: self._engine.prune(keep_changes=self._settings.keep_changes))

    def _tick(self, *, is_backlog_empty: bool) -> None:
        wall_s = time.monotonic()
        self._engine.tick(
            self._time.now_ms(wall_s),
            expected_from_ms=self._time.expected_from_ms,
            may_judge_silence=self._time.may_judge_silence(wall_s, is_backlog_empty=is_backlog_empty),
            may_give_up=is_backlog_empty,
            gateway=self._time.gateway(wall_s, is_backlog_empty=is_backlog_empty),
            beat=self._beat_detail() if wall_s >= self._next_beat_s else None,
        )
        if wall_s >= self._next_beat_s:
            self._next_beat_s = wall_s + BEAT_EVERY_S

    def _beat_if_due(self) -> None:
        wall_s = time.monotonic()
        if wall_s >= self._next_beat_s:
            self._next_beat_s = wall_s + BEAT_EVERY_S
            self._decided_s = wall_s
            self._persist(lambda: self._engine.beat(self._time.now_ms(wall_s), self._beat_detail()))

    def _beat_detail(self) -> tuple[float, dict[str, Any]]:
        health = self.health()
        return time.time(), {"ok": health.ok, "reason": health.reason, "counts": health.counts}

    # ------------------------------------------------------------------ health

    def health(self) -> Health:
        """Return what the health page shows. Called from another thread; only reads."""
        faults = [str(self._database_outage)]
        if not self._connection.is_healthy():
            faults.append(f"no answer from the broker at {self._connection.endpoint}")
        stalled_s = time.monotonic() - self._decided_s
        if stalled_s > STALLED_AFTER_S:
            faults.append(f"nothing was decided for {stalled_s:.0f} s: restart the alert engine")
        fault = "; ".join(text for text in faults if text)
        # A time-series store that is down pauses no decision: said, but no fault.
        reason = fault or (f"catching up waits: {self._store_fault}" if self._store_fault else "")
        engine = self._engine
        age_s = -1.0 if not engine.event_ms else max(0.0, round(self._clock.now_s() - engine.event_ms / 1000, 1))
        tally = engine.tally
        return Health(
            SERVICE,
            not fault,
            reason,
            {
                **{name: getattr(tally, name) for name in tally.__struct_fields__},
                "batches": self.batches,
                "bad_batches": self.bad_batches,
                "dead_rows": self.dead_rows,
                "caught_up": self.caught_up,
                "transactions": engine.transactions,
                "waiting": self._connection.waiting,
                "assets": engine.assets,
                "silent": engine.silent,
                "decided_age_s": round(stalled_s, 1),
                "session_lost": self._connection.session_lost,
                "cursor_age_s": age_s,
            },
        )


def run(settings: AlertsSettings, stop: threading.Event | None = None) -> int:
    """Run the alert engine until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : AlertsSettings
        Checked settings.
    stop : threading.Event | None
        Ends the run when set; for callers that are not the main thread and get no signals.

    Returns
    -------
    int
        0 after a stop, 1 after a fault, 2 when settings, site, store or broker need a person.
    """
    stop = stop or threading.Event()
    stop_on_signals(stop)
    try:
        return _run(settings, stop)
    except (SquareError, AlertsError, StoreRefused) as error:
        _log.error("%s", error)
        return EXIT_SETTINGS
    except Exception:  # noqa: BLE001 - the top loop: leave a trace and a non-zero exit code
        _log.exception("the alert engine ends because of a fault")
        return EXIT_FAULT


def _run(settings: AlertsSettings, stop: threading.Event) -> int:
    site = load_site(settings.site)
    clock = open_clock(settings.clock_file)
    endpoint = MqttEndpoint.from_settings(settings, SERVICE)
    secret = read_secret(settings.store_token_file)
    open_store(
        settings.store_url, secret=secret, read_only=True
    ).close()  # a wrong address is said now, not at a takeover
    policy = policy_of(site, max_open_tasks=settings.max_open_tasks, ispu_top=settings.ispu_top)
    registry = Registry.from_site(site)
    seat = open_seat(settings.database_url, site.id)

    @contextmanager
    def term(database: Database) -> Iterator[AlertService]:
        """Build what decides, for the time of one seat: sessions and memory begin anew with each."""
        connection = MqttConnection(
            endpoint,
            f"{SERVICE}-{site.id}",
            inbound_limit=INBOUND_LIMIT,
            probe_topic=wire.topic_probe(site.id, SERVICE),
        )
        connection.subscribe(f"resik/{site.id}/gw/+/batch")
        store = open_store(settings.store_url, secret=secret, read_only=True)
        plan = SquarePlan.from_site(site)
        try:
            yield AlertService(
                engine=Engine(database, plan, policy, links_file=settings.crew_links_file, check_seat=seat.check),
                registry=registry,
                connection=connection,
                store=store,
                clock=clock,
                settings=settings,
                stop=stop,
                check_seat=seat.check,
            )
        finally:
            connection.stop()
            store.close()

    standby = Standby(
        seat, lambda: open_database(settings.database_url, checkpoints=True), term, service=SERVICE, stop=stop
    )
    health = HealthServer(settings.health_port, standby.health)
    try:
        return standby.serve()
    finally:
        health.close()
