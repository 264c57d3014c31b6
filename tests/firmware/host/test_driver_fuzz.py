"""No bytes whatever make a driver raise anything but SensorError, and no wrong checksum ever yields a value."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.drivers import SensorError, bme280, ds18b20, lis3dh, pms5003, sensirion, sgp40, sht31, sps30, ultrasonic
from firmware.drivers import vl53l1x as tof
from tests.firmware.both import driver_bench as bench
from tests.firmware.both.test_driver_bme280 import EXAMPLE
from tests.firmware.both.test_driver_ds18b20 import TWELVE_BITS

CODES = {"no-answer", "bad-crc", "bad-frame", "all-zero", "power-on", "out-of-range", "no-echo", "stuck"}

PARSERS: dict[str, tuple[Callable[[bytes], Any], int]] = {
    "words": (sensirion.words, 9),
    "sht31": (sht31.convert, 6),
    "sgp40": (sgp40.convert, 3),
    "sps30": (sps30.convert, 24),
    "ds18b20": (lambda data: ds18b20.decode(data, TWELVE_BITS), 9),
    "pms5003": (pms5003.decode, 32),
    "bme280 data": (lambda data: bme280.convert(EXAMPLE, data), 8),
    "bme280 constants": (lambda data: bme280.calibration(data[:26], data[26:]), 33),
    "lis3dh": (lambda data: lis3dh.tilt_deg(*lis3dh.decode(data)), 6),
    "vl53l1x": (tof.decode, 15),
}


def outcome(parser: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the value, or the code; anything else that is raised fails the test."""
    try:
        return parser(data)
    except SensorError as error:
        assert error.code in CODES
        return error.code


@pytest.mark.parametrize("name", PARSERS)
@given(st.data())
def test_random_bytes_give_a_value_in_range_or_a_code(name: str, data: st.DataObject) -> None:
    """Any bytes of any length: integers, or one of the eight codes."""
    parser, length = PARSERS[name]
    found = outcome(parser, data.draw(st.binary(min_size=length, max_size=length) | st.binary(max_size=length + 3)))
    values = found if isinstance(found, tuple | list) else [found]
    assert all(isinstance(value, int) for value in values) or found in CODES


def crc8(polynomial_bits: str, start: str, data: bytes) -> int:
    """Divide as on paper, bit by bit: shares no code with the driver or the model."""
    bits = "".join(f"{byte:08b}" for byte in data) + "0" * 8
    value = [int(bit) for bit in bits]
    for at, bit in enumerate(start):
        value[at] ^= int(bit)
    for at in range(len(value) - 8):
        if value[at]:
            for offset, bit in enumerate(polynomial_bits):
                value[at + offset] ^= int(bit)
    return int("".join(map(str, value[-8:])), 2)


def sensirion_is_good(data: bytes) -> bool:
    """Say whether every third byte is the CRC of the two before it."""
    return all(
        crc8("100110001", "11111111", data[at : at + 2]) == data[at + 2] for at in range(0, len(data) - 2, 3)
    )  # fmt: skip


def maxim_is_good(data: bytes) -> bool:
    """Say the same of a scratchpad: the wire sends the lowest bit first."""
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[:-1])
    return int(f"{crc8('100110001', '00000000', mirrored):08b}"[::-1], 2) == data[-1]


def repaired(words: list[int]) -> bytes:
    """Return words with right CRCs, made by the oracle."""
    return b"".join(
        word.to_bytes(2, "big") + bytes((crc8("100110001", "11111111", word.to_bytes(2, "big")),)) for word in words
    )


