"""docs/asyncapi.yaml and docs/protocol.md say what the code does: neither can drift from it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware import wire
from gateway import clock
from gateway.arrivals import POISON_BURST, POISON_PER_HOUR
from gateway.forward import HEARTBEAT_EVERY_S
from gateway.messages import MAX_RAW_BYTES
from ingest import decode
from ingest.deadletter import OVER_QUOTA
from ingest.plausibility import AHEAD_MS, OLDEST_MS
from ingest.refused import RAW_LIMIT_BYTES
from ingest.settings import IngestSettings
from square.quantities import FLAG_ANCHORED, FLAG_HUMID, FLAG_IMPLAUSIBLE, FLAG_LATE
from tests.contract import vectors
from tests.unit.ingest import batches
from tests.unit.ingest.test_uplinks import mixed, uplink

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: the AsyncAPI document was NOT checked")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: the document was NOT checked")

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SCHEMAS = DOCUMENT["components"]["schemas"]
MESSAGE_OF = {"bin": "binMessage", "air": "airMessage"}


def resolve(reference: str) -> Any:
    """Follow a local reference."""
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    )


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    """Sections, references, operations and channels fit together as AsyncAPI 3.0 asks."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert set(DOCUMENT) == {
        "asyncapi", "id", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip
    for reference in references(DOCUMENT):
        assert reference.startswith("#/")
        assert resolve(reference) is not None
    for name, channel in DOCUMENT["channels"].items():
        assert set(channel) == {"address", "description", "parameters", "messages"}, name
        assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", channel["address"]))
    used = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert used == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
    assert {operation["action"] for operation in DOCUMENT["operations"].values()} == {"send", "receive"}


def test_the_document_passes_the_official_schema() -> None:
    """The AsyncAPI initiative's own JSON schema accepts it (npm package @asyncapi/specs)."""
    places = [ROOT / "node_modules", ROOT / "dashboard_api" / "web" / "node_modules"]
    path = next((p for p in (f / "@asyncapi/specs/schemas/3.0.0.json" for f in places) if p.exists()), None)
    if path is None:
        pytest.skip("npm package @asyncapi/specs is not installed: structure was checked by the test above only")
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(DOCUMENT)] == []


def test_topics_equal_the_code() -> None:
    """Every topic that firmware.wire can build is a channel, and the other way round."""
    known = {wire.topic_up("site-1", "dev-1", kind) for kind in wire.UP_KINDS}
    known |= {wire.topic_down("site-1", "dev-1", kind) for kind in wire.DOWN_KINDS}
    known |= {wire.topic_batch("site-1", "gw-1"), wire.topic_gw_ack("site-1", "gw-1")}
    known |= {wire.topic_probe("site-1", "svc")}
    addresses = [
        channel["address"].format(site="site-1", device="dev-1", gateway="gw-1", service="svc")
        for channel in DOCUMENT["channels"].values()
    ]
    assert sorted(addresses) == sorted(known)


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_fields_and_ranges_of_readings_equal_the_code(kind: str) -> None:
    """Each field of a reading stands in the document with exactly the range that firmware.wire checks."""
    properties = dict(SCHEMAS[f"{kind}Reading"]["properties"])
    for key in ("ts", "up_s"):
        assert properties.pop(key)["$ref"] == "#/components/schemas/optionalU32"
    assert properties.pop("seq")["$ref"] == "#/components/schemas/seq"
    assert properties.pop("state")["$ref"] == "#/components/schemas/state"
    assert {key: (value["minimum"], value["maximum"]) for key, value in properties.items()} == wire.FIELDS[kind]
    assert all(value["type"] == ["integer", "null"] for value in properties.values())
    assert (SCHEMAS["u32"]["minimum"], SCHEMAS["u32"]["maximum"]) == (0, wire.U32_MAX)
    assert (SCHEMAS["seq"]["minimum"], SCHEMAS["seq"]["maximum"]) == (1, wire.U32_MAX)
    assert tuple(SCHEMAS["state"]["enum"][:-1]) == wire.STATES
    news = SCHEMAS[f"{kind}Reading"]["anyOf"]
    assert {item["required"][0] for item in news[1:]} == set(wire.MEASURED_FIELDS[kind])
    assert set(news[0]["properties"]["state"]["enum"]) == set(wire.STATES) - {"ok"}


