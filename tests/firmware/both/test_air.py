"""The reading of an air node: what is believable, and the state when nothing is."""

from firmware.core import air

PARTS = {"pm": {"type": "pms5003"}, "climate": {"type": "bme280"}, "voc": {"type": "sgp40"}, "nh3": {"type": "adc"}}


def good():
    return {"pm": (3000, 5400, 9000), "climate": (2950, 6500, 100900), "voc": 31000, "nh3": 0}


def test_a_good_reading_has_everything():
    """All parts answer: all fields, quality 4; zero millivolt is a value."""
    assert air.judge(PARTS, good()) == {
        "pm1_ngm3": 3000, "pm25_ngm3": 5400, "pm10_ngm3": 9000, "temp_cdeg": 2950, "rh_cpct": 6500,
        "pressure_pa": 100900, "voc_raw": 31000, "nh3_mv": 0, "state": "ok", "quality": 4,
    }  # fmt: skip


def test_nothing_usable_is_a_fault():
    """No part answers: sensor-fault, quality 0, and the battery does not make it a reading."""
    assert air.judge(PARTS, {"battery": 3900}) == {"state": "sensor-fault", "quality": 0, "battery_mv": 3900}


def test_one_silent_part_leaves_the_others():
    """Without the particle sensor the climate still goes out, as doubtful."""
    values = good()
    del values["pm"]
    reading = air.judge(PARTS, values)
    assert (reading["state"], reading["quality"], "pm25_ngm3" in reading) == ("ok", 3, False)
    assert reading["temp_cdeg"] == 2950


def test_particles_must_nest_and_stay_in_range():
    """PM2.5 above PM10, or more than 1,000 ug/m3, is no particle value; zero is one."""
    for triple, is_kept in (
        ((3000, 9000, 5400), False),
        ((0, 0, 1000001), False),
        ((0, 0, 1000000), True),
        ((0, 0, 0), True),
        ((-1, 0, 0), False),
    ):
        values = good()
        values["pm"] = triple
        reading = air.judge(PARTS, values)
        assert ("pm25_ngm3" in reading) is is_kept, triple
        assert reading["quality"] == (4 if is_kept else 3)


def test_damp_air_makes_particles_doubtful():
    """At 70.00 % still quality 4, at 70.01 % quality 3; without a particle sensor only saturation counts."""
    values = good()
    values["climate"] = (2950, 7000)
    assert air.judge(PARTS, values)["quality"] == 4
    values["climate"] = (2950, 7001)
    assert air.judge(PARTS, values)["quality"] == 3
    parts = {"climate": PARTS["climate"]}
    assert air.judge(parts, {"climate": (2950, 9989)})["quality"] == 4
    assert air.judge(parts, {"climate": (2950, 9990)})["quality"] == 3


def test_impossible_values_are_left_out():
    """A pressure of 20 kPa and a humidity of 101 % stay on the node, the temperature goes."""
    values = good()
    values["climate"] = (2950, 10100, 20000)
    reading = air.judge(PARTS, values)
    assert "rh_cpct" not in reading
    assert "pressure_pa" not in reading
    assert (reading["temp_cdeg"], reading["quality"]) == (2950, 3)
