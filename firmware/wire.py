"""The wire format of Resik: topics, messages and their limits.

The one module that nodes and servers share. It runs on MicroPython and on CPython, so it uses no
typing, no dataclasses and no floats. `docs/protocol.md` is the specification; the examples under
`tests/contract/vectors/` bind both.

Every error is a `WireError` whose `code` is one of
bad-json bad-version bad-envelope bad-reading bad-value bad-topic too-large too-many.
"""

import binascii
import json

VERSION = 1
MAX_PAYLOAD_BYTES = 8192
MAX_READINGS = 64
MAX_EXTRA_KEYS = 32
U32_MAX = 4294967295
MAX_BLOCK_BYTES = 4096
MAX_BUNDLE_BYTES = 16777216

STATES = ("ok", "obstructed", "lid-open", "tilted", "water", "no-echo", "sensor-fault")
UP_KINDS = ("bin", "air", "status", "will", "ota")
DOWN_KINDS = ("ack", "config", "ota", "cmd")
GATEWAY_KINDS = ("batch", "ack")

# field -> (lowest, highest) accepted integer; the unit is the last part of the name.
COMMON_FIELDS = {
    "battery_mv": (0, 20000),
    "rssi_dbm": (-130, 0),
    "quality": (0, 4),  # OMA LwM2M object 3435: 0 unchecked .. 4 accepted
}
MEASURED_FIELDS = {
    "bin": {
        "distance_mm": (0, 10000),
        "fill_pct": (0, 100),
        "temp_cdeg": (-4000, 12500),
        "tilt_deg": (0, 180),
        "weight_g": (0, 500000),
    },
    "air": {
        "pm1_ngm3": (0, 1000000000),
        "pm25_ngm3": (0, 1000000000),
        "pm10_ngm3": (0, 1000000000),
        "temp_cdeg": (-4000, 12500),
        "rh_cpct": (0, 10000),
        # electrochemical cells have a baseline offset: negative values are real output
        "no2_ppt": (-1000000000, 1000000000),
        "o3_ppt": (-1000000000, 1000000000),
        "voc_raw": (0, 65535),
        "nh3_mv": (0, 5000),
        "h2s_mv": (0, 5000),
        "pressure_pa": (30000, 120000),
    },
}
FIELDS = {}
for _kind, _fields in MEASURED_FIELDS.items():
    FIELDS[_kind] = dict(COMMON_FIELDS)
    FIELDS[_kind].update(_fields)

# What a node says of itself; a field that breaks its rule is dropped, the others count.
STATUS_NUMBERS = {
    "up_s": (0, U32_MAX),
    "interval_s": (1, 86400),
    "battery_mv": (0, 20000),
    "rssi_dbm": (-130, 0),
    "queue": (0, U32_MAX),
    "dropped": (0, U32_MAX),
    "heap_free": (0, U32_MAX),
    "days_left": (0, 36500),
    "crashes": (0, U32_MAX),
    "cfg": (0, U32_MAX),
    "ota_ver": (0, U32_MAX),
    "ota_at": (0, U32_MAX),
    "cmd": (0, U32_MAX),
    "tls_refused": (0, U32_MAX),
    "no_ack": (0, U32_MAX),
    "faults": (0, U32_MAX),
}
STATUS_TEXTS = {"fw": 32, "crash": 64, "cfg_bad": 32, "ota": 32, "mpy": 32}
RESETS = ("power-on", "deep-sleep", "watchdog", "hard", "soft", "brown-out")
CLASSES = ("bin", "air")
STATUS_CHOICES = {"reset": RESETS, "class": CLASSES}
CRASH_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .:_-"

# command -> its numbers, all required: name -> (lowest, highest)
COMMANDS = {
    "identify": {"s": (1, 3600)},
    "reboot": {},
    "resend": {"boot": (0, U32_MAX), "from": (1, U32_MAX)},
    "interval": {"s": (0, 86400), "for_s": (0, 604800)},
}
INTERVAL_MIN_S = 10
UPDATE_TYPES = ("app", "image")

_ID_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


class WireError(ValueError):
    """A topic or payload breaks the protocol; `code` says how, the text says where."""

    def __init__(self, code, message):
        super().__init__(code + ": " + message)
        self.code = code


# -- topics ----------------------------------------------------------------------------------


