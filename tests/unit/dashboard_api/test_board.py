"""The picture that readers get."""

import json
from typing import Any

from dashboard_api.board import Board

NOW_MS = 1_795_489_200_000
CLOCK = {"now_ms": NOW_MS, "speed": 1.0, "simulated": False}


def bin_state(asset_id: str = "bin-001", ts_ms: int | None = NOW_MS, **changes: Any) -> dict[str, Any]:
    return {"asset_id": asset_id, "ts_ms": ts_ms, "fill_pct": 40.0, "level": "empty", "stale": False} | changes


def task(ident: int = 1, closed_ms: int | None = None) -> dict[str, Any]:
    return {"id": ident, "state": "assigned" if closed_ms is None else "verified", "closed_ms": closed_ms}


def loaded(*, bins: list[dict[str, Any]] | None = None, **sections: Any) -> Board:
    board = Board({"bin-001": 600, "bin-002": 60})
    empty: dict[str, Any] = {"event_id": 7, "bins": bins or [], "air": [], "incidents": [], "tasks": [], "crews": []}
    board.load(empty | sections, NOW_MS)
    return board


def read(board: Board) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(board.state_bytes(CLOCK))
    return state


def test_load_judges_staleness_itself() -> None:
    """The snapshot's own word does not count: what is older than twice the interval of ITS device is stale."""
    minutes = 60_000
    board = loaded(bins=[bin_state("bin-001", NOW_MS - 3 * minutes), bin_state("bin-002", NOW_MS - 3 * minutes)])
    assert [item["stale"] for item in read(board)["bins"]] == [False, True]


def test_never_heard_is_stale() -> None:
    """A bin without any reading is stale at every time."""
    assert read(loaded(bins=[bin_state(ts_ms=None)]))["bins"][0]["stale"] is True


def test_judge_reports_each_flip_once() -> None:
    """The tick at which a value grows stale names it; the next tick is silent; a new reading brings it back."""
    board = loaded(bins=[bin_state()])
    assert board.judge(NOW_MS + 1_200_000) == []
    assert board.judge(NOW_MS + 1_200_001) == [("bin", "bin-001")]
    assert board.judge(NOW_MS + 1_300_000) == []
    fresh = board.apply(8, "bin", "bin-001", bin_state(ts_ms=NOW_MS + 1_300_000, stale=True), NOW_MS + 1_300_000)
    assert fresh is not None
    assert fresh["stale"] is False


def test_judge_follows_a_clock_that_goes_back() -> None:
    """A replay that starts again makes an aged value current again, and says so."""
    board = loaded(bins=[bin_state()])
    board.judge(NOW_MS + 9_999_999)
    assert board.judge(NOW_MS) == [("bin", "bin-001")]


def test_closed_work_leaves_after_two_hours() -> None:
    """A closed task stays for exactly two hours of square time."""
    board = loaded(tasks=[task(1, NOW_MS), task(2)])
    board.judge(NOW_MS + 7_200_000)
    assert [entry["id"] for entry in read(board)["tasks"]] == [1, 2]
    board.judge(NOW_MS + 7_200_001)
    assert [entry["id"] for entry in read(board)["tasks"]] == [2]


def test_event_id_and_tag_move_with_changes_only() -> None:
    """The tag names the content: same content same tag, any change another, and never two starts the same."""
    board = loaded(bins=[bin_state()])
    tag = board.etag
    assert read(board)["event_id"] == 7
    board.judge(NOW_MS)
    assert board.etag == tag
    board.apply(9, "task", "1", task(), NOW_MS)
    assert read(board)["event_id"] == 9
    assert board.etag != tag
    assert loaded(bins=[bin_state()]).etag != tag


def test_unknown_kind_moves_the_id_alone() -> None:
    """A kind that readers do not follow is skipped, and resuming continues after it."""
    board = loaded()
    assert board.apply(8, "device", "rsk-b001", {"id": "rsk-b001"}, NOW_MS) is None
    assert read(board)["event_id"] == 8