@settings(max_examples=60)
@given(st.lists(st.integers(0, 65535), min_size=8, max_size=8), st.data())
def test_a_single_wrong_bit_never_gives_a_value(words: list[int], data: st.DataObject) -> None:
    """Every Sensirion answer of right CRCs is judged on its content; with one or two bits flipped it is bad-crc."""
    for parser, count in ((sht31.convert, 2), (sgp40.convert, 1), (sps30.convert, 8)):
        good = repaired(words[:count])
        assert sensirion_is_good(good)
        assert outcome(parser, good) not in ("bad-crc", "bad-frame")
        # within one word and its CRC any one or two flips are found
        word = data.draw(st.integers(0, count - 1))
        bad = bytearray(good)
        for bit in data.draw(st.sets(st.integers(0, 23), min_size=1, max_size=2)):
            bad[3 * word + bit // 8] ^= 1 << bit % 8
        assert outcome(parser, bytes(bad)) == "bad-crc"


@settings(max_examples=200)
@given(st.binary(min_size=9, max_size=9))
def test_a_scratchpad_with_a_wrong_crc_never_gives_a_value(data: bytes) -> None:
    """Random scratchpads: a value only with a right CRC, told by another implementation."""
    found = outcome(lambda raw: ds18b20.decode(raw, TWELVE_BITS), data)
    assert isinstance(found, str) or maxim_is_good(data)


@settings(max_examples=60)
@given(st.integers(-880, 2000), st.data())
def test_a_scratchpad_by_the_oracle(raw: int, data: st.DataObject) -> None:
    """Every temperature that the sensor can show is decoded; any one or two flipped bits are refused."""
    body = (raw & 0xFFFF).to_bytes(2, "little") + b"\x5a\xa5\x7f\xff\x10\x10"
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in body)
    good = body + bytes((int(f"{crc8('100110001', '00000000', mirrored):08b}"[::-1], 2),))
    assert ds18b20.decode(good, TWELVE_BITS) == raw
    bad = bytearray(good)
    for bit in data.draw(st.sets(st.integers(0, 71), min_size=1, max_size=2)):
        bad[bit // 8] ^= 1 << bit % 8
    assert isinstance(outcome(lambda data: ds18b20.decode(data, TWELVE_BITS), bytes(bad)), str)


frames = st.tuples(*[st.integers(0, 5000)] * 3).map(
    lambda pm: _frame([0, 0, 0, *pm, 0, 0, 0, 0, 0, 0, 0x9700]),
)


def _frame(words: list[int]) -> bytes:
    data = b"BM\x00\x1c" + b"".join(word.to_bytes(2, "big") for word in words)
    return data + sum(data).to_bytes(2, "big")


def reference(stream: bytes) -> list[tuple[int, ...]]:
    """Find the frames of a whole stream by looking at every position; overlapping ones are left out."""
    found, at = [], 0
    while at + 32 <= len(stream):
        frame = stream[at : at + 32]
        if frame[:4] == b"BM\x00\x1c" and sum(frame[:30]) == int.from_bytes(frame[30:], "big"):
            values = tuple(1000 * int.from_bytes(frame[k : k + 2], "big") for k in (10, 12, 14))
            if max(values) <= 5_000_000:
                found.append(values)
                at += 32
                continue
        at += 1
    return found


pieces = st.one_of(
    frames,
    st.tuples(frames, st.integers(0, 31)).map(lambda pair: pair[0][: pair[1]]),
    st.binary(max_size=40),
    st.sampled_from([b"BM", b"B", b"BM\x00\x1c", b"BMBM\x00\x1c", b"BM\x00\x04\xe4\x01\x01\x78"]),
)


@settings(max_examples=150)
@given(st.lists(pieces, max_size=8), st.data())
def test_a_particle_stream_gives_exactly_the_valid_frames(parts: list[bytes], data: st.DataObject) -> None:
    """Torn, noisy and joined streams cut anywhere: the parser finds what a look at every position finds, no more."""
    stream = b"".join(parts)
    parser, found, at = pms5003.Parser(), [], 0
    while at < len(stream):
        # at most 31 bytes, so that no two frames end in one piece
        step = data.draw(st.integers(1, 31))
        value = parser.feed(stream[at : at + step])
        if value:
            found.append(value)
        at += step
    assert found == reference(stream)


@given(st.integers(-(2**31), 2**31))
def test_a_pulse_is_a_time_or_a_code(echo_us: int) -> None:
    """Whatever the pulse counter says, a time lies between 100 us and 36 ms."""
    found = outcome(ultrasonic.check, echo_us)  # type: ignore[arg-type]
    assert found in CODES or 100 <= found < 36000


class Babble:
    """A bus on which every read gives the next random bytes and every write is accepted."""

    def __init__(self, data: bytes) -> None:
        self.data = data or b"\0"
        self.at = 0

    def take(self, count: int) -> bytes:
        found = bytes(self.data[(self.at + k) % len(self.data)] for k in range(count))
        self.at += count
        return found

    def writeto(self, addr: int, data: bytes) -> None:
        del addr, data

    def readfrom_into(self, addr: int, buffer: bytearray) -> None:
        del addr
        buffer[:] = self.take(len(buffer))


@settings(max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x33\x0f", b"\x60\x00", b"\x01\xea\xcc"]))
def test_a_babbling_bus_never_breaks_a_driver(noise: bytes, head: bytes) -> None:
    """Whole drivers on random answers, after the right id too: a value or a SensorError, in bounded time."""
    for driver in (sht31.SHT31, bme280.BME280, sgp40.SGP40, sps30.SPS30, lis3dh.LIS3DH):
        b = bench.Bench()
        with contextlib.suppress(SensorError):
            bench.run(driver(Babble(head + noise), sleep_ms=b.sleep_ms).read())
        assert b.now < 5000
    b = bench.Bench()
    with contextlib.suppress(SensorError):
        found = bench.run(tof.VL53L1X(Babble(head + noise), sleep_ms=b.sleep_ms).read(3))
        assert all(item in CODES or 0 < item <= 8000 for item in found)
    assert b.now < 5000
