"""The battery model against figures worked out by hand."""

from firmware.core import energy


class Config:
    interval_s = 600
    night_interval_s = 1800
    night_from_min = 1380
    night_to_min = 270
    send_every = 1
    sleep = "deep"
    battery_mah = 3000
    active_ma = 120
    sleep_ua = 100
    parts = {}  # noqa: RUF012


def days(wakes, sleep_ua, fan_s=0, wake_s=8):
    return energy.days_left(3000, energy.uah_per_day(wakes, wake_s, 120, sleep_ua, fan_s))


def test_the_table():
    """2,400 mAh usable, 8 s at 120 mA a wake, gives the days that pencil and paper give."""
    # 48 wakes: 48 * 8 * 120 / 3600 = 12.8, sleep 2.4, sum 15.2 mAh/day = 157.9 d; 24 wakes: 6.4 + 2.4 = 8.8 = 272.7 d;
    # 6 wakes at 30 uA: 1.6 + 0.72 = 2.32 = 1,034.5 d; a board that sleeps at 5 mA: 6.4 + 120 = 126.4 = 19.0 d
    assert energy.uah_per_day(48, 8, 120, 100) == 15200
    assert days(48, 100) == 158
    assert days(24, 100) == 273
    assert days(6, 30) == 1034
    assert days(24, 5000) == 19


def test_the_fan_rules_the_air_node():
    """144 times 40 s with the fan empty the cell in six days."""
    # 100 mA at 5 V behind 95 % are 142.24 mA of a 3.7 V cell: 144 * 40 * 262.24 / 3600 = 419.6, + 2.4 = 422 mAh/day
    assert energy.fan_cell_ma() == 14224
    assert energy.uah_per_day(144, 40, 120, 100, 40) // 1000 == 421
    assert days(144, 100, 40, 40) == 6


def test_the_voltage_of_a_cell():
    """Full at 4.2 V, empty at 3.3 V, half at 3.82 V, a tenth of the way between 3.82 and 3.87 V adds one."""
    for battery_mv, left_pct in ((5000, 100), (4200, 100), (3820, 50), (3825, 51), (3680, 10), (3300, 0), (0, 0)):
        assert energy.capacity_left_pct(battery_mv) == left_pct


def test_wakes_of_a_day_and_night():
    """18.5 h at 6 an hour = 111, 5.5 h at 2 an hour = 11."""
    assert energy.wakes_per_day(Config) == 122


def test_the_budget_of_the_defaults():
    """122 wakes * 8 s * 120 mA = 32,533 uAh, sleep 2,400: 34,933 uAh/day; self-discharge 3 % a month adds 3,000."""
    budget = energy.budget(Config)
    assert (budget["radio"], budget["sleep"], budget["fan"], budget["measure"]) == (32533, 2400, 0, 0)
    assert budget["total"] == 34933
    assert budget["update"] == 4000  # 120 s at 120 mA
    assert energy.expected_days(Config) == 63  # 2,400,000 / 37,933 = 63.3
    assert energy.expected_days(Config, 3820) == 32  # half the cell


def test_sending_every_fourth_reading_saves():
    """31 of 122 wakes use the radio, 91 measure only: 8,267 + 6,067 + 2,400 uAh."""

    class Seldom(Config):
        send_every = 4

    budget = energy.budget(Seldom)
    assert (budget["radio"], budget["measure"], budget["total"]) == (8267, 6067, 16734)


def test_a_node_that_stays_awake_needs_mains():
    """120 mA all day are 2,880 mAh: a day is over before the cell says so."""

    class Awake(Config):
        sleep = "awake"

    assert energy.budget(Awake)["total"] == 2880000
    assert energy.expected_days(Awake) == 1


def test_an_empty_cell_has_no_days():
    """Nothing left is 0 days, and no consumption at all is not infinite."""
    assert energy.days_left(3000, 15200, 0) == 0
    assert energy.days_left(3000, 0) == 36500


def test_every_row_of_the_cell_table():
    """The rows of the table are what it answers, and 1 mV less is never more."""
    for battery_mv, left_pct in (
        (3450, 5), (3740, 20), (3770, 30), (3790, 40), (3870, 60), (3920, 70), (3980, 80), (4060, 90),
    ):  # fmt: skip
        assert energy.capacity_left_pct(battery_mv) == left_pct
        assert energy.capacity_left_pct(battery_mv - 1) < left_pct


def test_the_budget_of_an_air_node():
    """The fan runs 30 s to warm up and 10 s to read and send: 144 readings are the 422 mAh of above."""

    class Air(Config):
        parts = {"pm": {"type": "pms5003", "warm_s": 30}}  # noqa: RUF012

    budget = energy.budget(Air, 144)
    assert (budget["radio"], budget["fan"]) == (192000, 227584)
    assert budget["total"] == 421984