def is_id(text):
    """Whether `text` is a valid site, device or gateway id: 3 to 32 of a-z 0-9 and hyphen."""
    if not 3 <= len(text) <= 32:
        return False
    for character in text:
        if character not in _ID_CHARACTERS:
            return False
    return True


def _check_id(text, what):
    if not is_id(text):
        raise WireError("bad-topic", "%s id %r is not 3..32 of a-z 0-9 -" % (what, text[:40]))


def _device_topic(site, device, direction, kind, kinds):
    _check_id(site, "site")
    _check_id(device, "device")
    if kind not in kinds:
        raise WireError("bad-topic", "unknown kind %r under %s/" % (kind, direction))
    return "resik/" + site + "/" + device + "/" + direction + "/" + kind


def topic_up(site, device, kind):
    """Topic on which a device publishes `kind` (one of `UP_KINDS`)."""
    return _device_topic(site, device, "up", kind, UP_KINDS)


def topic_down(site, device, kind):
    """Topic on which a device receives `kind` (one of `DOWN_KINDS`)."""
    return _device_topic(site, device, "down", kind, DOWN_KINDS)


def topic_batch(site, gateway):
    """Topic of the batches that a gateway sends upstream."""
    _check_id(site, "site")
    _check_id(gateway, "gateway")
    return "resik/" + site + "/gw/" + gateway + "/batch"


def topic_gw_ack(site, gateway):
    """Topic on which a gateway receives the application acks of ingest."""
    _check_id(site, "site")
    _check_id(gateway, "gateway")
    return "resik/" + site + "/gw/" + gateway + "/ack"


def topic_probe(site, service):
    """Topic on which a service of a site talks to itself to see that it is not deaf."""
    _check_id(site, "site")
    _check_id(service, "service")
    return "resik/" + site + "/sv/" + service + "/probe"


def parse_topic(topic):
    """Split a topic into `(site, device or gateway, direction, kind)`; direction is up, down or gw."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "resik":
        raise WireError("bad-topic", "%r is not resik/<site>/<device>/<up|down>/<kind>" % topic[:80])
    _check_id(parts[1], "site")
    if parts[2] == "gw":
        _check_id(parts[3], "gateway")
        if parts[4] not in GATEWAY_KINDS:
            raise WireError("bad-topic", "unknown gateway kind %r" % parts[4][:40])
        return parts[1], parts[3], "gw", parts[4]
    _check_id(parts[2], "device")
    kinds = UP_KINDS if parts[3] == "up" else DOWN_KINDS if parts[3] == "down" else ()
    if parts[4] not in kinds:
        raise WireError("bad-topic", "unknown kind %s/%s" % (parts[3][:10], parts[4][:40]))
    return parts[1], parts[2], parts[3], parts[4]


# -- messages --------------------------------------------------------------------------------


def _refuse_constant(text):
    raise ValueError("%s is not JSON" % text)


try:
    json.loads("1", parse_constant=_refuse_constant)  # pyright: ignore[reportCallIssue]
    _ON_CPYTHON = True
except TypeError:
    _ON_CPYTHON = False  # MicroPython: its parser refuses NaN by itself, its str has no isascii


def _loads(payload):
    if _ON_CPYTHON:
        return json.loads(payload, parse_constant=_refuse_constant)  # pyright: ignore[reportCallIssue]
    return json.loads(payload)  # no copy as text: a node has no room for it


def _is_plain(payload):
    """Whether every byte is printable ASCII and none a backslash."""
    if _ON_CPYTHON:
        text = bytes(payload).decode("latin-1")
        return text.isascii() and text.isprintable() and "\\" not in text  # pyright: ignore[reportAttributeAccessIssue]
    for byte in payload:
        if byte < 32 or byte > 126 or byte == 92:
            return False
    return True


def _dumps(message):
    return json.dumps(message, separators=(",", ":"))


def is_int(value):
    """Whether `value` is an integer and not a bool (which Python counts as one)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _int_in(message, key, lowest, highest, code):
    value = message.get(key)
    if value is None:
        return None
    if not is_int(value):
        raise WireError(code, "%s must be an integer" % key)
    if not lowest <= value <= highest:
        raise WireError(code, "%s is outside %d..%d" % (key, lowest, highest))
    return value


