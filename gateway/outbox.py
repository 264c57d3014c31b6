"""Sends orders to nodes, each at most once in a while, and counts them."""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from firmware import wire
from gateway.orders import (
    Command,
    Config,
    Orders,
    Release,
    encode_block,
    encode_cmd,
    encode_config,
    encode_halt,
    encode_offer,
)

AGAIN_S = 30.0
"""Pause before the same order goes to the same node again [s]."""
REMEMBERED = 10_000
"""Orders that are remembered as just sent."""


class Publish(Protocol):
    """Hands a message to the broker."""

    def __call__(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> object:
        """Raise `square.errors.BrokerUnavailable` when there is no connection."""


class SentCounts(msgspec.Struct):
    """Configurations, commands, offers, halts and blocks sent since start."""

    configs: int = 0
    commands: int = 0
    offers: int = 0
    halts: int = 0
    blocks: int = 0


class Outbox:
    """Makes orders into messages.

    Every method raises `square.errors.BrokerUnavailable` when there is no connection; nothing counts as sent then.

    Parameters
    ----------
    site
        Site id of the topics.
    publish
        Hands a message to the device broker.
    monotonic
        Monotonic wall time [s].
    """

    def __init__(self, site: str, publish: Publish, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.counts = SentCounts()
        self._site = site
        self._publish = publish
        self._monotonic = monotonic
        self._sent_s: dict[tuple[str, str, int], float] = {}

    def config(self, orders: Orders, config: Config, now_ms: int) -> None:
        """Publish a configuration, retained."""
        payload = encode_config(config.cfg, config.changes)
        if self._once("config", config.device, config.cfg, payload, retain=True):
            orders.note_config_sent(config.device, config.cfg, now_ms)
            self.counts.configs += 1

    def command(self, orders: Orders, command: Command, now_ms: int) -> None:
        """Send a command."""
        if self._once("cmd", command.device, command.id, encode_cmd(command.id, command.body)):
            orders.note_command_sent(command.device, command.id, now_ms)
            self.counts.commands += 1

    def offer(self, device: str, release: Release) -> bool:
        """Offer a release; False when the node was offered it a moment ago."""
        is_sent = self._once("ota", device, release.version, encode_offer(release))
        self.counts.offers += is_sent
        return is_sent

    def halt(self, device: str, version: int) -> None:
        """Tell a node to stop loading a version."""
        self._send(device, "ota", encode_halt(version))
        self.counts.halts += 1

    def block(self, device: str, release: Release, at: int, data: bytes) -> None:
        """Send a part of a bundle, with quality of service 0.

        The node asks again for one that it misses. One that the broker kept would meet it at every connect, late, and
        as the largest message of all.
        """
        self._send(device, "ota", encode_block(release, at, data), qos=0)
        self.counts.blocks += 1

    def _once(self, kind: str, device: str, number: int, payload: bytes, *, retain: bool = False) -> bool:
        now_s = self._monotonic()
        key = (kind, device, number)
        if now_s - self._sent_s.get(key, float("-inf")) < AGAIN_S:
            return False
        self._send(device, kind, payload, retain=retain)
        if len(self._sent_s) > REMEMBERED:
            self._sent_s = {known: at_s for known, at_s in self._sent_s.items() if now_s - at_s < AGAIN_S}
        self._sent_s[key] = now_s
        return True

    def _send(self, device: str, kind: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._publish(wire.topic_down(self._site, device, kind), payload, qos, retain=retain)
