"""Reads the hand-written examples of the wire (``vectors/*.json``)."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Return the examples of one file, each with its ``payload`` as bytes where it has one."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    for vector in vectors:
        if "payload_parts" in vector:
            parts = vector.pop("payload_parts")
            text = parts["head"] + parts["join"].join([parts["unit"]] * parts["count"]) + parts["tail"]
            vector["payload"] = text.encode()
        elif "payload_hex" in vector:
            vector["payload"] = bytes.fromhex(vector.pop("payload_hex"))
        elif "payload" in vector:
            vector["payload"] = vector["payload"].encode()
    return vectors


def name_of(vector: dict[str, Any]) -> str:
    """Return a short name for the test report."""
    return str(vector.get("name") or vector.get("topic") or "empty")
