"""The ingest worker: batches from the gateways into the time-series store, acknowledged after it accepted them.

The order for every group of batches, and the only one that loses nothing::

    store.write  ->  dead letters committed  ->  application ack to the gateway  ->  MQTT ack, in order of arrival

The worker keeps no state. Killed anywhere in that order it gets the batches again, and writing them again changes
nothing. While the store is down nothing is acknowledged: the gateways' spools hold the readings.
"""

import gc
import logging
import random
import threading
import time

import msgspec

from firmware import wire
from ingest.ahead import Ahead
from ingest.deadletter import DeadLetter, DeadLetterStore, SqliteDeadLetters
from ingest.decode import Batch, BatchError, decode_batch
from ingest.errands import Errands
from ingest.errors import StoreError, StoreRefused
from ingest.readings import Placed, Reading
from ingest.refused import DeadRow
from ingest.replay import Replay
from ingest.rollup import LateMarks
from ingest.rollup_task import RollUpTask
from ingest.settings import IngestSettings
from ingest.store import PointSink, WriteResult
from ingest.stores import open_store
from ingest.trace import Trace
from square.clock import Clock, now_ms, open_clock
from square.endpoint import MqttEndpoint
from square.errors import BrokerRefused, BrokerUnavailable, SettingsError, SiteError
from square.health import Health, HealthServer
from square.metrics import histogram
from square.mqtt import Delivery, MqttConnection
from square.outage import Outage
from square.process import EXIT_FAULT, EXIT_OK, EXIT_SETTINGS, stop_on_signals
from square.registry import Registry
from square.settings import read_secret

_log = logging.getLogger(__name__)

SERVICE = "ingest"
INBOUND_LIMIT = 2000
"""Batches that may wait in memory. MUST exceed the broker's in-flight window (1,000): a lower limit would cut the
connection in the middle of a redelivery, and as nothing of it was acknowledged, again and again."""
PURGE_EVERY_S = 3600.0
POLL_S = 0.5


class Pending(msgspec.Struct):
    """One delivery on its way through the store."""

    delivery: Delivery
    batch: Batch | None
    letters: list[DeadLetter]
    dead_ids: list[int]
    rows: int = 0

    @property
    def points(self) -> int:
        """How many points it wants to write."""
        return len(self.batch.readings) if self.batch is not None else 0


