"""What each look of the doctor says: of clocks, disks, letters, silence and waiting rows made by hand."""

import contextlib
import http.server
import json
import sqlite3
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.totals import Totals
from ingest.deadletter import DeadLetter, SqliteDeadLetters
from resik import checkup, checkup_flow
from resik.balance import Line, gateway_lines, ingest_line
from resik.chain import NAMES, NOTHING, Chain, Finding, Words
from resik.cli import main
from resik.examination import Report, as_json, examine, text
from resik.inspection import StackCard, write_card
from square.clock import FixedClock
from square.health import Health, HealthServer
from square.site import resolve_site
from tests.services import free_port

NOW_S = 1_795_488_752


def chain_in(folder: Path, speed=1.0, store_url=None, **healths):
    """Make a chain whose services say what the test says; a folder in which a stack once ran."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "kind").write_text("simulated\n")
    card = StackCard(
        address="http://127.0.0.1:9/",
        site=str(resolve_site("alun-alun-pasuruan")),
        database_url=f"sqlite:///{folder}/resik.sqlite3",
        clock_file=None,
        health_ports=dict.fromkeys(("gateway", "ingest", "alerts", "dashboard"), 9),
        broker_url="mqtt://127.0.0.1:9",
        store_url=store_url or f"sqlite:///{folder}/points.sqlite3",
    )
    write_card(folder / "run" / "stack.json", card)
    chain = Chain.in_folder(folder)
    chain.is_running = True
    chain.clock = FixedClock(NOW_S, speed=speed)
    chain._healths = {
        name: Health(name, said.get("ok", True), said.get("reason", ""), said.get("counts", {}))
        for name, said in healths.items()
    }
    return chain


@contextlib.contextmanager
def server_saying(offset_s):
    """Serve 204 with a Date that is ``offset_s`` ahead of ours."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(404)  # any answer has a date
            self.send_header("Date", formatdate(time.time() + offset_s, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("free_pct", "state"), [(40, "ok"), (15, "ok"), (14.9, "note"), (5, "note"), (4.9, "broken")])
def test_the_disk_is_judged_by_the_gateways_marks(tmp_path, monkeypatch, free_pct, state):
    """Below 15 % people are told, below 5 % the gateway takes nothing in."""
    monkeypatch.setattr(checkup, "disk_bytes", lambda _folder: (1000, free_pct * 10))
    assert checkup.disk(chain_in(tmp_path)).state == state


@pytest.mark.parametrize(
    ("offset_s", "state"), [(0, "ok"), (30, "note"), (-30, "note"), (600, "broken"), (-600, "broken")]
)
def test_the_clock_is_held_against_the_stores(tmp_path, offset_s, state):
    """Two minutes are what ingest allows; the sentence says by how much and from whom."""
    with server_saying(offset_s) as port:
        found = checkup.clock(chain_in(tmp_path, store_url=f"influx1://127.0.0.1:{port}/resik"))
    assert found.state == state
    assert "time-series store" in found.what.en
    if offset_s:
        assert f"{-offset_s / abs(offset_s):+.0f}"[0] in found.what.en


def test_a_machine_that_lost_its_time_is_seen_without_any_server(tmp_path, monkeypatch):
    """Earlier than this program was written is wrong."""
    monkeypatch.setattr(checkup.time, "time", lambda: 86_400.0)
    found = checkup.clock(chain_in(tmp_path))
    assert found.state == "broken"
    assert "1970-01-02" in found.what.en


@pytest.mark.parametrize(
    ("waiting", "age_s", "speed", "state"),
    [
        (0, 0, 1, "ok"),
        (5, 59, 1, "ok"),
        (5, 61, 1, "broken"),
        (5, 1700, 30, "ok"),
        (5, 1900, 30, "broken"),
        (5, 9e9, 0, "ok"),
    ],
)
def test_rows_that_wait_while_all_answer_are_stuck(tmp_path, waiting, age_s, speed, state):
    """A minute of wall time, however fast the square's time runs; a clock that stands says nothing."""
    counts = {"waiting": waiting, "oldest_waiting_age_s": age_s}
    assert checkup_flow.flow(chain_in(tmp_path, speed=speed, gateway={"counts": counts})).state == state


@pytest.mark.parametrize(("draining", "unanswered_s", "state"), [(1, 2, "note"), (1, 61, "broken"), (0, 2, "broken")])
def test_an_outage_that_is_worked_off_is_no_broken_link(tmp_path, draining, unanswered_s, state):
    """Old rows go up at a limited pace; as long as ingest answers, that they wait is how it should be."""
    counts = {"waiting": 9000, "oldest_waiting_age_s": 7200, "draining": draining, "unanswered_s": unanswered_s}
    assert checkup_flow.flow(chain_in(tmp_path, speed=1, gateway={"counts": counts})).state == state


def test_a_service_speaks_for_itself(tmp_path):
    """No answer quotes the last line of its log; not well gives its reason; a remark is a note."""
    chain = chain_in(
        tmp_path,
        gateway={"ok": False, "reason": "disk full."},
        ingest={},
        alerts={"reason": "catching up waits"},
    )
    (tmp_path / "logs" / "dashboard.log").write_text("2026-11-24T08:17:46+0000 ERROR dashboard_api: port taken\n")
    assert checkup_flow.service(chain, "gateway").what.en == "disk full."
    assert checkup_flow.service(chain, "ingest").state == "ok"
    assert checkup_flow.service(chain, "alerts").state == "note"
    found = checkup_flow.service(chain, "dashboard")
    assert found.state == "broken"
    assert '"dashboard: port taken"' in found.todo.en


@pytest.mark.parametrize(("age_s", "state"), [(1, "ok"), (119, "ok"), (125, "broken"), (None, "broken")])
def test_an_engine_without_a_sign_of_life_decides_nothing(tmp_path, age_s, state):
    """Its page may answer all the same: the sign in the relational store counts."""
    beats = [{"service": "other", "wall_s": time.time()}]
    if age_s is not None:
        beats.append({"service": "alerts", "wall_s": time.time() - age_s})
    assert checkup_flow.engine(chain_in(tmp_path, alerts={}), beats).state == state


@pytest.mark.parametrize(("silent", "state"), [(0, "ok"), (3, "note"), (22, "broken")])
def test_some_silent_nodes_are_a_remark_and_all_are_a_break(tmp_path, silent, state):
    """When nobody speaks it is not the nodes."""
    chain = chain_in(tmp_path, alerts={"counts": {"silent": silent, "assets": 22}})
    assert checkup_flow.nodes(chain).state == state


@pytest.mark.parametrize(
    ("letters", "rows", "age_s", "state"),
    [(0, 100, 0, "ok"), (3, 100, 60, "note"), (30, 1000, 60, "note"), (30, 100, 60, "broken"), (30, 100, 7200, "ok")],
)
def test_dead_letters_are_judged_by_the_last_hour(tmp_path, letters, rows, age_s, state):
    """Old ones are history; many, and many of all rows, are a break; device and code are named."""
    file = SqliteDeadLetters(tmp_path / "deadletters.sqlite3", quota_per_device=100)
    file.prepare()
    at_ms = (NOW_S - age_s) * 1000
    file.put([DeadLetter("rsk-b001", "t", "bad-json", "no", b"%d" % n) for n in range(letters)], at_ms)
    file.close()
    chain = chain_in(tmp_path, ingest={"counts": {"rows_taken": rows, "dead_lettered": letters}})
    found = checkup_flow.dead_letters(chain)
    assert found.state == state
    if state != "ok":
        assert "bad-json" in found.what.en
        assert "rsk-b001" in found.what.en


def test_a_relational_file_that_is_gone_is_not_made_anew(tmp_path):
    """To look is not to create."""
    found, beats = checkup.relational(chain_in(tmp_path))
    assert (found.state, beats) == ("broken", [])
    assert not (tmp_path / "resik.sqlite3").exists()


def test_a_store_that_ingest_cannot_write_is_broken_though_it_can_be_read(tmp_path, monkeypatch):
    """Of a file, which has one writer, the writer's word counts."""

    class Readable:
        def prepare(self):
            pass

        def series(self, *_args, **_options):
            pass

        close = prepare

    monkeypatch.setattr(checkup, "open_store", lambda *_args, **_options: Readable())
    chain = chain_in(tmp_path, ingest={"ok": False, "reason": "the disk is full", "counts": {"store_ok": 0}})
    assert checkup.time_series(chain).state == "broken"
    assert checkup.time_series(chain).what.en == "the disk is full"


def test_the_books_of_each_part_name_their_terms():
    """Equations are sums of what the parts count; a difference keeps its sign."""
    intake, spool = gateway_lines(Totals(offered=10, duplicates=3, let_go=1, spooled=6, stored=4, dead=1), 2)
    assert (intake.difference, spool.difference) == (0, -1)
    counts = {"rows_taken": 9, "stored": 5, "dead_lettered": 1, "status_rows": 2, "rows_in_hand": 0}
    assert ingest_line(Health("ingest", True, "", counts)).difference == 1
    assert checkup_flow.books([]).state == "unknown"
    assert checkup_flow.books([intake]).state == "ok"
    found = checkup_flow.books([intake, spool])
    assert found.state == "broken"
    assert "out of the gateway -1" in found.what.en


def test_what_cannot_be_looked_at_is_unknown_and_the_rest_is_seen(tmp_path, monkeypatch):
    """A fault of the doctor hides no link, and is exit code 2 when nothing else is broken."""
    chain = chain_in(tmp_path, gateway={}, ingest={}, alerts={}, dashboard={})

    def fail(_chain):
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(checkup, "disk", fail)
    report = examine(chain)
    assert report.findings[0].link == "disk"
    assert report.findings[0].state == "unknown"
    assert "ZeroDivisionError: odd" in report.findings[0].what.en
    assert {found.link for found in report.findings} == set(NAMES) - {"certificates", "broker-files", "ledger"}
    assert report.exit_code == 1  # here the broker is away, too
    assert Report([report.findings[0]], []).exit_code == 2


def test_the_first_broken_link_is_said_in_both_languages(tmp_path):
    """Whoever reads it knows what is wrong and what to do; a sound chain says so, remarks below."""
    ok = Finding("disk", "ok", Words("Baik.", "Fine."))
    note = Finding(
        "nodes", "note", Words("Satu diam.", "One is silent."), Words("Periksa baterai.", "Look at batteries.")
    )
    broken = Finding("ingest", "broken", Words("Mati.", "Gone."), Words("Mulai ulang.", "Start it again."))
    line = Line(Words("masuk", "in"), {"offered": 3}, {"spooled": 2, "duplicates": 1})
    said = text(Report([ok, broken, note], [line]), tmp_path)
    assert "Mata rantai pertama yang putus: penyimpan bacaan. Mati." in said
    assert "Yang perlu dilakukan: Mulai ulang." in said
    assert "First broken link: ingest. Gone." in said
    assert "What to do: Start it again." in said
    assert "offered 3 = spooled 2 + duplicates 1; selisih / difference 0" in said
    said = text(Report([ok, note], []), tmp_path)
    assert "Rantai utuh, dengan catatan:" in said
    assert "Periksa baterai." in said
    assert "The chain is sound." in text(Report([ok], []), tmp_path)
    report = json.loads(as_json(Report([ok, broken], [line])))
    assert (report["ok"], report["first_broken"], report["balance"][0]["difference"]) == (False, "ingest", 0)
    assert NOTHING.id == ""


def test_a_spool_that_a_gateway_holds_is_left_alone(tmp_path):
    """No answer and a locked file give no figures, and no error."""
    from gateway.spool import Spool
    from resik import balance

    chain = chain_in(tmp_path)
    spool = Spool(tmp_path / "spool.sqlite3", now_ms=0)
    try:
        assert balance.balance(chain) == []
    finally:
        spool.close()
    assert [line.difference for line in balance.balance(chain)] == [0, 0]
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.sqlite3")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM totals").fetchone() == (1,)


