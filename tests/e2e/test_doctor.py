"""The doctor names the part that was really stopped, one after another, and its books balance throughout."""

import contextlib
import json
import os
import signal
import sqlite3
import urllib.request

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from resik.chain import Chain
from resik.cli import main
from resik.examination import examine
from resik.folder import DataFolder
from resik.ports import free_port
from resik.stack import Stack, StackSettings
from square.metrics import COUNTS, metric_names
from tests.services import start_influxd, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.service]


def look(stack, **options):
    return examine(Chain.in_folder(stack.folder.root), **options)


def first_broken(stack):
    found = look(stack).first_broken
    return None if found is None else found.link


def metrics_of(stack, service):
    url = f"http://127.0.0.1:{stack.metrics_ports[service]}/metrics"
    with urllib.request.urlopen(url, timeout=5) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    return {sample.name: sample.value for family in families for sample in family.samples}


@contextlib.contextmanager
def stopped(stack, part):
    """Take a part away and bring it back; nobody supervises, so nothing else starts it again."""
    child = stack.child(part)
    child.stop()
    try:
        yield
    finally:
        child.start()
    wait_until(lambda: part == "broker" or child.poll_health() is not None, 20, f"{part} to answer")


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a running stack with a server as its store, and that server; the last test stops the stack."""
    folder = tmp_path_factory.mktemp("doctor")
    influx = start_influxd(folder / "influx")
    settings = StackSettings(
        port=free_port(),
        broker_port=free_port(),
        start="10:00",
        speed=1.0,
        store_url=influx.url.replace("http", "influx1") + "/resik",
    )
    stack = Stack(settings, DataFolder(folder / "data", "simulated"), simulate={"bin_interval_s": "5"})
    try:
        with stack.running():
            wait_until(lambda: metrics_of(stack, "ingest")["resik_ingest_stored_total"] > 20, 20, "readings")
            wait_until(lambda: look(stack).exit_code == 0, 15, "a sound chain")
            yield stack, influx
    finally:
        influx.stop()


def test_a_sound_chain_balances_down_to_each_reading(square):
    """Every link is well, each published reading stands in the store once, and the doctor left one point of its own."""
    stack, influx = square
    code, output = run(stack, "--json", "--ledger")
    report = json.loads(output)
    assert (code, report["ok"], report["first_broken"]) == (0, True, None)
    assert {found["state"] for found in report["links"]} <= {"ok", "note"}
    assert [line["name"]["en"] for line in report["balance"]] == [
        "into the gateway", "out of the gateway", "ingest", "ledger of the simulated nodes",
    ]  # fmt: skip
    assert all(line["difference"] == 0 for line in report["balance"])
    assert report["balance"][3]["became"]["stored"] > 20
    query = "q=SELECT+count(nonce)+FROM+doctor&db=resik"  # many looks by now
    with urllib.request.urlopen(f"{influx.url}/query?{query}", timeout=5) as reply:
        (series,) = json.load(reply)["results"][0]["series"]
    assert series["values"][0][1] == 1


@pytest.mark.parametrize("service", COUNTS)
def test_every_process_serves_all_its_metrics(square, service):
    """Each declared figure is there, and nothing that is not declared."""
    stack, _ = square
    sent = metrics_of(stack, service)
    assert {name for name in sent if name.startswith("resik_")} <= metric_names()
    assert {f"resik_{service}_{count.metric}" for count in COUNTS[service].values()} <= sent.keys()
    assert sent["process_resident_memory_bytes"] > 1e6


def test_a_store_that_is_down_is_named_and_not_those_who_miss_it(square):
    """Ingest and map complain, too; the store comes first."""
    stack, influx = square
    influx.stop()
    assert first_broken(stack) == "time-series"
    influx.start()
    wait_until(lambda: look(stack).exit_code == 0, 40, "the store to be used again")


@pytest.mark.parametrize("part", ["broker", "gateway", "ingest", "alerts", "dashboard"])
def test_the_part_that_is_away_is_named_first(square, part):
    """However many others suffer from it. The books balance while it is away and after it is back."""
    stack, _ = square
    before = metrics_of(stack, "gateway")["resik_gateway_file_offered_total"]
    with stopped(stack, part):
        report = look(stack)
        assert report.first_broken is not None
        assert report.first_broken.link == part
        assert not any(line.difference for line in report.lines)
    wait_until(lambda: look(stack).exit_code == 0, 40, f"a sound chain with {part} back")
    after = metrics_of(stack, "gateway")
    assert after["resik_gateway_file_offered_total"] >= before
    if part == "gateway":  # the file's figures went on, those of the process began anew
        assert after["resik_gateway_file_offered_total"] > after["resik_gateway_offered_total"]


def test_a_process_that_hangs_is_as_good_as_away(square):
    """It accepts connections and says nothing."""
    stack, _ = square
    pid = stack.child("ingest").pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert first_broken(stack) == "ingest"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_stack_is_told_apart_and_tampering_shows(square):
    """What can be read without it is read; two rows that were revived break the second equation."""
    stack, _ = square
    stack.stop()
    code, output = run(stack)
    assert code == 1
    assert "Mata rantai pertama yang putus: layanan berjalan." in output
    assert "First broken link: services running." in output
    report = look(stack)
    assert [line.difference for line in report.lines] == [0, 0]
    with sqlite3.connect(stack.folder.spool) as thief:
        thief.execute(
            "UPDATE settled SET to_id = to_id - 2"
            " WHERE from_id = (SELECT MAX(from_id) FROM settled WHERE to_id > from_id + 1)"
        )
    thief.close()
    report = look(stack)
    assert [line.difference for line in report.lines] == [0, -2]
    assert (report.findings[-1].link, report.findings[-1].state) == ("balance", "broken")


def run(stack, *options):
    result = CliRunner().invoke(main, ["doctor", "--data", str(stack.folder.root), *options])
    return result.exit_code, result.output


def test_without_a_stack_it_cannot_look(tmp_path):
    """No data folder is exit code 2, with the way to start."""
    result = CliRunner().invoke(main, ["doctor", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "is no data folder" in result.output
