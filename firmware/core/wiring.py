"""The parts that a board can have, and their defaults. Whether pins and buses fit is checked on the host."""

# Parts by `kind/part/type`. A field has its default, lowest and highest value, or a role: out, in, wake (an input that
# ends a deep sleep), adc, i2c, uart; `?` = may be absent.
_ECHO = "trig=out echo=in blind_mm=250,20,1000 max_mm=4500,300,8000"
_SHT31 = "bus=i2c addr=68,8,119"
PARTS = {
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
    "power": "pin=out settle_ms=100,0,2000",
    "i2c0": "scl=out sda=out khz=100,10,400",
    "i2c1": "scl=out sda=out khz=100,10,400",
    "uart1": "tx=out rx=in baud=9600,1200,115200",
    "uart2": "tx=out rx=in baud=9600,1200,115200",
}


def fields(spec):
    """Yield the fields of a part: (name, role or None, (default, lowest, highest) or None, optional)."""
    for field in spec.split():
        name, rule = field.split("=")
        if "," in rule:
            yield name, None, [int(number) for number in rule.split(",")], True
        else:
            yield name, rule.rstrip("?"), None, rule[-1] == "?"


def path_of(kind, name, part):
    """Key of a part in the table; one that is not there when the part is unknown."""
    if not isinstance(part, dict):
        return ""
    return name if name in PARTS and "/" not in name else "%s/%s/%s" % (kind, name, part.get("type"))


def unknown(kind, parts):
    """Return the faults of parts that a kind of node does not have."""
    if not isinstance(parts, dict):
        return ["parts: not an object, write it again"]
    faults = []
    for name in sorted(parts):
        if path_of(kind, name, parts[name]) not in PARTS:
            prefix = "%s/%s/" % (kind, name)
            types = sorted([path[len(prefix) :] for path in PARTS if path.startswith(prefix)])
            remedy = "give it a type: " + ", ".join(types) if types else "remove it"
            faults.append("parts.%s: unknown for %s, %s" % (name, kind, remedy))
    return faults


def complete(kind, parts):
    """Return sound parts with the defaults of their fields."""
    whole = {}
    for name in parts:
        whole[name] = {}
        for field, _, limits, _ in fields(PARTS[path_of(kind, name, parts[name])]):
            if limits:
                whole[name][field] = limits[0]
        whole[name].update(parts[name])
    return whole
