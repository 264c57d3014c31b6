"""Two phones and one task: one winner, one clear refusal, every time."""

import random
import threading
from typing import Any

from fastapi.testclient import TestClient

from tests.unit.dashboard_api.test_routes import assert_error
from tests.unit.dashboard_api.world import TOKENS, World

RACES = 100


def both_tap(client: TestClient, ident: int, step: str) -> dict[str, Any]:
    """Let both crews send the step at the same moment; return the answers by crew."""
    start = threading.Barrier(len(TOKENS))
    answers: dict[str, Any] = {}

    def tap(crew_id: str, token: str) -> None:
        start.wait()
        answers[crew_id] = client.post(f"/api/v1/crew/{token}/tasks/{ident}/{step}")

    threads = [threading.Thread(target=tap, args=pair) for pair in TOKENS.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_two_crews_accept_the_same_task(client: TestClient, world: World) -> None:
    """In 100 races exactly one crew gets the task, the other a 409, and the store agrees with the winner."""
    choice = random.Random(20261124)
    for number in range(RACES):
        ident = world.add_task(choice.choice(list(TOKENS)))
        answers = both_tap(client, ident, "accept")
        winners = [crew_id for crew_id, reply in answers.items() if reply.status_code == 200]
        assert len(winners) == 1, number
        loser = next(crew_id for crew_id in answers if crew_id not in winners)
        assert_error(answers[loser], 409, "task-not-yours")
        stored = world.services().desk.task(ident) if number % 25 == 0 else answers[winners[0]].json()
        assert (stored["state"], stored["crew_id"]) == ("accepted", winners[0])


def test_accept_races_with_reassignment(client: TestClient, world: World) -> None:
    """While the engine gives the task to the other crew, an accept either came first or is refused; never both."""
    for number in range(20):
        ident = world.add_task("pagi-1")
        start = threading.Barrier(2)

        def move(ident: int = ident, start: threading.Barrier = start) -> None:
            start.wait()
            world.reassign(ident, "pagi-2")

        mover = threading.Thread(target=move)
        mover.start()
        start.wait()
        reply = client.post(f"/api/v1/crew/{TOKENS['pagi-1']}/tasks/{ident}/accept")
        mover.join()
        assert reply.status_code in (200, 409), number
        assert (reply.status_code == 200) == (reply.json().get("state") == "accepted")


def test_same_phone_taps_twice_at_once(client: TestClient, world: World) -> None:
    """Two simultaneous taps of one crew take the step once: one line in the change log, both answered 200."""
    desk = world.services().desk
    for _ in range(20):
        ident = world.add_task("pagi-1")
        before = desk.last_event_id()
        start = threading.Barrier(2)
        statuses: list[int] = []

        def tap(ident: int = ident, start: threading.Barrier = start, statuses: list[int] = statuses) -> None:
            start.wait()
            reply = client.post(
                f"/api/v1/crew/{TOKENS['pagi-1']}/tasks/{ident}/accept", headers={"idempotency-key": f"k{ident}"}
            )
            statuses.append(reply.status_code)

        threads = [threading.Thread(target=tap) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200]
        lines = [line for line in desk.changes_since(before).changes if line.kind == "task"]
        assert [line.entity_id for line in lines] == [str(ident)]