class Worker:
    """Takes deliveries, has them stored, and answers for them.

    Parameters
    ----------
    registry : Registry
        Devices of the site.
    store : PointSink
        Where points go.
    letters : DeadLetterStore
        Where everything else goes.
    connection : MqttConnection
        Subscribed, manual ack.
    clock : Clock
        Square time, for dead letters.
    settings : IngestSettings
        Linger, batch size, trace file.
    errands : Errands | None
        What people ask about dead letters, done between two batches.
    rollups : RollUpTask | None
        Runs beside the work, from when the store is ready until the end.
    stop : threading.Event | None
        Ends the work when set, as :meth:`stop` does.
    rng : random.Random | None
        For the jitter of the backoff.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        store: PointSink,
        letters: DeadLetterStore,
        connection: MqttConnection,
        clock: Clock,
        settings: IngestSettings,
        errands: Errands | None = None,
        rollups: RollUpTask | None = None,
        stop: threading.Event | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._registry = registry
        self._store = store
        self._letters = letters
        self._connection = connection
        self._clock = clock
        self._settings = settings
        self._errands = errands
        self._rollups = rollups
        self._trace = Trace(settings.trace_file)
        self._stopping = stop or threading.Event()
        self._store_outage = Outage("time-series store", self._stopping, rng=rng)
        self._letters_outage = Outage("dead-letter store", self._stopping, rng=rng)
        self._ahead = Ahead(self._read_next, settings.max_points, self._stopping)
        self._taken = self._settled = self._rows_answered = 0
        self._last_write_s: float | None = None
        self._next_purge_s = 0.0
        self.batches = 0
        self.heartbeats = 0
        self.rows_taken = 0
        self.rows = 0
        self.stored = 0
        self.dead_lettered = 0
        self.status_rows = 0
        self.bad_batches = 0
        self.acks_unsent = 0
        self.latencies = histogram("resik_ingest_arrival_to_stored_seconds")
        self.write_sizes = histogram("resik_ingest_write_points")

    # -- life ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the loop to end; what is not stored by then stays with broker and gateway."""
        self._stopping.set()

    def prepare(self) -> bool:
        """Make both stores ready, waiting for one that is down.

        Returns
        -------
        bool
            False when asked to stop meanwhile.

        Raises
        ------
        StoreRefused
            If a setting is wrong: at the start that is for the operator at once.
        """
        for outage, prepare in (
            (self._letters_outage, self._letters.prepare),
            (self._store_outage, self._store.prepare),
        ):
            if not outage.complete(prepare, raise_refused=True):
                return False
        return True

    def serve(self) -> int:
        """Connect, work until :meth:`stop`, let go of everything, and return the exit code of the process."""
        try:
            if not self.prepare():
                return EXIT_OK
            if self._rollups is not None:
                self._rollups.start()
            self._connection.start()
            self._wait_for_broker()
            self.work()
            if not self._stopping.is_set():
                return EXIT_FAULT
        except (StoreRefused, BrokerRefused) as error:
            _log.error("%s", error)
            return EXIT_SETTINGS
        except Exception:  # noqa: BLE001 - the top loop: leave a trace and a non-zero exit code
            _log.exception("ingest ends because of a fault")
            return EXIT_FAULT
        else:
            return EXIT_OK
        finally:
            self._connection.stop()
            if self._rollups is not None:
                self._rollups.stop()
            if self._errands is not None:
                self._errands.close()
            self._store.close()
            self._letters.close()
            self._trace.close()

    def _wait_for_broker(self) -> None:
        while not self._stopping.is_set():
            try:
                self._connection.wait_connected(5.0)
            except BrokerUnavailable as error:
                _log.warning("%s", error)
            else:
                return

    def work(self) -> None:
        """Take and settle deliveries until :meth:`stop`, or until the connection has gone deaf."""
        self._ahead.start()
        try:
            while not self._stopping.is_set():
                if self._connection.is_deaf():
                    _log.error(
                        "the connection to %s is deaf: ingest ends, to be started again", self._connection.endpoint
                    )
                    return
                group = self.collect()
                if group:
                    self.settle(group)
                if self._errands is not None:
                    self._errands.step()
                self._purge()
        finally:
            self._ahead.stop()

    def collect(self) -> list[Pending]:
        """Wait for deliveries and gather them for at most ``linger_ms`` or until ``max_points`` are together."""
        return self._ahead.take(POLL_S, self._settings.linger_ms / 1000)

    def _read_next(self) -> Pending | None:
        """Wait for a delivery and decode it."""
        delivery = self._connection.get(POLL_S)
        if delivery is None:
            return None
        self._taken += 1
        return self._read(delivery)

    def _read(self, delivery: Delivery) -> Pending:
        """Decode a delivery; whatever is in it, this never raises."""
        try:
            batch = decode_batch(delivery.payload, self._registry, delivery.topic)
            gateway = wire.parse_topic(delivery.topic)[1]
        except BatchError as error:
            return self._bad_batch(delivery, error.code, error.reason)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the flow of the others
            _log.exception("a batch on %s could not be read", delivery.topic)
            return self._bad_batch(delivery, "bad-batch", f"{type(error).__name__}: {error}")
        if batch.gateway != gateway:
            reason = f"the topic says {gateway}, the batch says {batch.gateway[:40]!r}"
            return self._bad_batch(delivery, "bad-batch", reason)
        letters = [_letter_of(dead) for dead in batch.dead]
        self.rows_taken += batch.rows
        return Pending(delivery, batch, letters, [d.row_id for d in batch.dead if d.row_id is not None], batch.rows)

    def _bad_batch(self, delivery: Delivery, code: str, reason: str) -> Pending:
        self.bad_batches += 1
        _log.error("batch on %s not accepted, its rows stay with the gateway: %s", delivery.topic, reason)
        # The gateway repeats it every 30 s with another sent_ms: one letter for each gateway, with a count.
        letter = DeadLetter("", delivery.topic, code, reason, delivery.payload, same_as=delivery.topic)
        return Pending(delivery, None, [letter], [])

    # -- settling -----------------------------------------------------------------------------

    def settle(self, group: list[Pending]) -> None:
        """Store a group of deliveries, then answer for each in order of arrival."""
        readings = _readings_of(group)
        if readings and not self._write(group, readings):
            return
        letters = [letter for pending in group for letter in pending.letters]
        if letters and not self._letters_outage.complete(lambda: self._letters.put(letters, now_ms(self._clock))):
            return
        for pending in group:
            self._answer(pending)
        self._settled += len(group)

    def _write(self, group: list[Pending], readings: list[Reading]) -> bool:
        """Write the readings of a group; those that the store refuses become dead letters."""
        result = self._store_outage.persist(lambda: self._store.write(readings))
        if result is None:
            return False
        self._last_write_s = time.monotonic()
        self._measure(readings)
        if result.rejected:
            self._bury(group, result)
            readings = _readings_of(group)
        self._trace.write(readings)
        return True

    def _measure(self, readings: list[Reading]) -> None:
        """Note how long readings took from their arrival at the gateway, in wall time, and how many were written."""
        self.write_sizes.observe((len(readings),))
        speed = self._clock.speed()
        if speed > 0:  # a replay's clock stands: it says nothing about waiting
            at_ms, per_s = now_ms(self._clock), 1000 * speed
            self.latencies.observe([(at_ms - reading.arrived_ms) / per_s for reading in readings])

    def _bury(self, group: list[Pending], result: WriteResult) -> None:
        """Move the readings that the store rejected from stored to dead."""
        rejected = {r.index: r for r in result.rejected}
        index = 0
        for pending in group:
            if pending.batch is None:
                continue
            kept: list[Placed] = []
            for placed in pending.batch.readings:
                found = rejected.get(index)
                index += 1
                if found is None:
                    kept.append(placed)
                    continue
                reason = f"{found.code}: {found.reason}"
                raw = msgspec.json.encode(placed.reading)
                of = placed.reading
                topic = pending.delivery.topic
                letter = DeadLetter(
                    of.device, topic, "store-rejected", reason, raw, boot=of.boot, seq=of.seq, kind="reading"
                )
                pending.letters.append(letter)
                pending.dead_ids.append(placed.row_id)
            pending.batch.readings = kept

    def _answer(self, pending: Pending) -> None:
        """Send the application ack, then let the broker forget the delivery."""
        batch = pending.batch
        if batch is not None and batch.rows == 0 and not pending.letters:
            self.heartbeats += 1  # the gateway says that it is there: nothing to store, nothing to settle
            self._connection.ack(pending.delivery)
            return
        self.batches += 1
        if batch is not None:
            self.dead_lettered += len(pending.letters)
            self.rows += batch.rows + len(pending.letters) - len(batch.dead)
            self.stored += len(batch.readings)
            self.status_rows += len(batch.statuses)
            self._rows_answered += pending.rows
            ack = {
                "v": wire.VERSION,
                "spool": batch.spool,
                "batch": batch.batch,
                "stored": [p.row_id for p in batch.readings] + [row_id for row_id, _ in batch.statuses],
                "dead": pending.dead_ids,
            }
            topic = wire.topic_gw_ack(self._registry.site, batch.gateway)
            try:
                self._connection.publish(topic, msgspec.json.encode(ack))
            except BrokerUnavailable as error:
                # Stored all the same: the gateway repeats the batch and gets its ack then.
                self.acks_unsent += 1
                _log.warning("ack of batch %s not sent: %s", batch.batch, error)
        self._connection.ack(pending.delivery)

    def _purge(self) -> None:
        if time.monotonic() < self._next_purge_s:
            return
        self._next_purge_s = time.monotonic() + PURGE_EVERY_S
        keep_ms = self._settings.dead_letter_keep_d * 24 * 3600 * 1000
        try:
            count = self._letters.purge(before_ms=now_ms(self._clock) - keep_ms)
        except StoreError as error:
            _log.warning("old dead letters stay for now: %s", error)
        else:
            if count:
                _log.info("deleted %d dead letters not seen for %d days", count, self._settings.dead_letter_keep_d)

    # -- health -------------------------------------------------------------------------------

    def health(self) -> Health:
        """Return what the health page shows. Called from another thread; only reads."""
        reasons = [str(self._store_outage), str(self._letters_outage)]
        if not self._connection.is_healthy():
            reasons.append(f"no answer from the broker at {self._connection.endpoint}")
        reason = "; ".join(text for text in reasons if text)
        age_s = -1.0 if self._last_write_s is None else time.monotonic() - self._last_write_s
        return Health(
            SERVICE,
            not reason,
            reason,
            {
                "batches": self.batches,
                "heartbeats": self.heartbeats,
                "rows_taken": self.rows_taken,
                "rows": self.rows,
                "stored": self.stored,
                "dead_lettered": self.dead_lettered,
                "status_rows": self.status_rows,
                "rows_in_hand": self.rows_taken - self._rows_answered,
                "bad_batches": self.bad_batches,
                "waiting": self._connection.waiting + self._taken - self._settled,
                "store_ok": int(not self._store_outage.reason),
                "dead_letters_ok": int(not self._letters_outage.reason),
                "last_write_age_s": round(age_s, 3),
                "letters_replayed": self._errands.letters_stored if self._errands is not None else 0,
                "acks_unsent": self.acks_unsent,
                "stale_acks": self._connection.stale_acks,
                "session_lost": self._connection.session_lost,
                **(self._rollups.health() if self._rollups is not None else {}),
            },
        )


