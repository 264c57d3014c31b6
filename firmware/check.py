# ruff: noqa: T201 - a command: what it prints is its answer
"""Checks a `config.json` on the host, its parts pin by pin, and says how long the battery lasts.

`python -m firmware.check config.json [--json] [--wakes-per-day N]` exits with 1 when a node could not run with it.
A node itself checks only what the gateway can change: nothing here is on it.
"""

import json
import sys

from firmware import wire
from firmware.core import config, energy, wiring
from firmware.settings import Values

_NO_PINS = (1, 3, 6, 7, 8, 9, 10, 11, 20, 24, 28, 29, 30, 31)  # serial console, flash chip, do not exist
_WAKE_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27)  # and 32..39


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
    """Return the fault of a pin or address that another part has already, or None."""
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


def check_parts(kind, parts):
    """Return the faults of known parts: fields, pins, buses and addresses."""
    faults = []
    used = {}
    for name in sorted(parts):
        part = parts[name]
        path = wiring.path_of(kind, name, part)
        if path not in wiring.PARTS:
            continue
        known = ["type"] if "/" in path else []
        for field, role, limits, optional in wiring.fields(wiring.PARTS[path]):
            known.append(field)
            key = "parts.%s.%s" % (name, field)
            fault = None
            if field in part or field == "addr":
                fault = _field_fault(field, role, limits, part, parts, key, used)
            elif not optional:
                fault = "missing, add it"
            if fault:
                faults.append(key + ": " + fault)
        faults += ["parts.%s.%s: unknown, remove it" % (name, field) for field in part if field not in known]
    return faults


def check(made):
    """Return every fault of a configuration as `key: what, what to do`."""
    faults = config.check(made)
    if isinstance(made, dict) and made.get("kind") in ("bin", "air") and isinstance(made.get("parts", {}), dict):
        faults += check_parts(made["kind"], made.get("parts", {}))
    return faults


def figures(made, wakes=None):
    """Return the energy of a sound configuration: its inputs by name, uAh per day by use, and days of the battery."""
    whole = Values(config.complete(made))
    fan = whole.parts.get("pm")
    result = energy.budget(whole, wakes)
    result["days"] = energy.expected_days(whole, wakes=wakes)
    result["inputs"] = {
        "active_ma": whole.active_ma,
        "sleep_ua": whole.sleep_ua,
        "battery_mah": whole.battery_mah,
        "send_every": whole.send_every,
        "warm_s": 0 if fan is None else fan.get("warm_s", 30),
        "wake_s": energy.WAKE_S,
        "measure_s": energy.MEASURE_S,
        "fan_ma": energy.FAN_MA,
        "usable_pct": energy.USABLE_PCT,
        "self_discharge_pct_month": energy.SELF_DISCHARGE_PCT_MONTH,
    }
    return result


def report(text, wakes=None):
    """Return `{"errors": [...], "energy": {...} or None}` for the text of a configuration."""
    try:
        made = json.loads(text)
    except ValueError as error:
        return {"errors": ["config: no JSON (%s), write it again" % error], "energy": None}
    faults = check(made)
    return {"errors": faults, "energy": None if faults else figures(made, wakes)}


def main(arguments):
    """Run the command; returns its exit code."""
    as_json = "--json" in arguments
    wakes = None
    paths = []
    rest = [argument for argument in arguments if argument != "--json"]
    while rest:
        argument = rest.pop(0)
        if argument == "--wakes-per-day" and rest and rest[0].isdigit() and int(rest[0]) > 0:
            wakes = int(rest.pop(0))
        else:
            paths.append(argument)
    if len(paths) != 1 or paths[0].startswith("-"):
        print("usage: python -m firmware.check config.json [--json] [--wakes-per-day N]", file=sys.stderr)
        return 2
    try:
        with open(paths[0], encoding="utf-8") as file:
            found = report(file.read(), wakes)
    except (OSError, ValueError) as error:
        found = {"errors": ["config: %s, name a readable file" % error], "energy": None}
    if as_json:
        print(json.dumps(found))
    else:
        for fault in found["errors"]:
            print(fault)
        spent = found["energy"]
        if spent:
            print(
                "sound; %d readings a day need %.1f mAh: %d days"
                % (spent["wakes"], spent["total"] / 1000, spent["days"])
            )
    return 1 if found["errors"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
