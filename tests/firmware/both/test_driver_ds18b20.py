"""DS18B20: byte vectors of the datasheet, and the driver on its model."""

from firmware.drivers import ds18b20
from firmware.drivers.ds18b20 import crc8_8c
from tests.firmware.both import driver_bench as bench

TWELVE_BITS = 0x7F


def test_temperatures_of_the_datasheet():
    """Table 1 of the datasheet: 125, 25.0625, 0, -10.125 and -55 degrees, with CRC, to sixteenths."""
    assert ds18b20.decode(b"\xd0\x07\x5a\xa5\x7f\xff\x10\x10\xad", TWELVE_BITS) == 125 * 16
    assert ds18b20.decode(b"\x91\x01\x5a\xa5\x7f\xff\x0f\x10\xdd", TWELVE_BITS) == 401  # 25 * 16 + 1
    assert ds18b20.decode(b"\x00\x00\x5a\xa5\x7f\xff\x10\x10\x91", TWELVE_BITS) == 0
    assert ds18b20.decode(b"\x5e\xff\x5a\xa5\x7f\xff\x02\x10\x4e", TWELVE_BITS) == -162  # -10 * 16 - 2
    assert ds18b20.decode(b"\x90\xfc\x5a\xa5\x7f\xff\x10\x10\x16", TWELVE_BITS) == -55 * 16


def test_nine_zero_bytes_are_no_temperature():
    """A wire held low reads nine zeros, with a CRC of zero that is right: refused, not 0 degrees."""
    assert bench.code_of(ds18b20.decode, bytes(9), TWELVE_BITS) == "all-zero"


def test_the_power_on_scratchpad_is_no_temperature():
    """A part that never converted holds 50 05 4B 46 7F FF 0C 10 1C, which is 85.0 C with a right CRC: refused."""
    fresh = b"\x50\x05\x4b\x46\x7f\xff\x0c\x10\x1c"
    assert bench.code_of(ds18b20.decode, fresh, TWELVE_BITS) == "power-on"


def test_forgotten_settings_are_no_temperature():
    """Delivered alarm bytes (4B 46) or another resolution mean a restart, whatever the temperature says."""
    # 25.0625 C with the alarm bytes of a new part, as a restart within a conversion leaves it
    data = b"\x91\x01\x4b\x46\x7f\xff\x0f\x10"
    assert bench.code_of(ds18b20.decode, data + bytes((crc8_8c(data),)), TWELVE_BITS) == "power-on"
    assert bench.code_of(ds18b20.decode, b"\x91\x01\x5a\xa5\x7f\xff\x0f\x10\xdd", 0x1F) == "power-on"


def test_damage_and_silence():
    """A flipped bit is a bad CRC, an idle wire (all ones) is no answer, eight bytes are a bad frame."""
    assert bench.code_of(ds18b20.decode, b"\x91\x01\x5a\xa5\x7f\xff\x0f\x10\xdc", TWELVE_BITS) == "bad-crc"
    assert bench.code_of(ds18b20.decode, b"\x93\x01\x5a\xa5\x7f\xff\x0f\x10\xdd", TWELVE_BITS) == "bad-crc"
    assert bench.code_of(ds18b20.decode, b"\xff" * 9, TWELVE_BITS) == "no-answer"
    assert bench.code_of(ds18b20.decode, b"\x91\x01\x5a\xa5\x7f\xff\x0f\x10", TWELVE_BITS) == "bad-frame"


def read(bits=12, **world):
    b = bench.Bench(**world)
    driver = ds18b20.DS18B20(b.add("ds18b20"), bits=bits, sleep_ms=b.sleep_ms)
    return bench.run(driver.read()), b.now


def test_every_resolution_waits_its_time():
    """9 to 12 bits: 0.5 to 0.0625 degrees, after 94, 188, 376 and 751 ms."""
    # 27.8 C = 444.8 sixteenths, so 445 = 27.8125; to 11 bits 444 = 27.75, to 10 444 = 27.75, to 9 440 = 27.5
    assert read(12, temp_c=27.8) == (2781, 751)
    assert read(11, temp_c=27.8) == (2775, 376)
    assert read(10, temp_c=27.8) == (2775, 188)
    assert read(9, temp_c=27.8) == (2750, 94)


def test_frost_is_rounded_like_heat():
    """-0.0625 C is -6 (of -6.25), -10.125 C is -1012 (of -1012.5): half a hundredth upwards, as above zero."""
    assert read(temp_c=-0.0625)[0] == -6
    assert read(temp_c=-10.125)[0] == -1012


def test_a_real_85_degrees_is_believed_the_second_time():
    """A fire at exactly 85.0 C gives the value after two conversions; 85.0625 after one."""
    assert read(temp_c=85) == (8500, 2 * 751)
    assert read(temp_c=85.0625) == (8506, 751)


def test_a_part_that_loses_power_gives_no_value():
    """Its supply sags at each conversion: power-on, never 85 degrees."""
    b = bench.Bench(faults={"temp": "power-on"})
    driver = ds18b20.DS18B20(b.add("ds18b20"), sleep_ms=b.sleep_ms)
    assert bench.code_of(driver.read) == "power-on"
    assert bench.code_of(driver.read) == "power-on"


def test_a_part_read_too_early_shows_85():
    """The model is honest: before the conversion ended, the scratchpad is still the power-on one."""
    b = bench.Bench(temp_c=20)
    part = b.add("ds18b20")
    part.reset()
    part.writebyte(0xCC)
    part.writebyte(0x44)
    for wait_ms, expect in ((749, 0x0550), (1, 0x0140)):
        b.now += wait_ms
        part.reset()
        part.writebyte(0xCC)
        part.writebyte(0xBE)
        assert part.readbyte() | part.readbyte() << 8 == expect


def test_faults_of_the_wire():
    """All zero, bad CRC and no presence pulse give their codes."""
    for fault, code in (("all-zero", "all-zero"), ("bad-crc", "bad-crc"), ("dead", "no-answer")):
        b = bench.Bench(faults={"temp": fault})
        driver = ds18b20.DS18B20(b.add("ds18b20"), sleep_ms=b.sleep_ms)
        assert bench.code_of(driver.read) == code, fault