def _readings_of(group: list[Pending]) -> list[Reading]:
    return [placed.reading for pending in group if pending.batch is not None for placed in pending.batch.readings]


def _letter_of(dead: DeadRow) -> DeadLetter:
    return DeadLetter(
        dead.device,
        dead.topic,
        dead.code,
        dead.reason,
        dead.raw,
        boot=dead.boot,
        seq=dead.seq,
        kind=dead.kind,
        ts_ms=dead.ts_ms,
        arrived_ms=dead.arrived_ms,
        time=dead.time,
    )


def batch_filter(site: str, group: str | None = None) -> str:
    """Return the topic filter of the batches of a site, or of a share of them for each worker of a group."""
    plain = f"resik/{site}/gw/+/batch"
    return plain if group is None else f"$share/{group}/{plain}"


def connect(settings: IngestSettings, site: str) -> MqttConnection:
    """Return the connection of a worker, not started yet.

    The only worker has its session kept by the broker. One of several has a new session at each connect: a broker gives
    a member of a shared subscription its turn also while it is away, and what waits there would be held up until it
    is back. The gateway sends again what a worker that died had in hand, and the others get it.
    """
    client_id = settings.client_id or settings.name
    connection = MqttConnection(
        MqttEndpoint.from_settings(settings, settings.name),
        client_id,
        clean=settings.worker is not None,
        inbound_limit=INBOUND_LIMIT,
        probe_topic=wire.topic_probe(site, client_id),
    )
    if settings.worker is not None:
        connection.subscribe(batch_filter(site, settings.shared_group))
    else:
        connection.forget(batch_filter(site, SERVICE))  # of a session from when the only worker took part in a group
        connection.subscribe(batch_filter(site))
    return connection