def _need(message, key, lowest, highest, code):
    value = _int_in(message, key, lowest, highest, code)
    if value is None:
        raise WireError(code, "%s is missing" % key)
    return value


def load_object(payload):
    """Parse `payload` (bytes) into a dict: one JSON object, ASCII, no backslash, version 1.

    Devices send no free text, so escapes are refused: they only serve to smuggle odd characters.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireError("too-large", "%d bytes, at most %d" % (len(payload), MAX_PAYLOAD_BYTES))
    if not _is_plain(payload):
        raise WireError("bad-json", "only printable ASCII without backslash")
    try:
        message = _loads(payload)
    except (ValueError, RuntimeError, MemoryError) as error:  # the latter two: nested too deep
        raise WireError("bad-json", str(error)[:120])  # noqa: B904 - MicroPython warns at "from"
    if not isinstance(message, dict):
        raise WireError("bad-json", "the payload is not an object")
    version = message.get("v")
    if not is_int(version):
        raise WireError("bad-version", "v is missing or not an integer")
    if version != VERSION:
        raise WireError("bad-version", "version %d, this side speaks %d" % (version, VERSION))
    return message


def _is_finite(value):
    return value - value == 0  # infinity and NaN are the two floats for which this fails


def _check_envelope_of_reading(reading, has_up_s):
    if not isinstance(reading, dict):
        raise WireError("bad-reading", "a reading is not an object")
    if len(reading) > MAX_EXTRA_KEYS:
        raise WireError("bad-reading", "more than %d keys in a reading" % MAX_EXTRA_KEYS)
    for key in reading:
        value = reading[key]
        if isinstance(value, (dict, list)):
            raise WireError("bad-reading", "%s is nested; a reading is flat" % key[:40])
        if isinstance(value, float) and not _is_finite(value):
            raise WireError("bad-reading", "%s is not finite" % key[:40])
        if is_int(value) and not -9223372036854775808 <= value <= 9223372036854775807:
            raise WireError("bad-reading", "%s does not fit 64 bits" % key[:40])
    _need(reading, "seq", 1, U32_MAX, "bad-reading")
    if _int_in(reading, "ts", 0, U32_MAX, "bad-reading") is None:
        if _int_in(reading, "up_s", 0, U32_MAX, "bad-reading") is None or not has_up_s:
            raise WireError("bad-reading", "neither ts, nor up_s in the reading and in the message")


def decode_envelope(payload):
    """Read who sent what: identity and time of each reading, nothing of its meaning.

    Returns a dict with v, boot, oldest_seq (or None), up_s (or None) and readings, a list of the
    reading objects as they came.
    """
    message = load_object(payload)
    boot = _need(message, "boot", 0, U32_MAX, "bad-envelope")
    oldest_seq = _int_in(message, "oldest_seq", 1, U32_MAX, "bad-envelope")
    up_s = _int_in(message, "up_s", 0, U32_MAX, "bad-envelope")
    readings = message.get("r")
    if not isinstance(readings, list) or not readings:
        raise WireError("bad-envelope", "r must be a list of at least one reading")
    if len(readings) > MAX_READINGS:
        raise WireError("too-many", "%d readings, at most %d" % (len(readings), MAX_READINGS))
    for reading in readings:
        _check_envelope_of_reading(reading, up_s is not None)
    return {"v": VERSION, "boot": boot, "oldest_seq": oldest_seq, "up_s": up_s, "readings": readings}


def decode_reading(kind, reading):
    """Check one reading of `kind` (bin or air) in full and return its known fields.

    The result holds seq, ts or up_s, state (`ok` unless sent) and every known field that was sent;
    what is missing or null is absent. Unknown fields are ignored.
    """
    fields = FIELDS.get(kind)
    if fields is None:
        raise WireError("bad-reading", "no readings of kind %r" % kind)
    result = {"seq": _need(reading, "seq", 1, U32_MAX, "bad-reading")}
    for key in ("ts", "up_s"):
        value = _int_in(reading, key, 0, U32_MAX, "bad-reading")
        if value is not None:
            result[key] = value
    state = reading.get("state")
    if state is None:
        state = "ok"
    if state not in STATES:
        raise WireError("bad-value", "unknown state %r" % str(state)[:40])
    result["state"] = state
    measured = 0
    for key in fields:
        value = _int_in(reading, key, fields[key][0], fields[key][1], "bad-value")
        if value is not None:
            result[key] = value
            if key not in COMMON_FIELDS:
                measured += 1
    if not measured and state == "ok":
        raise WireError("bad-reading", "nothing was measured and the state is ok")
    return result


def encode_up(boot, readings, oldest_seq=None, up_s=None):
    """Make the payload of an up message from reading dicts; absent values are left out."""
    if not 1 <= len(readings) <= MAX_READINGS:
        raise WireError("too-many", "%d readings, 1..%d fit a message" % (len(readings), MAX_READINGS))
    message = {"v": VERSION, "boot": boot}
    if oldest_seq is not None:
        message["oldest_seq"] = oldest_seq
    if up_s is not None:
        message["up_s"] = up_s
    message["r"] = [{key: r[key] for key in r if r[key] is not None} for r in readings]
    payload = _dumps(message)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireError("too-large", "%d bytes, at most %d" % (len(payload), MAX_PAYLOAD_BYTES))
    return payload


def encode_ack(boot, upto, also=()):
    """Make the gateway's application ack: everything up to `upto` and the ranges `also` are safe."""
    message = {"v": VERSION, "boot": boot, "upto": upto}
    if also:
        message["also"] = [[low, high] for low, high in also]
    return _dumps(message)