def test_services_that_run_one_by_one_are_found_by_their_settings(tmp_path):
    """Ports, stores and files come from the same file that the services read; what has no health page is unknown."""
    port = free_port()
    file = tmp_path / "resik.toml"
    file.write_text(
        f"""
[gateway]
health_port = {port}
spool_file = "{tmp_path}/edge/spool.sqlite3"
broker_url = "mqtt://127.0.0.1:9"
broker_password_file = "{tmp_path}/words/gateway"
[ingest]
store_url = "influx1://127.0.0.1:9/resik"
dead_letter_file = "{tmp_path}/letters.sqlite3"
[alerts]
database_url = "sqlite:///{tmp_path}/resik.sqlite3"
[dashboard]
port = 9
"""
    )
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "gateway").write_text("x")
    (tmp_path / "edge").mkdir()
    assert not Chain.of_settings(file).is_running
    server = HealthServer(port, lambda: Health("gateway", True, "", {}))
    try:
        chain = Chain.of_settings(file)
    finally:
        server.close()
    assert chain.is_running
    assert chain.spool == tmp_path / "edge" / "spool.sqlite3"
    assert chain.dead_letters == tmp_path / "letters.sqlite3"
    assert chain.secrets == tmp_path / "words"
    assert (chain.card.store_url, chain.card.health_ports) == (
        "influx1://127.0.0.1:9/resik",
        {"gateway": port, "dashboard": 9},
    )
    assert checkup_flow.service(chain, "gateway").state == "ok"
    found = checkup_flow.service(chain, "ingest")
    assert (found.state, "[ingest]" in found.todo.en) == ("unknown", True)
    result = CliRunner().invoke(main, ["doctor", "--config", str(file)])
    assert result.exit_code == 1
    assert "No service answers" in result.output
    assert CliRunner().invoke(main, ["doctor", "--config", str(file), "--data", str(tmp_path)]).exit_code == 2


