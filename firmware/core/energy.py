"""How long a cell lasts. Inputs, not measurements: every number is an argument or named here.

uAh/day = wakes * wake_s * active_ma * 1000 / 3600 + sleep_ua * 24 (+ fan); days = usable part of the cell / that.
"""

WAKE_S = 8
"""A wake with Wi-Fi, TLS and the application ack [s]."""

MEASURE_S = 2
"""A wake that only measures and keeps [s]."""

FAN_MA = 100
"""PMS5003 at work, at 5 V [mA] (Plantower manual: up to 100)."""

FAN_MV = 5000
CELL_MV = 3700
BOOST_PCT = 95
"""Efficiency of the 5 V step-up [percent]."""

AFTER_WARM_S = 10
"""Fan and node stay on so long after the warm-up: read, then send [s]."""

UPDATE_S = 120
"""What loading an update keeps the radio on [s]."""

USABLE_PCT = 80
"""What a node gets out of a cell: age, cold, the step at the end of the discharge [percent]."""

SELF_DISCHARGE_PCT_MONTH = 3

# Resting voltage of a lithium-ion cell (4.2 V type) and what is left in it; between two rows a straight line. General
# knowledge of such cells, not one data sheet; the node measures before it loads the cell with the radio.
CELL_MV_PCT = (
    (3300, 0),
    (3450, 5),
    (3680, 10),
    (3740, 20),
    (3770, 30),
    (3790, 40),
    (3820, 50),
    (3870, 60),
    (3920, 70),
    (3980, 80),
    (4060, 90),
    (4200, 100),
)


def capacity_left_pct(battery_mv):
    """Return what is left in a resting lithium-ion cell, 0..100 percent; never falls as the voltage rises."""
    low_mv, low_pct = CELL_MV_PCT[0]
    if battery_mv <= low_mv:
        return 0
    for high_mv, high_pct in CELL_MV_PCT:
        if battery_mv <= high_mv and high_mv > low_mv:
            return low_pct + (high_pct - low_pct) * (battery_mv - low_mv) // (high_mv - low_mv)
        low_mv, low_pct = high_mv, high_pct
    return 100


def fan_cell_ma(fan_ma=FAN_MA, boost_pct=BOOST_PCT):
    """Return the current from the cell for a 5 V fan behind a step-up, in hundredths of a mA."""
    return fan_ma * 100 * FAN_MV * 100 // (CELL_MV * boost_pct)


def uah_per_day(wakes, wake_s, active_ma, sleep_ua, fan_s=0):
    """Charge of one day [uAh]; `fan_s` = seconds of the fan in each wake."""
    awake_uas = wakes * wake_s * active_ma * 1000
    fan_uas = wakes * fan_s * fan_cell_ma() * 10
    return (awake_uas + fan_uas + sleep_ua * 86400 + 1800) // 3600


def days_left(capacity_mah, uah_day, left_pct=100, usable_pct=USABLE_PCT, self_discharge_pct_month=0):
    """Days that the cell lasts, rounded, at most 36500."""
    # thirty days at a time: self-discharge is named by the month
    usable = capacity_mah * left_pct * usable_pct * 3
    a_month_uah = max(1, uah_day * 30 + capacity_mah * self_discharge_pct_month * 10)
    return min(36500, (2 * usable + a_month_uah) // (2 * a_month_uah))


def wakes_per_day(config):
    """Count the readings of a quiet day: the interval by day, the longer one by night."""
    night_min = (config.night_to_min - config.night_from_min) % 1440
    night_s = max(config.night_interval_s, config.interval_s)
    by_day = (1440 - night_min) * 60 // config.interval_s
    return max(1, by_day + night_min * 60 // night_s)


def budget(config, wakes=None):
    """Return what of one day goes where: wakes; radio, measure, fan, sleep, total [uAh/day]; update [uAh each]."""
    if wakes is None:
        wakes = wakes_per_day(config)
    fan = config.parts.get("pm")
    fan_s = 0 if fan is None else fan.get("warm_s", 30) + AFTER_WARM_S
    if config.sleep == "awake":
        radio_uah = config.active_ma * 24000
        measure_uah = sleep_uah = 0
    else:
        sends = -(-wakes // config.send_every)
        radio_uah = uah_per_day(sends, max(WAKE_S, fan_s), config.active_ma, 0)
        measure_uah = uah_per_day(wakes - sends, max(MEASURE_S, fan_s), config.active_ma, 0)
        sleep_uah = config.sleep_ua * 24
    fan_uah = uah_per_day(wakes, 0, 0, 0, fan_s)
    return {
        "wakes": wakes,
        "radio": radio_uah,
        "measure": measure_uah,
        "fan": fan_uah,
        "sleep": sleep_uah,
        "total": radio_uah + measure_uah + fan_uah + sleep_uah,
        "update": UPDATE_S * config.active_ma * 1000 // 3600,
    }


def expected_days(config, battery_mv=None, wakes=None):
    """Days left of the configured cell, self-discharge included; a full cell when its voltage is unknown."""
    left_pct = 100 if battery_mv is None else capacity_left_pct(battery_mv)
    total_uah = budget(config, wakes)["total"]
    return days_left(config.battery_mah, total_uah, left_pct, USABLE_PCT, SELF_DISCHARGE_PCT_MONTH)