def decode_ack(payload):
    """Read an application ack into `(boot, upto, [(low, high), ...])`."""
    message = load_object(payload)
    boot = _need(message, "boot", 0, U32_MAX, "bad-envelope")
    upto = _need(message, "upto", 0, U32_MAX, "bad-envelope")
    ranges = message.get("also")
    also = []
    if ranges is not None:
        if not isinstance(ranges, list):
            raise WireError("bad-envelope", "also is not a list")
        for pair in ranges:
            if not isinstance(pair, list) or len(pair) != 2 or not is_int(pair[0]) or not is_int(pair[1]):
                raise WireError("bad-envelope", "also holds something other than [low,high]")
            if not 1 <= pair[0] <= pair[1] <= U32_MAX:
                raise WireError("bad-envelope", "also holds a range that is empty or out of bounds")
            also.append((pair[0], pair[1]))
    return boot, upto, also


def decode_status(payload):
    """Read a status message into a dict: boot, and every field whose value follows the rules.

    What is wrong with an optional field costs that field alone: news of a sick node is worth most.
    """
    message = load_object(payload)
    result = {"boot": _need(message, "boot", 0, U32_MAX, "bad-envelope")}
    for key, limits in STATUS_NUMBERS.items():
        value = message.get(key)
        if value is not None and is_int(value) and limits[0] <= value <= limits[1]:
            result[key] = value
    for key, limit in STATUS_TEXTS.items():
        value = message.get(key)
        if isinstance(value, str) and len(value) <= limit:
            if key != "crash" or _consists_of(value, CRASH_CHARACTERS):
                result[key] = value
    for key, choices in STATUS_CHOICES.items():
        if message.get(key) in choices:
            result[key] = message[key]
    return result


def _consists_of(text, characters):
    for character in text:
        if character not in characters:
            return False
    return True


def encode_status(fields):
    """Make a status message; `fields` holds boot, and what is None in it is left out."""
    message = {"v": VERSION}
    for key in fields:
        if fields[key] is not None:
            message[key] = fields[key]
    return _dumps(message)


def decode_config(payload):
    """Read a configuration into `(cfg, set)`: its number, and a flat dict of texts, integers and booleans."""
    message = load_object(payload)
    cfg = _need(message, "cfg", 1, U32_MAX, "bad-envelope")
    changes = message.get("set")
    if not isinstance(changes, dict) or len(changes) > MAX_EXTRA_KEYS:
        raise WireError("bad-envelope", "set must be an object of at most %d keys" % MAX_EXTRA_KEYS)
    for key in changes:
        value = changes[key]
        if not isinstance(key, str) or not 1 <= len(key) <= 32:  # MicroPython reads {5:1}
            raise WireError("bad-envelope", "a key of set is not 1..32 characters")
        if isinstance(value, str):
            if len(value) > 64:
                raise WireError("bad-value", "%s is longer than 64" % key)
        elif is_int(value):
            _int_in(changes, key, -2147483648, U32_MAX, "bad-value")
        elif not isinstance(value, bool):
            raise WireError("bad-value", "%s is no text, integer or boolean" % key)
    return cfg, changes


