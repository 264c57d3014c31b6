"""What an air node makes of its parts: one reading of what is believable.

Quality: 0 nothing usable, 3 something was missing, doubtful or damp, 4 every part gave a believable value.
`ok` means that there is something to read; a part that is silent shows in the status message.
"""

PM_MAX_NGM3 = 1000000
"""PMS5003 and SPS30 are specified to 1,000 ug/m3; what lies above is kept out of the reading."""

HUMID_CPCT = 7000
"""Above 70 % droplets count as particles."""

SATURATED_CPCT = 9990
"""A humidity sensor that is wet or dead stays here."""

LOWEST_CELL_MV = 2000


# Ranges of the wire. Its module is big, and the radio is off while a node measures.
RANGES = {
    "temp_cdeg": (-4000, 12500),
    "rh_cpct": (0, 10000),
    "pressure_pa": (30000, 120000),
    "voc_raw": (0, 65535),
    "nh3_mv": (0, 5000),
    "h2s_mv": (0, 5000),
    "battery_mv": (0, 20000),
}


def judge(parts, values):
    """Return the fields of 4.1 without seq and time; `values` role -> raw value of the parts that answered."""
    reading = {}
    doubtful = False
    for role in parts:
        if role in ("pm", "climate", "voc", "nh3", "h2s") and role not in values:
            doubtful = True

    triple = values.get("pm")
    if triple is not None:
        if is_pm_believable(triple):
            reading["pm1_ngm3"], reading["pm25_ngm3"], reading["pm10_ngm3"] = triple
        else:
            doubtful = True

    climate = values.get("climate")
    if climate is not None:
        names = ("temp_cdeg", "rh_cpct", "pressure_pa")
        for place in range(len(climate)):
            if not _put(reading, names[place], climate[place]):
                doubtful = True
    if reading.get("rh_cpct", 0) >= SATURATED_CPCT or (reading.get("rh_cpct", 0) > HUMID_CPCT and triple is not None):
        doubtful = True

    for role, field in (("voc", "voc_raw"), ("nh3", "nh3_mv"), ("h2s", "h2s_mv")):
        if role in values and not _put(reading, field, values[role]):
            doubtful = True
    if not reading:
        reading["state"] = "sensor-fault"
        reading["quality"] = 0
    else:
        reading["state"] = "ok"
        reading["quality"] = 3 if doubtful else 4
    if values.get("battery", 0) >= LOWEST_CELL_MV:
        _put(reading, "battery_mv", values["battery"])
    return reading


def is_pm_believable(triple):
    """Mass of finer particles is part of the mass of coarser ones: 0 <= PM1 <= PM2.5 <= PM10 <= 1,000 ug/m3."""
    pm1, pm25, pm10 = triple
    return 0 <= pm1 <= pm25 <= pm10 <= PM_MAX_NGM3


def _put(reading, field, value):
    lowest, highest = RANGES[field]
    if value is None or not lowest <= value <= highest:
        return False
    reading[field] = value
    return True
