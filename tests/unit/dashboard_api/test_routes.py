"""Every route through the whole application, on real stores."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from pydantic import BaseModel, TypeAdapter

from dashboard_api import schemas
from dashboard_api.access import ROLES
from dashboard_api.app import create_app
from tests.services import wait_until
from tests.unit.dashboard_api.world import BIN, OTHER_BIN, TOKENS, World

TOKEN = TOKENS["pagi-1"]


def assert_shape(shape: type[BaseModel], body: Any) -> None:
    """Hold a body against its declared shape: no member more, none less, no other type."""
    TypeAdapter(shape).validate_python(body, strict=False)


def assert_error(response: Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Hold a refusal against the one error shape of the API."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert {"code", "message_id", "message_en", "where"} <= set(error)
    assert error["message_id"], error
    assert error["message_en"], error
    assert error["where"], error
    if code is not None:
        assert error["code"] == code
    return error


def state_when(client: TestClient, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Return the state once it fulfils a condition."""
    found: dict[str, Any] = {}

    def holds() -> bool:
        found.update(client.get("/api/v1/state").json())
        return condition(found)

    wait_until(holds, 5, what)
    return found


class TestSite:
    def test_site_has_the_declared_shape(self, client: TestClient) -> None:
        """The site carries the whole plan, with bins that say their zone, and every shift and crew."""
        body = client.get("/api/v1/site").json()
        assert_shape(schemas.Site, body)
        bins = [f for f in body["plan"]["features"] if f["properties"]["role"] == "bin"]
        assert len(bins) == 48
        assert all(feature["properties"]["zone"] for feature in bins)
        assert [shift["start"] for shift in body["shifts"]] == ["04:30", "11:30", "18:00"]
        assert body["rules"]["full_pct"] == 85

    def test_site_unchanged_answers_304(self, client: TestClient) -> None:
        """A client that holds the current site gets no body; any other tag gets the whole."""
        etag = client.get("/api/v1/site").headers["etag"]
        again = client.get("/api/v1/site", headers={"if-none-match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert client.get("/api/v1/site", headers={"if-none-match": '"other"'}).status_code == 200


class TestState:
    def test_state_of_a_fresh_square(self, client: TestClient) -> None:
        """Before any reading all 48 bins are listed as unknown and stale, never as empty."""
        body = client.get("/api/v1/state").json()
        assert_shape(schemas.State, body)
        assert len(body["bins"]) == 48
        assert {(b["level"], b["stale"], b["ts_ms"], b["fill_pct"]) for b in body["bins"]} == {
            ("unknown", True, None, None)
        }
        assert len(body["air"]) == 6
        assert [crew["id"] for crew in body["crews"] if crew["on_shift"]] == ["pagi-1", "pagi-2"]

    def test_state_zero_is_not_missing(self, client: TestClient, world: World) -> None:
        """A bin measured at 0 % is empty and known; its neighbour that said nothing is unknown."""
        world.set_bin(BIN, 0.0)
        body = state_when(client, lambda s: s["bins"][0]["fill_pct"] is not None, "the reading of the first bin")
        assert (body["bins"][0]["fill_pct"], body["bins"][0]["level"], body["bins"][0]["stale"]) == (
            0.0,
            "empty",
            False,
        )
        assert body["bins"][1]["level"] == "unknown"

    def test_state_grows_stale_by_square_time(self, client: TestClient, world: World) -> None:
        """A value is current up to twice its interval (2 x 600 s) and stale one second later."""
        world.set_bin(BIN)
        state_when(client, lambda s: not s["bins"][0]["stale"], "the reading")
        world.clock.advance(1200)
        state_when(client, lambda s: s["clock"]["now_ms"] == world.now_ms, "the clock")
        assert client.get("/api/v1/state").json()["bins"][0]["stale"] is False
        world.clock.advance(1)
        body = state_when(client, lambda s: s["bins"][0]["stale"], "the value to grow stale")
        assert body["bins"][0]["fill_pct"] == 40.0

    def test_state_lists_open_work_only(self, client: TestClient, world: World) -> None:
        """Closed incidents are left out, tasks that are not closed are listed."""
        opened, _closed = world.add_incident(), world.add_incident(state="closed")
        task = world.add_task()
        body = state_when(client, lambda s: any(crew["open_tasks"] for crew in s["crews"]), "the task")
        assert_shape(schemas.State, body)
        assert [incident["id"] for incident in body["incidents"]] == [opened]
        assert [entry["id"] for entry in body["tasks"]] == [task]
        assert next(c for c in body["crews"] if c["id"] == "pagi-1")["open_tasks"] == 1

    def test_state_etag_follows_content_not_clock(self, client: TestClient, world: World) -> None:
        """The tag survives the clock and changes with a reading; a 304 still tells the time."""
        health = state_when(client, lambda s: s["health"]["ok"], "health")["health"]
        etag = client.get("/api/v1/state").headers["etag"]
        world.clock.advance(3)
        unchanged = client.get("/api/v1/state", headers={"if-none-match": etag})
        assert unchanged.status_code == 304
        assert unchanged.headers["resik-clock"] == f"{world.now_ms}; 0"
        world.set_bin(BIN)
        wait_until(lambda: client.get("/api/v1/state", headers={"if-none-match": etag}).status_code == 200, 5, "change")
        assert client.get("/api/v1/state").json()["health"] == health


class TestHistory:
    def test_history_returns_columns_with_gaps(self, client: TestClient, world: World) -> None:
        """Values come back oldest first; a field that was never measured is null, a time without reading absent."""
        start = world.now_ms - 3_600_000
        world.write_points(BIN, [(start, 10.0), (start + 1_200_000, 0.0)])
        reply = client.get(
            "/api/v1/history",
            params={"asset": BIN, "fields": "fill_pct,temp_c", "start_ms": start, "end_ms": world.now_ms},
        )
        assert_shape(schemas.History, reply.json())
        assert reply.json() == {
            "asset_id": BIN,
            "ts_ms": [start, start + 1_200_000],
            "columns": {"fill_pct": [10.0, 0.0], "temp_c": [None, None]},
        }

    def test_history_means_per_window(self, client: TestClient, world: World) -> None:
        """With every_s each row is the mean of its window: (10 + 20) / 2 = 15, and the empty hour is left out."""
        hour = 3_600_000
        start = world.now_ms // hour * hour - 3 * hour
        world.write_points(BIN, [(start, 10.0), (start + 60_000, 20.0), (start + 2 * hour, 50.0)])
        body = client.get(
            "/api/v1/history", params={"asset": BIN, "start_ms": start, "end_ms": world.now_ms, "every_s": 3600}
        ).json()
        assert body["ts_ms"] == [start, start + 2 * hour]
        assert body["columns"]["fill_pct"] == [15.0, 50.0]

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"asset": "bin-999"}, 404, "unknown-asset"),
            ({"asset": "../etc"}, 422, "invalid"),
            ({"fields": "fill_pct,secret"}, 400, "unknown-field"),
            ({"fields": ""}, 400, "unknown-field"),
            ({"end_ms": 1}, 400, "bad-range"),
            ({"start_ms": 0, "end_ms": 400 * 86_400_000 + 1}, 400, "bad-range"),
            ({"start_ms": 10**30}, 422, "invalid"),
            ({"every_s": 0}, 422, "invalid"),
            ({"start_ms": "kemarin"}, 422, "invalid"),
        ],
    )
    def test_history_refuses(self, client: TestClient, changes: dict[str, Any], status: int, code: str) -> None:
        """Each thing that cannot be answered is named, in the one shape."""
        params = {"asset": BIN, "fields": "fill_pct", "start_ms": 1000, "end_ms": 2000} | changes
        assert_error(client.get("/api/v1/history", params=params), status, code)

    def test_history_longest_range_is_400_days(self, client: TestClient) -> None:
        """Exactly 400 days are served."""
        params = {"asset": BIN, "start_ms": 0, "end_ms": 400 * 86_400_000}
        assert client.get("/api/v1/history", params=params).status_code == 200

    def test_history_by_days_has_days_of_the_square(self, world: World, client: TestClient) -> None:
        """Windows of a day begin at midnight in Pasuruan, not in Greenwich: 23:59 and 00:01 are two days."""
        day = 86_400_000
        midnight = (world.now_ms + 7 * 3_600_000) // day * day - 7 * 3_600_000 - day
        world.write_points(BIN, [(midnight - 60_000, 10.0), (midnight + 60_000, 20.0)])
        params = {"asset": BIN, "start_ms": midnight - day, "end_ms": midnight + day, "every_s": 86_400}
        body = client.get("/api/v1/history", params=params).json()
        assert body["ts_ms"] == [midnight - day, midnight]
        assert body["columns"]["fill_pct"] == [10.0, 20.0]

    def test_history_store_down_answers_503(self, world: World) -> None:
        """A store that is gone is a 503 that says when to come back, not an empty chart."""
        (world.folder / "points.sqlite3").rename(world.folder / "away")
        params = {"asset": BIN, "start_ms": 1000, "end_ms": 2000}
        with TestClient(create_app(world.settings()), base_url="http://localhost") as fresh:
            reply = fresh.get("/api/v1/history", params=params)
            assert_error(reply, 503, "store-unavailable")
            assert int(reply.headers["retry-after"]) >= 1
            health = fresh.get("/healthz")
            assert health.status_code == 503
            assert health.json()["stores"]["time_series"]["ok"] is False