def check_company(settings: IngestSettings) -> None:
    """See that settings for several workers, and for one alone, are not mixed.

    Raises
    ------
    SettingsError
        With what to change.
    """
    if settings.worker is None:
        if settings.shared_group != SERVICE:
            raise SettingsError("shared_group is for several workers: give each a number with the setting worker")
    elif settings.store_url.startswith("sqlite:"):
        raise SettingsError(
            f"worker = {settings.worker}: the embedded store has one writing process, so one worker alone can use it: "
            "leave worker unset, or let store_url name an InfluxDB"
        )


def _compose(settings: IngestSettings, stop: threading.Event) -> Worker:
    """Build the worker from its settings; nothing is connected yet."""
    check_company(settings)
    registry = Registry.load(settings.site)
    clock = open_clock(settings.clock_file)
    store = open_store(settings.store_url, secret=read_secret(settings.store_token_file))
    rollups = RollUpTask(
        store,
        registry.site,
        lambda: now_ms(clock),
        every_s=settings.rolls_up_every_s,
        offset_s=settings.utc_offset_min * 60,
        late_s=settings.rollup_late_s,
    )
    letters = SqliteDeadLetters(settings.dead_letter_file, quota_per_device=settings.dead_letter_quota)
    sink = LateMarks(
        store,
        registry.site,
        lambda: now_ms(clock),
        late_s=settings.rollup_late_s,
        until_ms=lambda: rollups.until_ms,
    )
    return Worker(
        registry=registry,
        store=sink,
        letters=letters,
        connection=connect(settings, registry.site),
        clock=clock,
        settings=settings,
        errands=Errands(Replay(registry, sink, letters), letters),
        rollups=rollups,
        stop=stop,
    )


def run(settings: IngestSettings) -> int:
    """Run the worker until SIGTERM or SIGINT; :mod:`resik.cli` has set up the log.

    Returns
    -------
    int
        0 after an orderly stop, 2 when a setting needs a person, 1 after a fault.
    """
    stop = threading.Event()
    try:
        worker = _compose(settings, stop)
        health = HealthServer(settings.health_port, worker.health, [worker.latencies, worker.write_sizes])
    except (SettingsError, SiteError, StoreError) as error:
        _log.error("%s", error)
        return EXIT_SETTINGS
    stop_on_signals(stop)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: in a flood the collector would look at it again and again
    try:
        return worker.serve()
    finally:
        health.close()
