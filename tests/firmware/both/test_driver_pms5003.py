"""PMS5003: byte vectors, and the driver on its model."""

from firmware.drivers import pms5003
from tests.firmware.both import driver_bench as bench

# Words: factory 5 8 10, outdoor 5 9 11, counts 900 255 55 8 3 1, version 0x97 and no error.
# Sum: 0x42 + 0x4D + 0x1C = 66 + 77 + 28 = 171; 5 + 8 + 10 = 23 -> 194; 5 + 9 + 11 = 25 -> 219;
# 0x03 + 0x84 + 0xFF + 0x37 + 8 + 3 + 1 = 3 + 132 + 255 + 55 + 12 = 457 -> 676; 0x97 = 151 -> 827 = 0x033B
GOOD = (
    b"\x42\x4d\x00\x1c\x00\x05\x00\x08\x00\x0a\x00\x05\x00\x09\x00\x0b"
    b"\x03\x84\x00\xff\x00\x37\x00\x08\x00\x03\x00\x01\x97\x00\x03\x3b"
)
VALUE = (5000, 9000, 11000)


def test_a_frame_in_bytes():
    """The outdoor words become ng/m3; zero is a value."""
    assert pms5003.decode(GOOD) == VALUE
    # all words zero: the checksum is that of the header, 171 = 0x00AB
    assert pms5003.decode(b"BM\x00\x1c" + bytes(26) + b"\x00\xab") == (0, 0, 0)


def test_a_damaged_frame_gives_no_value():
    """A wrong checksum, header, length, and a value beyond any air: an error each."""
    assert bench.code_of(pms5003.decode, GOOD[:-1] + b"\x3a") == "bad-crc"
    assert bench.code_of(pms5003.decode, GOOD[:13] + b"\x0a" + GOOD[14:]) == "bad-crc"
    assert bench.code_of(pms5003.decode, b"\x42\x4e" + GOOD[2:]) == "bad-frame"
    assert bench.code_of(pms5003.decode, GOOD[:3] + b"\x1b" + GOOD[4:]) == "bad-frame"
    assert bench.code_of(pms5003.decode, GOOD[:30]) == "bad-frame"
    # PM2.5 = 0xFFFF instead of 9: 827 + 255 + 255 - 9 = 1328 = 0x0530
    assert bench.code_of(pms5003.decode, GOOD[:12] + b"\xff\xff" + GOOD[14:30] + b"\x05\x30") == "out-of-range"


def test_a_frame_torn_after_30_bytes_costs_only_itself():
    """30 bytes of a frame and then a whole one: the good one is found, the torn one never gives a value."""
    parser = pms5003.Parser()
    assert parser.feed(GOOD[:30]) is None
    assert parser.feed(GOOD) == VALUE
    assert parser.skipped == 1


def test_torn_at_every_byte():
    """Wherever a frame is cut, the whole frame behind it is found and nothing else."""
    for cut in range(32):
        parser = pms5003.Parser()
        assert parser.feed(GOOD[:cut] + GOOD) == VALUE, cut
        assert parser.skipped == (1 if cut > 1 else 0), cut


def test_byte_by_byte_and_two_at_once():
    """A frame that arrives in single bytes is found at its last; of two at once the newer counts."""
    parser = pms5003.Parser()
    assert [parser.feed(GOOD[at : at + 1]) for at in range(32)] == [None] * 31 + [VALUE]
    newer = b"BM\x00\x1c" + bytes(26) + b"\x00\xab"
    assert parser.feed(GOOD + newer) == (0, 0, 0)
    assert parser.skipped == 0


def test_noise_and_answers_before_a_frame():
    """Noise, a lone 0x42 and the answer to a command (length 4) are passed over."""
    parser = pms5003.Parser()
    assert parser.feed(b"\x00\xff\x42") is None
    assert parser.feed(b"\x42\x4d\x00\x04\xe4\x01\x01\x78" + GOOD) == VALUE


def make(**world):
    b = bench.Bench(**world)
    part = b.add("pms5003", "pm")
    return b, part, pms5003.PMS5003(bench.Uart(b, part), part.set_level, sleep_ms=b.sleep_ms)


def test_the_driver_reads_the_model():
    """After the warm-up the truth arrives in ng/m3."""
    b, _, driver = make(pm1_ugm3=7, pm25_ugm3=35, pm10_ugm3=60)
    b.now += 30000
    assert bench.run(driver.read()) == (7000, 35000, 60000)


def test_the_model_climbs_for_30_s():
    """10 s after waking the model shows a third: reading early gives too little, as with the part."""
    b, _part, driver = make(pm25_ugm3=90)
    driver.sleep()
    b.now += 60000
    driver.wake()
    b.now += 9200
    assert bench.run(driver.read())[1] == 30000
    b.now += 20000
    assert bench.run(driver.read())[1] == 90000


def test_what_waits_in_the_uart_is_too_old():
    """The value is of a frame sent after the call, not of those that waited."""
    b, _part, driver = make(pm25_ugm3=10)
    b.now += 40000
    assert driver._uart.any()
    b.world["pm25_ugm3"] = 20
    assert bench.run(driver.read())[1] == 20000


def test_asleep_and_silent_are_no_answer():
    """A sleeping sensor and a broken line end with no-answer after 4 s, not for ever."""
    b, _part, driver = make()
    driver.sleep()
    before = b.now
    assert bench.code_of(driver.read) == "no-answer"
    assert b.now - before == 4000
    b, _part, driver = make(faults={"pm": "silent"})
    assert bench.code_of(driver.read) == "no-answer"


def test_torn_frames_of_the_part():
    """Every second frame torn: the good one behind it is read, and the torn one counted."""
    b, _part, driver = make(pm1_ugm3=25, pm25_ugm3=35, pm10_ugm3=53, faults={"pm": "torn"})
    b.now += 40000
    assert bench.run(driver.read()) == bench.run(driver.read()) == (25000, 35000, 53000)
    assert driver.skipped == 1


def test_bad_checksums_never_give_a_value():
    """Only wrong checksums: bad-crc."""
    _b, _part, driver = make(faults={"pm": "bad-checksum"})
    assert bench.code_of(driver.read) == "bad-crc"


def test_commands_of_the_manual():
    """Wake, sleep, passive, active and ask are the bytes of the manual, and the model obeys them."""
    sent = []

    class Line:
        def any(self):
            return 0

        def write(self, data):
            sent.append(data)

    driver = pms5003.PMS5003(Line())
    driver.wake()
    driver.sleep()
    driver.passive()
    driver.passive(on=False)
    driver.ask()
    # the last two bytes are the sum: 0x42 + 0x4D = 0x8F; 0x8F + 0xE4 + 0x01 = 0x0174, and so on
    assert sent == [
        b"\x42\x4d\xe4\x00\x01\x01\x74",
        b"\x42\x4d\xe4\x00\x00\x01\x73",
        b"\x42\x4d\xe1\x00\x00\x01\x70",
        b"\x42\x4d\xe1\x00\x01\x01\x71",
        b"\x42\x4d\xe2\x00\x00\x01\x71",
    ]
    b, part, driver = make()
    driver.passive()
    b.now += 5000
    part.produce(b.now)
    b.now += 5000
    assert part.produce(b.now) == b""
    driver.ask()
    assert len(part.produce(b.now)) == 32
    driver.passive(on=False)
    b.now += 800
    assert len(part.produce(b.now)) == 8 + 32
