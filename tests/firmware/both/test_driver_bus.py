"""What holds for every driver on a bus."""

from firmware.drivers.bme280 import BME280
from firmware.drivers.i2c import Device
from firmware.drivers.lis3dh import LIS3DH
from firmware.drivers.sgp40 import SGP40
from firmware.drivers.sht31 import SHT31
from firmware.drivers.sps30 import SPS30
from firmware.drivers.vl53l1x import VL53L1X
from tests.firmware.both import driver_bench as bench

DRIVERS = (
    ("sht31", SHT31, ()),
    ("bme280", BME280, ()),
    ("sgp40", SGP40, ()),
    ("sps30", SPS30, ()),
    ("lis3dh", LIS3DH, ()),
    ("vl53l1x", VL53L1X, (3,)),
)


def test_a_stuck_bus_is_told_from_a_missing_part():
    """Every I2C driver says `stuck` when a line stays low and `no-answer` when nobody acknowledges."""
    for fault, code in (("stuck", "stuck"), ("nack", "no-answer")):
        for name, driver, arguments in DRIVERS:
            b = bench.Bench(faults={"i2c": fault})
            b.add(name)
            assert bench.code_of(driver(b, sleep_ms=b.sleep_ms).read, *arguments) == code, name


def test_nothing_at_the_address():
    """An empty bus gives no-answer for every driver, at its default address."""
    for name, driver, arguments in DRIVERS:
        b = bench.Bench()
        assert bench.code_of(driver(b, sleep_ms=b.sleep_ms).read, *arguments) == "no-answer", name


def test_the_bus_recovers():
    """After the fault has gone, the same driver object reads again."""
    for name, driver, arguments in DRIVERS:
        b = bench.Bench(faults={"i2c": "stuck"}, distance_mm=900)
        b.add(name)
        one = driver(b, sleep_ms=b.sleep_ms)
        bench.code_of(one.read, *arguments)
        b.world["faults"] = {}
        if name == "sps30":
            bench.run(one.start())
            b.now += 8000
        value = bench.run(one.read(*arguments))
        assert value is not None, name
        assert value != ["no-answer"] * 3


def test_both_numbers_of_a_timeout():
    """MicroPython says 110, the ESP-IDF 116; 5 is no acknowledge; an error without a number is no answer."""

    class Bus:
        def __init__(self, *numbers):
            self.numbers = numbers

        def writeto(self, _addr, _data):
            raise OSError(*self.numbers)

    assert bench.code_of(Device(Bus(110), 1).write, b"") == "stuck"
    assert bench.code_of(Device(Bus(116), 1).write, b"") == "stuck"
    assert bench.code_of(Device(Bus(5), 1).write, b"") == "no-answer"
    assert bench.code_of(Device(Bus(19), 1).write, b"") == "no-answer"
    assert bench.code_of(Device(Bus(), 1).write, b"") == "no-answer"


def test_the_default_sleep_really_waits():
    """Without a bench a driver waits by asyncio on either interpreter."""
    import asyncio

    b = bench.Bench()
    part = b.add("sht31")

    class Bus:
        def writeto(self, _addr, data):
            part.write(data)

        def readfrom_into(self, _addr, buffer):
            b.now += 20
            buffer[:] = part.read(6)

    assert asyncio.run(SHT31(Bus()).read()) == (2500, 5000)