class TestIncidents:
    def test_ack_notes_who_and_when(self, client: TestClient, world: World) -> None:
        """The incident comes back acknowledged; a second person does not overwrite the first."""
        ident = world.add_incident()
        first = client.post(f"/api/v1/incidents/{ident}/ack", json={"who": " Bu Rini "})
        assert_shape(schemas.Incident, first.json())
        assert (first.json()["state"], first.json()["acked_by"]) == ("acked", "Bu Rini")
        assert first.json()["acked_ms"] == world.now_ms
        second = client.post(f"/api/v1/incidents/{ident}/ack", json={"who": "Pak Joko"})
        assert (second.status_code, second.json()["acked_by"]) == (200, "Bu Rini")
        state_when(client, lambda s: [i["acked_by"] for i in s["incidents"]] == ["Bu Rini"], "the board to follow")

    def test_ack_closed_incident_conflicts(self, client: TestClient, world: World) -> None:
        """What is closed cannot be acknowledged; the answer says its state."""
        ident = world.add_incident(state="closed")
        error = assert_error(client.post(f"/api/v1/incidents/{ident}/ack", json={"who": "Rini"}), 409, "conflict")
        assert error["state"] == "closed"

    @pytest.mark.parametrize(
        "body",
        [{}, {"who": ""}, {"who": "  "}, {"who": "x" * 81}, {"who": "a\nb"}, {"who": "a", "state": "closed"}, []],
    )
    def test_ack_refuses_bad_names(self, client: TestClient, world: World, body: Any) -> None:
        """Empty, long or multi-line names and unknown members change nothing."""
        ident = world.add_incident()
        assert_error(client.post(f"/api/v1/incidents/{ident}/ack", json=body), 422, "invalid")
        assert world.services().desk.incident(ident)["state"] == "open"

    def test_ack_unknown_incident(self, client: TestClient) -> None:
        """An id that does not exist is 404, also the largest."""
        for ident in (1, 2**53 - 1):
            assert_error(client.post(f"/api/v1/incidents/{ident}/ack", json={"who": "x"}), 404, "not-found")


