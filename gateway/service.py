"""The gateway process: connections, worker threads, upkeep and health.

Threads: `intake` and `downlink` (device side), `forward` and `uplink-acks` (uplink), and the main thread for upkeep.
The uplink is a connection of its own even when one broker serves both sides: behind messages of devices that a full
disk leaves un-acked, the acks of ingest would starve, and it is they that make room.

A worker that ends on an error, or a connection that has gone deaf, ends the process with exit code 1, so that a
supervisor starts it again: a process that looks alive and does nothing is the worst failure.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from firmware import wire
from gateway.disk import DiskWatch
from gateway.downlink import Downlink
from gateway.errors import GatewayError, SpoolError, UplinkError
from gateway.foreign import Source, Sources
from gateway.forward import Forwarder
from gateway.intake import Intake
from gateway.sense import Sense
from gateway.settings import GatewaySettings
from gateway.spool import Spool
from square.clock import Clock, now_ms, open_clock
from square.endpoint import MqttEndpoint
from square.errors import BrokerError, BrokerUnavailable, SquareError
from square.health import Health, HealthServer
from square.mqtt import MqttConnection
from square.mqtt_session import MqttSession
from square.mqtt_stream import MqttStream
from square.process import EXIT_FAULT, EXIT_OK, EXIT_SETTINGS, stop_on_signals
from square.settings import read_secret
from square.site import load_site

SERVICE = "gateway"

TICK_S = 1.0
SPACE_EVERY_S = 10.0
GAPS_EVERY_S = 10.0
WHY_EVERY_S = 15.0

_log = logging.getLogger(__name__)


class Gateway:
    """All parts of one running gateway.

    Parameters
    ----------
    settings
        Checked settings.
    stop
        Set it to end `run`.

    Raises
    ------
    SquareError, GatewayError
        If a setting, the site or the spool cannot be used.
    """

    def __init__(self, settings: GatewaySettings, stop: threading.Event) -> None:
        self._stop = stop
        self._dead: str | None = None
        self._why_disconnected = self._why_no_uplink = ""
        self.clock: Clock = open_clock(settings.clock_file)
        self._now_ms = partial(now_ms, self.clock)
        site = load_site(settings.site)
        self.site = site.id
        self._gap_after_ms = int(settings.gap_after_s * 1000)
        probe_topic = wire.topic_probe(self.site, settings.gateway_id)
        self._edge = MqttStream(
            MqttEndpoint.from_settings(settings, SERVICE),
            f"{SERVICE}-{settings.gateway_id}",
            inbound_limit=settings.inbound_limit,
            probe_topic=probe_topic,
            flood_rest_s=settings.intake_linger_s,
        )
        self._uplink = MqttConnection(
            _uplink_endpoint(settings, self._edge.endpoint),
            f"{SERVICE}-{settings.gateway_id}-uplink",
            probe_topic=probe_topic,
        )
        disk = DiskWatch(settings.spool_file.parent, settings.disk_warn_pct, settings.disk_stop_pct)
        self.spool = Spool(settings.spool_file, now_ms=self._now_ms(), disk=disk)
        self._batch_topic: str = wire.topic_batch(self.site, settings.gateway_id)
        self.forwarder = Forwarder(
            self.spool,
            gateway_id=settings.gateway_id,
            publish=self._publish_batch,
            now_ms=self._now_ms,
            beat=self._beat,
            batch_rows=settings.batch_rows,
            batch_bytes=settings.batch_bytes,
            in_flight=settings.batches_in_flight,
            resend_s=settings.resend_s,
            linger_s=settings.forward_linger_s,
            copy_every_s=settings.copy_every_s,
            pace=settings.pace,
        )
        self.sense = Sense(
            site,
            self.spool,
            settings,
            now_ms=self._now_ms,
            sessions_lost=lambda: self._edge.session_lost,
        )
        self.downlink = Downlink(
            settings.orders_path,
            site=self.site,
            publish=self._edge.publish,
            is_listening=self._is_listening,
            now_ms=self._now_ms,
            blocks_per_s=settings.ota_blocks_per_s,
            node_blocks_per_s=settings.ota_node_blocks_per_s,
            attendance=self.sense.attendance,
            gaps=self.sense.gaps,
        )
        self.intake = Intake(
            self._edge,
            self.spool,
            site=self.site,
            now_ms=self._now_ms,
            on_rows=self.forwarder.notify,
            on_heard=self.downlink.hear,
            on_committed=self.sense.attendance.committed,
            sources=Sources([Source(make.format, make.filter) for make in settings.makes]) if settings.makes else None,
            batch_messages=settings.intake_messages,
        )
        self._edge.subscribe(f"resik/{self.site}/+/up/+")
        for make in settings.makes:
            self._edge.subscribe(make.filter)
        self._uplink.subscribe(wire.topic_gw_ack(self.site, settings.gateway_id))
        self._backlog = self.spool.backlog()

    def run(self, health_port: int | None) -> int:
        """Work until stopped; return the exit code."""
        health = HealthServer(health_port, self.health, pages={"/nodes": self.sense.page})
        workers = [
            self._worker("intake", partial(self.intake.run, self._stop)),
            self._worker("downlink", partial(self.downlink.run, self._stop)),
            self._worker("forward", partial(self.forwarder.run, self._stop, lambda: self._uplink.connected)),
            self._worker("uplink-acks", self._take_uplink_acks),
        ]
        self._uplink.start()
        self._edge.start()
        try:
            for worker in workers:
                worker.start()
            self._upkeep()
        finally:
            self._stop.set()
            for worker in workers:
                worker.join(5.0)
            for connection in (self._edge, self._uplink):
                connection.stop()
            health.close()
            self.spool.close()
        return EXIT_OK if self._dead is None else EXIT_FAULT

    def health(self) -> Health:
        """Describe the process; quick, reads memory only."""
        intake, forward, backlog = self.intake.counts, self.forwarder.counts, self._backlog
        age_s = 0.0
        if backlog.oldest_arrived_ms is not None and self.spool.waiting:
            age_s = max(0.0, (self._now_ms() - backlog.oldest_arrived_ms) / 1000)
        return Health(
            service=SERVICE,
            ok=not self._faults(),
            reason=" ".join([*self._faults(), *self._notes()]),
            counts={
                "offered": intake.offered,
                "received": intake.received,
                "spooled": intake.spooled,
                "duplicates": intake.duplicates,
                "poison": intake.poison,
                "poison_let_go": intake.poison_let_go,
                "presence": intake.presence,
                "messages": intake.messages,
                "commits": intake.commits,
                "commit_failures": intake.commit_failures,
                "acked_to_device": intake.acked_to_device,
                "acks_unsent": intake.acks_unsent,
                "forwarded": forward.forwarded,
                "batches": forward.batches,
                "batches_resent": forward.resent,
                "batches_copied": forward.copies,
                "heartbeats": forward.heartbeats,
                "in_flight": self.forwarder.flying,
                "settled_stored": forward.settled_stored,
                "settled_dead": forward.settled_dead,
                "acks_foreign": forward.acks_foreign,
                "acks_bad": forward.acks_bad,
                "waiting": self.spool.waiting,
                "oldest_waiting_age_s": round(age_s, 1),
                "gaps": backlog.gaps,
                "missing_lost": backlog.lost,
                "missing_late": backlog.late,
                "missing_before_spool": backlog.before_spool,
                "disk_free_pct": self.spool.space.free_pct,
                "edge_connected": int(self._edge.is_healthy()),
                "uplink_connected": int(self._uplink.is_healthy()),
                "session_lost": self._edge.session_lost + self._uplink.session_lost,
                "stale_acks": self._edge.stale_acks,
                **{f"down_{name}": count for name, count in self.downlink.counted().items()},
                **self.sense.counts(),
                "unanswered_s": round(self.forwarder.unanswered_s(time.monotonic()), 1),
                "draining": int(self.forwarder.is_draining),
                "orders_ok": int(self.downlink.trouble is None),
                "rollouts_halted": self.downlink.halted,
                "intake_stopped": int(self.intake.stopped_because is not None),
                "clock_behind": int(self.intake.ahead.is_majority),
                "disk_level": ("ok", "warn", "stop").index(self.spool.space.level),
                "devices_ahead": self.intake.ahead.devices,
                "spool_replaced": int(self.spool.replaced is not None),
                **{f"file_{name}": count for name, count in msgspec.to_builtins(self.spool.totals).items()},
            },
        )

    def _faults(self) -> list[str]:
        faults = []
        if self._dead is not None:
            faults.append(f"{self._dead}.")
        if self.intake.stopped_because is not None:
            faults.append(f"intake stopped: {self.intake.stopped_because}.")
        elif self.spool.space.level == "stop":
            faults.append(f"intake stopped: {self.spool.space.free_pct} % of the disk is free.")
        if not self._edge.is_healthy():
            faults.append(self._why_disconnected or "the device broker does not answer.")
        return faults

    def _notes(self) -> list[str]:
        notes = []
        if not self._uplink.is_healthy():
            notes.append(
                f"the city broker does not answer; {self.spool.waiting} rows wait here. {self._why_no_uplink}".strip()
            )
        ahead = self.intake.ahead
        if ahead.devices and not ahead.is_majority:
            notes.append(
                f"{ahead.devices} of {ahead.heard} devices are more than 2 minutes ahead of the gateway's clock: "
                "ingest refuses their readings."
            )
        if self.spool.space.level == "warn":
            notes.append(f"only {self.spool.space.free_pct} % of the disk is free.")
        replaced = self.spool.replaced
        if replaced is not None:
            notes.append(f"the spool was damaged and replaced; the old file is {replaced}: keep or delete it.")
        notes += self.downlink.notes()
        return notes

    # -- workers --------------------------------------------------------------------------------

    def _worker(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def work() -> None:
            try:
                target()
            except Exception:  # noqa: BLE001 - whatever it was, the process must not live on without this worker
                _log.exception("the worker %s ended on an error: the gateway stops", name)
                self._die(f"the worker {name} ended on an error")
            else:
                if not self._stop.is_set():
                    _log.error("the worker %s ended by itself: the gateway stops", name)
                    self._die(f"the worker {name} ended by itself")

        return threading.Thread(target=work, name=name, daemon=True)

    def _die(self, why: str) -> None:
        self._dead = why
        self._stop.set()

    def _take_uplink_acks(self) -> None:
        while not self._stop.is_set():
            for delivery in self._uplink.deliveries(0.2):
                self.forwarder.on_ack(delivery.payload)
                # Before it is settled: an ack that is lost here is asked for again by a resend.
                self._uplink.ack(delivery)

    def _publish_batch(self, payload: bytes) -> None:
        self._publish(payload, qos=1)

    def _publish(self, payload: bytes, *, qos: int) -> None:
        try:
            self._uplink.publish(self._batch_topic, payload, qos)
        except BrokerUnavailable as error:
            raise UplinkError(str(error)) from error

    def _is_listening(self) -> bool:
        """Whether what devices say arrives here at the moment."""
        return self.intake.stopped_because is None and self._edge.is_healthy()

    def _beat(self, payload: bytes) -> bool:
        """Send a heartbeat, unless devices cannot be heard; QoS 0, as one that is late is worth nothing."""
        if not self._is_listening():
            return False
        self._publish(payload, qos=0)
        return True

    # -- upkeep ---------------------------------------------------------------------------------

    def _upkeep(self) -> None:
        space_s = gaps_s = why_s = 0.0
        while not self._stop.wait(TICK_S):
            now_s = time.monotonic()
            self.sense.tick(is_listening=self._is_listening())
            try:
                if now_s - space_s >= SPACE_EVERY_S or self.spool.space.level == "stop":
                    space_s = now_s
                    self.spool.check_space()
                if now_s - gaps_s >= min(GAPS_EVERY_S, self._gap_after_ms / 1000):
                    gaps_s = now_s
                    self.spool.note_late_gaps(self._now_ms(), self._gap_after_ms)
                self.spool.prune(self._now_ms())
                self._backlog = self.spool.backlog()
            except SpoolError as error:
                if not error.retryable:
                    raise
                _log.warning("upkeep waits: %s", error)
            is_time_to_ask = now_s - why_s >= WHY_EVERY_S
            if is_time_to_ask:
                why_s = now_s
            self._why_disconnected = _why(self._edge, self._why_disconnected, ask=is_time_to_ask)
            self._why_no_uplink = _why(self._uplink, self._why_no_uplink, ask=is_time_to_ask)
            for connection in (self._edge, self._uplink):
                if connection.is_deaf():
                    _log.error("the connection to %s is deaf: the gateway stops, to be started again",
                               connection.endpoint)  # fmt: skip
                    self._die(f"the connection to {connection.endpoint} is deaf")


def _why(connection: MqttSession, known: str, *, ask: bool) -> str:
    """Say why there is no connection; what is known stands until it is time to ask again."""
    if connection.connected:
        return ""
    if not ask:
        return known
    try:
        connection.wait_connected(0)
    except BrokerError as error:
        _log.warning("%s", error)
        return f"{error}."
    return ""


def _uplink_endpoint(settings: GatewaySettings, edge: MqttEndpoint) -> MqttEndpoint:
    """Return where batches go: the city broker, or the device broker when it serves both sides.

    The uplink's own credentials count in both cases. Those of the device broker are used for no other broker.
    """
    password = read_secret(settings.uplink_password_file)
    username = settings.uplink_username or (SERVICE if password is not None else None)
    if settings.uplink_url is not None:
        return MqttEndpoint.from_url(
            settings.uplink_url,
            username=username,
            password=password,
            ca_file=settings.uplink_ca_file,
            setting="uplink_url",
        )
    if username is None:
        return edge
    return MqttEndpoint.from_url(
        settings.broker_url, username=username, password=password, ca_file=settings.broker_ca_file
    )


def run(settings: GatewaySettings, stop: threading.Event | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; :mod:`resik.cli` has set up the log.

    Parameters
    ----------
    settings
        Checked settings.
    stop
        Ends the run when set; for callers that are not the main thread and get no signals.

    Returns
    -------
    int
        0 after a stop, 1 when a worker died or a connection is deaf, 2 when settings, site or spool cannot be used.
    """
    stop = stop or threading.Event()
    stop_on_signals(stop)
    try:
        gateway = Gateway(settings, stop)
    except (SquareError, GatewayError) as error:
        _log.error("%s", error)
        return EXIT_SETTINGS
    _log.info("spool %s: %d rows wait", settings.spool_file, gateway.spool.waiting)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: in a flood the collector would look at it again and again
    try:
        return gateway.run(settings.health_port)
    except (SquareError, GatewayError) as error:
        _log.error("the gateway stops: %s", error)
        return EXIT_FAULT
