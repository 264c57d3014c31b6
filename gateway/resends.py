"""What the gateway asked nodes to send again by itself, and what came of it: in the file of orders, for good.

A request covers all that was missing of a boot when it was made: one command, one entry for each missing range. An
entry is never made twice for the same readings.
"""

from typing import Literal

import msgspec

from gateway.missing import Hole
from gateway.orders import Orders, Value

Outcome = Literal["came", "partly", "gone", "unanswered"]

KEPT_MS = 30 * 86_400_000
"""How long entries whose readings are accounted for stay readable [ms]."""


class Resend(msgspec.Struct, frozen=True):
    """A missing range that a node was asked for.

    Attributes
    ----------
    device, boot, low, high
        The readings.
    command_id
        The command that asked.
    asked_ms
        When it was ordered.
    outcome
        None while open; came; partly: the rest is gone; gone: the node no longer has them; unanswered: the node did
        what it was told, or never took the order, and nothing came.
    came
        How many came.
    done_ms, expires_ms
        When the node did what the command told it, and until when it is given. None = not yet; not known any more.
    """

    device: str
    boot: int
    low: int
    high: int
    command_id: int
    asked_ms: int
    outcome: Outcome | None
    came: int
    done_ms: int | None
    expires_ms: int | None


_ALL = """
SELECT r.device, boot, from_seq, to_seq, command_id, asked_ms, outcome, came, done_ms, expires_ms
FROM resends r LEFT JOIN commands c ON c.device = r.device AND c.id = command_id AND outcome IS NULL
ORDER BY r.device, boot, from_seq
"""


class Resends:
    """The entries of one file of orders."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def all(self) -> list[Resend]:
        """Return every entry, by device, boot and number."""
        return [Resend(*row) for row in self._orders.read(_ALL)]

    def ask(self, wanted: list[Hole], now_ms: int, expires_ms: int) -> int:
        """Order that a node sends again what is missing of one boot; return the id of the command."""
        device, boot = wanted[0].device, wanted[0].boot
        with self._orders.at_once():
            body: dict[str, Value] = {"cmd": "resend", "boot": boot, "from": min(hole.low for hole in wanted)}
            command_id = self._orders.add_command(device, body, now_ms, expires_ms)
            for hole in wanted:
                self._orders.write(
                    "INSERT OR REPLACE INTO resends (device, boot, from_seq, to_seq, command_id, asked_ms) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    device, boot, hole.low, hole.high, command_id, now_ms,
                )  # fmt: skip
        return command_id

    def settle(self, entry: Resend, outcome: Outcome, came: int, now_ms: int) -> None:
        """Write down what came of a request."""
        self._orders.write(
            "UPDATE resends SET outcome = ?, came = ?, settled_ms = ? WHERE device = ? AND boot = ? AND from_seq = ?",
            outcome, came, now_ms, entry.device, entry.boot, entry.low,
        )  # fmt: skip

    def prune(self, now_ms: int) -> None:
        """Forget entries whose readings have long been accounted for; what never came is not asked for again."""
        self._orders.write(
            "DELETE FROM resends WHERE outcome IN ('came', 'partly', 'gone') AND settled_ms < ?", now_ms - KEPT_MS
        )
