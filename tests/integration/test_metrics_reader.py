"""Our metrics and what asks for them, read by a time-series database that is not ours."""

import json
import urllib.parse
import urllib.request
from collections import defaultdict

import pytest

from square.metrics import COUNTS, HISTOGRAMS, exposition, families, histogram
from tests.services import start_victoria
from tests.unit.test_observability import ALERTS, PROMETHEUS

pytestmark = pytest.mark.service

HOUR_S = 3600
STEP_S = 120
WELL_UNTIL_S = 1_795_480_000
ILL_UNTIL_S = WELL_UNTIL_S + 4 * HOUR_S
"""Two hours of a healthy square, and two hours of one in which everything is wrong at once."""

WELL = {
    "gateway": {"offered": 100, "received": 98, "spooled": 95, "file_offered": 100, "file_duplicates": 5}
    | {"file_spooled": 95, "file_stored": 95, "settled_stored": 95},
    "ingest": {"rows_taken": 97, "rows": 97, "stored": 95, "status_rows": 2},
    "alerts": {"readings": 95},
    "dashboard": {},
    "simulator": {},
}


def figures(service, minutes, *, is_well):
    """Return the figures of a service after so many minutes."""
    counts = defaultdict(int, {key: each * minutes for key, each in WELL[service].items()})
    gauges = {"disk_free_pct": 60, "assets": 22, "decided_age_s": 1, "store_ok": 1}
    counts.update({key: value for key, value in gauges.items() if key in COUNTS[service]})
    if not is_well:
        counts |= {
            "file_offered": counts["file_offered"] + 7,
            "file_spooled": counts["file_spooled"] - 1,
            "rows_taken": counts["rows_taken"] + 3,
            "received": 5,  # and nothing more
            "oldest_waiting_age_s": 900,
            "waiting": 50,
            "disk_free_pct": 3,
            "devices_ahead": 9,
            "spool_replaced": 1,
            "missing_lost": minutes,
            "dead_lettered": 10 * minutes,
            "session_lost": minutes // 10,
            "commit_failures": minutes,
            "decided_age_s": 500,
            "silent": 20,
        }
    return {key: counts[key] for key in COUNTS[service]}


class Reader:
    """VictoriaMetrics with our pages in it."""

    def __init__(self, url):
        self.url = url

    def take(self, service, page, at_s):
        query = [
            ("timestamp", at_s * 1000),
            ("extra_label", f"job=resik-{service}"),
            ("extra_label", f"instance={service}"),
        ]
        url = f"{self.url}/api/v1/import/prometheus?{urllib.parse.urlencode(query)}"
        urllib.request.urlopen(urllib.request.Request(url, data=page), timeout=10).close()

    def ask(self, expression, at_s):
        query = {"query": expression.replace("$__rate_interval", "10m"), "time": at_s, "nocache": 1}
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode(query)}", timeout=10) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success"
        return answer["data"]["result"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Give a database that has read four hours of pages."""
    server = start_victoria(tmp_path_factory.mktemp("victoria"))
    reader = Reader(server.url)
    measured = [histogram(name) for name in HISTOGRAMS]
    for until_s, is_well in ((WELL_UNTIL_S, True), (ILL_UNTIL_S, False)):
        for since_s in range(0, 2 * HOUR_S + 1, STEP_S):
            for found in measured:
                found.observe([0.02 if is_well else 100.0] * 50)
            for service in COUNTS:
                counts = figures(service, since_s // 60, is_well=is_well)
                found = families(service, ok=is_well, counts=counts, histograms=measured if service == "ingest" else [])
                page = exposition(found)[0] + b"up %d\n" % is_well
                reader.take(service, page, until_s - 2 * HOUR_S + since_s)
    urllib.request.urlopen(f"{server.url}/internal/force_flush", timeout=10).close()
    yield reader
    server.stop()


def test_values_arrive_as_they_were_said(reader):
    """Another program's parser reads our page: names, labels and values."""
    (found,) = reader.ask("resik_gateway_file_offered_total", WELL_UNTIL_S)
    assert found["metric"]["job"] == "resik-gateway"
    assert float(found["value"][1]) == 100 * 120
    (found,) = reader.ask("resik_gateway_disk_free_ratio", WELL_UNTIL_S)
    assert float(found["value"][1]) == pytest.approx(0.6)
    assert len(reader.ask("resik_healthy", WELL_UNTIL_S)) == len(COUNTS)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_silent_when_all_is_well_and_speaks_when_not(reader, rule):
    """Its expression can be evaluated, gives nothing over a healthy square and something over a sick one."""
    assert reader.ask(rule["expr"], WELL_UNTIL_S) == []
    assert reader.ask(rule["expr"], ILL_UNTIL_S) != []


@pytest.mark.parametrize("expression", PROMETHEUS)
def test_a_panel_shows_something(reader, expression):
    """Every expression of the dashboard gives at least one line."""
    assert reader.ask(expression, WELL_UNTIL_S)


def test_latency_is_read_from_the_buckets(reader):
    """All readings took 20 ms: the 99th percentile lies in the bucket that holds them."""
    expression = next(found for found in PROMETHEUS if "0.99" in found)
    (found,) = reader.ask(expression, WELL_UNTIL_S)
    assert 0.01 < float(found["value"][1]) <= 0.025
