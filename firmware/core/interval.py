"""How long to sleep, and whether to use the radio: often when a bin fills, seldom at night and on a weak cell.

`history` is a tuple of at most 10 u32 that survives deep sleep, or (): suspect_mm, times it was held back, then up to
four pairs (uptime_s, distance_mm), oldest first.
"""

POINTS = 4
SPACING_S = 300
"""All points but the last are so far apart at least, or the four of a fast node would tell no rate from noise."""

EMPTIED_MM = 150
"""A distance that grows by more starts a new history."""

NOISE_MM = 40
"""A rise below this is no rise."""

DEPTH_MM = 1000
"""What `fast_rise_pct_h` is a percentage of: the node does not know its bin."""

SAME_MM = 60
"""Two distances that differ by no more are the same one."""

DAY_MIN = 1440
LONGEST_S = 86400


def newest(history):
    """Return the last distance as (uptime_s, distance_mm), or None."""
    return history[-2:] if len(history) >= 4 else None


def suspect(history):
    """Return the distance that is held back and how often it was, (0, 0) when none is."""
    return history[:2] if len(history) >= 2 else (0, 0)


def remember(history, now_s, reading, suspect_mm=None):
    """Return the history with one more reading of core/bins."""
    points = list(history[2:])
    held_mm, times = suspect(history)
    if suspect_mm is not None:
        times = times + 1 if times and abs(held_mm - suspect_mm) <= SAME_MM else 1
        return tuple([suspect_mm, times] + points)  # noqa: RUF005 - MicroPython has no unpacking here
    distance_mm = reading.get("distance_mm")
    if distance_mm is None:
        return tuple([0, 0] + points) if history else ()  # noqa: RUF005 - MicroPython has no unpacking here
    if points and (now_s < points[-2] or distance_mm > points[-1] + EMPTIED_MM):
        points = []
    if len(points) >= 4 and points[-2] - points[-4] < SPACING_S:
        points = points[:-2]
    points.append(now_s)
    points.append(distance_mm)
    return tuple([0, 0] + points[-2 * POINTS :])  # noqa: RUF005 - MicroPython has no unpacking here


def rise_mm_h(history):
    """How fast the waste rises [mm/h], 0 when it does not or too little is known."""
    points = history[2:]
    if len(points) < 4:
        return 0
    rise_mm = points[1] - points[-1]
    elapsed_s = points[-2] - points[0]
    if rise_mm < NOISE_MM or elapsed_s <= 0:
        return 0
    return rise_mm * 3600 // max(elapsed_s, SPACING_S)


def local_min(unix_s, utc_offset_min):
    """Minute of the local day, 0..1439; None when the time is unknown."""
    if unix_s is None:
        return None
    return (unix_s // 60 + utc_offset_min) % DAY_MIN


def is_night(now_local_min, from_min, to_min):
    """Whether a minute of the day lies in from..to, which may span midnight; never when the time is unknown."""
    if now_local_min is None:
        return False
    if from_min <= to_min:
        return from_min <= now_local_min < to_min
    return now_local_min >= from_min or now_local_min < to_min


def is_near_full(config, history):
    """Whether the last distance is at or above what the configuration calls nearly full."""
    last = newest(history)
    return last is not None and last[1] <= config.near_full_mm


def next_interval_s(config, now_local_min, battery_mv, history):
    """Seconds to the next reading.

    Filling fast or a distance to confirm: fast, by night too. Nearly full: fast by day. Else as configured.
    A low cell doubles at least the interval of the day, a critical one quadruples it.
    """
    night = is_night(now_local_min, config.night_from_min, config.night_to_min)
    chosen_s = max(config.night_interval_s, config.interval_s) if night else config.interval_s
    fast_s = min(config.fast_interval_s, chosen_s)
    if suspect(history)[1] or rise_mm_h(history) * 100 >= config.fast_rise_pct_h * DEPTH_MM:
        chosen_s = fast_s
    elif is_near_full(config, history) and not night:
        chosen_s = fast_s
    if battery_mv is not None and battery_mv < config.critical_mv:
        return min(LONGEST_S, max(chosen_s, 2 * config.night_interval_s, 4 * config.interval_s))
    if battery_mv is not None and battery_mv < config.low_mv:
        return min(LONGEST_S, max(chosen_s, config.night_interval_s, 2 * config.interval_s))
    return chosen_s


def due_to_send(config, since_sent, reading, last_state, history, is_hot=False):
    """Whether this reading goes out now: every `send_every`-th, one a day at least, and at once what cannot wait.

    `since_sent` counts the readings since the last send, this one included; `last_state` None after a cold start.
    """
    if since_sent >= config.send_every or last_state is None or is_hot:
        return True
    if since_sent * config.interval_s >= LONGEST_S:
        return True  # whatever was configured: it must be possible to take it back
    return reading["state"] != last_state or is_near_full(config, history)
