"""The picture that every reader gets: newest object of each bin, station, incident, task and crew.

One board per process, kept by the event loop alone. It starts from the desk's snapshot, follows the
change log, judges staleness against square time, and keeps ``/api/v1/state`` encoded, so that a
request costs a copy and not a query.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from alerts.desk import RECENT_TASKS_MS, is_stale

Json = dict[str, Any]
Key = tuple[str, str]
"""``(kind, entity id)``, for example ``("bin", "b-001")``."""

KINDS: Final = ("bin", "air", "incident", "task", "crew")
_SECTIONS: Final = {"bin": "bins", "air": "air", "incident": "incidents", "task": "tasks", "crew": "crews"}
_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def entity_id(kind: str, item: Mapping[str, Any]) -> str:
    """Return the id under which the change log knows an object."""
    return str(item["asset_id"] if kind in ("bin", "air") else item["id"])


class Board:
    """Newest objects by kind and id, and their encoded form.

    Parameters
    ----------
    intervals_s : Mapping[str, int]
        Reporting interval of the device at each asset [s].
    """

    def __init__(self, intervals_s: Mapping[str, int]) -> None:
        self.event_id = 0
        self._intervals_s = dict(intervals_s)
        self._items: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        self._health: Json = {"ok": False, "services": []}
        self._nonce = secrets.token_hex(4)
        self._version = 0
        self._built_version = -1
        self._head = b""
        self._tail = b""

    def load(self, state: Mapping[str, Any], now_ms: int) -> None:
        """Replace everything by a snapshot of the desk, taken at its ``event_id``."""
        self.event_id = int(state["event_id"])
        for kind, section in _SECTIONS.items():
            self._items[kind] = {entity_id(kind, item): dict(item) for item in state[section]}
        for kind in ("bin", "air"):
            for item in self._items[kind].values():
                item["stale"] = self._is_stale(item, now_ms)
        self._version += 1

    def apply(self, event_id: int, kind: str, ident: str, payload: Mapping[str, Any], now_ms: int) -> Json | None:
        """Take over one line of the change log and return the object as readers shall see it.

        Returns
        -------
        dict | None
            None for a kind that readers do not follow.
        """
        self.event_id = max(self.event_id, event_id)
        self._version += 1
        items = self._items.get(kind)
        if items is None:
            return None
        item = dict(payload)
        if kind in ("bin", "air"):
            item["stale"] = self._is_stale(item, now_ms)
        items[ident] = item
        return item

    def retain(self, kind: str, idents: Collection[str]) -> bool:
        """Forget every object of a kind that is not named; return whether there was one."""
        gone = [ident for ident in self._items[kind] if ident not in idents]
        for ident in gone:
            del self._items[kind][ident]
        self._version += bool(gone)
        return bool(gone)

    def judge(self, now_ms: int) -> list[Key]:
        """Judge every age at ``now_ms`` again.

        Returns
        -------
        list of Key
            Assets whose ``stale`` flipped since the last judgement.
        """
        flipped: list[Key] = []
        for kind in ("bin", "air"):
            for ident, item in self._items[kind].items():
                stale = self._is_stale(item, now_ms)
                if stale != item["stale"]:
                    item["stale"] = stale
                    flipped.append((kind, ident))
        oldest_ms = now_ms - RECENT_TASKS_MS  # closed incidents leave the memory with the tasks
        gone = [
            (kind, ident)
            for kind in ("incident", "task")
            for ident, item in self._items[kind].items()
            if item["closed_ms"] is not None and item["closed_ms"] < oldest_ms
        ]
        for kind, ident in gone:
            del self._items[kind][ident]
        if flipped or gone:
            self._version += 1
        return flipped

    def set_health(self, health: Json) -> None:
        """Replace the health section."""
        self._health = health
        self._version += 1

    @property
    def health(self) -> Json:
        """The health section as last set."""
        return self._health

    def get(self, kind: str, ident: str) -> Json | None:
        """Return the newest object, or None when the board does not hold it."""
        return self._items[kind].get(ident)

    def stale_keys(self) -> list[Key]:
        """Assets that are stale now."""
        return [(kind, ident) for kind in ("bin", "air") for ident, item in self._items[kind].items() if item["stale"]]

    @property
    def etag(self) -> str:
        """Weak entity tag of the state without its clock."""
        return f'W/"{self._nonce}-{self._version}"'

    def state_bytes(self, clock: Json) -> bytes:
        """Return the body of ``/api/v1/state``; only the clock is encoded for each request."""
        if self._built_version != self._version:
            self._build()
        return b"".join((self._head, _encode(clock), self._tail))

    def _build(self) -> None:
        self._head = b'{"event_id":%d,"clock":' % self.event_id
        sections = {section: list(self._items[kind].values()) for kind, section in _SECTIONS.items()}
        sections["incidents"] = [item for item in sections["incidents"] if item["state"] != "closed"]
        body = _encode({**sections, "health": self._health})
        self._tail = b"," + body[1:]
        self._built_version = self._version

    def _is_stale(self, item: Mapping[str, Any], now_ms: int) -> bool:
        return is_stale(item["ts_ms"], self._intervals_s.get(item["asset_id"]), now_ms)
