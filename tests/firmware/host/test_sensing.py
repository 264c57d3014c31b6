"""From parts to readings: every part of config.json is found, and one that fails takes nothing else with it."""

from firmware import sensing as sensing_module
from firmware import wire
from firmware.core import air, bins
from firmware.progress import Progress
from firmware.sensing import Sensing
from tests.firmware.both.driver_bench import Bench, Uart, run

BIN = {
    "i2c0": {"scl": 22, "sda": 21},
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18, "blind_mm": 250, "max_mm": 4500},
    "temp": {"type": "ds18b20", "pin": 4},
    "tilt": {"type": "lis3dh", "bus": "i2c0", "addr": 24, "int": 27},
    "water": {"type": "contact", "pin": 26, "active": 0},
    "lid": {"type": "switch", "pin": 25, "active": 1},
    "heat": {"type": "switch", "pin": 33, "active": 1},
    "battery": {"pin": 34, "ratio_milli": 2000},
}
AIR = {
    "i2c0": {"scl": 22, "sda": 21},
    "uart1": {"tx": 17, "rx": 16},
    "pm": {"type": "pms5003", "bus": "uart1", "set": 14, "warm_s": 30},
    "climate": {"type": "sht31", "bus": "i2c0"},
    "voc": {"type": "sgp40", "bus": "i2c0"},
    "nh3": {"type": "adc", "pin": 35},
    "h2s": {"type": "adc", "pin": 36},
}


class Board:
    """The HAL over the models of a bench."""

    def __init__(self, parts, **world):
        self.bench = Bench(**world)
        self.models = {}
        self.wired = {}
        for role in parts:
            spec = parts[role]
            if role in ("i2c0", "uart1"):
                continue
            model = self.bench.add(spec.get("type", "battery"), role, **spec)
            self.models[role] = model
            for key in ("pin", "trig", "echo", "set"):
                if key in spec:
                    self.wired[spec[key]] = model
        self._armed = False

    def i2c(self, _name):
        return self.bench

    def uart(self, _name):
        return Uart(self.bench, self.models["pm"])

    def adc(self, number):
        return self.wired[number]

    def onewire(self, number):
        return self.wired[number]

    def pin_in(self, number, _pull=None):
        return self.wired[number].level

    def pin_out(self, number):
        model = self.wired[number]
        return model.set_level if hasattr(model, "set_level") else lambda _level: None

    def pulse_us(self, _pin, _level, _limit_us):
        return self.models["distance"].echo_us()


def make(parts, **world):
    board = Board(parts, **world)
    fed = []
    sensing = Sensing(board, parts, Progress(lambda: fed.append(1)), board.bench.sleep_ms)
    return sensing, board, fed


def judge(kind, parts, sensing):
    values = run(sensing.read(7))
    if kind == "air":
        return air.judge(parts, values)
    return bins.judge(parts, values, (), 1000)[0]


def read(kind, parts, **world):
    sensing, _board, _fed = make(parts, **world)
    reading = judge(kind, parts, sensing)
    return reading, sensing.faults


def check(kind, reading):
    whole = dict(reading)
    whole["seq"] = 1
    whole["ts"] = 1795488752
    return wire.decode_reading(kind, whole)


def test_a_bin_with_every_part():
    """Distance, temperature, tilt and battery of a bin that is well, in wire units."""
    reading, faults = read("bin", BIN, distance_mm=740, temp_c=31, tilt_deg=2, battery_mv=3710)
    assert faults == {}
    assert abs(reading["distance_mm"] - 740) <= 8
    assert abs(reading["temp_cdeg"] - 3100) <= 10
    assert reading["tilt_deg"] <= 4
    assert abs(reading["battery_mv"] - 3710) <= 20
    assert (reading["state"], reading["quality"]) == ("ok", 4)
    check("bin", reading)


def test_an_air_node_with_every_part():
    """Particles, climate, raw gas of an air node; the fan runs its 30 s first and stops after."""
    sensing, board, fed = make(
        AIR, pm1_ugm3=5, pm25_ugm3=9, pm10_ugm3=14, temp_c=29, rh_pct=60, voc_raw=30000,
        nh3_mv=820, h2s_mv=640,
    )  # fmt: skip
    reading = judge("air", AIR, sensing)
    assert sensing.faults == {}
    assert 4000 <= reading["pm1_ngm3"] <= reading["pm25_ngm3"] <= reading["pm10_ngm3"]
    assert abs(reading["rh_cpct"] - 6000) <= 100
    assert abs(reading["nh3_mv"] - 820) <= 10
    assert board.bench.now >= 30000
    assert len(fed) >= 3
    check("air", reading)


def test_each_dead_part_of_a_bin_leaves_the_others():
    """Whatever answers is in the reading; what does not is named, and gives no value."""
    for fault, role, gone in (
        ("distance", "distance", "distance_mm"),
        ("temp", "temp", "temp_cdeg"),
    ):
        world = {"distance_mm": 740, "temp_c": 31, "tilt_deg": 2, "battery_mv": 3710, "faults": {fault: "dead"}}
        reading, faults = read("bin", BIN, **world)
        assert gone not in reading
        assert reading["battery_mv"]
        if role == "temp":
            assert role in faults
            assert reading["distance_mm"]
        else:
            assert reading["state"] == "sensor-fault"
            assert reading["temp_cdeg"]
        check("bin", reading)


