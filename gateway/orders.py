"""What nodes are meant to do: configurations, commands, releases and roll-outs, and what each node said last.

One SQLite file beside the spool. The command line writes orders into it, the gateway hands them out and notes what
became of them; either may be restarted at any time. Nothing here is needed to keep a reading.

Unit of time: milliseconds of square time since 1970 UTC.
"""

import base64
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from firmware import wire
from gateway.errors import OrderRefused
from gateway.orders_schema import as_orders_error, open_orders
from gateway.rollout import Plan, Run, Track, version_text
from square.sqlite import transaction

COMMANDS_KEPT_MS = 30 * 86_400_000
"""How long done and expired commands stay readable [ms]."""

Value = str | int | bool


class Node(msgspec.Struct, frozen=True):
    """What is known of a node: when it was heard, and its last status as `wire.decode_status` gives it."""

    device: str
    seen_ms: int
    status_ms: int | None
    status: dict[str, Any]


class Config(msgspec.Struct, frozen=True):
    """The remote configuration that a node is meant to have."""

    device: str
    cfg: int
    changes: dict[str, Value]
    made_ms: int
    sent_ms: int | None


class Command(msgspec.Struct, frozen=True):
    """A command for a node; `body` holds `cmd` and its numbers."""

    device: str
    id: int
    body: dict[str, Value]
    made_ms: int
    expires_ms: int
    sent_ms: int | None
    done_ms: int | None


class Release(msgspec.Struct, frozen=True):
    """A bundle, without its bytes. `id` is 0 until it is stored."""

    version: int
    node_class: str
    type: str
    size: int
    sha256: str
    id: int = 0


class Rollout(msgspec.Struct, frozen=True):
    """A release on its way to nodes."""

    id: int
    release: Release
    plan: Plan
    run: Run
    made_ms: int


# -- what goes down ------------------------------------------------------------------------------------


def encode_config(cfg: int, changes: Mapping[str, Value]) -> bytes:
    """Make a `down/config` payload."""
    return _encode({"cfg": cfg, "set": dict(changes)})


def encode_cmd(command_id: int, body: Mapping[str, Value]) -> bytes:
    """Make a `down/cmd` payload."""
    return _encode({"id": command_id, **body})


def encode_offer(release: Release) -> bytes:
    """Make the offer of a release."""
    return _encode({"offer": release.version, "type": release.type, "class": release.node_class, "size": release.size})


def encode_block(release: Release, at: int, data: bytes) -> bytes:
    """Make the answer to a request: `data` is what the bundle has from byte `at` on."""
    return _encode({"ver": release.version, "at": at, "of": release.size, "data": base64.b64encode(data).decode()})


def encode_halt(version: int) -> bytes:
    """Make the word to stop loading a version."""
    return _encode({"halt": version})


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps({"v": wire.VERSION, **message}, separators=(",", ":")).encode("ascii")


# -- the file ------------------------------------------------------------------------------------------


