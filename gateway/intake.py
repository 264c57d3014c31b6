"""Takes messages from devices into the spool: commit first, then acknowledge, always in this order.

Many messages share one commit. A commit never waits for company: what has arrived while the previous one was on its way
to the disk is what the next one takes; in a flood the connection itself hands over what came within 20 ms.

A device gets its application ack after the commit, one per boot. In a flood acks wait for those of later commits, a
quarter of a second at most, or a whole one for a device that has sent more meanwhile (`gateway.acks`). The broker gets
its PUBACKs at once and in order of arrival. While the spool cannot take anything (disk full) nobody gets either: the
device keeps its readings, the broker keeps its messages, and the intake tries again. The same holds while the gateway's
clock is behind that of most devices: what it would stamp now, ingest would refuse.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.acks import AppAck, WaitingAcks, ack_topic
from gateway.clock import Ahead, ClockWatch
from gateway.errors import SpoolError
from gateway.foreign import Sources
from gateway.messages import Errand, Poison, Readings, Uplinks, UpMessage, read_message
from gateway.spool import Put, Spool
from square.errors import BrokerUnavailable
from square.mqtt_session import Delivery

FLOOD_FROM = 32
"""So many messages in one commit are a flood."""

HELD_LIMIT = 5000
"""Un-acked messages held while the spool takes none. Beyond, the connection's own limit cuts it off."""

_log = logging.getLogger(__name__)


