"""A person who never saw the gateway learns what is wrong and what to do, in two languages."""

import doctest
import json
import re
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gateway import status as status_module
from gateway import troubles as troubles_module
from gateway.service import Gateway
from gateway.settings import GatewaySettings
from gateway.status import TABLE_LIMIT, status_object, status_text
from gateway.troubles import NodeLine, NodePage, exit_code, troubles
from resik.parts import gateway as gateway_group
from square.health import Health, HealthServer
from square.metrics import COUNTS
from tests.services import free_port

NOW_MS = 1_795_488_752_000
MINUTE_MS = 60_000
WELL: dict[str, int | float] = {"edge_connected": 1, "uplink_connected": 1, "orders_ok": 1, "disk_free_pct": 61.4,
                                "session_lost_age_s": -1.0}  # fmt: skip


def health(*, ok: bool = True, reason: str = "", **counts: float) -> Health:
    return Health("gateway", ok, reason, WELL | counts)


def node(device: str, state: Any = "online", **changes: Any) -> NodeLine:
    heard_ms = None if state == "never" else NOW_MS - MINUTE_MS
    expected_ms = None if heard_ms is None else NOW_MS + 9 * MINUTE_MS
    facts = {
        "heard_ms": heard_ms,
        "reading_ms": heard_ms,
        "will_ms": None,
        "interval_s": 600,
        "expected_ms": expected_ms,
    }
    return NodeLine(device=device, state=state, **facts | changes)


CASES: list[tuple[str, str, Health, list[NodeLine]]] = [
    ("disk-full", "broken", health(ok=False, reason="x", disk_level=2, intake_stopped=1), []),
    ("disk-low", "note", health(disk_level=1), []),
    ("clock-behind", "broken", health(ok=False, reason="x", clock_behind=1, intake_stopped=1, devices_ahead=5), []),
    ("clock-doubt", "note", health(devices_ahead=1), []),
    ("spool-refuses", "broken", health(ok=False, reason="I/O error.", intake_stopped=1), []),
    ("device-broker", "broken", health(ok=False, reason="x", edge_connected=0), []),
    ("city-broker", "broken", health(uplink_connected=0, waiting=7, unanswered_s=900), []),
    ("ingest-silent", "broken", health(waiting=7000, unanswered_s=61, waiting_change=50), []),
    ("queue-grows", "note", health(waiting=7000, unanswered_s=1, waiting_change=50), []),
    ("session-lost", "note", health(session_lost=2, session_lost_age_s=300), []),
    ("gaps", "note", health(missing_late=4, resend_open=1), []),
    ("gaps-unanswered", "note", health(resend_unanswered=2), []),
    ("lost", "note", health(missing_lost=2), []),
    ("poison", "note", health(poison_let_go=2), []),
    ("spool-replaced", "note", health(spool_replaced=1), []),
    ("orders", "note", health(orders_ok=0), []),
    ("rollout-halted", "note", health(rollouts_halted=1), []),
    ("nodes-silent", "note", health(), [node("rsk-b001"), node("rsk-b002", "silent")]),
    ("nodes-silent", "broken", health(), [node("rsk-b001", "silent"), node("rsk-b002", "never")]),
    ("not-well", "broken", health(ok=False, reason="the worker intake ended."), []),
]


@pytest.mark.parametrize(("code", "level", "found", "nodes"), CASES, ids=[case[0] + "-" + case[1] for case in CASES])
def test_each_trouble_is_one_sentence_about_what_and_one_about_what_to_do(
    code: str, level: str, found: Health, nodes: list[NodeLine]
) -> None:
    """It is told first, once, in both languages, with what it means and what to do; the exit code says how bad."""
    told = troubles(found, nodes)
    assert told[0].code == code
    assert told[0].level == level
    assert len({trouble.code for trouble in told}) == len(told)
    for sentence in (told[0].id, told[0].en):
        assert sentence.endswith(".")
        assert len(re.findall(r"[.:;](?: |$)", sentence)) >= 2
        assert "  " not in sentence
    text = status_text(found, NodePage(NOW_MS, nodes))
    indonesian, english = text.split("\n\n")[:2]
    assert told[0].id in indonesian
    assert told[0].en in english
    assert indonesian.startswith("Gerbang data: TIDAK BEKERJA" if level == "broken" else "Gerbang data: bekerja, 1 hal")
    assert english.startswith("Gateway: NOT WORKING" if level == "broken" else "Gateway: working, 1 thing to know.")
    assert exit_code(told) == (level == "broken")


def test_one_cause_is_told_once() -> None:
    """A clock that is behind stops the intake and has devices ahead; without an uplink nobody can answer."""
    assert [trouble.code for trouble in troubles(CASES[2][2])] == ["clock-behind"]
    assert [trouble.code for trouble in troubles(CASES[6][2])] == ["city-broker"]
    assert [trouble.code for trouble in troubles(CASES[0][2])] == ["disk-full"]


def test_what_is_well_has_no_alarm() -> None:
    """Nothing waiting and nothing missing are said as such, and nobody is listed."""
    text = status_text(health(), NodePage(NOW_MS, [node("rsk-b001")]))
    assert text.split("\n\n")[0].splitlines()[0] == "Gerbang data: bekerja."
    assert "Tidak ada bacaan yang hilang." in text
    assert "No reading is missing." in text
    for word in ("tertua", "[!]", "[-]", "own words", "rsk-b001"):
        assert word not in text
    assert len(text.split("\n\n")) == 2


