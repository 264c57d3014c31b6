"""What a bin node makes of its parts: one reading, and never a distance that may be false.

One state wins, in this order: water, tilted, lid-open, sensor-fault, no-echo, obstructed, ok. The first three say that
the ranger does not look at the waste; so a distance goes out with `ok` alone. `obstructed` is "full or blocked".
"""

from firmware.core import distance, interval

TILTED_DEG = 30
"""From here on the ranger looks at the wall of the bin."""

LOWEST_CELL_MV = 2000
"""Below this no node runs: the divider is not connected, and the value is none."""

SUDDEN_MM = 400
"""Waste nearer by more at once, and just outside the blind zone, may be a bag or a leaf on the ranger."""

SUDDEN_NEAR_MM = 150
SUDDEN_WITHIN_S = 3600
CONFIRMATIONS = 2
"""So many further readings at the same distance make a sudden one believable."""

# Ranges of the wire. Its module is big, and the radio is off while a node measures.
RANGES = {"distance_mm": (0, 10000), "temp_cdeg": (-4000, 12500), "tilt_deg": (0, 180), "battery_mv": (0, 20000)}

_BLIND_MM = {"vl53l1x": 40}
_MAX_MM = {"vl53l1x": 4000}


def judge(parts, values, history, now_s):
    """Return `(reading, suspect_mm)`: the fields of 4.1 without seq and time, and a distance held back for later.

    `parts` from config.json, `values` role -> raw value of those that answered, `history` of core/interval,
    `now_s` uptime.
    """
    reading = {}
    temp_cdeg = _temp_cdeg(values)
    if temp_cdeg is not None:
        reading["temp_cdeg"] = temp_cdeg
    battery_mv = values.get("battery")
    if battery_mv is not None and battery_mv >= LOWEST_CELL_MV:
        _put(reading, "battery_mv", battery_mv)
    tilt = values.get("tilt")
    is_tilted = tilt is True
    if tilt is not None and tilt is not True and tilt is not False:
        _put(reading, "tilt_deg", tilt)
        is_tilted = tilt > TILTED_DEG

    distance_mm, quality, state, suspect_mm = _range(parts, values, temp_cdeg, history, now_s)
    if distance_mm is not None and quality == 4:
        for role in ("tilt", "lid", "water"):
            if role in parts and role not in values:
                quality = 3  # whether the ranger looks at the waste was not checked
    for is_so, name in ((values.get("lid"), "lid-open"), (is_tilted, "tilted"), (values.get("water"), "water")):
        if is_so:
            state = name
    if state == "ok" and distance_mm is None and "temp_cdeg" not in reading and "tilt_deg" not in reading:
        state = "sensor-fault"
    if state == "ok" and distance_mm is not None:
        _put(reading, "distance_mm", distance_mm)
    elif state in ("water", "tilted", "lid-open"):
        quality = 1 if "distance" in values else 0
        suspect_mm = None
    reading["state"] = state
    reading["quality"] = quality
    return reading, suspect_mm


def is_hot(values):
    """Whether the thermal switch speaks of a fire; the temperature itself goes into the reading."""
    return bool(values.get("heat"))


def _range(parts, values, temp_cdeg, history, now_s):
    part = parts.get("distance")
    if part is None:
        return None, 0, "ok", None
    pings = values.get("distance")
    if pings is None:
        return None, 0, "sensor-fault", None
    kind = part.get("type")
    blind_mm = part.get("blind_mm", _BLIND_MM.get(kind, 250))
    max_mm = part.get("max_mm", _MAX_MM.get(kind, 4500))
    is_compensated = True
    if kind != "vl53l1x":  # light needs no temperature
        temp_c, is_compensated = distance.sound_c(temp_cdeg)
        pings = [distance.echo_mm(ping, temp_c) if isinstance(ping, int) else ping for ping in pings]
    distance_mm, quality, state = distance.summarise(pings, blind_mm, max_mm, is_compensated)
    if distance_mm is None or not _is_sudden(distance_mm, blind_mm, history, now_s):
        return distance_mm, quality, state, None
    suspect_mm, times = interval.suspect(history)
    if times >= CONFIRMATIONS and abs(suspect_mm - distance_mm) <= interval.SAME_MM:
        return distance_mm, 3, state, None
    return None, 1, "obstructed", distance_mm


def _is_sudden(distance_mm, blind_mm, history, now_s):
    last = interval.newest(history)
    if last is None or distance_mm >= blind_mm + SUDDEN_NEAR_MM:
        return False
    suspect_mm, times = interval.suspect(history)
    # once held back it stays so until confirmed, however slowly the node wakes
    is_recent = now_s - last[0] <= SUDDEN_WITHIN_S or (times > 0 and abs(suspect_mm - distance_mm) <= interval.SAME_MM)
    return is_recent and last[1] - distance_mm > SUDDEN_MM


def _temp_cdeg(values):
    temp = values.get("temp")
    if isinstance(temp, tuple):
        temp = temp[0]
    return temp if _is_within("temp_cdeg", temp) else None


def _is_within(field, value):
    lowest, highest = RANGES[field]
    return value is not None and lowest <= value <= highest


def _put(reading, field, value):
    if _is_within(field, value):
        reading[field] = value
