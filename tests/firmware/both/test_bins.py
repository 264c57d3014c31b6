"""The reading of a bin: seven states, their order, and nothing that may be false."""

from firmware.core import bins, interval

US_740 = 4236  # 740 mm at 30 C: 740 * 20000 / (3313 + 180) = 4237.0
PARTS = {
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18},
    "temp": {"type": "ds18b20", "pin": 4},
    "tilt": {"type": "lis3dh", "bus": "i2c0"},
    "water": {"type": "contact", "pin": 26},
    "lid": {"type": "switch", "pin": 25},
    "battery": {"pin": 34},
}


def good():
    return {"distance": [US_740] * 7, "temp": 3000, "tilt": 2, "water": False, "lid": False, "battery": 3710}


def judge(values, history=(), now_s=1000):
    return bins.judge(PARTS, values, history, now_s)


def test_a_good_reading_has_everything():
    """All parts answer: distance, temperature, tilt, battery, state ok, quality 4."""
    assert judge(good()) == (
        {"distance_mm": 739, "temp_cdeg": 3000, "tilt_deg": 2, "battery_mv": 3710, "state": "ok", "quality": 4},
        None,
    )


def test_states_in_their_order():
    """Each condition beats all that come after it; none but ok has a distance."""
    values = good()
    seen = []
    values["distance"] = [1200] * 7  # 209 mm
    seen.append(judge(values)[0])
    values["distance"] = ["no-echo"] * 7
    seen.append(judge(values)[0])
    values["distance"] = ["no-answer"] * 7
    seen.append(judge(values)[0])
    values["lid"] = True
    seen.append(judge(values)[0])
    values["tilt"] = 31
    seen.append(judge(values)[0])
    values["water"] = True
    seen.append(judge(values)[0])
    assert [r["state"] for r in seen] == ["obstructed", "no-echo", "sensor-fault", "lid-open", "tilted", "water"]
    assert not [r for r in seen if "distance_mm" in r]
    assert seen[-1]["temp_cdeg"] == 3000


def test_an_open_lid_hides_a_good_distance():
    """What the ranger sees under an open lid is not the waste: quality 1 and no distance."""
    values = good()
    values["lid"] = True
    assert judge(values)[0] == {
        "temp_cdeg": 3000, "tilt_deg": 2, "battery_mv": 3710, "state": "lid-open", "quality": 1,
    }  # fmt: skip


def test_tilt_switch_and_tilt_angle():
    """A switch says tilted without an angle; 30 degrees are upright still."""
    values = good()
    values["tilt"] = True
    reading = judge(values)[0]
    assert reading["state"] == "tilted"
    assert "tilt_deg" not in reading
    values["tilt"] = 30
    assert judge(values)[0]["state"] == "ok"


def test_a_silent_part_is_a_fault_or_a_doubt():
    """Without ranger sensor-fault; without tilt, lid or thermometer quality 3; zero degrees is a value."""
    values = good()
    del values["distance"]
    assert judge(values)[0]["state"] == "sensor-fault"
    for role in ("tilt", "lid", "water", "temp"):
        values = good()
        del values[role]
        reading = judge(values)[0]
        assert (reading["state"], reading["quality"]) == ("ok", 3), role
    values = good()
    values["temp"] = 0
    assert judge(values)[0]["temp_cdeg"] == 0


def test_values_outside_the_wire_are_left_out():
    """200 C, 190 degrees and an unconnected battery never leave the node."""
    values = good()
    values["temp"], values["tilt"], values["battery"] = 20000, 190, 140
    reading = judge(values)[0]
    assert [key for key in ("temp_cdeg", "tilt_deg", "battery_mv") if key in reading] == []
    assert reading["state"] == "tilted"


def test_humidity_sensor_as_thermometer():
    """An SHT31 gives a pair; its first half is the temperature."""
    values = good()
    values["temp"] = (3000, 6500)
    assert judge(values)[0]["temp_cdeg"] == 3000


def test_a_node_without_ranger():
    """Temperature alone is a reading; nothing at all is a fault, as the wire refuses an empty ok."""
    parts = {"temp": PARTS["temp"]}
    assert bins.judge(parts, {"temp": 2900}, (), 0)[0] == {"temp_cdeg": 2900, "state": "ok", "quality": 0}
    assert bins.judge(parts, {}, (), 0)[0]["state"] == "sensor-fault"


