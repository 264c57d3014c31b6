"""The desk on both kinds of store: what people read, and steps that only one of them can take."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from alerts.adapters.database import Database, fetch
from alerts.adapters.ledger import Ledger
from alerts.adapters.log import add_change
from alerts.adapters.tables import AUDIT
from alerts.desk import token_hash
from alerts.domain.model import Incident, Task
from alerts.errors import IncidentConflict, NotFoundError, TaskConflict
from tests.integration.relational import Reader, database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]

SITE = "alun-alun"
NOW_MS = 1_795_485_600_000
TOKENS = {"pagi-1": "token-one", "pagi-2": "token-two", "lama": "token-old"}


@pytest.fixture
def desk(database: Database) -> Reader:
    """Return a desk with two crews on shift and one former crew."""
    with database.writing() as connection:
        Ledger(connection, SITE).save_crews(
            [
                {
                    "id": crew_id,
                    "site": SITE,
                    "name": crew_id.title(),
                    "shift": "pagi",
                    "token_hash": token_hash(token),
                    "lon": 112.9,
                    "lat": -7.6,
                    "position_ms": NOW_MS,
                    "active": crew_id != "lama",
                }
                for crew_id, token in TOKENS.items()
            ]
        )
    return Reader(
        database,
        SITE,
        on_shift=lambda shift, _now_ms: shift == "pagi",
        bins=[("bin-001", "rsk-001"), ("bin-002", None)],
        stations=[("air-001", "rsk-air")],
    )


def add_incident(database: Database, state: str = "open", episode: int = 1, site: str = SITE) -> int:
    with database.writing() as connection:
        made = Ledger(connection, site).add_incident(
            Incident("bin-001", "full", episode, "warning", state, NOW_MS, detail={"fill_pct": 90})
        )
    assert made.id is not None
    return made.id


def add_task(database: Database, state: str = "assigned", crew_id: str | None = "pagi-1", **more: Any) -> int:
    with database.writing() as connection:
        made = Ledger(connection, SITE).add_task(
            Task("bin-001", "empty", state, NOW_MS, crew_id=crew_id, assigned_ms=NOW_MS, **more)
        )
    assert made.id is not None
    return made.id


def audit(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        rows = fetch(connection, sa.select(AUDIT).order_by(AUDIT.c.id))
    return [(row["who"], row["action"], row["entity"]) for row in rows]


def test_assets_that_never_reported_are_listed(desk: Reader) -> None:
    """Every bin and station of the plan is there: no value, level unknown, stale."""
    snapshot = desk.snapshot(NOW_MS)
    assert [one["asset_id"] for one in snapshot.bins] == ["bin-001", "bin-002"]
    first = snapshot.bins[0]
    assert (first["ts_ms"], first["fill_pct"], first["level"], first["stale"]) == (None, None, "unknown", True)
    assert (snapshot.air[0]["asset_id"], snapshot.air[0]["ispu"]) == ("air-001", None)
    assert snapshot.event_id == 0


def test_an_incident_is_acknowledged_once(desk: Reader, database: Database) -> None:
    """The first who acknowledges stays; a second gets the same answer; both stores agree on audit and change log."""
    incident_id = add_incident(database)
    first = desk.acknowledge_incident(incident_id, "mandor", NOW_MS + 1)
    again = desk.acknowledge_incident(incident_id, "operator", NOW_MS + 2)
    assert first == again == desk.incident(incident_id)
    assert (first["state"], first["acked_by"], first["acked_ms"]) == ("acked", "mandor", NOW_MS + 1)
    assert audit(database) == [("mandor", "incident.acked", f"incident:{incident_id}")]
    assert [(c.kind, c.payload) for c in desk.changes_since(0).changes] == [("incident", first)]


def test_a_closed_incident_cannot_be_acknowledged(desk: Reader, database: Database) -> None:
    """The refusal names the state, and nothing is written."""
    incident_id = add_incident(database, "closed")
    with pytest.raises(IncidentConflict) as caught:
        desk.acknowledge_incident(incident_id, "mandor", NOW_MS)
    assert caught.value.state == "closed"
    assert (audit(database), desk.last_event_id()) == ([], 0)


def test_what_does_not_exist_is_not_found(desk: Reader, database: Database) -> None:
    """Unknown ids, and ids of another site, are the same to the caller."""
    other = add_incident(database, site="lain")
    for call in (
        lambda: desk.acknowledge_incident(other, "mandor", NOW_MS),
        lambda: desk.acknowledge_incident(999, "mandor", NOW_MS),
        lambda: desk.accept_task(999, "pagi-1", NOW_MS),
        lambda: desk.claim_task(999, "pagi-1", NOW_MS),
        lambda: desk.task(999),
        lambda: desk.incident(other),
        lambda: desk.renew_crew_link("nobody", "admin", NOW_MS),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert desk.incidents() == []


def test_a_task_is_accepted_then_claimed(desk: Reader, database: Database) -> None:
    """The two steps of a crew, each with its time, its audit line and its change."""
    task_id = add_task(database)
    accepted = desk.accept_task(task_id, "pagi-1", NOW_MS + 1)
    claimed = desk.claim_task(task_id, "pagi-1", NOW_MS + 2)
    assert (accepted["state"], accepted["accepted_ms"]) == ("accepted", NOW_MS + 1)
    assert (claimed["state"], claimed["claimed_ms"], claimed["accepted_ms"]) == ("claimed", NOW_MS + 2, NOW_MS + 1)
    entity = f"task:{task_id}"
    assert audit(database) == [("crew:pagi-1", "task.accepted", entity), ("crew:pagi-1", "task.claimed", entity)]
    assert [c.payload for c in desk.changes_since(0).changes] == [accepted, claimed]


@pytest.mark.parametrize("state", ["accepted", "claimed", "verified", "unverified"])
def test_a_repeated_accept_returns_the_task(desk: Reader, database: Database, state: str) -> None:
    """A phone that repeats itself gets the task as it is, whatever came after, and writes nothing."""
    task_id = add_task(database, state)
    assert desk.accept_task(task_id, "pagi-1", NOW_MS)["state"] == state
    assert desk.last_event_id() == 0


@pytest.mark.parametrize("state", ["claimed", "verified", "unverified"])
def test_a_repeated_claim_returns_the_task(desk: Reader, database: Database, state: str) -> None:
    """Also when the sensor was faster than the phone."""
    task_id = add_task(database, state)
    assert desk.claim_task(task_id, "pagi-1", NOW_MS)["state"] == state
    assert desk.last_event_id() == 0


@pytest.mark.parametrize("step", ["accept_task", "claim_task"])
@pytest.mark.parametrize(
    ("state", "crew_id"), [("open", None), ("cancelled", "pagi-1"), ("assigned", "pagi-2"), ("verified", None)]
)
def test_a_step_that_is_not_in_the_table_is_a_conflict(
    desk: Reader, database: Database, step: str, state: str, crew_id: str | None
) -> None:
    """Somebody else's task, an open one and a cancelled one: refused with the state, nothing written."""
    task_id = add_task(database, state, crew_id)
    with pytest.raises(TaskConflict) as caught:
        getattr(desk, step)(task_id, "pagi-1", NOW_MS)
    assert (caught.value.state, caught.value.entity) == (state, f"task:{task_id}")
    assert (audit(database), desk.last_event_id()) == ([], 0)


