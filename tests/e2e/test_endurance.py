"""The fault campaign in short: each check of the acceptance list, and all parts killed in one flow.

The whole of it is `python -m bench.endurance`; its report is docs/endurance.md.
"""

import dataclasses
import json
import socket
import subprocess
import sys
import time

import pytest

from bench.endurance import campaign, planted, report
from bench.endurance.campaign import Check, Outcome
from bench.endurance.checker import Letter, Row, Verdict, judge
from bench.endurance.gates import Gate, GateThread, Tapped
from bench.endurance.ledger import Ledger, made_of
from bench.endurance.orders import acks_without
from bench.endurance.parts import NotHere, Trouble, start_all, wait_for
from bench.endurance.powercuts import Disk, Event
from bench.endurance.stage import Facts, Stage
from bench.endurance.storms import looking_at_the_map
from tests.services import free_port, require

pytestmark = [pytest.mark.e2e, pytest.mark.service]

SHORT = 0.02
SEED = 20260101
NUMBERED = [check for check in campaign.CHECKS if check.key.partition("-")[0].isdecimal()]


def all_killed(stage: Stage) -> None:
    """Worker, broker, gateway and store are killed one after the other under one flow, then the store is away."""
    chain = stage.chain
    broker, port = chain.broker()
    influxd, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port, devices=20, resend_s=1.0)
    fleet.flow(400, 10)
    for victim in (ingest, broker, gateway, influxd):
        acked = stage.ledger.acked_count
        wait_for(lambda acked=acked: stage.ledger.acked_count > acked, 30, "a flow")
        victim.kill()
        stage.fault()
        victim.start()
    acked = stage.ledger.acked_count
    wait_for(lambda: stage.ledger.acked_count > acked, 30, "a flow after the last kill")
    stage.settle(fleet, gateway, 60)
    stage.reconcile(store_port)


def run(checks, folder, **options):
    """Run checks as the campaign does; return outcomes by key."""
    require("mosquitto")
    require("influxd")
    options = {"seed": SEED, "scale": SHORT, "keep": True, "say": lambda *_words: None} | options
    return {outcome.check.key: outcome for outcome in campaign.run_campaign(checks, folder, **options)}


def test_kills_in_one_flow_lose_nothing_and_a_planted_loss_is_found(tmp_path):
    """Everything that was made is stored once; and what is planted in a real store is found, each as what it is."""
    checks = [
        Check("all", "everything killed once", all_killed, devices=20),
        Check("planted", "planted", planted.planted, is_planted=True, devices=20),
    ]
    found = run(checks, tmp_path)
    for outcome in found.values():
        assert outcome.state == "passed", (outcome.check.key, outcome.facts.problems)
    assert found["all"].facts.verdict.made > 200
    assert found["all"].facts.verdict.is_kept
    # one row deleted; one reading once more at another time, and one on another asset: real rows of the store
    assert (found["planted"].facts.verdict.lost, found["planted"].facts.verdict.duplicated) == (1, 2)


@pytest.mark.parametrize("check", NUMBERED, ids=lambda check: check.key)
def test_a_check_of_the_acceptance_list_in_short(check, tmp_path):
    """Its faults fire, its limits are kept, nothing is lost and nothing is stored twice."""
    outcome = run([check], tmp_path)[check.key]
    if outcome.state == "not run":
        pytest.skip(outcome.reason)
    assert outcome.state == "passed", outcome.facts.problems
    assert outcome.facts.verdict.is_kept


# -- the judge, and the instruments, without any service -------------------------------------------


def test_the_judge_tells_loss_duplicate_foreign_and_wrong_apart():
    """Each fault is counted as what it is; a dead letter is no loss, and a row beside it is no second account."""
    ids = [("d", 1, seq) for seq in range(1, 6)]
    made = {identity: made_of(*identity, 1_000) for identity in ids}
    rows = [Row(identity, *made[identity]) for identity in ids[:3]]
    letters = [Letter(ids[3], "clock", 1, 10), Letter(None, "bad-json", 1, 10), Letter(ids[0], "clock", 1, 10)]
    assert judge(made, ids[:4], rows, letters) == Verdict(made=5, acked=4, stored=3, dead=1, lost=1)
    again = Row(ids[0], made[ids[0]].ts_ms + 1, made[ids[0]].distance_mm)
    strange = Row(("d", 1, 99), 1, 1)
    whole = [*rows, *(Row(identity, *made[identity]) for identity in ids[3:])]
    assert judge(made, ids, [*whole, again, strange], []) == Verdict(
        made=5, acked=5, stored=5, duplicated=1, foreign=1, wrong=1
    )
    assert judge(made, ids, whole, []).is_kept