def test_limits_equal_the_code() -> None:
    """Readings per message, keys per reading, version and id grammar are those of firmware.wire."""
    for kind in ("bin", "air"):
        readings = SCHEMAS[f"{kind}Message"]["properties"]["r"]
        assert (readings["minItems"], readings["maxItems"]) == (1, wire.MAX_READINGS)
        assert SCHEMAS[f"{kind}Reading"]["maxProperties"] == wire.MAX_EXTRA_KEYS
    assert SCHEMAS["version"]["const"] == wire.VERSION
    pattern = re.compile(SCHEMAS["id"]["pattern"])
    for text in ("abc", "a" * 32, "0-9", "ab", "a" * 33, "aBc", "a_b", "a/b", "a+b", "äbc", ""):
        assert bool(pattern.fullmatch(text)) == wire.is_id(text), text
    # gateway and ingest never import each other, but must agree
    assert MAX_RAW_BYTES == RAW_LIMIT_BYTES
    assert clock.AHEAD_MS == AHEAD_MS
    raw = SCHEMAS["poisonRow"]["properties"]["raw"]["maxLength"]
    assert raw == 4 * -(-RAW_LIMIT_BYTES // 3)  # base64 of 4,096 bytes: 4 characters for every 3 bytes


def test_status_fields_equal_the_code() -> None:
    """A status message has the fields, ranges, lengths and choices of firmware.wire."""
    properties = {
        key: dict(value) for key, value in SCHEMAS["status"]["properties"].items() if key not in {"v", "boot"}
    }
    u32 = {"type": ["integer", "null"], "minimum": 0, "maximum": wire.U32_MAX}
    assert u32 == {key: SCHEMAS["optionalU32"][key] for key in u32}
    numbers, texts, choices = {}, {}, {}
    for key, found in properties.items():
        rule = SCHEMAS["optionalU32"] if "$ref" in found else found
        if "minimum" in rule:
            assert rule["type"] == ["integer", "null"]
            numbers[key] = (rule["minimum"], rule["maximum"])
        elif "enum" in rule:
            choices[key] = tuple(rule["enum"][:-1])
        else:
            texts[key] = rule["maxLength"]
    assert numbers == wire.STATUS_NUMBERS
    assert texts == wire.STATUS_TEXTS
    assert choices == wire.STATUS_CHOICES
    assert re.fullmatch(properties["crash"]["pattern"], wire.CRASH_CHARACTERS)


def test_commands_and_updates_equal_the_code() -> None:
    """Every command with its numbers, and the limits of updates, are those of firmware.wire."""
    commands = {}
    for shape in SCHEMAS["nodeCommand"]["oneOf"]:
        rules = dict(shape["properties"])
        name = rules.pop("cmd")["const"]
        assert set(shape.get("required", [])) == set(rules)
        limits = {}
        for key, rule in rules.items():
            found = resolve(rule["$ref"]) if "$ref" in rule else rule
            parts = found.get("anyOf", [found])
            limits[key] = (parts[0].get("const", parts[0].get("minimum")), parts[-1]["maximum"])
            if len(parts) > 1:
                assert parts[-1]["minimum"] == wire.INTERVAL_MIN_S
        commands[name] = limits
    assert commands == wire.COMMANDS
    assert SCHEMAS["bundleSize"]["maximum"] == SCHEMAS["bundlePlace"]["maximum"] + 1 == wire.MAX_BUNDLE_BYTES
    assert SCHEMAS["otaRequest"]["properties"]["n"]["maximum"] == wire.MAX_BLOCK_BYTES
    assert SCHEMAS["otaBlock"]["properties"]["data"]["maxLength"] == 4 * -(-wire.MAX_BLOCK_BYTES // 3)
    offer = SCHEMAS["otaOffer"]["properties"]
    assert (tuple(offer["type"]["enum"]), tuple(offer["class"]["enum"])) == (wire.UPDATE_TYPES, wire.CLASSES)


SHAPES = {
    "config": ["nodeConfig"],
    "cmd": ["nodeCommand"],
    "ota_up": ["otaRequest"],
    "ota": ["otaOffer", "otaBlock", "otaHalt"],
}
BEYOND_ORDERS = re.compile("float|empty payload|not JSON|beyond the end|4,098 bytes|no padding")
"""What JSON schema cannot say of an order: syntax, bytes, 3.0 against 3, a size beside another."""


@pytest.mark.parametrize("vector", vectors.load("orders"), ids=vectors.name_of)
def test_orders_fit_the_document_when_they_are_good(vector: dict[str, Any]) -> None:
    """The validator agrees with the decoders about orders, as far as JSON schema can say it."""
    if "error" in vector and BEYOND_ORDERS.search(vector["name"]):
        return
    message = json.loads(vector["payload"])
    accepted = [shape for shape in SHAPES[vector["decoder"]] if validator(shape).is_valid(message)]
    assert len(accepted) == (0 if "error" in vector else 1), accepted


@pytest.mark.parametrize("vector", vectors.load("status"), ids=vectors.name_of)
def test_status_examples_fit_the_document_when_nothing_is_dropped(vector: dict[str, Any]) -> None:
    """The validator accepts a status exactly when a reader keeps all of it."""
    if vector.get("error") == "bad-json":
        return
    fits = validator("status").is_valid(json.loads(vector["payload"]))
    assert fits == ("error" not in vector and not vector.get("dropped"))


@pytest.mark.parametrize("vector", vectors.load("up_good"), ids=vectors.name_of)
def test_good_examples_fit_the_document(vector: dict[str, Any]) -> None:
    """A third reader, a JSON schema validator, accepts what both decoders accept."""
    kind = vector["topic"].rsplit("/", 1)[1]
    assert [e.message for e in validator(MESSAGE_OF[kind]).iter_errors(json.loads(vector["payload"]))] == []


BEYOND_SCHEMA = re.compile("^(json|size: 8,193|time:)|whole|exponent|version: true|above 64 bits")
"""What JSON schema cannot say: syntax, bytes, a condition between message and reading, 740.0 against 740."""


@pytest.mark.parametrize(
    "vector",
    [v for v in vectors.load("up_bad") if not BEYOND_SCHEMA.search(v["name"])],
    ids=vectors.name_of,
)
def test_bad_examples_do_not_fit_the_document(vector: dict[str, Any]) -> None:
    """The validator refuses what the protocol refuses, as far as JSON schema can say it."""
    assert not validator(MESSAGE_OF[vector["kind"]]).is_valid(json.loads(vector["payload"]))


def test_examples_inside_the_document_fit_it() -> None:
    """Every message has an example that its own schema accepts."""
    for name, message in DOCUMENT["components"]["messages"].items():
        schema = message["payload"]["$ref"].rsplit("/", 1)[1]
        assert message["examples"]
        for shown in message["examples"]:
            errors = [e.message for e in validator(schema).iter_errors(shown["payload"])]
            assert errors == [], name


def test_batches_of_the_tests_fit_the_document() -> None:
    """What ingest is tested with is what the document describes."""
    rows = [batches.row(1), batches.row(2, device="rsk-a001", kind="air"), batches.status(3), batches.poison(4, b"x")]
    rows += [uplink(5), uplink(6, foreign="dev-8", time="anchor", uplink={"doc": [{"bn": "dev-8:", "n": "a", "v": 1}]})]
    for content in (rows, []):
        assert [e.message for e in validator("batch").iter_errors(json.loads(batches.batch(content)))] == []
    assert decode.decode_batch(batches.batch([]), batches.registry()).rows == 0, "a heartbeat"


# -- the page for people ----------------------------------------------------------------------


def range_on_page(field: str, section: str) -> tuple[int, int] | None:
    """Return the range that a table row of the page gives for a field."""
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 1 and f"`{field}`" in cells[0]:
            found = re.search(r"(-?\d+)\.\.(-?\d+)", cells[1])
            return (int(found[1]), int(found[2])) if found else None
    return None


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_the_page_gives_every_field_with_its_range(kind: str) -> None:
    """The tables of docs/protocol.md hold each field of the code with the range of the code, and no other field."""
    start = PROTOCOL.index(f"Measured fields of `{kind}`")
    table = PROTOCOL[start:].split("\n\n")[1]
    common = PROTOCOL[PROTOCOL.index("| reading field |") : PROTOCOL.index("`(device, boot, seq)` is the identity")]
    for field, limits in wire.MEASURED_FIELDS[kind].items():
        assert range_on_page(field, table) == limits, field
    for field, limits in wire.COMMON_FIELDS.items():
        assert range_on_page(field, common) == limits, field
    names = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert names == set(wire.MEASURED_FIELDS[kind])


def test_the_page_gives_every_field_of_a_status_with_its_rule() -> None:
    """The table of 4.2 holds each field of the code with its range, length or choices, and no other field."""
    section = PROTOCOL[PROTOCOL.index("### 4.2") : PROTOCOL.index("### 4.3")]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                rows[name] = cells[1]
    assert set(rows) == {"boot", *wire.STATUS_NUMBERS, *wire.STATUS_TEXTS, *wire.STATUS_CHOICES}
    for name, (low, high) in wire.STATUS_NUMBERS.items():
        assert rows[name].startswith("u32" if (low, high) == (0, wire.U32_MAX) else f"{low}..{high}"), name
    for name, length in wire.STATUS_TEXTS.items():
        assert f"{length} characters" in rows[name], name
    for name, choices in wire.STATUS_CHOICES.items():
        assert tuple(re.findall(r"`([a-z-]+)`", rows[name])) == choices


def test_the_page_gives_every_command_with_its_numbers() -> None:
    """The table of commands holds each command of the code with the range of each number."""
    section = PROTOCOL[PROTOCOL.index("**`down/cmd`**") : PROTOCOL.index("**`down/ota`")]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            numbers = re.findall(r"`(\w+)` (u32|\d+\.\.\d+)", cells[1])
            found[cells[0].strip("`")] = {
                name: (0, wire.U32_MAX) if limits == "u32" else tuple(int(part) for part in limits.split(".."))
                for name, limits in numbers
            }
    assert found == wire.COMMANDS


def test_the_page_names_every_state_code_kind_limit_and_flag() -> None:
    """Nothing of the grammar is left to the code alone."""
    codes = set(re.findall(r'WireError\(\s*"([a-z-]+)"', Path(wire.__file__).read_text(encoding="utf-8")))
    errors = PROTOCOL[PROTOCOL.index("## 8. Errors") : PROTOCOL.index("## 9.")]
    listed = set(
        re.findall(
            r"`([a-z]+-[a-z]+|clock)`",
            "\n".join(line.split("|")[1] for line in errors.splitlines() if line.startswith("| `")),
        )
    )
    of_makers = {"bad-uplink", "unknown-port", "no-sensor", "unknown-codec"}
    of_ingest = of_makers | {
        "bad-row",
        "bad-batch",
        "unknown-device",
        "wrong-kind",
        "clock",
        "store-rejected",
        OVER_QUOTA,
    }
    assert listed == codes | of_ingest | {"bad-version", "bad-envelope", "bad-reading", "bad-value"}
    for state in wire.STATES:
        assert f"`{state}`" in PROTOCOL
    for kind in (*wire.UP_KINDS, *wire.DOWN_KINDS):
        assert re.search(rf"\b{kind}\b", PROTOCOL)
    assert f"**{wire.MAX_PAYLOAD_BYTES:,} bytes**" in PROTOCOL
    assert f"1..{wire.MAX_READINGS} readings" in PROTOCOL
    assert f"at most {wire.MAX_EXTRA_KEYS} keys" in PROTOCOL
    assert f"arrived_ms - {OLDEST_MS // 86_400_000} days <= ts_ms <= arrived_ms + {AHEAD_MS // 1000} s" in PROTOCOL
    assert f"up to {POISON_BURST:,} poison messages of a node, and {POISON_PER_HOUR} an hour after" in PROTOCOL
    assert IngestSettings().dead_letter_quota == POISON_BURST
    assert f"no batch for {HEARTBEAT_EVERY_S:.0f} s of wall time" in PROTOCOL
    flags = re.findall(r"^\| (\d) \| (\d) \|", PROTOCOL, re.MULTILINE)
    assert flags == [
        ("0", str(FLAG_IMPLAUSIBLE)),
        ("1", str(FLAG_HUMID)),
        ("2", str(FLAG_ANCHORED)),
        ("3", str(FLAG_LATE)),
    ]


def test_the_payloads_on_the_page_are_real() -> None:
    """The node's examples of the page pass the decoders, and the batch passes ingest's."""
    shown = re.findall(r"```json\n(.*?)```", PROTOCOL, re.DOTALL)
    up, status, ack, config, commands, offer, block, halt, request, batch, batch_ack = shown
    (reading,) = wire.decode_envelope(up.strip().encode())["readings"]
    assert wire.decode_reading("bin", reading)["distance_mm"] == 740
    assert set(wire.decode_status(status.strip().encode())) == set(json.loads(status)) - {"v"}
    assert validator("status").is_valid(json.loads(status))
    assert wire.decode_ack(ack.strip().encode()) == (305419896, 17, [(19, 23)])
    assert wire.decode_config(config.strip().encode())[0] == 7
    assert [wire.decode_cmd(line.encode())["cmd"] for line in commands.split("\n") if line] == list(wire.COMMANDS)
    assert wire.decode_ota_down(offer.strip().encode())["offer"] == 10400
    assert wire.decode_ota_down(block.strip().encode())["data"].startswith(b"RSKB")
    assert wire.decode_ota_down(halt.strip().encode()) == {"halt": 10400}
    assert wire.decode_ota_up(request.strip().encode())["n"] == 2048
    found = decode.decode_batch(batch.encode(), batches.registry())
    dead = [(letter.device, letter.code) for letter in found.dead]
    assert [len(found.readings), len(found.statuses)] == [1, 1]
    assert dead == [("@70b3d57ed0001234", "unknown-device"), ("rsk-b002", "bad-json")]
    (_, of_another_make), *_ = decode.decode_batch(batch.encode(), mixed()).readings
    assert of_another_make.values["distance_mm"] == 2821.0
    assert validator("batchAck").is_valid(json.loads(batch_ack))
    assert wire.point_ms(1795488752, 305419896, 17) == 1795488752913
