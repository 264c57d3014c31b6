"""A reading as the servers know it: placed, in the units of people, judged for plausibility."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingest.store import FieldValue, Point


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One accepted reading of a bin or an air station.

    Attributes
    ----------
    site, device, asset, zone : str
        Where it was measured: from the device registry, never from the payload.
    kind : str
        ``bin`` or ``air``.
    boot, seq : int
        With ``device`` the identity of the reading.
    ts_ms : int
        Point time [ms since 1970 UTC], fixed by the gateway.
    arrived_ms : int
        When the gateway received it [ms since 1970 UTC].
    values : dict[str, float]
        By the names and in the units of :data:`square.quantities.QUANTITIES`. What was not measured is absent.
    state : str
        One of :data:`firmware.wire.STATES`.
    quality : int
        OMA LwM2M object 3435: 0 unchecked .. 4 accepted.
    flags : int
        Bits of :mod:`square.quantities`.
    """

    site: str
    device: str
    asset: str
    zone: str
    kind: str
    boot: int
    seq: int
    ts_ms: int
    arrived_ms: int
    values: dict[str, float]
    state: str
    quality: int
    flags: int

    @property
    def measurement(self) -> str:
        """Where it is stored: under its kind."""
        return self.kind

    def point(self) -> Point:
        """Return the point that the time-series store keeps."""
        fields: dict[str, FieldValue] = {
            **self.values,
            "state": self.state,
            "quality": self.quality,
            "flags": self.flags,
            "boot": self.boot,
            "seq": self.seq,
        }
        tags = {"site": self.site, "asset": self.asset, "device": self.device, "zone": self.zone}
        return Point(self.kind, tags, self.ts_ms, fields)


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A reading and the id of its row in the gateway's spool. Can be unpacked; a named tuple takes 4 times as long."""

    row_id: int
    reading: Reading

    def __iter__(self) -> Iterator[Any]:
        return iter((self.row_id, self.reading))


_NOT_MEASURED: Final = frozenset({"state", "quality", "flags", "boot", "seq"})


def reading_of(point: Point) -> Reading:
    """Return the reading that a stored point was made of; when it arrived is not stored, its own time stands in."""
    fields = point.fields
    return Reading(
        site=point.tags["site"],
        device=point.tags["device"],
        asset=point.tags["asset"],
        zone=point.tags.get("zone", ""),
        kind=point.measurement,
        boot=int(fields.get("boot", 0)),
        seq=int(fields.get("seq", 0)),
        ts_ms=point.ts_ms,
        arrived_ms=point.ts_ms,
        values={
            name: float(value)
            for name, value in fields.items()
            if name not in _NOT_MEASURED and isinstance(value, int | float)
        },
        state=str(fields.get("state", "ok")),
        quality=int(fields.get("quality", 0)),
        flags=int(fields.get("flags", 0)),
    )


class Status(msgspec.Struct, frozen=True):
    """What a device says of itself after it connected, or its last will. Not stored as a point.

    Attributes
    ----------
    device : str
        Its id.
    kind : str
        ``status`` or ``will``.
    arrived_ms : int
        When the gateway received it [ms since 1970 UTC].
    boot : int
        Random number of its cold start.
    up_s : int | None
        Uptime [s].
    fw : str | None
        Version of its firmware.
    interval_s : int | None
        Time to its next reading [s]; longer at night and on a weak battery.
    battery_mv, rssi_dbm : int | None
        Supply [mV], signal [dBm].
    queue, dropped : int | None
        Readings that wait on the device, and readings that it gave up in this boot.
    days_left : int | None
        How long its battery will last, by its own model [d].
    reset, crash, ota : str | None
        Why it started last, where it crashed last, how its update stands: words of docs/protocol.md section 4.2.
    """

    device: str
    kind: str
    arrived_ms: int
    boot: int
    up_s: int | None = None
    fw: str | None = None
    interval_s: int | None = None
    battery_mv: int | None = None
    rssi_dbm: int | None = None
    queue: int | None = None
    dropped: int | None = None
    days_left: int | None = None
    reset: str | None = None
    crash: str | None = None
    ota: str | None = None
