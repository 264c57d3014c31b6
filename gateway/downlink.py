"""What goes down to nodes beside acks: configurations, commands, and updates in stages.

A thread of its own follows what nodes say of themselves, holds it against the orders, and publishes what is missing.
It is fed by the intake, which never waits for it, and nothing of it holds up a reading: when the file of orders cannot
be used, readings flow on and health says so.

Every order is given again until the node's status shows that it took it; so a broker that forgot, a gateway that was
killed, and a message that got lost need no care of their own.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from firmware import wire
from gateway.blocks import BlockQueue, Request
from gateway.errors import OrderRefused, OrdersError
from gateway.gaps import Gaps
from gateway.orders import Orders, Rollout
from gateway.outbox import Outbox, Publish
from gateway.presence import Attendance
from gateway.rollout import Track, fetched, heard, is_meant_for, judge, lacks, note, offered, step, version_text
from square.errors import BrokerUnavailable

TICK_S = 1.0
"""How often orders are looked at without news of nodes [s]."""
STATUSES_LIMIT = 10_000
"""Statuses that may wait in memory; beyond, the oldest goes: a node says it again."""
SEEN_EVERY_S = 30.0
"""How often it is written down which nodes were heard [s]."""

_log = logging.getLogger(__name__)


class DownlinkCounts(msgspec.Struct):
    """Since start: statuses followed, requests that could not be read, and those for what a node is not to have now."""

    statuses: int = 0
    requests_bad: int = 0
    requests_refused: int = 0


class _Live:
    """A roll-out that still matters, with what is known of its nodes."""

    def __init__(self, rollout: Rollout, tracks: dict[str, Track]) -> None:
        self.id = rollout.id
        self.release = rollout.release
        self.plan = rollout.plan
        self.run = rollout.run
        self.tracks = tracks
        self.nodes = frozenset(rollout.plan.nodes)

    @property
    def name(self) -> str:
        return f"{version_text(self.release.version)} for {self.release.node_class} nodes"


class Downlink:
    """Follows nodes and gives them their orders.

    Parameters
    ----------
    path
        The file of orders.
    site
        Site id of the topics.
    publish
        Hands a message to the device broker.
    is_listening
        Whether nodes can be heard at the moment: the silence of a gateway is no silence of nodes.
    now_ms
        Square time [ms since 1970].
    blocks_per_s, node_blocks_per_s
        Limits for parts of updates, in total and for a node [1/s, wall time].
    attendance
        Is told what nodes say of themselves; None for nobody.
    gaps
        Orders what is missing; None for nobody.
    monotonic
        Monotonic wall time [s].
    """

    def __init__(
        self,
        path: Path,
        *,
        site: str,
        publish: Publish,
        is_listening: Callable[[], bool],
        now_ms: Callable[[], int],
        blocks_per_s: float = 100.0,
        node_blocks_per_s: float = 25.0,
        attendance: Attendance | None = None,
        gaps: Gaps | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = DownlinkCounts()
        self.outbox = Outbox(site, publish, monotonic)
        self.trouble: str | None = None
        """Why orders are not given at the moment; None when they are."""
        self._path = path
        self._is_listening = is_listening
        self._now_ms = now_ms
        self._attendance = attendance
        self._gaps = gaps
        self._monotonic = monotonic
        self._orders: Orders | None = None
        self._live: list[_Live] = []
        self._has_news = self._has_given = False
        self._statuses: deque[tuple[str, dict[str, Any], int]] = deque(maxlen=STATUSES_LIMIT)
        self._seen: dict[str, int] = {}
        self._fetched: dict[tuple[int, str], int] = {}
        self._blocks = BlockQueue(blocks_per_s, node_blocks_per_s, monotonic)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._listening_ms = now_ms()
        self._tick_s = self._seen_s = self._retry_s = float("-inf")
        self._notes: list[str] = []

    # -- from the intake: never waits, never raises ----------------------------------------------

    def hear(self, device: str, kind: str, payload: bytes, at_ms: int) -> None:
        """Take note of a message of a node, whatever it is.

        Parameters
        ----------
        device, kind
            From the topic.
        payload
            The message as it came.
        at_ms
            Arrival [ms since 1970, square time].
        """
        if kind == "will":
            return  # the broker's word about a node
        with self._lock:
            self._seen[device] = at_ms
        try:
            if kind == "status":
                with self._lock:
                    self._statuses.append((device, wire.decode_status(payload), at_ms))
                self._wake.set()
            elif kind == "ota":
                wanted = wire.decode_ota_up(payload)
                self._blocks.put(Request(device, wanted["ver"], wanted["at"], wanted["n"]))
                self._wake.set()
        except wire.WireError as error:
            if kind == "ota":
                self.counts.requests_bad += 1
                _log.debug("a request of %s cannot be read: %s", device, error)

    def notes(self) -> list[str]:
        """Return what people should know, as sentences."""
        return ([f"orders for nodes are not given: {self.trouble}."] if self.trouble is not None else []) + self._notes

    def counted(self) -> dict[str, int]:
        """Return the counters by name."""
        return {**msgspec.to_builtins(self.counts), **msgspec.to_builtins(self.outbox.counts), "waiting": self.waiting}

    @property
    def halted(self) -> int:
        """Roll-outs that were halted."""
        return len(self._notes)

    @property
    def waiting(self) -> int:
        """Nodes that wait for a part of an update."""
        return len(self._blocks)

    # -- the thread ------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Follow nodes until `stop` is set."""
        try:
            while not stop.is_set():
                self._wake.wait(0.05 if self.waiting else 0.2)
                self._wake.clear()
                self.step()
        finally:
            self.close()

    def close(self) -> None:
        """Close the file of orders."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None

    def step(self) -> None:
        """Do what is due now."""
        now_s = self._monotonic()
        if now_s < self._retry_s:
            return
        try:
            if self._orders is None:
                self._orders = self._open()
            self._work(self._orders, now_s)
        except OrdersError as error:
            self._give_up(str(error), now_s + (error.retry_after_s or 30.0))
        except BrokerUnavailable:
            self._retry_s = now_s + 1.0  # what was not sent is sent when the node or the clock asks again
        except Exception:  # noqa: BLE001 - readings must flow on, whatever is wrong with orders
            _log.exception("following nodes failed")
            self._give_up("a fault of the program, see the log", now_s + 30.0)
        else:
            if self.trouble is not None:
                _log.warning("orders for nodes are given again")
            self.trouble = None

    def _open(self) -> Orders:
        orders = Orders(self._path)
        if self._attendance is not None:
            for node in orders.nodes().values():
                self._attendance.restore_node(node.device, node.seen_ms, node.status)
        return orders

    def _give_up(self, why: str, retry_s: float) -> None:
        if self.trouble is None:
            _log.error("orders for nodes are not given: %s", why)
        self.trouble = why
        self._retry_s = retry_s
        self.close()

    def _work(self, orders: Orders, now_s: float) -> None:
        is_tick = now_s - self._tick_s >= TICK_S
        with self._lock:
            statuses = list(self._statuses)
            self._statuses.clear()
        if statuses or is_tick:
            if not self._is_listening():
                self._listening_ms = self._now_ms()
            try:
                self._follow(orders, statuses, now_s)
            except OrdersError:
                with self._lock:
                    self._statuses.extendleft(reversed(statuses))
                raise
            self._tick_s = now_s if is_tick else self._tick_s
            self._speak(orders, [(device, status) for device, status, _at_ms in statuses], is_tick=is_tick)
        for request in self._blocks.due():
            self._serve(orders, request)

    def _follow(self, orders: Orders, statuses: list[tuple[str, dict[str, Any], int]], now_s: float) -> None:
        """Write down what nodes said, and let roll-outs go a step: in one transaction, on what is in the file now."""
        now_ms = self._now_ms()
        with orders.at_once():
            if orders.is_changed():
                self._has_news = True
                self._live = [
                    _Live(rollout, orders.tracks(rollout.id))
                    for rollout in orders.rollouts()
                    if rollout.run.phase != "superseded"
                ]
            if now_s - self._seen_s >= SEEN_EVERY_S:
                self._note_seen(orders)
                self._seen_s = now_s
            for device, status, at_ms in statuses:
                orders.note_status(device, status, at_ms)
                if self._attendance is not None:
                    self._attendance.note_status(device, status, at_ms)
                if "cmd" in status:
                    orders.lift_commands(device, status["cmd"], at_ms)
                    orders.note_commands_done(device, status["cmd"], at_ms)
                for live in self._live_with(device):
                    track = note(live.tracks.get(device, Track()), live.plan, status, at_ms)
                    self._keep(orders, live, device, track)
            for live in self._live:
                self._advance(orders, live, now_ms)
            if self._gaps is not None and self._is_listening() and self._gaps.look(orders, now_ms):
                self._has_news = True
        self.counts.statuses += len(statuses)
        self._notes = [
            f"the roll-out of {live.name} is HALTED: {live.run.why}. See `resik ota status`."
            for live in self._live
            if live.run.phase == "halted"
        ]

    def _note_seen(self, orders: Orders) -> None:
        with self._lock:
            seen, self._seen = self._seen, {}
        if self._attendance is not None:
            seen |= self._attendance.readings_since_last()
        for device, at_ms in seen.items():
            orders.note_seen(device, at_ms)
            for live in self._live_with(device):
                self._keep(orders, live, device, heard(live.tracks.get(device, Track()), at_ms))

        for live in self._live:
            for device in live.nodes & {device for _id, device in self._fetched}:
                upto = self._fetched.pop((live.id, device), 0)
                self._keep(orders, live, device, fetched(live.tracks.get(device, Track()), upto))
        self._fetched.clear()

    def _keep(self, orders: Orders, live: _Live, device: str, track: Track) -> None:
        if live.tracks.get(device) != track:
            live.tracks[device] = track
            orders.save_track(live.id, device, track)

    def _live_with(self, device: str) -> Iterator[_Live]:
        return (live for live in self._live if device in live.nodes)

    def _advance(self, orders: Orders, live: _Live, now_ms: int) -> None:
        run = step(live.plan, live.run, live.tracks, now_ms, self._listening_ms)
        if run == live.run:
            return
        live.run = run
        orders.save_run(live.id, run)
        self._has_news = True
        if run.phase == "halted":
            _log.error("ROLL-OUT HALTED: version %s: %s", live.name, run.why)
        elif run.phase == "done":
            _log.info("roll-out done: version %s", live.name)
        else:
            _log.info("roll-out of version %s: stage %d opens, %d nodes", live.name, run.stage + 1,
                      live.plan.reach(run.stage))  # fmt: skip

    # -- giving orders ---------------------------------------------------------------------------

    def _speak(self, orders: Orders, statuses: list[tuple[str, dict[str, Any]]], *, is_tick: bool) -> None:
        """Answer statuses, and give what was ordered; all notes of what was sent are one write to the disk."""
        broken: BrokerUnavailable | None = None
        with orders.at_once():
            try:
                for device, status in statuses:
                    self._answer(orders, device, status)
                if is_tick:
                    self._give(orders)
            except BrokerUnavailable as error:
                broken = error  # what was sent until now is noted all the same
        if broken is not None:
            raise broken

    def _give(self, orders: Orders) -> None:
        """Give what was ordered since the last look, without waiting for the node to say something."""
        if self._has_news:
            self._give_news(orders, self._now_ms())
            self._has_news = False
        for live in self._live:
            if live.run.phase == "running":
                for device in live.plan.members(live.run.stage):
                    if not is_meant_for(live.plan, live.run, device, live.plan.node_class):
                        continue
                    track = live.tracks.get(device, Track())
                    node = orders.node(device) if track.offered_ms is None and track.confirmed_ms is None else None
                    if node is not None and node.status:
                        self._offer(orders, live, device, node.status)

    def _give_news(self, orders: Orders, now_ms: int) -> None:
        nodes = orders.nodes()
        for config in orders.configs().values():
            node = nodes.get(config.device)
            if node is None or node.status.get("cfg") != config.cfg:
                self.outbox.config(orders, config, now_ms)
        for command in orders.open_commands(now_ms):
            # what was given waits in the broker for a node that sleeps: copies of it would only gather there
            if command.sent_ms is None or not self._has_given:
                self.outbox.command(orders, command, now_ms)
        self._has_given = True
        for live in self._live:
            if live.run.phase == "halted":
                self._halt(live)

    def _halt(self, live: _Live) -> None:
        """Tell every node that may be loading a halted release to stop."""
        for device in live.plan.members(live.run.stage):
            track = live.tracks.get(device, Track())
            outcome = judge(live.plan, live.run, track, self._now_ms(), self._listening_ms).outcome
            if track.offered_ms is not None and outcome not in {"confirmed", "failed"}:
                self.outbox.halt(device, live.release.version)

    def _answer(self, orders: Orders, device: str, status: dict[str, Any]) -> None:
        """Give a node that has just spoken what it lacks: it is awake now."""
        now_ms = self._now_ms()
        config = orders.config(device)
        if config is not None and "cfg" in status:
            if status["cfg"] > config.cfg:  # the file of orders is older than the node: begin above what it knows
                try:
                    orders.set_config(device, config.changes, now_ms)
                except OrderRefused as error:  # it claims the highest of all numbers: no reason to fail the others
                    _log.debug("%s says that it has configuration %d: %s", device, status["cfg"], error)
                config = orders.config(device) or config
            if status["cfg"] < config.cfg and "cfg_bad" not in status:
                self.outbox.config(orders, config, now_ms)
        for command in orders.commands(device):
            if command.done_ms is None and command.expires_ms > now_ms:
                self.outbox.command(orders, command, now_ms)
        for live in self._live:
            is_meant = is_meant_for(live.plan, live.run, device, status.get("class"))
            if is_meant and lacks(live.plan, live.tracks.get(device, Track()), status):
                self._offer(orders, live, device, status)
                break  # one update at a time: the newest that the node lacks
            is_loading = status.get("ota") in {"loading", "ready"} and status.get("ota_ver") == live.release.version
            if is_loading and (live.run.phase == "halted" or device in live.run.without):
                self.outbox.halt(device, live.release.version)

    def _offer(self, orders: Orders, live: _Live, device: str, status: dict[str, Any]) -> None:
        """Offer a release to a node that lacks it; one that refused may have a better day."""
        track = live.tracks.get(device, Track())
        if lacks(live.plan, track, status) and self.outbox.offer(device, live.release) and device in live.nodes:
            self._keep(orders, live, device, offered(track, self._now_ms()))

    def _serve(self, orders: Orders, request: Request) -> None:
        """Answer a request with a block, or with the word that this release is not for this node now."""
        for live in self._live:
            if live.release.version != request.version:
                continue
            node = orders.node(request.device) if request.device not in live.nodes else None
            node_class = node.status.get("class") if node is not None else None
            if is_meant_for(live.plan, live.run, request.device, node_class):
                data = orders.block(live.release.id, request.at, request.size)
                if data:
                    self.outbox.block(request.device, live.release, request.at, data)
                    key = (live.id, request.device)
                    self._fetched[key] = max(self._fetched.get(key, 0), request.at + len(data))
                    return
        self.counts.requests_refused += 1
        self.outbox.halt(request.device, request.version)
