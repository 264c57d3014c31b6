"""Time of a reading: fixed once, when it enters the spool.

A device with a set clock sends `ts`. A device without one sends `up_s`, its uptime, with the
reading and with the message. The gateway then needs the instant at which the device booted, the
*anchor*: arrival time minus the uptime at sending. It is taken from the first such message of a
boot, stored in the spool, and used for every un-timed reading of that boot, so that a replay
yields the same timestamp and therefore the same point.

Limits, on purpose:

- `ts` far from the gateway's own clock is passed on unchanged. Ingest judges it against the arrival
  time, which travels with the row; a gateway that "repaired" times would hide broken clocks.
- The anchor is late by as long as its first message waited in the broker. A gateway that was down
  for an hour anchors those devices up to an hour late, until they reboot or get the time. The rows
  say `"time": "anchor"`, ingest sets a flag, and the order of readings is right in any case.
"""

from firmware import wire


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


def point_ms(ts_s: int, boot: int, seq: int) -> int:
    """Point time of a reading [ms since 1970]: `wire.point_ms`, typed.

    Examples
    --------
    >>> point_ms(1_795_488_752, 305_419_896, 17)
    1795488752913
    """
    return int(wire.point_ms(ts_s, boot, seq))