def test_a_check_without_a_fault_or_without_a_reading_fails(tmp_path):
    """A run that proves nothing is no pass, and neither is a fault of the campaign itself."""

    def nothing(_stage):
        return

    def broken(_stage):
        raise KeyError("of ours")

    def late(_stage):
        wait_for(lambda: False, 0.01, "rain")

    def impossible(_stage):
        raise NotHere("no such thing here")

    checks = [
        Check("idle", "nothing happens", nothing, devices=1),
        Check("broken", "a slip of ours", broken, devices=1),
        Check("late", "too late", late, devices=1),
        Check("impossible", "cannot be done here", impossible, devices=1),
    ]
    found = run(checks, tmp_path)
    assert found["idle"].state == "failed"
    assert found["idle"].facts.problems == ["no fault fired: this run proves nothing", "no reading was made"]
    assert found["broken"].state == "failed"
    assert "of ours" in found["broken"].facts.problems[0]
    assert found["late"].facts.problems == ["rain: not within 0.01 s"]
    assert (found["impossible"].state, found["impossible"].reason) == ("not run", "no such thing here")


def test_totals_and_page_count_what_did_not_run_as_not_run():
    """What was planted is no loss of the run; a check that did not run is neither passed nor failed."""
    good = Facts(Verdict(made=10, acked=10, stored=9, dead=1), faults=2, notes=["all well"])
    bad = dataclasses.replace(good, verdict=Verdict(made=5, acked=5, stored=4, lost=1), problems=["1 readings lost"])
    checks = {check.key: check for check in campaign.CHECKS}
    outcomes = [
        Outcome(checks["planted"], "passed", Facts(Verdict(made=3, stored=2, lost=1, duplicated=1), faults=1), 1.0),
        Outcome(checks["1"], "passed", good, 1.0),
        Outcome(checks["2"], "failed", bad, 1.0),
        Outcome(checks["9"], "not run", Facts(), 0.0, "mounting small disks needs root"),
    ]
    sums = report.totals(outcomes, seed=1, seconds=3.0)
    assert [sums[name] for name in ("passed", "failed", "not_run", "lost", "duplicated")] == [2, 1, 1, 1, 0]
    assert [sums[name] for name in ("readings_made", "stored", "dead_lettered")] == [15, 13, 1]
    text = report.page_with(
        f"before {report.BEGIN} old {report.END} after",
        report.table(outcomes, seed=1, seconds=3, is_short=False, used={}),
    )
    assert "old" not in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "2 of 4 checks passed, 1 failed, 1 not run" in text
    assert "Not run: mounting small disks needs root." in text
    assert "Not as it must be: 1 readings lost." in text


def test_the_numbered_checks_are_all_there_and_names_are_checked():
    """Checks 1 to 14 of the acceptance list each have a scenario; a name that nobody knows is refused."""
    keys = [check.key for check in campaign.CHECKS]
    assert len(set(keys)) == len(keys)
    assert {str(number) for number in range(1, 15)} <= set(keys)
    words = [sys.executable, "-m", "bench.endurance", "--only", "77"]
    said = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert "no check 77" in said.stderr


def test_early_acks_are_seen_by_both_counters():
    """An ack before its sync, and an acknowledgement of a packet that this connection did not deliver."""
    assert acks_without(["safe", "ack", "ack", "safe", "safe", "ack"]) == (3, 1)
    tapped = Tapped()
    tapped.given.update([1, 2, 3])
    tapped.acked.update([1, 2])
    assert tapped.acked_without_cause == 0
    tapped.acked.update([2, 9])
    assert tapped.acked_without_cause == 2


