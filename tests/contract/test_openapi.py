"""The OpenAPI document is a promise to other programs: it changes only on purpose."""

import json
import os
from pathlib import Path

from dashboard_api.access import ROLES
from dashboard_api.app import create_app
from dashboard_api.settings import DashboardSettings

SNAPSHOT = Path(__file__).with_name("openapi.json")
DOCUMENT = create_app(DashboardSettings()).openapi()


def test_document_equals_the_snapshot() -> None:
    """A changed shape shows in review; RESIK_UPDATE_SNAPSHOTS=1 writes the new one."""
    text = json.dumps(DOCUMENT, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("RESIK_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert SNAPSHOT.read_text(encoding="utf-8") == text, "run with RESIK_UPDATE_SNAPSHOTS=1 if the change is meant"


def test_document_describes_every_route_for_machines() -> None:
    """Every route of the table except pages and the document itself is described."""
    described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    hidden = {"/", "/petugas/{token}", "/assets/{path}", "/{file}", "/api/openapi.json"}
    assert described == {(method, path) for method, path in ROLES if path.replace(":path", "") not in hidden}


def test_document_names_the_error_shape() -> None:
    """Every described refusal is the one error shape, or the health page's own body."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if status >= "400" and path != "/healthz":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorBody"}, (method, path, status)