def test_series_that_wait_are_a_remark(tmp_path, monkeypatch):
    """Hourly means that wait break no chain: readings are stored."""
    monkeypatch.setattr(checkup, "_write_and_read", lambda *_arguments: True)
    chain = chain_in(tmp_path, store_url="influx1://127.0.0.1:9/resik", ingest={"counts": {"rollup_ok": 0}})
    assert checkup.time_series(chain).state == "note"


def test_a_ledger_without_its_store_leaves_the_rest_of_the_report(tmp_path):
    """The link of the store is broken; the other links are seen all the same."""
    chain = chain_in(tmp_path, gateway={}, ingest={}, alerts={}, dashboard={})
    chain.ledger.write_text("rsk-b001,7,1,0\n")
    report = examine(chain, with_ledger=True)
    assert {found.link: found.state for found in report.findings}["time-series"] == "broken"
    assert report.findings[-1].link == "balance"


def test_a_ledger_that_cannot_be_compared_is_told(tmp_path):
    """Asked for it, the doctor is never silent: of a stopped stack, and of one whose nodes are real."""
    chain = chain_in(tmp_path)
    chain.ledger.write_text("rsk-b001,7,1,0\n")
    chain.is_running = False
    report = examine(chain, with_ledger=True)
    found = {found.link: found for found in report.findings}["ledger"]
    assert found.state == "unknown"
    assert f"{chain.ledger} was not compared with the store" in text(report, chain.data)
    assert "while `resik up` runs" in text(report, chain.data)
    assert "ledger" not in {found.link for found in examine(chain).findings}, "nobody asked"
    chain.is_running = True
    chain.ledger.unlink()
    assert f"no reading in {chain.ledger}" in checkup_flow.no_ledger(chain).what.en


