"""From several pings to one distance, or to the reason why there is none.

Quality follows OMA LwM2M object 3435, indicator of measurement quality:
0  unchecked: no ping came back, there was nothing to judge;
1  rejected by plausibility: echoes agree on something that cannot be waste (inside the blind zone);
2  rejected by validation: echoes came, but too few agree;
3  accepted by plausibility: more than half of the pings agree, at least 3;
4  accepted by validation: three quarters agree, at least 5, closely, with a measured temperature.
A distance goes out with 3 and 4 alone.
"""

from firmware.core.stats import median, reject

ASSUMED_C = 28
"""Air when nothing measures it: a day in the lowlands of Java. 20 C more or less errs 4 %."""

LOWEST_C = -20
HIGHEST_C = 60

AGREE = 3
"""So many echoes at least make a distance, or an obstruction."""

AGREE_WELL = 5
CLOSE_MM = 30
"""Spread of kept echoes that still is close agreement [mm], or 2 % of the distance."""

DEAD = ("no-answer", "stuck", "bad-crc", "bad-frame", "all-zero", "power-on")
"""Codes of a ping that speak of the part; the others speak of what is in front of it."""


def sound_c(temp_cdeg):
    """Whole degrees for the speed of sound, and whether they were measured inside the range of the formula."""
    if temp_cdeg is None:
        return ASSUMED_C, False
    temp_c = (temp_cdeg + 50) // 100
    if temp_c < LOWEST_C:
        return LOWEST_C, False
    if temp_c > HIGHEST_C:
        return HIGHEST_C, False
    return temp_c, True


def echo_mm(echo_us, temp_c):
    """Distance of an echo there and back; 331.3 + 0.6 * T m/s, within 0.4 % from -20 to 60 C."""
    return echo_us * (3313 + 6 * temp_c) // 20000


def summarise(pings, blind_mm, max_mm, is_compensated=True):
    """Return `(distance_mm or None, quality, state)` of pings: each a distance [mm] or the code of a failure."""
    near = far = dead = 0
    usable = []
    for ping in pings:
        if ping in DEAD:
            dead += 1
        elif not isinstance(ping, int):
            pass
        elif ping < blind_mm:
            near += 1
        elif ping > max_mm:
            far += 1
        else:
            usable.append(ping)
    if dead * 2 > len(pings) or not pings:
        return None, 0, "sensor-fault"
    if near >= AGREE and near > len(usable) + far:
        return None, 1, "obstructed"
    kept = reject(usable, 3, CLOSE_MM)
    if len(kept) < AGREE or len(kept) * 2 <= len(pings):
        return None, 2 if near + far + len(usable) else 0, "no-echo"
    distance_mm = median(kept)
    spread_mm = max(kept) - min(kept)
    if spread_mm > max(4 * CLOSE_MM, distance_mm // 8):
        return None, 2, "no-echo"  # evenly scattered: no rejection helps
    close = spread_mm <= max(CLOSE_MM, distance_mm // 50)
    if close and is_compensated and len(kept) >= AGREE_WELL and len(kept) * 4 >= len(pings) * 3:
        return distance_mm, 4, "ok"
    return distance_mm, 3, "ok"