def decode_cmd(payload):
    """Read a command into a dict: id, cmd and the numbers of this command."""
    message = load_object(payload)
    result = {"id": _need(message, "id", 1, U32_MAX, "bad-envelope")}
    name = message.get("cmd")
    if not isinstance(name, str) or name not in COMMANDS:
        raise WireError("bad-value", "unknown command")
    result["cmd"] = name
    for key, limits in COMMANDS[name].items():
        result[key] = _need(message, key, limits[0], limits[1], "bad-value")
    if name == "interval" and 0 < result["s"] < INTERVAL_MIN_S:
        raise WireError("bad-value", "s is 0 or at least %d" % INTERVAL_MIN_S)
    return result


def decode_ota_up(payload):
    """Read the request for a part of an update into a dict: boot, ver, at and n."""
    message = load_object(payload)
    return {
        "boot": _need(message, "boot", 0, U32_MAX, "bad-envelope"),
        "ver": _need(message, "ver", 1, U32_MAX, "bad-envelope"),
        "at": _need(message, "at", 0, MAX_BUNDLE_BYTES - 1, "bad-envelope"),
        "n": _need(message, "n", 1, MAX_BLOCK_BYTES, "bad-envelope"),
    }


def encode_ota_up(boot, ver, at, n):
    """Ask for `n` bytes of the update to version `ver`, from byte `at` of the bundle."""
    return _dumps({"v": VERSION, "boot": boot, "ver": ver, "at": at, "n": n})


def decode_ota_down(payload):
    """Read what comes down about an update into a dict that has one of three keys.

    `offer` (a version) with type, class and size; `data` (bytes) with ver, at and of; `halt` (a version).
    """
    start = payload.find(b'"data":"') + 8
    end = payload.find(b'"', start)
    if start < 8 or end < 0 or len(payload) > MAX_PAYLOAD_BYTES or payload.find(b'"data"', end) > 0:
        start = end = 0
    # The bytes of a block never become a text: a node has no room for them three times.
    text = memoryview(payload)[start:end]
    message = load_object(payload[:start] + payload[end:])
    found = [key for key in ("offer", "data", "halt") if message.get(key) is not None]
    if len(found) != 1:
        raise WireError("bad-envelope", "one of offer, data and halt")
    key = found[0]
    if key == "data":
        return _decode_block(message, text)
    result = {key: _int_in(message, key, 1, U32_MAX, "bad-envelope")}
    if key == "offer":
        result["size"] = _need(message, "size", 1, MAX_BUNDLE_BYTES, "bad-envelope")
        result["type"] = message.get("type")
        result["class"] = message.get("class")
        if result["type"] not in UPDATE_TYPES or result["class"] not in CLASSES:
            raise WireError("bad-value", "unknown type or class")
    return result


def _decode_block(message, text):
    ver = _need(message, "ver", 1, U32_MAX, "bad-envelope")
    at = _need(message, "at", 0, MAX_BUNDLE_BYTES - 1, "bad-envelope")
    of = _need(message, "of", 1, MAX_BUNDLE_BYTES, "bad-envelope")
    if message["data"] != "" or not text:  # else it is what was cut out
        text = message["data"]
        if not isinstance(text, str) or not text:
            raise WireError("bad-envelope", "data is not text")
        text = text.encode()
    try:
        data = binascii.a2b_base64(text)
    except ValueError:
        data = b""
    padding = (text[-1] == 61) + (text[-2:-1] == b"=")
    if not data or len(text) % 4 or len(data) != len(text) // 4 * 3 - padding:
        raise WireError("bad-value", "data is not base64")  # decoders skip foreign characters: the length tells
    if len(data) > MAX_BLOCK_BYTES or at + len(data) > of:
        raise WireError("bad-value", "data is too long")
    return {"ver": ver, "at": at, "of": of, "data": data}


def point_ms(ts_s, boot, seq):
    """Point time [ms since 1970] of a reading: distinct within a second, the same on every replay."""
    return ts_s * 1000 + (boot + seq) % 1000
