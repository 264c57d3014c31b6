"""Time of a reading: fixed once, when it enters the spool.

A device with a set clock sends `ts`. A device without one sends `up_s`, its uptime, with the
reading and with the message. The gateway then needs the instant at which the device booted, the
*anchor*: arrival time minus the uptime at sending. It is taken from the first such message of a
boot, stored in the spool, and used for every un-timed reading of that boot; a reading that the
spool knows keeps the time that it got. A later message can show that the boot was earlier: the first one
had waited somewhere, or the device's clock is fast. Then the anchor moves there, or a device that never
gets the time would drift into the future, where ingest refuses everything.

Limits, on purpose:

- `ts` far from the gateway's own clock is passed on unchanged. Ingest judges it against the arrival
  time, which travels with the row; a gateway that "repaired" times would hide broken clocks. When most
  devices disagree with the gateway it is the gateway's clock that is wrong: see `ClockWatch`.
- The anchor is late by as long as its first message waited in the broker. A gateway that was down
  for an hour anchors those devices up to an hour late, until they send something that did not wait. The rows
  say `"time": "anchor"`, ingest sets a flag, and the order of readings is right in any case.
"""

import time

import msgspec

AHEAD_MS = 120_000
"""A device this far ahead of the gateway [ms] has its readings refused by ingest as `clock`."""

ANCHOR_SLACK_MS = 30_000
ANCHOR_MOVE_MAX_MS = 3_600_000
"""A message that shows an anchor earlier by between these two moves it [ms]. More may be a step of our own clock: then
its own readings are dated by what it shows, and the anchor stays."""

VOTERS_MIN = 3
"""Fewer devices than this cannot outvote the gateway's clock."""

VOTE_VALID_S = 1800.0
"""How long what a device said of the time counts [s]."""


def anchor_ms(arrived_ms: int, sent_up_s: int) -> int:
    """Boot instant of a device, as well as the gateway can know it.

    Parameters
    ----------
    arrived_ms
        When the message reached the gateway [ms since 1970, square time].
    sent_up_s
        Uptime of the device when it sent the message [s].

    Returns
    -------
    int
        Boot instant [ms since 1970].

    Examples
    --------
    >>> anchor_ms(1_795_488_752_250, 5021)
    1795483731250
    """
    return arrived_ms - sent_up_s * 1000


def anchored_ts_s(anchor: int, reading_up_s: int) -> int:
    """Time of an un-timed reading from the anchor of its boot.

    Parameters
    ----------
    anchor
        Boot instant [ms since 1970].
    reading_up_s
        Uptime of the device at the measurement [s].

    Returns
    -------
    int
        Time of the measurement [s since 1970], rounded down.

    Examples
    --------
    >>> anchored_ts_s(1_795_483_731_250, 4900)
    1795488631
    """
    return (anchor + reading_up_s * 1000) // 1000


class Ahead(msgspec.Struct, frozen=True):
    """How many devices are ahead of the gateway's clock by more than `AHEAD_MS`.

    Attributes
    ----------
    devices, heard
        Devices ahead, and devices that said what time it is.
    by_ms
        How far the median of those ahead is [ms].
    """

    devices: int
    heard: int
    by_ms: int

    @property
    def is_majority(self) -> bool:
        """Whether the gateway's clock must be the wrong one."""
        return self.devices >= VOTERS_MIN and 2 * self.devices > self.heard


class ClockWatch:
    """Holds the devices' clocks against the gateway's own.

    A gateway whose clock is behind would stamp arrivals so early that ingest refuses every good reading. One device
    that is ahead is a broken device; most of them, and at least three, cannot all be wrong in the same way.
    """

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, float]] = {}
        self._suspects: set[str] = set()
        self._now_ms = 0

    def note(self, device: str, ts_s: int, arrived_ms: int) -> None:
        """Note the newest time that a device gave in a message.

        Parameters
        ----------
        device
            Id of the device.
        ts_s
            Newest `ts` of the message [s since 1970].
        arrived_ms
            Arrival by the gateway's clock [ms since 1970].
        """
        now_s = time.monotonic()
        ts_ms = ts_s * 1000
        known = self._said.pop(device, None)
        if known is not None and known[0] > ts_ms and now_s - known[1] < VOTE_VALID_S:
            ts_ms, now_s = known  # an old reading that is sent again says nothing of the present
        self._said[device] = ts_ms, now_s
        if ts_ms - arrived_ms > AHEAD_MS:
            self._suspects.add(device)
        else:
            self._suspects.discard(device)

    def ahead(self, now_ms: int) -> "Ahead":
        """Count who is ahead of the gateway now.

        Parameters
        ----------
        now_ms
            The gateway's clock [ms since 1970].
        """
        if self._now_ms - now_ms > AHEAD_MS:
            # our own clock has stepped back: what devices said before it did tells so before the next commit
            self._suspects = set(self._said)
        self._now_ms = now_ms
        if not self._suspects:
            return Ahead(0, len(self._said), 0)
        oldest_s = time.monotonic() - VOTE_VALID_S
        self._said = {device: said for device, said in self._said.items() if said[1] >= oldest_s}
        self._suspects &= self._said.keys()
        by_ms = sorted(ms for device in self._suspects if (ms := self._said[device][0] - now_ms) > AHEAD_MS)
        return Ahead(len(by_ms), len(self._said), by_ms[len(by_ms) // 2] if by_ms else 0)
