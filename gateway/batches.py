"""What goes between gateway and ingest, as docs/protocol.md describes it: rows in batches up, acks down."""

import base64
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.messages import PRESENCE_KINDS
from gateway.tail import Row

ROW_FRAME_BYTES = 240
"""What surrounds a body in a batch, at most: names, numbers and ids [bytes]."""


class BatchAck(msgspec.Struct, frozen=True):
    """Ingest's answer to a batch, as it comes over the wire."""

    v: int
    spool: str
    batch: str
    stored: list[int] = []
    dead: list[int] = []


class Flight:
    """Rows that were sent together and are not settled yet, and what the forwarder knows of their journey."""

    __slots__ = ("attempts", "due_s", "is_backlog", "name", "overtaken", "pause_s", "rows", "sent_number", "sent_s")

    def __init__(self, rows: list[Row], *, is_backlog: bool = False) -> None:
        self.name = secrets.token_hex(8)
        self.rows = {row.id: row for row in rows}
        self.is_backlog = is_backlog
        self.attempts = 0
        self.pause_s = 0.0
        self.due_s = 0.0
        self.sent_number = 0
        self.sent_s = 0.0
        self.overtaken = 0


class ForwardCounts(msgspec.Struct):
    """What happened since start.

    Attributes
    ----------
    batches, resent, copies
        Batches sent first, sent again, and sent as copies.
    forwarded
        Rows in batches sent first.
    settled_stored, settled_dead
        Rows that ingest took over.
    acks, acks_foreign, acks_bad, acks_stale
        Acks read; of another spool file; unreadable; that settled nothing.
    failures
        Batches that the connection did not take.
    heartbeats
        Empty batches sent.
    """

    batches: int = 0
    resent: int = 0
    copies: int = 0
    forwarded: int = 0
    settled_stored: int = 0
    settled_dead: int = 0
    acks: int = 0
    acks_foreign: int = 0
    acks_bad: int = 0
    acks_stale: int = 0
    failures: int = 0
    heartbeats: int = 0


def row_ids(ids: Iterable[int]) -> set[int]:
    """Return those that a row can have: the wire knows larger numbers than SQLite."""
    return {row_id for row_id in ids if -(2**63) <= row_id < 2**63}


def wire_bytes(row: Row) -> int:
    """Return how many bytes a row has in a batch, at most."""
    if row.kind == "poison":
        return 4 * (len(row.body) + 2) // 3 + ROW_FRAME_BYTES + 6 * len(row.topic or "")
    return len(row.body) + ROW_FRAME_BYTES


class _ReadingRow(msgspec.Struct, frozen=True, gc=False):
    """The entry of a reading or a sign of presence: a struct, as it costs the encoder half of a dict."""

    id: int
    device: str
    kind: str
    boot: int
    seq: int | None
    ts_ms: int
    arrived_ms: int
    time: str
    body: msgspec.Raw


def encode_row(row: Row) -> _ReadingRow | dict[str, Any]:
    """Make the batch entry of a row."""
    if row.kind == "poison":
        return {
            "id": row.id, "device": row.device, "kind": row.kind, "code": row.code, "arrived_ms": row.arrived_ms,
            "raw": base64.b64encode(row.body).decode("ascii"), "topic": row.topic,
        }  # fmt: skip
    if row.kind == "uplink":
        return {
            "id": row.id, "device": row.device, "kind": row.kind, "boot": row.boot, "seq": row.seq, "ts_ms": row.ts_ms,
            "arrived_ms": row.arrived_ms, "time": row.time, "uplink": msgspec.Raw(row.body),
        }  # fmt: skip
    # status and will have no sequence number of their own; in the spool it only tells repeats apart
    seq = 0 if row.kind in PRESENCE_KINDS else row.seq
    return _ReadingRow(
        row.id, row.device, row.kind, row.boot, seq, row.ts_ms, row.arrived_ms, row.time, msgspec.Raw(row.body)
    )
