# ruff: noqa: UP031, PTH123, T201, PLR0911 - also runs on MicroPython: no pathlib, no pytest; the report is its output
"""The wire examples, checked by whatever interpreter runs this file: MicroPython has no pytest.

Reads cases written by test_wire_on_micropython.py (a line of JSON, then `size` bytes of payload) and prints
one line for each failure, then `checked N failed M`. One case at a time, because all of them do not fit the
heap of a node.
"""

import binascii
import gc
import json
import sys

from firmware import wire

ON_NODE = sys.implementation.name == "micropython"


def check_topic(case):
    try:
        found = list(wire.parse_topic(case["topic"]))
    except wire.WireError as error:
        found = None if error.code == "bad-topic" else error.code
    return None if found == case["expect"] else "got %r" % (found,)


def check_ack(payload, case):
    try:
        boot, upto, also = wire.decode_ack(payload)
    except wire.WireError as error:
        return None if error.code == case.get("error") else "got %s" % error
    if "error" in case:
        return "was accepted"
    if [boot, upto, [list(pair) for pair in also]] != case["expect"]:
        return "got %r" % ((boot, upto, also),)
    again = wire.decode_ack(wire.encode_ack(boot, upto, also).encode())
    return None if again == (boot, upto, also) else "does not survive encoding: %r" % (again,)


def decode(kind, payload):
    message = wire.decode_envelope(payload)
    return message, [wire.decode_reading(kind, reading) for reading in message["readings"]]


def check_good(payload, case):
    kind = wire.parse_topic(case["topic"])[3]
    try:
        message, readings = decode(kind, payload)
    except wire.WireError as error:
        return "was refused: %s" % error
    if "expect_count" in case:
        return None if len(readings) == case["expect_count"] else "%d readings" % len(readings)
    expect = case["expect"]
    if readings != expect["readings"]:
        return "got %r" % (readings,)
    for key in ("boot", "oldest_seq", "up_s"):
        if message[key] != expect[key]:
            return "%s is %r" % (key, message[key])
    if "points_ms" in case:
        points = [wire.point_ms(r["ts"], message["boot"], r["seq"]) for r in readings]
        if points != case["points_ms"]:
            return "point times %r" % (points,)
    encoded = wire.encode_up(message["boot"], readings, message["oldest_seq"], message["up_s"])
    if decode(kind, encoded.encode())[1] != readings:
        return "does not survive encoding"
    return None


def check_bad(payload, case):
    try:
        message = wire.decode_envelope(payload)
    except wire.WireError as error:
        if case["depth"] == "envelope" and error.code == case["error"]:
            return None
        return "got %s" % error
    if case["depth"] == "envelope":
        return "the envelope was accepted"
    for index, reading in enumerate(message["readings"]):
        try:
            wire.decode_reading(case["kind"], reading)
            code = None
        except wire.WireError as error:
            code = error.code
        if code != (case["error"] if index == case["index"] else None):
            return "reading %d: %r" % (index, code)
    return None


def decode_order(decoder, payload):
    if decoder == "config":
        cfg, changes = wire.decode_config(payload)
        return {"cfg": cfg, "set": changes}
    if decoder == "cmd":
        return wire.decode_cmd(payload)
    if decoder == "ota":
        found = wire.decode_ota_down(payload)
        if "data" in found:
            data = found.pop("data")
            if data == bytes(len(data)):
                found["data_len"] = len(data)
            else:
                found["data_hex"] = binascii.hexlify(data).decode()
        return found
    return wire.decode_ota_up(payload)


def check_order(payload, case):
    try:
        found = decode_order(case["decoder"], payload)
    except wire.WireError as error:
        return None if error.code == case.get("error") else "got %s" % error
    if "error" in case:
        return "was accepted"
    if found != case["expect"]:
        return "got %r" % (found,)
    if case["decoder"] == "ota_up":
        again = wire.encode_ota_up(found["boot"], found["ver"], found["at"], found["n"])
        return None if wire.decode_ota_up(again.encode()) == found else "does not survive encoding"
    return None


def check_status(payload, case):
    try:
        found = wire.decode_status(payload)
    except wire.WireError as error:
        return None if error.code == case.get("error") else "got %s" % error
    if "error" in case:
        return "was accepted"
    if found != case["expect"]:
        return "got %r" % (found,)
    again = dict(found)
    again["rssi_dbm"] = found.get("rssi_dbm")  # None is left out
    return None if wire.decode_status(wire.encode_status(again).encode()) == found else "does not survive encoding"


def check(case, payload):
    """Return None, or what is wrong with the answer to `case`."""
    if case["set"] == "topics":
        return check_topic(case)
    if case["set"] == "acks":
        return check_ack(payload, case)
    if case["set"] == "orders":
        return check_order(payload, case)
    if case["set"] == "status":
        return check_status(payload, case)
    if case["set"] == "up_good":
        return check_good(payload, case)
    return check_bad(payload, case)


def main(path):
    checked = failed = 0
    with open(path, "rb") as cases:
        while True:
            if ON_NODE:
                gc.collect()  # its heap is small; on CPython each round would walk the whole test process
            line = cases.readline()
            if not line:
                break
            case = json.loads(line)
            problem = check(case, cases.read(case["size"]))
            checked += 1
            if problem:
                failed += 1
                print("FAILED", case["set"], case.get("name") or case.get("topic"), "-", problem)
    print("checked %d failed %d" % (checked, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
