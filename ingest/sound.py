"""Readings in which nothing is wrong: the fast way of :mod:`ingest.decode`, which explains all others.

One loop that calls as little as it can: with the checks and the judgement in functions of their own, as the explaining
way has them, a reading takes a third more time. Both ways MUST agree; the tests compare them row by row.
"""

from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from firmware import wire
from ingest.conversion import CONVERT, ConvertForm, form_of
from ingest.messages import AirBody, AnyRow, BinBody
from ingest.plausibility import AHEAD_MS, LATE_AFTER_MS, OLDEST_MS
from ingest.readings import Placed, Reading
from square.geometry import fill_pct_of
from square.quantities import FLAG_ANCHORED, FLAG_LATE
from square.registry import Registry
from square.site import Bin


class _Seat(msgspec.Struct, gc=False):
    """What is known of an active device: its placement at hand, and what converts the fields that it usually sends."""

    device: str
    kind: str
    asset: str
    zone: str
    geometry: Bin | None
    convert: ConvertForm
    others: int = 0  # readings with other fields


CHANGED_AFTER: Final = 8
"""A device has changed after so many readings with other fields. One that lacks a value now and then has not."""

_seats: WeakKeyDictionary[Registry, dict[str, _Seat]] = WeakKeyDictionary()


def _seats_of(registry: Registry) -> dict[str, _Seat]:
    seats = _seats.get(registry)
    if seats is None:
        seats = _seats[registry] = {
            placement.device.id: _Seat(
                placement.device.id,
                placement.kind,
                placement.asset.id,
                placement.zone,
                placement.asset if isinstance(placement.asset, Bin) else None,
                _convert_nothing,
            )
            for placement in registry.placements()
        }
    return seats


def _convert_nothing(_body: BinBody | AirBody) -> None:
    """Take no reading: of a device that has not sent any, no form is known."""


def take_sound(
    rows: Sequence[AnyRow], registry: Registry, readings: list[Placed], explain: Callable[[int], None]
) -> None:
    """Append the readings of a batch to ``readings``; what is not one, or not sound, is left to ``explain``.

    Parameters
    ----------
    rows : Sequence[AnyRow]
        Types and ranges are checked.
    registry : Registry
        Devices of the site.
    readings : list[Placed]
        Where readings go.
    explain : Callable[[int], None]
        Called in between with the position of each other row, so that everything keeps its order.
    """
    site, seat_of, point_ms, earliest_ms = registry.site, _seats_of(registry).get, wire.point_ms, -AHEAD_MS
    for position, row in enumerate(rows):
        if row.kind is None:  # for a reading isinstance takes three times as long
            explain(position)
            continue
        seat = seat_of(row.device)
        if seat is None or row.kind != seat.kind:
            explain(position)
            continue
        body = row.body
        boot, seq, ts_ms, arrived_ms = row.boot, row.seq, row.ts_ms, row.arrived_ms
        age_ms = arrived_ms - ts_ms
        converted = seat.convert(body)
        if converted is None:
            converted = CONVERT[seat.kind](body)
            if seat.others % CHANGED_AFTER == 0:
                seat.convert = form_of(seat.kind, converted[0])
            seat.others += 1
        values, flags, is_measured = converted
        state = body.state or "ok"
        if row.time == "anchor":
            flags |= FLAG_ANCHORED
            has_its_time = True
        else:
            has_its_time = body.ts is not None and ts_ms == point_ms(body.ts, boot, seq)
        if not (
            has_its_time and body.seq == seq and earliest_ms <= age_ms <= OLDEST_MS and (is_measured or state != "ok")
        ):
            explain(position)
            continue
        if age_ms > LATE_AFTER_MS:
            flags |= FLAG_LATE
        if seat.geometry is not None and "distance_mm" in values:
            values["fill_pct"] = fill_pct_of(seat.geometry, values["distance_mm"])
        reading = Reading(
            site,
            seat.device,
            seat.asset,
            seat.zone,
            seat.kind,
            boot,
            seq,
            ts_ms,
            arrived_ms,
            values,
            state,
            body.quality or 0,
            flags,
        )
        readings.append(Placed(row.id, reading))
