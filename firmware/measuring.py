"""One reading: from the parts to the flash, and what it means for the next one. In memory only meanwhile."""

import json

from firmware import wire
from firmware.core.queue import WRITING
from firmware.modules import drop

SENSORS = ("sensing", "hal.pins", "drivers", "drivers.")
JUDGES = ("core.bins", "core.air", "core.distance", "core.stats")


async def measure(node):
    """Make one reading and put it on flash; True when it should be sent now."""
    values = await _sense(node)
    up_s = node.keeper.up_s()
    record = node.record
    reading, is_urgent = _judge(node.settings.active, values, record, up_s)
    seq = record.next_seq
    reading["seq"] = seq
    now_s = node.keeper.now_s()
    if now_s is None:
        reading["up_s"] = up_s
    else:
        reading["ts"] = now_s
    rssi_dbm = node.board.wifi.rssi_dbm()
    if rssi_dbm is not None:
        reading["rssi_dbm"] = rssi_dbm
    node.queue.append(record.boot, seq, json.dumps(reading, separators=(",", ":")).encode())
    record.next_seq = seq + 1
    record.since_sent += 1
    node.battery_mv = reading.get("battery_mv")
    node.state = reading["state"]
    node.save()
    node.progress.new_round()
    node.progress("append")
    print("reading %d %d %s" % (record.boot, seq, node.state))  # noqa: T201 - the serial line
    return _plan(node, reading, is_urgent)


async def _sense(node):
    from firmware import sensing

    config = node.settings.active
    parts = sensing.Sensing(node.board.pins(), config.parts, node.progress)
    values = await parts.read(config.pings)
    node.pins = parts.rest()
    node.sensor_faults = parts.faults
    del parts, sensing
    drop(*SENSORS)
    return values


def _judge(config, values, record, up_s):
    """Return `(reading, is_urgent)` and keep in the record what the next one needs."""
    if config.kind == "air":
        from firmware.core import air

        reading = air.judge(config.parts, values)
        is_urgent = False
        del air
    else:
        from firmware.core import bins, interval

        reading, suspect_mm = bins.judge(config.parts, values, record.history, up_s)
        record.history = interval.remember(record.history, up_s, reading, suspect_mm)
        is_urgent = bins.is_hot(values)
        del bins, interval
    drop(*JUDGES)
    return reading, is_urgent


def _plan(node, reading, is_urgent):
    """Work out when the next reading is due and how long the cell lasts; True when this one goes out now."""
    from firmware.core import energy, interval

    record = node.record
    config = node.settings.active
    history = record.history
    minute = interval.local_min(node.keeper.now_s(), config.utc_offset_min)
    node.interval_s = interval.next_interval_s(config, minute, node.battery_mv, history)
    node.days_left = None if node.battery_mv is None else energy.expected_days(config, node.battery_mv)
    last = wire.STATES[record.last_state - 1] if record.last_state else None
    return interval.due_to_send(config, record.since_sent, reading, last, history, is_urgent)


def unload():
    """Leave no module of a reading in memory."""
    drop("measuring", "core.interval", "core.energy", WRITING)
