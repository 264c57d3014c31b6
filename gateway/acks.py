"""Application acks: their bytes, and how those of a flood wait for company.

Of one boot the later ack covers the earlier. So in a flood acks wait for those of later commits: who sends message
after message needs no ack for each, and a broker pays for every one of them twice.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from firmware import wire
from gateway.watermark import Range

ACKS_WITHIN_S = 0.25
"""How long application acks wait for company in a flood. A node waits for 20 s before it sends again."""

ACKS_LONGEST_S = 1.0
"""The same for devices that sent more while their ack waited: they do not wait for it."""

ACK_RANGES_KEPT = 64
"""An ack with more ranges than this goes out before it is replaced: the next one may have no room for them."""

Boot = tuple[str, int]
"""Device and boot."""


class AppAck(msgspec.Struct, frozen=True, gc=False):
    """What the gateway may promise one boot of one device after a commit."""

    device: str
    boot: int
    upto: int
    also: list[Range] = []

    def encode(self) -> bytes:
        """Write it as `wire.encode_ack` does."""
        if self.also:
            return str(wire.encode_ack(self.boot, self.upto, self.also)).encode()
        return b'{"v":1,"boot":%d,"upto":%d}' % (self.boot, self.upto)


@lru_cache(maxsize=16_384)
def ack_topic(site: str, device: str) -> str:
    """Return where the acks of a device go."""
    return str(wire.topic_down(site, device, "ack"))


class WaitingAcks:
    """Acks that wait, the newest of each boot."""

    def __init__(self) -> None:
        self._plain: dict[Boot, int] = {}
        self._ranged: dict[Boot, AppAck] = {}
        self._going_on: set[Boot] = set()  # whose ack was replaced by a later one while it waited
        self._since_s = self._oldest_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._plain or self._ranged)

    def add(self, plain: Mapping[Boot, int], ranged: Sequence[AppAck], now_s: float) -> list[AppAck]:
        """Add the acks of a commit; return those that must go now because what replaces them may say less.

        Parameters
        ----------
        plain
            Upper ends of boots without a hole; nearly all are of this kind.
        ranged
            The others.
        now_s
            Monotonic time [s].
        """
        if not self:
            self._since_s = self._oldest_s = now_s
        replaced: list[AppAck] = []
        self._going_on |= plain.keys() & self._plain.keys()
        for key in (plain.keys() & self._ranged.keys()) if self._ranged else ():
            self._going_on.add(key)
            replaced.append(self._ranged.pop(key))
        self._plain.update(plain)
        for ack in ranged:
            key = ack.device, ack.boot
            known = self._ranged.get(key)
            if known is not None:
                replaced.append(known)
            if known is not None or self._plain.pop(key, None) is not None:
                self._going_on.add(key)
            self._ranged[key] = ack
        return [ack for ack in replaced if len(ack.also) > ACK_RANGES_KEPT]

    def due(self, now_s: float) -> list[AppAck]:
        """Take those that have waited for long enough in a flood."""
        if now_s - self._oldest_s >= ACKS_LONGEST_S:
            return self.take_all()
        if now_s - self._since_s < ACKS_WITHIN_S:
            return []
        plain, ranged, going_on = self._plain, self._ranged, self._going_on
        self._plain = {key: upto for key, upto in plain.items() if key in going_on}
        self._ranged = {key: ack for key, ack in ranged.items() if key in going_on}
        self._going_on, self._since_s = set(), now_s
        return [
            *(AppAck(*key, upto) for key, upto in plain.items() if key not in going_on),
            *(ack for key, ack in ranged.items() if key not in going_on),
        ]

    def take_all(self) -> list[AppAck]:
        """Take them all."""
        acks = [*(AppAck(*key, upto) for key, upto in self._plain.items()), *self._ranged.values()]
        self._plain, self._ranged, self._going_on = {}, {}, set()
        return acks