def test_every_ingest_worker_is_asked(tmp_path):
    """One of three that is ill is named; their figures are one sum, and the books have a line for each."""
    counts = {"rows_taken": 10, "stored": 9, "dead_lettered": 1}
    well, ill = {"counts": counts}, {"ok": False, "reason": "the store is away", "counts": {**counts, "store_ok": 0}}
    chain = chain_in(tmp_path)
    chain.card.health_ports.update({"ingest-2": 9, "ingest-10": 9})
    names = ["ingest", "ingest-2", "ingest-10"]
    assert chain.workers == names

    def said(*healths):
        chain._healths = {
            name: Health("ingest", one.get("ok", True), one.get("reason", ""), one["counts"])
            for name, one in zip(names, healths, strict=False)
        }
        return checkup_flow.ingest(chain)

    found = said(well, well, well)
    assert (found.link, found.state) == ("ingest", "ok")
    assert "3 workers" in found.what.en
    assert "9, 9, 9" in found.what.en
    assert chain.count("ingest", "stored") == 27
    found = said(well, ill, well)
    assert (found.link, found.state) == ("ingest", "broken")
    assert "ingest-2" in found.what.en
    found = said(well, well)
    assert found.state == "broken"
    assert "ingest-10" in found.what.en
    lines = [ingest_line(chain.health("ingest"), name) for name in names]
    assert [line.name.en for line in lines] == ["ingest", "ingest 2", "ingest 10"]
    assert [line.difference for line in lines] == [0, 0, 0]
