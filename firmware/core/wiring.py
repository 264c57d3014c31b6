"""The parts of a board: which there are, which pins and buses they may have, and their defaults."""

from firmware import wire

# Parts by `kind/part/type`; each field is a pin role or default,lowest,highest; `?` marks what may be absent.
# Pins: out, in, wake (an input that can end a deep sleep), adc.
_ECHO = "trig=out echo=in blind_mm=250,20,1000 max_mm=4500,300,8000"
_SHT31 = "bus=i2c addr=68,8,119"
_PARTS = {
    "bin/distance/jsn-sr04t": _ECHO,
    "bin/distance/hc-sr04": _ECHO,
    "bin/distance/vl53l1x": "bus=i2c addr=41,8,119",
    "bin/temp/ds18b20": "pin=out",
    "bin/temp/sht31": _SHT31,
    "bin/tilt/lis3dh": "bus=i2c addr=24,8,119 int=wake?",
    "bin/tilt/switch": "pin=wake active=0,0,1",
    "bin/water/contact": "pin=wake active=0,0,1",
    "bin/lid/switch": "pin=in active=1,0,1",
    "bin/heat/switch": "pin=wake active=1,0,1",
    "air/pm/pms5003": "bus=uart set=out? warm_s=30,0,300",
    "air/pm/sps30": "bus=i2c",
    "air/climate/sht31": _SHT31,
    "air/climate/bme280": "bus=i2c addr=118,118,119",
    "air/voc/sgp40": "bus=i2c",
    "air/nh3/adc": "pin=adc",
    "air/h2s/adc": "pin=adc",
    "battery": "pin=adc ratio_milli=2000,1000,20000",
    "led": "pin=out",
    "i2c0": "scl=out sda=out khz=100,10,400",
    "i2c1": "scl=out sda=out khz=100,10,400",
    "uart1": "tx=out rx=in baud=9600,1200,115200",
    "uart2": "tx=out rx=in baud=9600,1200,115200",
}
_NO_PINS = (1, 3, 6, 7, 8, 9, 10, 11, 20, 24, 28, 29, 30, 31)  # serial console, flash chip, do not exist
_WAKE_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27)  # and 32..39


def _fields(spec):
    """Yield the fields of a part: (name, role or None, (default, lowest, highest) or None, optional)."""
    for field in spec.split():
        name, rule = field.split("=")
        if "," in rule:
            yield name, None, [int(number) for number in rule.split(",")], True
        else:
            yield name, rule.rstrip("?"), None, rule[-1] == "?"


def _path(kind, name, part):
    """Key of a part in the table; one that is not there when the part is unknown."""
    if not isinstance(part, dict):
        return ""
    return name if name in _PARTS and "/" not in name else "%s/%s/%s" % (kind, name, part.get("type"))


def _pin_fault(pin, role):
    if not wire.is_int(pin) or not 0 <= pin <= 39 or pin in _NO_PINS:
        return "not a usable pin, take another of 0..39"
    if role == "out" and pin >= 34:
        return "an input only, take a pin below 34"
    if role == "adc" and pin < 32:
        return "cannot measure beside Wi-Fi, take 32..39"
    if role == "wake" and pin < 32 and pin not in _WAKE_PINS:
        return "cannot end a deep sleep, take 0 2 4 12-15 25-27 or 32-39"
    return None


def _use(what, key, used):
    """Fault of a pin or address that another part has already, or None."""
    other = used.get(what)
    used[what] = key
    return "%s is taken by %s, take another" % (what, other) if other else None


def _field_fault(field, role, limits, part, parts, key, used):
    value = part.get(field, limits and limits[0])
    if limits:
        if not wire.is_int(value) or not limits[1] <= value <= limits[2]:
            return "not an integer %d..%d, the usual value is %d" % (limits[1], limits[2], limits[0])
        return _use("%s address %d" % (part.get("bus"), value), key, used) if field == "addr" else None
    if role in ("i2c", "uart"):
        if isinstance(value, str) and value.startswith(role) and value in parts:
            return None
        return "no such bus, add %s1 to parts and name it here" % role
    return _pin_fault(value, role) or _use("pin %d" % value, key, used)


def check(kind, parts, faults):
    """Add the faults of `parts` for a kind of node."""
    if not isinstance(parts, dict):
        faults.append("parts: not an object, write it again")
        return
    used = {}
    for name in sorted(parts):
        part = parts[name]
        path = _path(kind, name, part)
        if path not in _PARTS:
            prefix = "%s/%s/" % (kind, name)
            types = sorted([one[len(prefix) :] for one in _PARTS if one.startswith(prefix)])
            remedy = "give it a type: " + ", ".join(types) if types else "remove it"
            faults.append("parts.%s: unknown for %s, %s" % (name, kind, remedy))
            continue
        known = ["type"] if "/" in path else []
        for field, role, limits, optional in _fields(_PARTS[path]):
            known.append(field)
            key = "parts.%s.%s" % (name, field)
            fault = None
            if field in part or field == "addr":
                fault = _field_fault(field, role, limits, part, parts, key, used)
            elif not optional:
                fault = "missing, add it"
            if fault:
                faults.append(key + ": " + fault)
        for field in part:
            if field not in known:
                faults.append("parts.%s.%s: unknown, remove it" % (name, field))


def complete(kind, parts):
    """Return sound parts with the defaults of their fields."""
    whole = {}
    for name in parts:
        whole[name] = {}
        for field, _, limits, _ in _fields(_PARTS[_path(kind, name, parts[name])]):
            if limits:
                whole[name][field] = limits[0]
        whole[name].update(parts[name])
    return whole
