"""Node-RED with node-red-contrib-influxdb: a flow of four nodes, and of three for one write per message."""

import json
from typing import Any

from bench.pipeline.peers.installing import node_folder
from bench.pipeline.stage import DATABASE, Stage
from resik.ports import free_port

PROCESS = "node-red"
FIELDS = "seq distance_mm temp_cdeg tilt_deg battery_mv rssi_dbm quality up_s state"
_FIELDS_JS = ", ".join(f"{name}: p.{name}" for name in FIELDS.split())
_TO_POINT = (
    "const p = msg.payload;\n"
    'msg.payload = {measurement: "bin", tags: {device: p.device}, timestamp: new Date(p.timestamp * 1000),\n'
    f"    fields: {{{_FIELDS_JS}}}}};\nreturn msg;"
)
_TO_FIELDS = (
    "const p = msg.payload;\n"
    f"msg.payload = [{{{_FIELDS_JS}, time: new Date(p.timestamp * 1000)}}, {{device: p.device}}];\nreturn msg;"
)
_SETTINGS = """module.exports = {
    uiHost: "127.0.0.1", httpAdminRoot: false, httpNodeRoot: false, credentialSecret: false,
    flowFile: "flows.json", telemetry: {enabled: false}, editorTheme: {tours: false},
    logging: {console: {level: "warn", metrics: false, audit: false}},
};
"""
_JOIN: dict[str, Any] = {
    "id": "bench-join", "type": "join", "z": "bench-flow", "mode": "custom", "build": "array", "property": "payload",
    "propertyType": "msg", "key": "topic", "joiner": "\\n", "joinerType": "str", "accumulate": False,
    "timeout": "1", "count": "1000", "wires": [["bench-write"]],
}  # fmt: skip


def flow(stage: Stage, topic_filter: str, *, joins: bool) -> list[dict[str, Any]]:
    """Return the flow file: parse, make points, join by the thousand or after a second, write."""
    return [
        {"id": "bench-flow", "type": "tab", "label": "bench"},
        {
            "id": "bench-broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(stage.broker_port),
            "clientid": "node-red", "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60",
            "cleansession": True,
        },
        {
            "id": "bench-store", "type": "influxdb", "hostname": "127.0.0.1", "port": str(stage.write_port),
            "database": DATABASE, "usetls": False, "influxdbVersion": "1.x",
        },
        {
            "id": "bench-in", "type": "mqtt in", "z": "bench-flow", "topic": topic_filter, "qos": "1",
            "datatype": "json", "broker": "bench-broker", "inputs": 0, "wires": [["bench-make"]],
        },
        {
            "id": "bench-make", "type": "function", "z": "bench-flow", "outputs": 1,
            "func": _TO_POINT if joins else _TO_FIELDS, "wires": [["bench-join" if joins else "bench-write"]],
        },
        *([_JOIN] if joins else []),
        {
            "id": "bench-write", "type": "influxdb batch" if joins else "influxdb out", "z": "bench-flow",
            "influxdb": "bench-store", "measurement": "bin", "precision": "s", "wires": [],
        },
    ]  # fmt: skip


def start(stage: Stage, topic_filter: str, *, joins: bool) -> None:
    """Install where needed, and start with a user folder of its own.

    Raises
    ------
    NotInstallable
        With the reason.
    """
    installed, node = node_folder()
    user = stage.folder / "node-red"
    user.mkdir()
    (user / "node_modules").symlink_to(installed / "node_modules")
    (user / "package.json").write_text((installed / "package.json").read_text(encoding="utf-8"), encoding="utf-8")
    (user / "settings.js").write_text(_SETTINGS, encoding="utf-8")
    (user / "flows.json").write_text(json.dumps(flow(stage, topic_filter, joins=joins)), encoding="utf-8")
    program = str(installed / "node_modules" / "node-red" / "red.js")
    stage.start(PROCESS, [*node, program, "--userDir", str(user), "--port", str(free_port())])