def test_a_claim_needs_an_accept(desk: Reader, database: Database) -> None:
    """Assigned is not accepted."""
    task_id = add_task(database)
    with pytest.raises(TaskConflict):
        desk.claim_task(task_id, "pagi-1", NOW_MS)


def test_of_many_taps_one_counts(desk: Reader, database: Database) -> None:
    """Eight concurrent accepts of one task by its crew and by another: one step, one audit line, four conflicts."""
    task_id = add_task(database)
    results: list[str] = []

    def tap(crew_id: str) -> None:
        try:
            results.append(desk.accept_task(task_id, crew_id, NOW_MS)["state"])
        except TaskConflict:
            results.append("conflict")

    threads = [threading.Thread(target=tap, args=(crew_id,)) for crew_id in ("pagi-1", "pagi-2") for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["accepted"] * 4 + ["conflict"] * 4
    assert len(audit(database)) == 1


def test_a_secret_link_finds_its_crew(desk: Reader) -> None:
    """The right token finds one crew; a wrong one and that of a former crew find nobody."""
    assert desk.crew_by_token("token-two", NOW_MS)["id"] == "pagi-2"
    for token in ("token-three", "", "token-old", token_hash("token-two")):
        with pytest.raises(NotFoundError):
            desk.crew_by_token(token, NOW_MS)


def test_a_renewed_link_replaces_the_old_one(desk: Reader, database: Database) -> None:
    """After a phone was lost the old link is dead, and the audit says who renewed it but not the token."""
    token = desk.renew_crew_link("pagi-1", "admin", NOW_MS)
    assert desk.crew_by_token(token, NOW_MS)["id"] == "pagi-1"
    with pytest.raises(NotFoundError):
        desk.crew_by_token("token-one", NOW_MS)
    assert audit(database) == [("admin", "crew.link", "crew:pagi-1")]


def test_a_position_is_shown_only_at_work(desk: Reader, database: Database) -> None:
    """Without an active task nobody sees where a crew member is."""
    add_task(database)
    crews = {crew["id"]: crew for crew in desk.crews(NOW_MS)}
    assert sorted(crews) == ["pagi-1", "pagi-2"]
    assert (crews["pagi-1"]["open_tasks"], crews["pagi-1"]["lon"]) == (1, 112.9)
    assert (crews["pagi-2"]["open_tasks"], crews["pagi-2"]["lon"]) == (0, None)


def test_closed_tasks_stay_for_two_hours(desk: Reader, database: Database) -> None:
    """Active ones always, closed ones for two hours; a crew sees only its own."""
    two_h_ms = 2 * 3_600_000
    kept = add_task(database, "verified", closed_ms=NOW_MS - two_h_ms)
    add_task(database, "verified", closed_ms=NOW_MS - two_h_ms - 1)
    other = add_task(database, "claimed", "pagi-2")
    assert [task["id"] for task in desk.tasks(NOW_MS)] == [kept, other]
    assert [task["id"] for task in desk.crew_tasks("pagi-2", NOW_MS)] == [other]


def test_the_log_continues_or_says_reset(desk: Reader, database: Database) -> None:
    """Lines after an id in pages; an id never given out and a pruned one ask for a fresh snapshot."""
    with database.writing() as connection:
        Ledger(connection, SITE).save_cursor(event_ms=0, arrived_ms=0, updated_ms=0)
        for k in range(10):
            add_change(connection, SITE, NOW_MS, kind="bin", entity_id=str(k), payload={"k": k})
            add_change(connection, "lain", NOW_MS, kind="bin", entity_id="x", payload={})
    page = desk.changes_since(0, limit=4)
    assert ([c.entity_id for c in page.changes], page.reset) == (["0", "1", "2", "3"], False)
    rest = desk.changes_since(page.last_id)
    assert [c.entity_id for c in rest.changes] == ["4", "5", "6", "7", "8", "9"]
    assert rest.last_id == desk.last_event_id()
    end = desk.changes_since(rest.last_id)
    assert (end.reset, end.changes, end.last_id) == (False, [], rest.last_id)
    assert desk.changes_since(rest.last_id + 1).reset
    with database.writing() as connection:
        Ledger(connection, SITE).prune(keep_changes=3, air_before_ms=0)
    assert desk.changes_since(page.last_id).reset
    assert not desk.changes_since(rest.changes[-4].id).reset
    assert [c.entity_id for c in desk.changes_since(rest.changes[-4].id).changes] == ["7", "8", "9"]


def test_an_empty_log_of_a_new_store_asks_for_a_snapshot(desk: Reader) -> None:
    """A map that remembers ids of another store starts anew; one that remembers nothing does not."""
    assert desk.changes_since(17).reset
    assert not desk.changes_since(0).reset


def test_a_sign_of_life_is_replaced(desk: Reader, database: Database) -> None:
    """One row for each service, the newest."""
    for at_ms in (1, 2):
        with database.writing() as connection:
            Ledger(connection, SITE).beat("alerts", at_ms=at_ms, wall_s=at_ms / 2, detail={"ok": True})
    assert desk.heartbeats() == [{"service": "alerts", "at_ms": 2, "wall_s": 1.0, "detail": {"ok": True}}]