def test_a_bag_on_the_ranger_is_held_back_until_confirmed():
    """740 mm, then suddenly 300: twice obstructed without distance, the third time believed with quality 3."""
    history = interval.remember((), 1000, judge(good())[0])
    values = good()
    values["distance"] = [1718] * 7  # 300 mm
    seen = []
    for now_s in (1600, 1720, 1840, 1960):
        reading, suspect_mm = judge(values, history, now_s)
        history = interval.remember(history, now_s, reading, suspect_mm)
        seen.append((reading["state"], reading["quality"], reading.get("distance_mm"), suspect_mm))
    assert seen[0] == seen[1] == ("obstructed", 1, None, 300)
    assert seen[2] == ("ok", 3, 300, None)
    assert seen[3] == ("ok", 4, 300, None)


def test_a_leaf_that_falls_off_again_leaves_no_trace():
    """Held back once, then 740 again: ok at once, and the next leaf starts from nothing."""
    history = interval.remember((), 1000, judge(good())[0])
    values = good()
    values["distance"] = [1718] * 7
    reading, suspect_mm = judge(values, history, 1600)
    history = interval.remember(history, 1600, reading, suspect_mm)
    reading, suspect_mm = judge(good(), history, 1720)
    history = interval.remember(history, 1720, reading, suspect_mm)
    assert reading["state"] == "ok"
    assert interval.suspect(history) == (0, 0)


def test_a_bin_that_filled_over_hours_is_believed():
    """The same 300 mm more than an hour after the last distance is no sudden one."""
    history = interval.remember((), 1000, judge(good())[0])
    values = good()
    values["distance"] = [1718] * 7
    assert judge(values, history, 4601)[0]["state"] == "ok"


def test_light_needs_no_temperature():
    """A VL53L1X reports millimetres; they pass unchanged, and its blind zone is its own."""
    parts = {"distance": {"type": "vl53l1x", "bus": "i2c0", "addr": 41}}
    assert bins.judge(parts, {"distance": [120] * 7}, (), 0)[0] == {"distance_mm": 120, "state": "ok", "quality": 4}
    assert bins.judge(parts, {"distance": [39] * 7}, (), 0)[0]["state"] == "obstructed"


def test_heat_is_told_apart():
    """The thermal switch is asked for by name; absent means cold."""
    assert bins.is_hot({"heat": True})
    assert not bins.is_hot({"heat": False})
    assert not bins.is_hot({})


def test_a_slow_node_does_not_forget_a_suspicion():
    """Held back, then asleep for two hours: the same 300 mm is still held back, 400 mm is believed."""
    history = interval.remember((), 1000, judge(good())[0])
    values = good()
    values["distance"] = [1718] * 7
    reading, suspect_mm = judge(values, history, 4600)
    history = interval.remember(history, 4600, reading, suspect_mm)
    assert judge(values, history, 12000)[0]["state"] == "obstructed"
    values["distance"] = [2290] * 7  # 399 mm
    assert judge(values, history, 12000)[0]["state"] == "ok"


def test_a_suspicion_that_moves_starts_again():
    """300, 300, then 380 mm: more than 60 mm apart is another thing in front of the sensor."""
    values = good()
    values["distance"] = [1718] * 7
    history = interval.remember((), 1000, {"distance_mm": 900})
    for now_s in (1600, 1720):
        reading, suspect_mm = judge(values, history, now_s)
        history = interval.remember(history, now_s, reading, suspect_mm)
    values["distance"] = [2176] * 7  # 380 mm
    reading, suspect_mm = judge(values, history, 1840)
    assert (reading["state"], suspect_mm) == ("obstructed", 380)
    assert interval.suspect(interval.remember(history, 1840, reading, suspect_mm)) == (380, 1)


def test_a_load_that_is_not_extreme_is_believed_at_once():
    """From 740 to 341 mm in ten minutes, 399 less: a big bag, and a distance. 739 to 400: not close enough to doubt."""
    history = interval.remember((), 1000, {"distance_mm": 740})
    values = good()
    values["distance"] = [1953] * 7  # 341 mm
    assert judge(values, history, 1600)[0]["state"] == "ok"
    history = interval.remember((), 1000, {"distance_mm": 900})
    values["distance"] = [2291] * 7  # 400 mm
    assert judge(values, history, 1600)[0]["distance_mm"] == 400


def test_the_battery_counts_from_two_volts():
    """1,999 mV is an open divider, 2,000 mV a cell."""
    values = good()
    values["battery"] = 1999
    assert "battery_mv" not in judge(values)[0]
    values["battery"] = 2000
    assert judge(values)[0]["battery_mv"] == 2000