class Link(Protocol):
    """The part of `square.mqtt_stream.MqttStream` that the intake uses."""

    def take(self, timeout_s: float, limit: int) -> list[Delivery]:
        """Wait for messages, and take what is there."""

    def ack_all(self, deliveries: Sequence[Delivery]) -> int:
        """Acknowledge them to the broker, in order."""

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send messages."""


class IntakeCounts(msgspec.Struct):
    """What happened since start.

    Attributes
    ----------
    messages, bytes
        Messages from devices and their payload bytes.
    offered
        Readings, signs of presence and poison: spooled + duplicates + poison_let_go.
    received, spooled, duplicates, poison, poison_let_go, presence
        Readings seen; rows written (all kinds); readings and messages that were known; new poison; poison
        beyond a device's share of a minute, of which nothing is kept; new presence rows.
    commits, commit_failures
        Commits done and failed.
    acked_to_device, acks_unsent
        Application acks handed to the broker, and those that no connection took.
    """

    messages: int = 0
    bytes: int = 0
    offered: int = 0
    received: int = 0
    spooled: int = 0
    duplicates: int = 0
    poison: int = 0
    poison_let_go: int = 0
    presence: int = 0
    commits: int = 0
    commit_failures: int = 0
    acked_to_device: int = 0
    acks_unsent: int = 0


class Intake:
    """Moves messages from a connection into the spool.

    Parameters
    ----------
    link
        The connection to the device side.
    spool
        Where messages go.
    site
        Site id of the topics.
    now_ms
        Square time [ms since 1970].
    on_rows
        Called after each commit that wrote rows.
    on_heard
        Called with device, kind, payload and arrival [ms] of each message of a node that is no reading, as it arrives;
        MUST be quick.
    on_committed
        Called with the messages of each commit, after their acks; MUST be quick.
    sources
        Topics of other makes; None for none.
    batch_messages
        At most so many messages in one commit.
    """

    def __init__(
        self,
        link: Link,
        spool: Spool,
        *,
        site: str,
        now_ms: Callable[[], int],
        on_rows: Callable[[], None],
        on_heard: Callable[[str, str, bytes, int], None] | None = None,
        on_committed: Callable[[Sequence[UpMessage | Errand]], None] | None = None,
        sources: Sources | None = None,
        batch_messages: int = 500,
    ) -> None:
        self.counts = IntakeCounts()
        self.last_commit_s: float | None = None
        """Monotonic time of the last commit [s]."""
        self.stopped_because: str | None = None
        """Why the spool takes nothing at the moment; None when it does."""
        self.ahead = Ahead(0, 0, 0)
        """Devices whose clock is ahead of ours, as of the last step."""
        self._link = link
        self._spool = spool
        self._site = site
        self._now_ms = now_ms
        self._on_rows = on_rows
        self._on_heard = on_heard
        self._on_committed = on_committed
        self._sources = sources
        self._batch_messages = batch_messages
        self._clocks = ClockWatch()
        self._is_clock_behind = False
        self._held: list[Delivery] = []
        self._messages: list[UpMessage | Errand] = []  # what the held deliveries say, one for one
        self._retry_at_s = 0.0
        self._acks = WaitingAcks()

    def run(self, stop: threading.Event) -> None:
        """Take messages in until `stop` is set.

        Raises
        ------
        SpoolError
            If the spool failed in a way that waiting does not heal; the process must end.
        """
        try:
            while not stop.is_set():
                self.step(0.2)
        finally:
            self._publish_acks(self._acks.take_all())  # of what is committed, whatever ended us

    def step(self, timeout_s: float) -> None:
        """Take what arrives within `timeout_s` [s] and commit it."""
        self._collect(min(timeout_s, 0.03) if self._acks else timeout_s)
        self._watch_clock()
        if self._held and not self._is_clock_behind and time.monotonic() >= self._retry_at_s:
            self._commit()
        else:  # nothing came, or no commit is near: for these acks there is no company to wait for
            self._publish_acks(self._acks.take_all())

    def _collect(self, timeout_s: float) -> None:
        """Take what is there."""
        if len(self._held) >= HELD_LIMIT:
            self._drop_superseded()
            time.sleep(timeout_s)
            return
        is_blocked = self._is_clock_behind or self._retry_at_s > time.monotonic()
        deliveries = self._link.take(0.0 if self._held and not is_blocked else timeout_s, self._batch_messages)
        now_ms = self._now_ms()
        self.counts.messages += len(deliveries)
        self.counts.bytes += sum(len(delivery.payload) for delivery in deliveries)
        for delivery in deliveries:
            self._hold(delivery, now_ms)

    def _hold(self, delivery: Delivery, now_ms: int) -> None:
        message = self._read(delivery, now_ms)
        if isinstance(message, Readings):
            newest_s = message.newest_ts_s
            if newest_s is not None:
                self._clocks.note(message.device, newest_s, now_ms)
        elif self._on_heard is not None and not isinstance(message, Poison | Uplinks):
            kind = delivery.topic.rsplit("/", 1)[1]
            self._on_heard(message.device, kind, delivery.payload, now_ms)
        self._held.append(delivery)
        self._messages.append(message)

    def _read(self, delivery: Delivery, now_ms: int) -> UpMessage | Errand:
        if self._sources is not None:
            foreign = self._sources.read(
                delivery.topic, delivery.payload, now_ms, is_again=delivery.dup, is_retained=delivery.retain
            )
            if foreign is not None:
                return foreign
        return read_message(delivery.topic, delivery.payload, now_ms)

    def _watch_clock(self) -> None:
        """Hold everything while our clock is behind that of most devices; once it is right, stamp arrivals anew."""
        now_ms = self._now_ms()
        self.ahead = ahead = self._clocks.ahead(now_ms)
        if ahead.is_majority:
            self.stopped_because = (
                f"the gateway's clock is {ahead.by_ms / 1000:.0f} s behind that of {ahead.devices} of {ahead.heard} "
                "devices: set it; until then readings stay with the devices"
            )
            if not self._is_clock_behind:
                _log.error("intake stops: %s", self.stopped_because)
            self._is_clock_behind = True
        elif self._is_clock_behind:
            self._is_clock_behind = False
            self.stopped_because = None
            _log.warning("intake goes on: the gateway's clock agrees with the devices")
            self._messages = [self._read(delivery, now_ms) for delivery in self._held]

    def _drop_superseded(self) -> None:
        """Let go of messages whose connection is gone: the broker sends them again on the present one."""
        newest = self._held[-1].epoch
        kept = [at for at, delivery in enumerate(self._held) if delivery.epoch == newest]
        self._held = [self._held[at] for at in kept]
        self._messages = [self._messages[at] for at in kept]

    def _commit(self) -> None:
        deliveries, messages = self._held[: self._batch_messages], self._messages[: self._batch_messages]
        try:
            put = self._spool.put([message for message in messages if not isinstance(message, Errand)])
        except SpoolError as error:
            self.counts.commit_failures += 1
            if not error.retryable:
                raise
            if self.stopped_because is None:
                _log.error("intake stops: %s", error)
            self.stopped_because = str(error)
            self._retry_at_s = time.monotonic() + (error.retry_after_s or 1.0)
            return
        self._note(put)
        del self._held[: len(deliveries)], self._messages[: len(deliveries)]
        self._link.ack_all(deliveries)
        self._answer(put, is_flood=len(deliveries) >= FLOOD_FROM)
        if put.inserted:
            self._on_rows()
        if self._on_committed is not None:
            self._on_committed(messages)

    def _note(self, put: Put) -> None:
        if self.stopped_because is not None:
            _log.warning("intake goes on: the spool takes messages again")
            self.stopped_because = None
        self.last_commit_s = time.monotonic()
        counts = self.counts
        counts.commits += 1
        counts.offered += put.offered
        counts.received += put.readings
        counts.spooled += put.inserted
        counts.duplicates += put.duplicates
        counts.poison += put.poison
        counts.poison_let_go += put.poison_let_go
        counts.presence += put.presence

    def _answer(self, put: Put, *, is_flood: bool) -> None:
        """Send the acks of a commit, in a flood together with those of later ones."""
        now_s = time.monotonic()
        self._publish_acks(self._acks.add(put.plain, put.ranged, now_s))
        self._publish_acks(self._acks.due(now_s) if is_flood else self._acks.take_all())

    def _publish_acks(self, acks: Sequence[AppAck]) -> None:
        if not acks:
            return
        try:
            self._link.publish_all([(ack_topic(self._site, ack.device), ack.encode()) for ack in acks])
        except BrokerUnavailable:
            self.counts.acks_unsent += len(acks)  # the devices send again and are answered then
        else:
            self.counts.acked_to_device += len(acks)