class TestCrew:
    def test_page_shows_own_work_only(self, client: TestClient, world: World) -> None:
        """A crew sees its own tasks with their places, never another crew's."""
        own, _foreign = world.add_task("pagi-1"), world.add_task("pagi-2", asset_id=OTHER_BIN)
        body = client.get(f"/api/v1/crew/{TOKEN}").json()
        assert_shape(schemas.CrewPage, body)
        assert [task["id"] for task in body["tasks"]] == [own]
        assert body["tasks"][0]["asset"]["name_id"] == world.site.bin(BIN).name_id
        assert (body["crew"]["id"], body["shift"]["id"]) == ("pagi-1", "pagi")

    def test_page_shows_the_level_of_now_and_what_overflows_first(self, world: World) -> None:
        """A card shows what the sensor says now; an overflowing bin comes first; a stale level is none."""
        first, second = world.add_task(asset_id=BIN), world.add_task(asset_id=OTHER_BIN)
        world.set_bin(BIN, 91.0)
        world.set_bin(OTHER_BIN, 104.0)
        levels = []
        for _visit in range(2):
            services = world.services()
            with TestClient(create_app(world.settings(), services), base_url="http://localhost") as client:
                tasks = client.get(f"/api/v1/crew/{TOKEN}").json()["tasks"]
                levels.append([(task["id"], task["fill_now_pct"]) for task in tasks])
            services.close()
            world.set_bin(OTHER_BIN, 104.0, ts_ms=world.now_ms - 6 * 3_600_000)
        assert levels[0] == [(second, 104.0), (first, 91.0)]
        assert (second, None) in levels[1]

    def test_a_heap_without_a_number_comes_first(self, world: World) -> None:
        """The sensor of an overflowing bin may be blind: its level says overflow, its fill is empty."""
        first, second = world.add_task(asset_id=BIN), world.add_task(asset_id=OTHER_BIN)
        world.set_bin(BIN, 91.0)
        world.set_bin(OTHER_BIN, values={}, level="overflow", state="obstructed")
        services = world.services()
        with TestClient(create_app(world.settings(), services), base_url="http://localhost") as client:
            tasks = client.get(f"/api/v1/crew/{TOKEN}").json()["tasks"]
        services.close()
        assert [(task["id"], task["fill_now_pct"]) for task in tasks] == [(second, None), (first, 91.0)]

    def test_accept_then_done(self, client: TestClient, world: World) -> None:
        """A task goes assigned, accepted, claimed, each step with its time; repeats change nothing."""
        ident = world.add_task()
        accepted = client.post(f"/api/v1/crew/{TOKEN}/tasks/{ident}/accept", headers={"idempotency-key": "k1"})
        assert_shape(schemas.Task, accepted.json())
        assert (accepted.json()["state"], accepted.json()["accepted_ms"]) == ("accepted", world.now_ms)
        world.clock.advance(60)
        repeated = client.post(f"/api/v1/crew/{TOKEN}/tasks/{ident}/accept", headers={"idempotency-key": "k1"})
        assert repeated.json() == accepted.json()
        claimed = client.post(f"/api/v1/crew/{TOKEN}/tasks/{ident}/done").json()
        assert (claimed["state"], claimed["claimed_ms"]) == ("claimed", world.now_ms)

    def test_done_before_accept_conflicts(self, client: TestClient, world: World) -> None:
        """A task that was never accepted cannot be done; the answer holds the current task."""
        ident = world.add_task()
        error = assert_error(client.post(f"/api/v1/crew/{TOKEN}/tasks/{ident}/done"), 409, "task-conflict")
        assert error["state"] == "assigned"
        assert error["current"]["id"] == ident

    def test_foreign_task_conflicts_without_a_look(self, client: TestClient, world: World) -> None:
        """Another crew's task cannot be taken, and the refusal tells nothing about it."""
        ident = world.add_task("pagi-2")
        for step in ("accept", "done"):
            error = assert_error(client.post(f"/api/v1/crew/{TOKEN}/tasks/{ident}/{step}"), 409, "task-not-yours")
            assert set(error) == {"code", "message_id", "message_en", "where"}

    def test_unknown_links_are_limited(self, client: TestClient) -> None:
        """Unknown links are 404, the eleventh in a row 429; a right link from the same address still works."""
        for number in range(10):
            assert_error(client.get(f"/api/v1/crew/{'x' * 40}{number}"), 404, "unknown-link")
        reply = client.get("/api/v1/crew/short")
        assert_error(reply, 429, "too-many-failures")
        assert int(reply.headers["retry-after"]) >= 1
        assert client.get(f"/api/v1/crew/{TOKEN}").status_code == 200

    def test_errors_never_repeat_the_link(self, client: TestClient, caplog: Any) -> None:
        """A secret in the path appears in no answer and in no log line."""
        secret = "rahasia" + "z" * 36
        for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/tasks/1/accept"), ("GET", "/nothing")):
            assert secret not in client.request(method, f"/api/v1/crew/{secret}{path}").text
        reply = client.post(f"/api/v1/crew/{TOKEN}/tasks/999/accept")
        assert_error(reply, 404)
        assert TOKEN not in reply.text
        own_lines = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
        assert not [line for line in own_lines if secret in line or TOKEN in line]