def test_the_same_facts_in_both_languages() -> None:
    """Thousands as each language writes them; the trend says when an outage is worked off."""
    counts: dict[str, float] = {
        "received": 12_345, "duplicates": 5, "waiting": 1_200, "oldest_waiting_age_s": 7200.0, "settled_stored": 11_100,
        "settled_dead": 45, "missing_lost": 3, "missing_late": 4, "draining": 1, "waiting_change": -600,
    }  # fmt: skip
    nodes = [node("rsk-b001"), node("rsk-b002", "late"), node("rsk-b003", "never")]
    indonesian, english, _table = status_text(health(**counts), NodePage(NOW_MS, nodes)).split("\n\n")
    for word in ("12.345", "1.200 (tertua 2 jam)", "2 menit lagi", "11.100", "45", "7 bacaan", "61 %",
                 "1 hadir, 1 telat, 0 diam, 1 belum"):  # fmt: skip
        assert word in indonesian
    for word in ("12,345", "1,200 (oldest 2 h)", "2 min more", "11,100", "45", "7 readings", "61 %",
                 "1 online, 1 late, 0 silent, 1 never"):  # fmt: skip
        assert word in english


def test_the_table_shows_who_wants_a_look_the_worst_first() -> None:
    """Silent, late, and with something missing; all of them only when asked for; never more than a screenful."""
    nodes = [
        node("rsk-b001"), node("rsk-b002", "late"), node("rsk-b003", "silent", will_ms=NOW_MS - 65 * MINUTE_MS),
        node("rsk-b004", missing=3, asked=2), node("rsk-b005", "never"),
    ]  # fmt: skip
    page = NodePage(NOW_MS, nodes)
    lines = status_text(health(), page).split("\n\n")[2].splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["rsk-b003", "rsk-b002", "rsk-b004"]
    assert lines[1].split() == ["rsk-b003", "DIAM", "/", "SILENT", "-0:01", "+0:09", "-1:05", "-", "-"]
    assert lines[3].split()[-2:] == ["3", "2"]
    everyone = status_text(health(), page, everyone=True).split("\n\n")[2]
    assert all(found.device in everyone for found in nodes)
    crowd = NodePage(NOW_MS, [node(f"rsk-b{number:03d}", "late") for number in range(50)])
    table = status_text(health(), crowd).split("\n\n")[2].splitlines()
    assert len(table) == TABLE_LIMIT + 3
    assert table[-2] == "... 30 lagi / more: --all"


def test_programs_get_the_same() -> None:
    """Troubles with codes, nodes, figures, and the exit code."""
    shown = status_object(health(uplink_connected=0), NodePage(NOW_MS, [node("rsk-b001")]))
    assert (shown["ok"], shown["exit_code"]) == (False, 1)
    assert [(trouble["code"], trouble["level"]) for trouble in shown["troubles"]] == [("city-broker", "broken")]
    assert (shown["now_ms"], shown["nodes"][0]["device"], shown["counts"]["uplink_connected"]) == (
        NOW_MS, "rsk-b001", 0,
    )  # fmt: skip
    assert json.loads(json.dumps(shown)) == shown


def test_every_figure_that_a_trouble_asks_for_exists(tmp_path: Path) -> None:
    """A figure that the gateway does not give, or nobody declared, would never be told."""
    source = Path(troubles_module.__file__).read_text() + Path(status_module.__file__).read_text()
    asked = set(re.findall(r'(?:get|count|counts\.get)\("([a-z_]+)"', source))
    settings = GatewaySettings(broker_url="mqtt://127.0.0.1:1", spool_file=tmp_path / "spool.sqlite3")
    made = Gateway(settings, threading.Event())
    given = made.health().counts
    made.spool.close()
    assert len(asked) > 20
    assert asked <= given.keys()
    assert given.keys() == COUNTS["gateway"].keys()


def ask(*words: str) -> Any:
    return CliRunner().invoke(gateway_group, ["status", *words])


@pytest.mark.parametrize(("uplink", "code"), [(1, 0), (0, 1)])
def test_the_command_asks_a_gateway_and_its_exit_code_says_how_it_is(uplink: int, code: int) -> None:
    """In words, or as JSON; also of a gateway without a page of nodes, an older one."""
    port = free_port()
    page = msgspec.to_builtins(NodePage(NOW_MS, [node("rsk-b009", "silent"), node("rsk-b001")]))
    for pages in ({"/nodes": lambda: page}, None):
        server = HealthServer(port, lambda: health(uplink_connected=uplink), pages=pages)
        try:
            told, as_json = ask("--port", str(port)), ask("--port", str(port), "--json")
        finally:
            server.close()
        assert (told.exit_code, as_json.exit_code) == (code, code)
        assert ("rsk-b009" in told.output) == (pages is not None)
        assert json.loads(as_json.output)["exit_code"] == code


def test_a_gateway_that_cannot_be_asked_is_exit_code_two(tmp_path: Path) -> None:
    """Nobody answers: one sentence in both languages, and another code than for a sick one."""
    result = ask("--port", str(free_port()))
    assert result.exit_code == 2
    assert "tidak menjawab" in result.output
    assert "does not answer" in result.output
    assert ask("--data", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize("module", [status_module, troubles_module])
def test_examples_in_docstrings_are_true(module: Any) -> None:
    """Every worked example gives what it says."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
