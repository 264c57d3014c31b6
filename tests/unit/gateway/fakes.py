"""Messages, disks and links that tests make by hand."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firmware import wire
from gateway.arrivals import load_mark
from gateway.disk import DiskWatch
from gateway.messages import UpMessage, read_message
from gateway.spool import Spool
from gateway.watermark import Range
from square.errors import BrokerUnavailable
from square.mqtt_session import Delivery

SITE = "alun-alun"
NOW_MS = 1_795_488_752_000
NOW_S = NOW_MS // 1000


def roomy(folder: Path) -> DiskWatch:
    """Return a disk that is half empty, whatever the machine's is."""
    return DiskWatch(folder, measure=lambda _folder: (1000, 500))


def up(device: str, boot: int, seqs: list[int], *, oldest: int | None = None, up_s: int | None = 0) -> UpMessage:
    """Return a message with one timed reading for each of `seqs`."""
    return read_message(f"resik/{SITE}/{device}/up/bin", payload(boot, seqs, oldest=oldest, up_s=up_s), NOW_MS)


def payload(boot: int, seqs: list[int], *, oldest: int | None = None, up_s: int | None = 0) -> bytes:
    """Return the payload of a message with one timed reading for each of `seqs`."""
    readings = [{"seq": seq, "ts": NOW_S - 1000 + seq, "distance_mm": 700 + seq % 100} for seq in seqs]
    return wire.encode_up(boot, readings, oldest, up_s).encode()


def untimed(device: str, boot: int, seq: int, *, up_s: int, sent_up_s: int, arrived_ms: int) -> UpMessage:
    """Return a message with one reading of a device whose clock is not set."""
    readings = [{"seq": seq, "up_s": up_s, "distance_mm": 700}]
    return read_message(
        f"resik/{SITE}/{device}/up/bin", wire.encode_up(boot, readings, None, sent_up_s).encode(), arrived_ms
    )


def mark_of(spool: Spool, device: str, boot: int) -> tuple[int, list[Range]]:
    """Return the watermark that the file holds: contiguous mark and ranges above it; (0, []) when unknown."""
    watermark = load_mark(spool._connection, (device, boot)).watermark
    return watermark.upto, watermark.above


class FakeLink:
    """A connection in memory that notes the order of everything."""

    def __init__(self, log: list[tuple[str, Any]]) -> None:
        self.inbound: deque[Delivery] = deque()
        self.log = log
        self.is_down = False
        self._mid = 0

    def push(self, topic: str, payload: bytes, epoch: int = 1) -> Delivery:
        """Let a message arrive."""
        self._mid += 1
        delivery = Delivery(epoch, self._mid, 1, topic, payload, False, False)
        self.inbound.append(delivery)
        return delivery

    def take(self, timeout_s: float, limit: int) -> list[Delivery]:  # noqa: ARG002 - the real one's signature
        """Take what is there; never waits."""
        return [self.inbound.popleft() for _ in range(min(limit, len(self.inbound)))]

    def ack_all(self, deliveries: Sequence[Delivery]) -> int:
        """Note PUBACKs."""
        self.log.extend(("puback", delivery.mid) for delivery in deliveries)
        return len(deliveries)

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Note publishes."""
        if self.is_down:
            raise BrokerUnavailable("down")
        self.log.extend(("publish", message) for message in messages)
