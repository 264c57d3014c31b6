"""What every MQTT connection of Resik's servers promises, whatever library reads the socket.

A message is acknowledged only when its consumer says so, after its own commit. What that needs, and why:

* **Epochs.** After a reconnect packet ids start again, so an ack that belongs to the old connection would
  acknowledge somebody else's message. Each connect and disconnect starts a new epoch; acks of another are dropped.
* **Bounded memory.** Broker limits are no back-pressure once acks are delayed. A full inbound queue first makes the
  network thread wait, for less than half the keepalive; then it cuts the connection on purpose and resumes when the
  consumer has caught up; the broker sends the rest again.
* **A probe instead of a flag.** A network thread can die while a library says that it is connected. Health is a message
  to ourselves that came back; a service whose connection :meth:`MqttSession.is_deaf` ends, to be started again.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from square.endpoint import MqttEndpoint, tls_trouble, wait_for_broker
from square.errors import BrokerRefused, BrokerUnavailable

_log = logging.getLogger("square.mqtt")  # one name for all connections, whatever reads the socket

PROBE_EVERY_S: Final = 10.0
KEEPALIVE_S: Final = 30
ROOM_WITHIN_S: Final = KEEPALIVE_S / 3
"""How long a full queue may hold up the network thread: the broker cuts us after 1.5 keepalives of silence."""
DEAF_AFTER_S: Final = 120.0
"""How long a connection may stand without a probe coming back before starting again is the better choice."""
RECONNECT_MIN_S: Final = 1
RECONNECT_MAX_S: Final = 30


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One message from the broker, to be acknowledged with :meth:`MqttSession.ack`."""

    epoch: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    retain: bool
    dup: bool


class MqttSession:
    """What the connections have in common: who we are, what is known of the broker, and whether we still hear it.

    Parameters
    ----------
    endpoint : MqttEndpoint
        Broker and credentials.
    client_id : str
        Fixed for the life of the service: the broker keeps the session under it.
    clean : bool
        True makes the broker forget the session at each disconnect.
    inbound_limit : int
        Messages that may wait for the consumer before the connection is cut on purpose.
    probe_topic : str | None
        Where to talk to ourselves for :meth:`is_healthy`; see :func:`firmware.wire.topic_probe`. Others may use it,
        too: what counts is a payload that only this connection knows.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        client_id: str,
        *,
        clean: bool = False,
        inbound_limit: int = 2000,
        probe_topic: str | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.client_id = client_id
        self.session_lost = 0
        """How often the broker had forgotten a session that it should have kept."""
        self.stale_acks = 0
        """Acks dropped because their connection was gone."""
        self.overflows = 0
        """How often the connection was cut because the consumer fell behind."""
        self.was_heard = False
        """Whether a probe of ours has ever come back: what was subscribed before :meth:`start` is, then."""
        self._clean = clean
        self._limit = inbound_limit
        self._filters: dict[str, int] = {}
        self._lock = threading.Lock()
        self._epoch = 0
        self._overflowing = False
        self._ever_connected = False
        self._stopping = threading.Event()
        self._up = threading.Event()
        self._refused: str | None = None
        self._unready: str | None = None
        self._network: threading.Thread | None = None
        self._probe_topic = probe_topic
        self._probe_payload = secrets.token_bytes(8)
        self._probe_back_at = 0.0

    def get(self, timeout_s: float | None = None) -> Delivery | None:
        """Take the next message, or None after ``timeout_s``."""
        raise NotImplementedError

    def wait_connected(self, timeout_s: float = 15.0) -> None:
        """Return once connected.

        Raises
        ------
        BrokerRefused
            If the broker answered and refused us.
        BrokerUnavailable
            If nobody answered within ``timeout_s``, or the broker said that it serves nobody.
        """
        deadline = time.monotonic() + timeout_s
        while not self._up.wait(0.05):
            if self._refused is not None:
                raise BrokerRefused(
                    f"the broker at {self.endpoint} refused user {self.endpoint.username!r} ({self._refused}): "
                    f"check {self.endpoint.side}_username and {self.endpoint.side}_password_file"
                )
            if time.monotonic() > deadline:
                raise BrokerUnavailable(self._why_unreachable())

    def _why_unreachable(self) -> str:
        try:
            wait_for_broker(self.endpoint, 0)
        except BrokerUnavailable as error:
            return str(error)
        if self._unready is not None:
            return f"the broker at {self.endpoint} serves nobody at the moment ({self._unready}): wait, or look at it"
        if self.endpoint.tls and (trouble := tls_trouble(self.endpoint)) is not None:
            return trouble
        side = self.endpoint.side
        return (
            f"the broker at {self.endpoint} accepts connections but no MQTT session: check {side}_url (TLS or plain), "
            f"{side}_username {self.endpoint.username!r} and {side}_password_file"
        )

    @property
    def connected(self) -> bool:
        """Whether a connection stood when last heard of. Not evidence of health: see :meth:`is_healthy`."""
        return self._up.is_set()

    def is_healthy(self, max_age_s: float = 3 * PROBE_EVERY_S) -> bool:
        """Whether a message to ourselves came back within ``max_age_s`` (or, without a probe topic, connected)."""
        if self._probe_topic is None:
            return self.connected
        return self.connected and time.monotonic() - self._probe_back_at < max_age_s

    def is_deaf(self, after_s: float = DEAF_AFTER_S) -> bool:
        """Whether nothing more will come here although the broker is not to blame: the process should end.

        True when the network thread is dead, or when the connection stands and no probe came back for ``after_s``.
        A broker that is away is no deafness, and neither is one that never let a probe through (its access list).
        """
        if self._stopping.is_set():
            return False
        if self._network is not None and not self._network.is_alive():
            return True
        return self.connected and self.was_heard and time.monotonic() - self._probe_back_at > after_s

    def deliveries(self, timeout_s: float, limit: int = 1000) -> Iterator[Delivery]:
        """Wait up to ``timeout_s`` for a message, then yield whatever is there, at most ``limit``."""
        delivery = self.get(timeout_s)
        count = 0
        while delivery is not None:
            yield delivery
            count += 1
            delivery = self.get() if count < limit else None

    # -- for the network thread ---------------------------------------------------------------

    def _new_epoch(self) -> None:
        with self._lock:
            self._epoch += 1

    def _note_connected(self, *, session_present: bool) -> None:
        if self._ever_connected and not self._clean and not session_present:
            self.session_lost += 1
            _log.warning("broker %s forgot the session of %s: messages may be missing", self.endpoint, self.client_id)
        self._ever_connected = True
        self._refused = self._unready = None
        self._probe_back_at = time.monotonic()  # grace until the first probe is due

    def _note_refused(self, reason: str, *, is_passing: bool) -> None:
        self._unready = reason if is_passing else None
        self._refused = None if is_passing else reason
        _log.warning("broker %s refused the connection: %s", self.endpoint, reason)

    def _note_probe(self, payload: bytes) -> None:
        if payload == self._probe_payload:
            self._probe_back_at = time.monotonic()
            self.was_heard = True

    def _note_overflow(self) -> None:
        self._overflowing = True
        self.overflows += 1
        _log.warning("%s: %d messages wait; cutting the connection until they are done", self.client_id, self._limit)
