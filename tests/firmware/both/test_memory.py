"""The record in RTC memory: what goes in comes out, damage is noticed, it fits."""

from firmware.core import memory


def filled():
    record = memory.Record(4294967295)
    record.next_seq = 17
    record.unix_s = 4102444800
    record.fails = 3
    record.history = (4294967295, 0, 5)
    return record


def test_a_record_survives():
    """Every number of a record, the largest too, and its history come back."""
    record = filled()
    back = memory.unpack(memory.pack(record))
    for name in memory._NAMES:
        assert getattr(back, name) == getattr(record, name), name
    assert back.history == (4294967295, 0, 5)


def test_a_new_boot_begins_with_one():
    """A fresh record numbers from 1 and remembers nothing."""
    back = memory.unpack(memory.pack(memory.Record(9)))
    assert (back.boot, back.next_seq, back.history) == (9, 1, ())
    assert [getattr(back, name) for name in memory._NAMES[2:]] == [0] * (len(memory._NAMES) - 2)


def test_any_damage_makes_it_none():
    """Each single flipped bit, each shorter length, an older version, nothing at all: no record."""
    data = memory.pack(filled())
    for at in range(len(data)):
        for bit in (1, 128):
            broken = bytearray(data)
            broken[at] ^= bit
            assert memory.unpack(bytes(broken)) is None, (at, bit)
        assert memory.unpack(data[:at]) is None, at
    assert memory.unpack(data + b"\0") is None
    for power_on in (b"", b"\0" * 2048, b"\xff" * 2048, b"\x01" + b"\0" * 70):
        assert memory.unpack(power_on) is None


def test_it_fits_rtc_memory_at_its_fullest():
    """The longest history is cut, and the record stays far below 2,048 bytes."""
    record = filled()
    record.history = tuple(range(300))
    data = memory.pack(record)
    assert len(data) <= 256
    assert memory.unpack(data).history == tuple(range(memory._MAX_HISTORY))