class TestHealth:
    def test_healthz_names_both_stores(self, client: TestClient) -> None:
        """With both stores up the page answers 200 and says so of each."""
        wait_until(lambda: client.get("/healthz").status_code == 200, 5, "the first health round")
        body = client.get("/healthz").json()
        assert_shape(schemas.Healthz, body)
        assert body["stores"]["relational"]["ok"]
        assert body["stores"]["time_series"]["ok"]

    def test_silent_engine_shows_in_the_state(self, client: TestClient, world: World) -> None:
        """An engine without a sign of life for over two minutes is reported, with the age of the last one."""
        import time

        world.beat(time.time() - 125)
        body = state_when(
            client,
            lambda s: any(e["service"] == "alerts" and not e["ok"] for e in s["health"]["services"]),
            "the engine to be missed",
        )
        entry = next(e for e in body["health"]["services"] if e["service"] == "alerts")
        assert entry["age_s"] == 120  # in steps of ten seconds
        assert body["health"]["ok"] is False


REFUSALS = [
    ("GET", "/nothing/here", 404),
    ("GET", "/api/v1/nothing", 404),
    ("GET", "/api/v1/state/", 404),
    ("GET", "/assets/none.js", 404),
    ("GET", "/none.svg", 404),
    ("GET", "/index.html", 404),
    ("POST", "/api/v1/site", 405),
    ("DELETE", "/api/v1/state", 405),
    ("PUT", "/api/v1/stream", 405),
    ("POST", "/api/v1/history", 405),
    ("GET", "/api/v1/history", 422),
    ("GET", "/api/v1/incidents/1/ack", 405),
    ("POST", "/api/v1/incidents/x/ack", 422),
    ("POST", "/api/v1/incidents/0/ack", 422),
    ("POST", f"/api/v1/incidents/{2**63}/ack", 422),
    ("POST", "/api/v1/incidents/7/ack", 422),
    ("GET", "/api/v1/crew/unknown", 404),
    ("POST", f"/api/v1/crew/{TOKEN}", 405),
    ("GET", "/api/v1/crew/unknown/stream", 404),
    ("POST", "/api/v1/crew/unknown/tasks/1/accept", 404),
    ("POST", "/api/v1/crew/unknown/tasks/1/done", 404),
    ("POST", f"/api/v1/crew/{TOKEN}/tasks/9/accept", 404),
    ("POST", f"/api/v1/crew/{TOKEN}/tasks/x/done", 422),
    ("POST", "/healthz", 405),
    ("POST", "/api/openapi.json", 405),
    ("POST", "/", 405),
    ("POST", f"/petugas/{TOKEN}", 405),
    ("POST", "/assets/x", 405),
    ("POST", "/resik.svg", 405),
    ("GET", "/api/v1/stream?after=-1", 422),
]


@pytest.mark.parametrize(("method", "path", "status"), REFUSALS)
def test_every_refusal_has_the_one_shape(client: TestClient, method: str, path: str, status: int) -> None:
    """Whatever is refused on whatever route, programs and people find the reason in the same place."""
    assert_error(client.request(method, path), status)


def test_refusals_cover_every_route() -> None:
    """The list above touches each declared route, so that no route escapes the shape."""
    import re

    for _method, template in ROLES:
        pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template) + r"(\?.*)?")
        assert any(pattern.fullmatch(path) for _m, path, _s in REFUSALS), template


def test_unexpected_error_tells_nothing(client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug answers 500 in the one shape, without the text of the exception."""
    monkeypatch.setattr("dashboard_api.routes.state.matches", lambda *_: 1 / 0)
    error = assert_error(client.get("/api/v1/site"), 500, "internal")
    assert "division" not in str(error)
