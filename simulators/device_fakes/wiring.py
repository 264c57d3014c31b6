"""Which part hangs on which pin and bus: read from the node's own config.json. What parts sense stands in world.json."""

import json
import os

import virtual

folder = ""  # of the node, as the fakes reach it
_REFRESH_US = 500000

_world = {}
_world_stamp = None
_seen_us = None
_buses = {}  # "i2c0" -> {address: part}; "uart1" -> part; pin number of a OneWire line -> part
_pins = {}  # number -> function that returns the level
_listeners = {}  # number -> function that is told the level
_adcs = {}  # number -> part with read_uv
_echoes = {}  # number -> _Echo
_levels = {}  # outputs, as last written
_SWITCHED = (
    "distance",
    "temp",
    "pm",
    "climate",
    "voc",
    "nh3",
    "h2s",
)  # roles behind the switch `power`, where there is one


def begin(node):
    """Begin a boot of the node whose folder that is."""
    global folder
    folder = node


def refresh():
    """Look at the world anew, at most every half virtual second."""
    global _world_stamp, _seen_us
    now_us = virtual.elapsed_us()
    if _seen_us is not None and now_us - _seen_us < _REFRESH_US:
        return
    _seen_us = now_us
    try:
        stamp = os.stat(folder + "/world.json")
        if stamp == _world_stamp:
            return
        with open(folder + "/world.json") as file:
            found = json.loads(file.read())
    except (OSError, ValueError):
        return
    _world_stamp = stamp
    _world.clear()
    _world.update(found)


class _Echo:
    """An ultrasonic part: it sends one echo for each falling edge of its trigger."""

    def __init__(self, part):
        self._part = part
        self._armed = False
        self._level = 0

    def trigger(self, level):
        if self._level and not level:
            self._armed = True
        self._level = level

    def pulse_us(self):
        if not self._armed:
            return -2
        self._armed = False
        refresh()
        return self._part.echo_us()


def connect(config, catalog):
    """Put the parts of a node's configuration on its pins and buses."""
    parts = config.get("parts", {})
    supply = None
    refresh()
    for role, spec in parts.items():
        if role.startswith("i2c"):
            _buses.setdefault(role, {})
        if role.startswith("i2c") or role.startswith("uart") or role in ("led", "power"):
            continue
        kind = "battery" if role == "battery" else spec["type"]
        address = spec.get("addr", catalog.I2C_ADDR.get(kind))
        if "power" in parts and role in _SWITCHED:
            supply = supply or _Supply()
            supply.add(catalog.make(kind, _world, supply.on_ms, role=role, spec=spec), spec, address)
        else:
            _attach(catalog.make(kind, _world, virtual.elapsed_ms, role=role, spec=spec), spec, address)
    if supply:
        _listeners[parts["power"]["pin"]] = supply.turn


class _Supply:
    """The supply of the sensors: without it they are not there, with it they begin anew."""

    def __init__(self):
        self._parts = []
        self._level = 0
        self._since_ms = 0

    def on_ms(self):
        return virtual.elapsed_ms() - self._since_ms

    def add(self, part, spec, address):
        self._parts.append((part, dict(part.__dict__), spec, address))

    def turn(self, level):
        if level == self._level:
            return
        self._level = level
        self._since_ms = virtual.elapsed_ms()
        for part, fresh, spec, address in self._parts:
            if level:
                for name, value in fresh.items():
                    setattr(part, name, value)
                _attach(part, spec, address)
            else:
                _detach(spec, address)


def _attach(part, spec, address):
    bus = spec.get("bus", "")
    if bus.startswith("i2c"):
        _buses.setdefault(bus, {})[address] = part
    elif bus:
        _buses[bus] = part
        if "set" in spec:
            _listeners[spec["set"]] = part.set_level
    elif "trig" in spec:
        echo = _echoes[spec["echo"]] = _Echo(part)
        _listeners[spec["trig"]] = echo.trigger
        _pins[spec["echo"]] = part.level
    elif spec.get("type") == "ds18b20":
        _buses[spec["pin"]] = part
    elif hasattr(part, "read_uv"):
        _adcs[spec["pin"]] = part
    else:
        _pins[spec["pin"]] = part.level


def _detach(spec, address):
    bus = spec.get("bus", "")
    if bus.startswith("i2c"):
        _buses[bus].pop(address, None)
    for table in (_buses, _pins, _adcs, _echoes):
        for key in ("pin", "echo", "bus"):
            if key in spec and not (key == "bus" and bus.startswith("i2c")):
                table.pop(spec[key], None)
    for key in ("set", "trig"):
        if key in spec:
            _listeners.pop(spec[key], None)


def bus(name):
    """Return what is on a bus: parts by address for I2C, one part or None for the others."""
    return _buses.get(name, {} if str(name).startswith("i2c") else None)


def level(number):
    """Return the level that a part puts on a pin, or the one written, or None on an open pin."""
    refresh()
    return _pins[number]() if number in _pins else _levels.get(number)


def written(number, value):
    _levels[number] = value
    if number in _listeners:
        _listeners[number](value)


def pulse_us(number):
    return _echoes[number].pulse_us() if number in _echoes else -2


def microvolts(number):
    refresh()
    return _adcs[number].read_uv() if number in _adcs else 0