def test_a_disk_forgets_what_was_not_synced(tmp_path):
    """Unsynced bytes are not in the image; a promise counts from the moment when the ack is sent."""
    disk = Disk()
    for event in (
        Event("write", "", 0, b"kept"),
        Event("sync", ""),
        Event("write", "", 4, b"gone"),
        Event("ack", data=b'rsk-b001 {"v":1,"boot":7,"upto":2,"also":[[4,5]]}'),
    ):
        disk.take(event)
    disk.image(tmp_path / "spool", None)
    assert (tmp_path / "spool").read_bytes() == b"kept"
    assert disk.promised == {("rsk-b001", 7, seq) for seq in (1, 2, 4, 5)}
    disk.take(Event("cut", "", 2))
    disk.take(Event("sync", ""))
    disk.image(tmp_path / "spool", None)
    assert (tmp_path / "spool").read_bytes() == b"ke"


def ended(sock):
    """Whether the other side has let go of a connection, by an end or by a reset."""
    sock.settimeout(5)
    try:
        return not sock.recv(1)
    except ConnectionError:
        return True


def test_a_gate_that_is_cut_lets_nobody_through():
    """Bytes pass an open gate; a cut resets those inside and lets nobody in until it is opened."""
    thread = GateThread()
    with socket.create_server(("127.0.0.1", 0)) as server:
        gate = Gate(thread, server.getsockname()[1])
        try:
            with socket.create_connection(("127.0.0.1", gate.port), 5) as client:
                inside, _ = server.accept()
                with inside:
                    client.sendall(b"hello")
                    inside.settimeout(5)
                    assert inside.recv(5) == b"hello"
                    gate.cut()
                    assert ended(client)
            with socket.create_connection(("127.0.0.1", gate.port), 5) as client:
                assert ended(client)
            gate.open()
            with socket.create_connection(("127.0.0.1", gate.port), 5) as client:
                server.accept()[0].close()
                assert ended(client)
        finally:
            gate.close()
            thread.close()


def test_a_gate_that_loses_segments_delays_and_drops_nothing():
    """What is lost comes a retransmission later, whole; and it is counted."""
    thread = GateThread()
    with socket.create_server(("127.0.0.1", 0)) as server:
        gate = Gate(thread, server.getsockname()[1])
        gate.loss = 1.0
        try:
            with socket.create_connection(("127.0.0.1", gate.port), 5) as client:
                inside, _ = server.accept()
                with inside:
                    inside.settimeout(5)
                    client.sendall(b"hello")
                    sent_s = time.monotonic()
                    assert inside.recv(5) == b"hello"
                    assert time.monotonic() - sent_s > 0.15
            assert gate.segments_lost == 1
        finally:
            gate.close()
            thread.close()


def test_a_map_that_does_not_answer_is_no_quick_map():
    """A look that fails took for ever, so that silence never passes for speed."""
    with looking_at_the_map(free_port()) as took_ms:
        wait_for(lambda: len(took_ms) > 1, 5, "two looks")
    assert set(took_ms) == {float("inf")}


def test_a_ledger_is_written_down_whole(tmp_path):
    """What was made and promised is in the file, for whoever looks into a failure."""
    ledger = Ledger()
    for seq in (1, 2):
        ledger.enter(("d", 7, seq), made_of("d", 7, seq, 1_000))
    ledger.promise(("d", 7, 2))
    ledger.save(tmp_path / "ledger.csv")
    lines = (tmp_path / "ledger.csv").read_text().split()
    assert [line.split(",")[2::3] for line in lines[1:]] == [["1", "0"], ["2", "1"]]
    assert (ledger.count, ledger.acked_count) == (2, 1)
    with pytest.raises(Trouble, match="never"):
        wait_for(lambda: False, 0.0, "never")


def test_the_page_has_its_marks():
    """docs/endurance.md can take a report, and holds the last one."""
    text = (campaign.Path(__file__).parents[2] / "docs" / "endurance.md").read_text()
    assert report.page_with(text, "found") != text
    assert json.dumps(report.totals([], seed=1, seconds=1.0))
