"""Sends spooled rows upstream and settles them when ingest says so.

Custody stays with the spool until ingest's application ack. A batch without an ack is sent again; at most
eight are on their way, three times as many while answers come at once, so queues of brokers never matter for safety.

What goes first is the matter of `gateway.lanes`. Batches of the backlog never take the last place. When all are
taken by batches that nobody acknowledges (the time-series store is down), new readings still go up as *copies*: the
alert engine reads the same batches and must not wait for the store. A copy gives up no custody: its rows wait in the
spool as before and travel once more in a regular batch.

When nothing else goes up, an empty batch does: whoever judges the silence of devices must know that the gateway
would have told.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable

import msgspec

from gateway.batches import BatchAck, Flight, ForwardCounts, encode_row, row_ids, wire_bytes
from gateway.errors import SpoolError, UplinkError
from gateway.lanes import Lanes
from gateway.pace import Pace
from gateway.spool import Spool
from gateway.tail import Row

RESEND_LONGEST_S = 300.0
"""Longest pause before an un-acked batch is sent again [s]: resending must not fill the broker of a dead ingest."""

OVERTAKEN_TIMES = 3
OVERTAKEN_AFTER_S = 2.0
"""A batch is sent again so long after it was sent [s] when so many that left later were answered before: it lies with
one of several ingest workers, and that one is gone. An answered copy counts as so many: it was sent because nothing was
answered. A single worker answers in the order of sending."""
COPIES_KNOWN = 8

QUICK_S, QUICK_TIMES = 1.0, 3
"""Answers within this time show that neither uplink nor store is slow [s]: then so many times the usual number may be
on their way: two large writes of the store, which cost it least, and what travels. On a thin uplink new readings would
only wait behind so much more."""

REPEATED_AT_ONCE = 4
"""While nothing is answered only so many batches, the oldest, are sent again and again: a broker must not fill."""

FAR_END_BACK_S = 5.0
"""So long after the uplink came back the oldest batches go once more [s]: a broker that lost its sessions drops what
comes before ingest has subscribed anew."""

HEARTBEAT_EVERY_S = 10.0
"""An empty batch goes up when nothing else did for this long [s]."""

NOT_LINGERING = float("-inf")
"""Since when rows wait that have waited long enough [s]."""

_log = logging.getLogger(__name__)


class Forwarder:
    """Moves rows from the spool to the uplink.

    Parameters
    ----------
    spool
        Where the rows are.
    gateway_id
        Name of this gateway in batches.
    publish
        Hands a batch to the broker; raises `UplinkError` when it cannot.
    now_ms
        Square time [ms since 1970].
    beat
        Hands an empty batch to the broker and says whether it did: a gateway that cannot hear devices is silent.
        None sends none.
    batch_rows, batch_bytes
        Limits of one batch; the byte limit counts bodies.
    in_flight
        Batches that may be un-acked; `QUICK_TIMES` as many while they are answered within `QUICK_S`.
    resend_s
        Pause before an un-acked batch is sent again [s]; it doubles up to `RESEND_LONGEST_S`.
    linger_s
        How long rows wait for company while other batches are on their way [s].
    copy_every_s
        Pause between copies while all places are taken [s].
    pace
        Limit for rows that have waited for long; None for none.
    monotonic
        Monotonic wall time [s].
    """

    def __init__(
        self,
        spool: Spool,
        *,
        gateway_id: str,
        publish: Callable[[bytes], None],
        now_ms: Callable[[], int],
        beat: Callable[[bytes], bool] | None = None,
        batch_rows: int = 500,
        batch_bytes: int = 262_144,
        in_flight: int = 8,
        resend_s: float = 30.0,
        linger_s: float = 0.02,
        copy_every_s: float = 2.0,
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = ForwardCounts()
        self._spool = spool
        self._lanes = Lanes(spool, batch_rows=batch_rows, batch_bytes=batch_bytes, pace=pace)
        self._gateway_id = gateway_id
        self._publish = publish
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._beat = beat
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._in_flight = in_flight
        self._is_quick = False
        self._resend_s = resend_s
        self._linger_s = linger_s
        self._copy_every_s = copy_every_s
        self._flying: dict[str, Flight] = {}
        self._flying_ids: set[int] = set()
        self._more = True  # rows may wait from an earlier run
        self._more_since_s = NOT_LINGERING
        self._copied_s = 0.0
        self._sent_s = 0.0
        self._sent_number = 0
        self._copies: dict[str, int] = {}  # names of the last ones, and their place among all that was sent
        self._spoke_s = float("-inf")
        self._unanswered_since_s: float | None = None
        self._acks: list[bytes] = []
        self._changed = threading.Condition()
        self._resend_now = False

    # -- called by other threads ----------------------------------------------------------------

    def notify(self) -> None:
        """Say that the spool has new rows."""
        with self._changed:
            if not self._more:
                self._more = True
                self._more_since_s = self._monotonic()
            self._changed.notify()

    def on_ack(self, payload: bytes) -> None:
        """Take an ack of ingest; it is settled by the forwarder's own thread."""
        with self._changed:
            self._acks.append(payload)
            self._changed.notify()

    def on_reconnect(self) -> None:
        """Say that the uplink is back: what is un-acked is sent again at once."""
        with self._changed:
            self._resend_now = True
            self._changed.notify()

    @property
    def flying(self) -> int:
        """Batches that were sent and are not settled."""
        return len(self._flying)

    @property
    def is_draining(self) -> bool:
        """Whether rows of an outage are on their way at their limited pace."""
        return self._lanes.has_backlog

    def unanswered_s(self, now_s: float) -> float:
        """Return for how long batches are out without any answer [s, monotonic time]; 0 when none is."""
        since_s = self._unanswered_since_s
        return 0.0 if since_s is None else max(0.0, now_s - since_s)

    # -- the forwarder's own thread ---------------------------------------------------------------

    def run(self, stop: threading.Event, connected: Callable[[], bool]) -> None:
        """Forward until `stop` is set.

        Parameters
        ----------
        stop
            Ends the loop within half a second.
        connected
            Whether the uplink stands; nothing is sent while it does not.
        """
        was_connected = False
        while not stop.is_set():
            is_connected = connected()
            if is_connected and not was_connected:
                self.on_reconnect()
            was_connected = is_connected
            wait_s = self.step(self._monotonic(), is_connected=is_connected)
            with self._changed:
                if not self._acks and not self._resend_now:
                    self._changed.wait(min(wait_s, 0.5))

    def step(self, now_s: float, *, is_connected: bool = True) -> float:
        """Settle what was acked and send what is due.

        Parameters
        ----------
        now_s
            Monotonic time [s].
        is_connected
            Whether the uplink stands.

        Returns
        -------
        float
            Seconds until there is something to do unless something happens.
        """
        with self._changed:
            acks, self._acks = self._acks, []
            resend_now, self._resend_now = self._resend_now, False
        try:
            self._settle([ack for payload in acks if (ack := self._read_ack(payload)) is not None], now_s)
            self._lanes.look(now_s, len(self._flying_ids))
            if not is_connected:
                self._unanswered_since_s = None
                self._is_quick = False
                return 0.5
            known = list(self._flying.values())
            self._send_prompt(now_s)  # what is new does not wait behind what is sent again
            self._resend(known, now_s, everything=resend_now)
            wait_s = self._send_new(now_s)
            return min(wait_s, self._beat_if_due(now_s))
        except UplinkError as error:
            self.counts.failures += 1
            _log.warning("the uplink took no batch (%s): the rows stay in the spool", error)
            return error.retry_after_s or 1.0
        except SpoolError as error:
            # An ack that could not be noted is no loss: its rows are sent again and acked again.
            if not error.retryable:
                raise
            _log.warning("forwarding pauses: %s", error)
            return error.retry_after_s or 1.0

    def _read_ack(self, payload: bytes) -> BatchAck | None:
        self.counts.acks += 1
        try:
            ack = msgspec.json.decode(payload, type=BatchAck)
        except msgspec.MsgspecError as error:
            self.counts.acks_bad += 1
            _log.warning("an ack from upstream cannot be read (%s): ignored", str(error)[:120])
            return None
        if ack.v != 1:
            self.counts.acks_bad += 1
            _log.warning("an ack from upstream has version %d: ignored", ack.v)
            return None
        if ack.spool != self._spool.id:
            self.counts.acks_foreign += 1
            return None
        return ack

    def _settle(self, acks: list[BatchAck], now_s: float) -> None:
        """Settle what acks name, all of them in one commit."""
        if not acks:
            return
        stored: set[int] = set()
        dead: set[int] = set()
        for ack in acks:
            dead_of_ack = row_ids(ack.dead)
            stored |= row_ids(ack.stored) - dead_of_ack
            dead |= dead_of_ack
        n_stored, n_dead = self._spool.settle(stored, dead, self._now_ms())
        self.counts.settled_stored += n_stored
        self.counts.settled_dead += n_dead
        if n_stored + n_dead == 0:
            self.counts.acks_stale += len(acks)
        for ack in acks:
            self._note_answered(ack.batch, now_s)
        self._land(stored | dead, [ack.batch for ack in acks])
        self._unanswered_since_s = now_s if self._flying else None
        for batch in self._flying.values():  # upstream is alive: back to the short pause
            batch.attempts, batch.pause_s = min(batch.attempts, 1), min(batch.pause_s, self._resend_s)
            batch.due_s = min(batch.due_s, now_s + self._resend_s)

    def _places(self, now_s: float) -> int:
        """Return how many batches may be un-acked at the moment."""
        if not self._is_quick:
            return self._in_flight
        oldest = next(iter(self._flying.values()), None)
        is_stuck = oldest is not None and now_s - oldest.sent_s > QUICK_S
        return self._in_flight if is_stuck else QUICK_TIMES * self._in_flight

    def _note_answered(self, name: str, now_s: float) -> None:
        """See how quick the answer was; have those sent again that wait for one while later ones get theirs."""
        answered = self._flying.get(name)
        if answered is not None:
            self._is_quick = answered.attempts == 1 and now_s - answered.sent_s <= QUICK_S
        number = self._copies.pop(name, 0) if answered is None else answered.sent_number
        times = OVERTAKEN_TIMES if answered is None else 1
        for batch in self._flying.values():
            if batch.sent_number < number:
                batch.overtaken += times
                if batch.overtaken >= OVERTAKEN_TIMES:  # perhaps no answer comes any more that would tell so later
                    batch.due_s = min(batch.due_s, max(now_s, batch.sent_s + OVERTAKEN_AFTER_S))

    def _land(self, ids: set[int], named: list[str]) -> None:
        """Take settled rows out of the batches on their way; those that the acks name hold nearly all of them."""
        landed = self._flying_ids & ids
        self._flying_ids -= landed
        for name in (*named, *self._flying):
            if not landed:
                return
            batch = self._flying.get(name)
            if batch is None:
                continue
            here = landed.intersection(batch.rows)
            landed -= here
            if len(here) < len(batch.rows):
                for row_id in here:
                    del batch.rows[row_id]
            else:
                del self._flying[name]

    def _resend(self, known: list[Flight], now_s: float, *, everything: bool) -> None:
        repeats = 0
        for place, batch in enumerate(known):
            if everything:
                batch.due_s = now_s
            elif batch.due_s <= now_s and batch.attempts > 1:  # nobody answered the first repeat either
                repeats += 1
                if repeats > REPEATED_AT_ONCE:
                    batch.due_s = now_s + max(batch.pause_s, self._resend_s)
            if batch.due_s <= now_s:
                is_first = batch.attempts == 0
                self._send(batch, now_s)
                if not is_first:
                    self.counts.resent += 1
            if everything:  # the pauses of the old link say nothing about this one
                batch.pause_s = 0.0
                pause_s = FAR_END_BACK_S if place < REPEATED_AT_ONCE else self._resend_s
                batch.due_s = now_s + min(pause_s, self._resend_s)

    def _send_new(self, now_s: float) -> float:
        """Send what the lanes give; return how long nothing more can go [s]."""
        while True:
            lingering_s = self._send_prompt(now_s)
            if not self._send_backlog(now_s):
                break
        due_s = min((batch.due_s for batch in self._flying.values()), default=now_s + 60.0)
        if lingering_s > 0:
            due_s = min(due_s, now_s + lingering_s)
        if self._may_send_backlog(now_s):
            due_s = min(due_s, now_s + self._lanes.pause_s(now_s))
        if self._more and len(self._flying) >= self._places(now_s) and self._spool.has_live():
            copy_due_s = max(self._copied_s, self._sent_s) + self._copy_every_s
            if copy_due_s <= now_s:
                self._send_copy(now_s)
                copy_due_s = now_s + self._copy_every_s
            due_s = min(due_s, copy_due_s)
        return max(0.0, due_s - now_s)

    def _send_prompt(self, now_s: float) -> float:
        """Send live and fresh rows; return how long they still wait for company [s]."""
        while self._more and len(self._flying) < self._places(now_s):
            with self._changed:
                lingering_s = self._more_since_s + self._linger_s - now_s
                if self._flying and lingering_s > 0:
                    return lingering_s
                self._more = False
            try:
                rows = self._lanes.take_prompt(self._flying_ids)
            except SpoolError:
                self._more = True  # nobody else would say again that rows wait
                raise
            if not rows:
                continue  # unless notified meanwhile, this ends the loop
            with self._changed:
                self._more, self._more_since_s = True, NOT_LINGERING  # there may be more than fitted
            self._launch(Flight(rows), now_s)
        return 0.0

    def _may_send_backlog(self, now_s: float) -> bool:
        """Whether a batch of the backlog has a place; the last one is kept for what is new."""
        places = max(1, self._places(now_s) - 1)
        return self._lanes.has_backlog and len(self._flying) < places

    def _send_backlog(self, now_s: float) -> bool:
        """Send one batch of the backlog; whether there was one to send."""
        if not self._may_send_backlog(now_s):
            return False
        rows = self._lanes.take_backlog(now_s, self._flying_ids)
        if rows:
            self._launch(Flight(rows, is_backlog=True), now_s)
        return bool(rows)

    def _launch(self, batch: Flight, now_s: float) -> None:
        self._flying[batch.name] = batch
        self._flying_ids.update(batch.rows)
        self._send(batch, now_s)

    def _send(self, batch: Flight, now_s: float) -> None:
        is_first = batch.attempts == 0
        rows = list(batch.rows.values())
        self._publish(self._encode(batch.name, rows))
        self._spoke_s = now_s
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s
        batch.attempts += 1
        self._sent_number += 1
        batch.sent_number, batch.sent_s, batch.overtaken = self._sent_number, now_s, 0
        batch.pause_s = self._pause_after(batch.pause_s)
        batch.due_s = now_s + batch.pause_s
        if is_first:
            self._sent_s = now_s
            self.counts.batches += 1
            self.counts.forwarded += len(rows)
        elif batch.is_backlog and self._lanes.pace is not None:
            self._lanes.pace.use(now_s, len(rows), sum(map(wire_bytes, rows)))

    def _send_copy(self, now_s: float) -> None:
        self._copied_s = now_s
        rows = self._spool.take_live(self._batch_rows, self._batch_bytes)
        if rows:
            name = secrets.token_hex(8)
            self._publish(self._encode(name, rows))
            self._spoke_s = now_s
            self.counts.copies += 1
            self._sent_number += 1
            self._copies[name] = self._sent_number
            if len(self._copies) > COPIES_KNOWN:
                del self._copies[next(iter(self._copies))]

    def _beat_if_due(self, now_s: float) -> float:
        if self._beat is None:
            return HEARTBEAT_EVERY_S
        if now_s - self._spoke_s >= HEARTBEAT_EVERY_S and self._beat(self._encode(secrets.token_hex(8), [])):
            self._spoke_s = now_s
            self.counts.heartbeats += 1
        return max(1.0, self._spoke_s + HEARTBEAT_EVERY_S - now_s)

    def _pause_after(self, pause_s: float) -> float:
        """Return how long to wait after a pause without an answer [s]; after none the first time."""
        return max(self._resend_s, min(2 * pause_s, RESEND_LONGEST_S))

    def _encode(self, name: str, rows: list[Row]) -> bytes:
        return msgspec.json.encode({
            "v": 1,
            "gw": self._gateway_id,
            "spool": self._spool.id,
            "batch": name,
            "sent_ms": self._now_ms(),
            "rows": [encode_row(row) for row in rows],
        })  # fmt: skip
