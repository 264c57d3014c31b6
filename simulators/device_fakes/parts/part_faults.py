"""Faults that the world asks for."""

NODEV = 19
TIMED_OUT = 110


def fault(world, *parts):
    """Return the fault of the first of these parts that has one."""
    faults = world.get("faults") or {}
    for part in parts:
        if faults.get(part):
            return faults[part]
    return None


def check_bus(world, *parts):
    """Raise what an I2C transaction gives on a broken bus, or with a part that is not there."""
    bus = fault(world, "i2c")
    if bus == "stuck":
        raise OSError(TIMED_OUT)
    if bus == "nack" or fault(world, *parts) == "dead":
        raise OSError(NODEV)


def nack():
    """Refuse a transaction, as a part does that is busy or in the wrong mode."""
    raise OSError(NODEV)