class Orders:
    """The file of orders. All methods may be called from any thread, and from several processes.

    Raises
    ------
    OrdersError
        From every method, when the file cannot be used; `retryable` says whether waiting helps.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = open_orders(path)
        self._seen_version = -1

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Run a block in one transaction: all of it or nothing, and no other process in between."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                with transaction(self._connection):
                    yield
            except sqlite3.Error as error:
                raise as_orders_error(error, self.path) from error

    def is_changed(self) -> bool:
        """Whether another process has written since the last call; true for the first call."""
        version: int = self.read("PRAGMA data_version")[0][0]
        was, self._seen_version = self._seen_version, version
        return version != was

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query; return its rows."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise as_orders_error(error, self.path) from error

    def write(self, statement: str, *values: Any) -> int:
        """Run a statement in a transaction; return how many rows it changed."""
        with self.at_once():
            return self._connection.execute(statement, values).rowcount

    # -- nodes ---------------------------------------------------------------------------------

    def note_seen(self, device: str, at_ms: int) -> None:
        """Note that something was heard of a node."""
        self.write(
            "INSERT INTO nodes (device, seen_ms) VALUES (?, ?) "
            "ON CONFLICT (device) DO UPDATE SET seen_ms = MAX(seen_ms, excluded.seen_ms)",
            device, at_ms,
        )  # fmt: skip

    def note_status(self, device: str, status: Mapping[str, Any], at_ms: int) -> None:
        """Note what a node said last; an older status never replaces a newer one."""
        self.write(
            "INSERT INTO nodes VALUES (?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET "
            "seen_ms = MAX(seen_ms, excluded.seen_ms), status_ms = excluded.status_ms, status = excluded.status "
            "WHERE status_ms IS NULL OR status_ms <= excluded.status_ms",
            device, at_ms, at_ms, json.dumps(status),
        )  # fmt: skip

    def nodes(self) -> dict[str, Node]:
        """Return every node that was ever heard, by device id."""
        return {row[0]: _node(row) for row in self.read("SELECT * FROM nodes ORDER BY device")}

    def node(self, device: str) -> Node | None:
        """Return one node."""
        rows = self.read("SELECT * FROM nodes WHERE device = ?", device)
        return _node(rows[0]) if rows else None

    def _said(self, device: str, key: str) -> int:
        node = self.node(device)
        return int(node.status.get(key, 0)) if node is not None else 0

    # -- configurations ------------------------------------------------------------------------

    def set_config(self, device: str, changes: Mapping[str, Value], now_ms: int) -> int:
        """Order the whole remote configuration of a node; return its number, above all that the node knows.

        Raises
        ------
        OrderRefused
            If the wire does not take it.
        """
        with self.at_once():
            known = self.config(device)
            cfg: int = max(known.cfg if known is not None else 0, self._said(device, "cfg")) + 1
            _check(wire.decode_config, encode_config(cfg, changes))
            self.write(
                "INSERT OR REPLACE INTO configs VALUES (?, ?, ?, ?, NULL)", device, cfg, json.dumps(changes), now_ms
            )
        return cfg

    def config(self, device: str) -> Config | None:
        """Return what a node is meant to have; None when nobody ordered anything."""
        rows = self.read("SELECT * FROM configs WHERE device = ?", device)
        return _config(rows[0]) if rows else None

    def configs(self) -> dict[str, Config]:
        """Return all ordered configurations, by device id."""
        return {row[0]: _config(row) for row in self.read("SELECT * FROM configs ORDER BY device")}

    def note_config_sent(self, device: str, cfg: int, now_ms: int) -> None:
        """Note that a configuration was handed to the broker."""
        self.write("UPDATE configs SET sent_ms = ? WHERE device = ? AND cfg = ?", now_ms, device, cfg)

    # -- commands ------------------------------------------------------------------------------

    def add_command(self, device: str, body: Mapping[str, Value], now_ms: int, expires_ms: int) -> int:
        """Order a command; return its id, above all that the node knows.

        Raises
        ------
        OrderRefused
            If there is no such command, or one of its numbers is missing or out of range.
        """
        with self.at_once():
            last: int = self.read("SELECT COALESCE(MAX(id), 0) FROM commands WHERE device = ?", device)[0][0]
            command_id = max(last, self._said(device, "cmd")) + 1
            _check(wire.decode_cmd, encode_cmd(command_id, body))
            self.write(
                "INSERT INTO commands VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                device, command_id, json.dumps(body), now_ms, expires_ms,
            )  # fmt: skip
            self.write("DELETE FROM commands WHERE expires_ms < ?", now_ms - COMMANDS_KEPT_MS)
        return command_id

    def commands(self, device: str) -> list[Command]:
        """Return the commands of a node, the oldest first."""
        return [_command(row) for row in self.read("SELECT * FROM commands WHERE device = ? ORDER BY id", device)]

    def open_commands(self, now_ms: int) -> list[Command]:
        """Return commands that are neither done nor expired, by device and id."""
        return [
            _command(row)
            for row in self.read(
                "SELECT * FROM commands WHERE done_ms IS NULL AND expires_ms > ? ORDER BY device, id", now_ms
            )
        ]

    def note_command_sent(self, device: str, command_id: int, now_ms: int) -> None:
        """Note that a command was handed to the broker."""
        self.write("UPDATE commands SET sent_ms = ? WHERE device = ? AND id = ?", now_ms, device, command_id)

    def lift_commands(self, device: str, upto: int, now_ms: int) -> None:
        """Give open commands numbers above `upto`, when the node has done more than this file ever gave it.

        Then the file is new, or from a backup, and the node takes its numbers for old ones: it would do none of them
        and yet say that it did.
        """
        with self.at_once():
            last: int = self.read("SELECT COALESCE(MAX(id), 0) FROM commands WHERE device = ?", device)[0][0]
            if last < upto <= wire.U32_MAX - last:
                self.write(
                    "UPDATE resends SET command_id = command_id + ? WHERE device = ? AND command_id IN (SELECT id "
                    "FROM commands WHERE device = ? AND done_ms IS NULL AND expires_ms > ?)",
                    upto, device, device, now_ms,
                )  # fmt: skip
                self.write(
                    "UPDATE commands SET id = id + ?, sent_ms = NULL "
                    "WHERE device = ? AND done_ms IS NULL AND expires_ms > ?",
                    upto, device, now_ms,
                )  # fmt: skip

    def note_commands_done(self, device: str, upto: int, now_ms: int) -> None:
        """Note that a node has done its commands up to an id."""
        self.write(
            "UPDATE commands SET done_ms = ? WHERE device = ? AND id <= ? AND done_ms IS NULL", now_ms, device, upto
        )

    # -- releases and roll-outs ----------------------------------------------------------------

    def publish(self, release: Release, bundle: bytes, plan: Plan, now_ms: int) -> int:
        """Store a release and begin its roll-out; return the roll-out's id.

        An unfinished roll-out of the same class ends, and so does a finished one of the same type: a node takes one
        update at a time.

        Raises
        ------
        OrderRefused
            If this version is there already, or a newer one of this class and type.
        """
        with self.at_once():
            newest = self.read(
                "SELECT MAX(version) FROM releases WHERE class = ? AND (type = ? OR version = ?) AND version >= ?",
                release.node_class, release.type, release.version, release.version,
            )[0][0]  # fmt: skip
            if newest is not None:
                raise OrderRefused(
                    f"version {version_text(newest)} for {release.node_class} nodes was published already: "
                    "build the bundle with a higher version"
                )
            for rollout in self.rollouts():
                is_same = rollout.release.type == release.type
                if rollout.plan.node_class == plan.node_class and (is_same or rollout.run.phase != "done"):
                    self.save_run(rollout.id, msgspec.structs.replace(rollout.run, phase="superseded"))
            self.write(
                "INSERT INTO releases (class, version, type, size, sha256, made_ms, bundle) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                release.node_class, release.version, release.type, release.size, release.sha256, now_ms, bundle,
            )  # fmt: skip
            self.write(
                "INSERT INTO rollouts (release_id, made_ms, plan, run) VALUES "
                "((SELECT id FROM releases WHERE class = ? AND version = ?), ?, ?, ?)",
                release.node_class, release.version, now_ms,
                msgspec.json.encode(plan).decode(), msgspec.json.encode(Run(opened_ms=now_ms)).decode(),
            )  # fmt: skip
            return int(self.read("SELECT MAX(id) FROM rollouts")[0][0])

    def rollouts(self) -> list[Rollout]:
        """Return all roll-outs, the newest first."""
        return [
            Rollout(
                row[0],
                Release(row[3], row[4], row[5], row[6], row[7], row[8]),
                msgspec.json.decode(row[1], type=Plan),
                msgspec.json.decode(row[2], type=Run),
                row[9],
            )
            for row in self.read(
                "SELECT o.id, plan, run, version, class, type, size, sha256, r.id, o.made_ms "
                "FROM rollouts o JOIN releases r ON r.id = release_id ORDER BY o.id DESC"
            )
        ]

    def save_run(self, rollout_id: int, run: Run) -> None:
        """Store where a roll-out is now."""
        self.write("UPDATE rollouts SET run = ? WHERE id = ?", msgspec.json.encode(run).decode(), rollout_id)

    def tracks(self, rollout_id: int) -> dict[str, Track]:
        """Return what is known of the nodes of a roll-out."""
        rows = self.read("SELECT device, track FROM tracks WHERE rollout_id = ?", rollout_id)
        return {device: msgspec.json.decode(track, type=Track) for device, track in rows}

    def save_track(self, rollout_id: int, device: str, track: Track) -> None:
        """Store what is known of a node in a roll-out."""
        self.write(
            "INSERT OR REPLACE INTO tracks VALUES (?, ?, ?)", rollout_id, device, msgspec.json.encode(track).decode()
        )

    def block(self, release_id: int, at: int, size: int) -> bytes:
        """Return up to `size` bytes of a bundle from byte `at` on; nothing beyond its end."""
        with self._lock:
            try:
                with self._connection.blobopen("releases", "bundle", release_id, readonly=True) as blob:
                    if at >= len(blob):
                        return b""
                    blob.seek(at)
                    return blob.read(size)
            except sqlite3.Error as error:
                raise as_orders_error(error, self.path) from error


def _check(decode: Any, payload: bytes) -> None:
    try:
        decode(payload)
    except wire.WireError as error:
        raise OrderRefused(str(error).partition(": ")[2]) from error


def _node(row: tuple[Any, ...]) -> Node:
    return Node(row[0], row[1], row[2], json.loads(row[3]) if row[3] is not None else {})


def _config(row: tuple[Any, ...]) -> Config:
    return Config(row[0], row[1], json.loads(row[2]), row[3], row[4])


def _command(row: tuple[Any, ...]) -> Command:
    return Command(row[0], row[1], json.loads(row[2]), *row[3:])
