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


def make(part_type, world, now_ms, role="", spec=None):
    """Return the model of a part."""
    spec = spec or {}
    if part_type in CLASS:
        return getattr(__import__(part_type), CLASS[part_type])(world, now_ms)
    if part_type in ("jsn-sr04t", "hc-sr04"):
        return __import__("ultrasonic").Ultrasonic(world, now_ms, part_type)
    if part_type in ("switch", "contact"):
        return __import__("level").Level(world, now_ms, role, spec.get("active", 1))
    if part_type in ("adc", "battery"):
        ratio_milli = spec.get("ratio_milli", 2000 if part_type == "battery" else 1000)
        return __import__("volts").Volts(world, now_ms, role or part_type, ratio_milli)
    raise ValueError("no model of " + part_type)
