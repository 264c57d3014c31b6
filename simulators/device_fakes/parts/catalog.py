"""Which model stands for which part of config.json. Models are imported when asked for: the heap is a node's.

`now_ms` is a callable that gives the time since the part got power. `role` is the key under "parts" in the
configuration and `spec` what stands there.

Interfaces, all at the level of whole transactions:

* I2C: write(data), read(n), OSError when the part does not acknowledge or a line is stuck
* pms5003: produce(now_ms) -> bytes, write(data), set_level(level) for the SET line
* jsn-sr04t, hc-sr04: echo_us(), level() of the echo line
* ds18b20: reset(), writebyte(value), readbyte()
* switch, contact: level(); lis3dh: int1() besides I2C
* adc, battery: read_uv()
"""

I2C_ADDR = {"vl53l1x": 41, "sht31": 68, "lis3dh": 24, "bme280": 118, "sps30": 105, "sgp40": 89}
CLASS = {
    "vl53l1x": "VL53L1X",
    "sht31": "SHT31",
    "lis3dh": "LIS3DH",
    "bme280": "BME280",
    "sps30": "SPS30",
    "sgp40": "SGP40",
    "ds18b20": "DS18B20",
    "pms5003": "PMS5003",
}


OTHERS = {
    "jsn-sr04t": "ultrasonic",
    "hc-sr04": "ultrasonic",
    "switch": "level",
    "contact": "level",
    "adc": "volts",
    "battery": "volts",
}


_loaded = {}


def load(part_type):
    """Return the module with the model of a part, None when there is none."""
    name = part_type if part_type in CLASS else OTHERS.get(part_type)
    if name and name not in _loaded:
        _loaded[name] = __import__(name)
    return _loaded.get(name)


def make(part_type, world, now_ms, role="", spec=None):
    """Return the model of a part."""
    spec = spec or {}
    module = load(part_type)
    other = OTHERS.get(part_type)
    if part_type in CLASS:
        return getattr(module, CLASS[part_type])(world, now_ms)
    if other == "ultrasonic":
        return module.Ultrasonic(world, now_ms, part_type)
    if other == "level":
        return module.Level(world, now_ms, role, spec.get("active", 1))
    if other == "volts":
        ratio_milli = spec.get("ratio_milli", 2000 if part_type == "battery" else 1000)
        return module.Volts(world, now_ms, role or part_type, ratio_milli)
    raise ValueError("no model of " + part_type)
