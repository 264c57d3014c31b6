"""Requests made from the OpenAPI document, valid and not: the server never fails and always answers in shape."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dashboard_api import schemas
from dashboard_api.access import FailureLimit
from dashboard_api.app import create_app
from dashboard_api.settings import DashboardSettings
from tests.unit.dashboard_api.test_routes import assert_error, assert_shape
from tests.unit.dashboard_api.world import BIN, START_S, TOKENS, World

DOCUMENT = create_app(DashboardSettings()).openapi()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in sorted(DOCUMENT["paths"].items())
    for method, operation in item.items()
]
CASES_PER_OPERATION = 220
NOW_MS = int(START_S * 1000)
SHAPES = {
    "/api/v1/site": schemas.Site,
    "/api/v1/state": schemas.State,
    "/api/v1/history": schemas.History,
    "/api/v1/incidents/{incident_id}/ack": schemas.Incident,
    "/api/v1/crew/{token}": schemas.CrewPage,
    "/api/v1/crew/{token}/tasks/{task_id}/accept": schemas.Task,
    "/api/v1/crew/{token}/tasks/{task_id}/done": schemas.Task,
    "/healthz": schemas.Healthz,
}
KNOWN: dict[str, list[str]] = {
    "token": list(TOKENS.values()),
    "incident_id": ["1", "2", "3"],
    "task_id": ["1", "2", "3", "4"],
    "asset": [BIN, "air-01"],
    "fields": ["fill_pct", "temp_c,battery_mv"],
    "start_ms": [str(NOW_MS - 3_600_000), str(NOW_MS - 31 * 86_400_000), "0"],
    "end_ms": [str(NOW_MS), str(NOW_MS - 1_800_000)],
}
JUNK = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["0", "-1", "9" * 30, "1e5", "NaN", "null", "' OR 1=1 --", "../..", "%00", "\ud7ff", "1_000", " 1"]
    ),
    st.integers().map(str),
    st.text(alphabet="a", min_size=200, max_size=2000),
)
HEADER_JUNK = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)
JSON_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def valid_values(parameter: dict[str, Any]) -> st.SearchStrategy[str]:
    """Return values that the schema of a parameter allows, mostly of things that exist here."""
    schema = parameter["schema"]
    kind = next((one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"), schema)
    if parameter["name"] in KNOWN:
        return st.sampled_from(KNOWN[parameter["name"]])
    if kind.get("type") == "integer":
        low, high = kind.get("minimum", -(2**40)), kind.get("maximum", 2**40)
        return st.integers(low, high).map(str) | st.integers(low, min(high, low + 2000)).map(str)
    return JUNK


@st.composite
def requests(draw: st.DrawFn, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Draw the parts of one request of an operation: four of five values are valid."""
    request: dict[str, Any] = {
        "params": draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=1)),
        "headers": {"if-none-match": draw(HEADER_JUNK)},
    }
    for parameter in operation.get("parameters", []):
        name, place = parameter["name"], parameter["in"]
        value = draw(valid_values(parameter) if draw(st.integers(0, 4)) else JUNK)
        if place == "path":
            path = path.replace(f"{{{name}}}", re.sub(r"[^A-Za-z0-9_-]", lambda m: quoted(m.group()), value) or "-")
        elif place == "query" and draw(st.integers(0, 9 if parameter.get("required") else 1)):
            request["params"][name] = value
        elif place == "header" and draw(st.booleans()):
            request["headers"][name] = draw(HEADER_JUNK)
    if "requestBody" in operation:
        named = st.builds(lambda who: json.dumps({"who": who}).encode(), st.text(min_size=1, max_size=90))
        rubbish = JSON_JUNK.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)
        request["content"] = draw(named if draw(st.integers(0, 2)) else rubbish)
        kinds = ["application/json"] * 4 + ["text/plain", "application/x"]
        request["headers"]["content-type"] = draw(st.sampled_from(kinds))
    request["path"] = path
    return request


def quoted(character: str) -> str:
    """Return a character percent-encoded; what UTF-8 cannot hold becomes a dash."""
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Serve a world with incidents and tasks in every state, streams full, failures unlimited."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    world = World(folder)
    world.set_bin(BIN)
    for state in ("open", "acked", "closed"):
        world.add_incident(state=state)
    for state in ("assigned", "accepted", "claimed"):
        world.add_task(state=state)
    world.add_task("pagi-2")
    world.write_points(BIN, [(world.now_ms - minute * 60_000, float(minute)) for minute in range(60)])
    (folder / "static").mkdir()
    for page in ("index.html", "petugas.html"):
        (folder / "static" / page).write_text("<!doctype html>")
    services = world.services()
    app = create_app(world.settings(max_streams_per_address=1), services)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as opened:
        parts = app.state.parts
        parts.hub.connect("testclient")  # every stream is refused: one that opened would never end
        object.__setattr__(parts, "crew_failures", FailureLimit(burst=10**9))
        while opened.get("/healthz").status_code != 200:
            pass
        yield opened
    services.close()
    world.close()


SEEN: dict[tuple[str, str], Counter[int]] = {}


def fuzz(client: TestClient, method: str, path: str, operation: dict[str, Any]) -> Counter[int]:
    """Send the requests of an operation, once in this module, check every answer and return the statuses."""
    if (method, path) in SEEN:
        return SEEN[method, path]
    statuses: Counter[int] = Counter()

    @seed(20261124)
    @settings(
        max_examples=CASES_PER_OPERATION,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(request=requests(path, operation))
    def check(request: dict[str, Any]) -> None:
        reply = client.request(method, request.pop("path"), **request)
        statuses[reply.status_code] += 1
        assert reply.status_code < 500, reply.text
        if reply.status_code >= 400:
            assert_error(reply, reply.status_code)
        else:
            if reply.status_code == 304:
                return
            assert_shape(SHAPES[path], reply.json())

    check()
    SEEN[method, path] = statuses
    return statuses


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
def test_no_request_breaks_the_server(client: TestClient, method: str, path: str, operation: dict[str, Any]) -> None:
    """220 requests per operation: no 5xx, refusals in the one shape, successes in the declared one."""
    assert sum(fuzz(client, method, path, operation).values()) >= CASES_PER_OPERATION


def test_unknown_paths_and_methods_are_refused_in_shape(client: TestClient) -> None:
    """600 paths and methods that nobody described: 404 or 405 in the one shape, or a page."""
    choice = random.Random(7)
    pieces = ["api", "v1", "state", "crew", "..", "%2e%2e", "", "assets", "petugas", "a" * 300, "%00", "é", "stream"]
    for _ in range(600):
        path = "/" + "/".join(choice.choices(pieces, k=choice.randint(1, 6)))
        method = choice.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
        reply = client.request(method, path, follow_redirects=False)
        assert reply.status_code < 500, (method, path)
        if reply.status_code >= 400 and method != "HEAD":
            assert_error(reply, reply.status_code)


def test_fuzzing_reached_both_sides(client: TestClient) -> None:
    """The cases were no empty exercise: thousands ran, some succeeded, and every kind of refusal was seen."""
    statuses = sum((fuzz(client, *operation) for operation in OPERATIONS), Counter[int]())
    assert sum(statuses.values()) >= 2000
    assert {200, 404, 409, 422} <= set(statuses), statuses