def test_a_stuck_bus_takes_only_what_hangs_on_it():
    """A shorted I2C bus costs the tilt, not the distance."""
    world = {"distance_mm": 740, "temp_c": 31, "battery_mv": 3710, "faults": {"i2c": "stuck"}}
    reading, faults = read("bin", BIN, **world)
    assert faults == {"tilt": "stuck"}
    assert "tilt_deg" not in reading
    assert abs(reading["distance_mm"] - 740) <= 8
    assert reading["quality"] == 3


def test_a_silent_fan_sensor_is_not_waited_for_for_ever():
    """A particle sensor without an answer gives no particles; climate and gas are there."""
    world = {"temp_c": 29, "rh_pct": 60, "voc_raw": 30000, "nh3_mv": 820, "h2s_mv": 640, "faults": {"pm": "silent"}}
    reading, faults = read("air", AIR, **world)
    assert faults == {"pm": "no-answer"}
    assert "pm25_ngm3" not in reading
    assert reading["temp_cdeg"]
    assert (reading["state"], reading["quality"]) == ("ok", 3)


def test_a_part_that_cannot_be_set_up_is_a_part_without_an_answer():
    """A pin or bus that the board refuses is a fault of that part alone."""
    sensing, board, _fed = make(BIN, distance_mm=740, temp_c=31, battery_mv=3710)

    def refuse(_name):
        raise ValueError("no such bus")

    board.i2c = refuse
    reading = judge("bin", BIN, sensing)
    assert sensing.faults == {"tilt": "no-answer"}
    assert reading["distance_mm"]


def test_alarms_win_over_the_level():
    """Water, tilt and an open lid are states, and a distance is not told beside them."""
    for world, state in (({"water": True}, "water"), ({"tilt_deg": 70}, "tilted"), ({"lid_open": True}, "lid-open")):
        found = {"distance_mm": 740, "temp_c": 31, "battery_mv": 3710}
        found.update(world)
        reading, _faults = read("bin", BIN, **found)
        assert reading["state"] == state
        assert "distance_mm" not in reading
        check("bin", reading)


def test_a_hot_switch_is_urgent():
    """The thermal switch makes a reading urgent, whatever else it says."""
    sensing, _board, _fed = make(BIN, distance_mm=740, temp_c=31, battery_mv=3710, heat=True)
    assert bins.is_hot(run(sensing.read(7)))


def test_only_what_is_at_rest_may_wake_the_node():
    """A part that is alarmed already would end every sleep at once, so it is not armed."""
    sensing, _board, _fed = make(BIN, distance_mm=740, temp_c=31, tilt_deg=2, battery_mv=3710)
    run(sensing.read(7))
    assert sensing.rest() == [(27, 1), (33, 1), (26, 0)]
    for world, left in (
        ({"water": True}, [(27, 1), (33, 1)]),
        ({"heat": True}, [(27, 1), (26, 0)]),
        ({"tilt_deg": 80}, [(33, 1), (26, 0)]),
        ({"faults": {"i2c": "nack"}}, [(33, 1), (26, 0)]),
    ):
        found = {"distance_mm": 740, "temp_c": 31, "tilt_deg": 2, "battery_mv": 3710}
        found.update(world)
        sensing, _board, _fed = make(BIN, **found)
        run(sensing.read(7))
        assert sensing.rest() == left


def test_the_heater_of_the_gas_sensor_does_not_burn_through_the_sleep():
    """Before a sleep the SGP40 is switched off, and heats up anew for the next reading."""
    sensing, board, _fed = make(AIR, pm25_ugm3=9, temp_c=29, rh_pct=60, voc_raw=30000)
    run(sensing.read(7))
    off = []
    model = board.models["voc"]
    write = model.write

    def spy(data):
        off.append(bytes(data))
        return write(data)

    model.write = spy
    sensing.rest()
    assert off == [b"\x36\x15"]


def test_the_supply_of_the_sensors_is_on_while_they_are_read():
    """The switched supply comes on before the first part and goes off after the last, also when one fails badly."""
    parts = dict(BIN)
    parts["power"] = {"pin": 32, "settle_ms": 100}
    sensing, board, _fed = make(BIN, distance_mm=740, temp_c=31, tilt_deg=2, battery_mv=3710)
    levels = []
    pin_out = board.pin_out
    board.pin_out = lambda number: levels.append if number == 32 else pin_out(number)
    sensing._parts = parts
    assert run(sensing.read(7))["distance"]
    assert levels == [1, 0]


def test_the_angle_that_wakes_is_the_angle_that_alarms():
    """What the accelerometer wakes for is what the judge calls tilted."""
    assert sensing_module.TILTED_DEG == bins.TILTED_DEG
