"""What Prometheus reads from a process."""

import re
import threading
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from gateway.service import Gateway
from gateway.settings import GatewaySettings
from square.health import Health, HealthServer
from square.metrics import COUNTS, HISTOGRAMS, Histogram, exposition, families, histogram, metric_names
from tests.services import free_port

UNITS = ("_seconds", "_ratio", "_bytes", "_rows", "_batches", "_readings", "_nodes")


def get(port, accept="text/plain"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return reply.headers["Content-Type"], reply.read().decode()


@pytest.mark.parametrize("service", COUNTS)
def test_every_declared_figure_is_read_back_with_kind_help_and_value(service):
    """Both formats of a whole page parse, and each figure arrives under its name, with its kind and its value."""
    counts = {key: number for number, key in enumerate(COUNTS[service], 1)}
    port = free_port()
    server = HealthServer(port, lambda: Health(service, False, "away", counts))
    try:
        pages = [
            (get(port), read_text, "text/plain"),
            (
                get(port, "application/openmetrics-text; version=1.0.0"),
                read_openmetrics,
                "application/openmetrics-text",
            ),
        ]
    finally:
        server.close()
    for (content_type, text), read, expected_type in pages:
        assert content_type.startswith(expected_type)
        found = {family.name: family for family in read(text)}
        for key, count in COUNTS[service].items():
            family = found[f"resik_{service}_{count.metric}".removesuffix("_total")]
            assert (family.type, family.documentation) == (count.kind, count.meaning)
            assert family.samples[0].value == pytest.approx(counts[key] / count.divisor)
        assert found["resik_healthy"].samples[0].labels == {"service": service}
        assert found["resik_healthy"].samples[0].value == 0
        assert found["resik_build_info"].samples[0].value == 1
        assert found["process_resident_memory_bytes"].samples[0].value > 1e6
        assert "process_start_time_seconds" in found


def test_names_say_kind_and_unit():
    """Counters end in _total and gauges do not; no two figures share a name; a time or share names its unit."""
    for service, counts in COUNTS.items():
        names = [count.metric for count in counts.values()]
        assert len(set(names)) == len(names)
        for key, count in counts.items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", count.metric)
            assert count.metric.endswith("_total") == (count.kind == "counter"), (service, key)
            assert count.meaning.endswith(".")
            if key.endswith(("_s", "_pct")):
                assert count.metric.endswith(UNITS), (service, key)
            assert f"resik_{service}_{count.metric}" in metric_names()


def test_a_percentage_becomes_a_ratio():
    """81.5 % of free disk are 0.815, as Prometheus users expect."""
    text = exposition(families("gateway", ok=True, counts={"disk_free_pct": 81.5}))[0].decode()
    assert "resik_gateway_disk_free_ratio 0.815\n" in text


def test_an_undeclared_figure_is_left_out():
    """A figure whose kind nobody declared would be a guess."""
    text = exposition(families("gateway", ok=True, counts={"unheard_of": 1}))[0].decode()
    assert "unheard_of" not in text


@given(st.lists(st.lists(st.floats(0, 100), max_size=20), max_size=5))
def test_a_histogram_counts_every_value_in_every_bucket_that_holds_it(groups):
    """Each bucket is the number of values up to its limit; the last one and the count are all of them."""
    histogram = Histogram("resik_x_seconds", "X.", (0.1, 1, 50))
    for group in groups:
        histogram.observe(group)
    values = [value for group in groups for value in group]
    (family,) = read_text(exposition([histogram.family()])[0].decode().split("# HELP process")[0])
    samples = {(s.name.removeprefix("resik_x_seconds_"), s.labels.get("le")): s.value for s in family.samples}
    for limit in (0.1, 1.0, 50.0):
        assert samples["bucket", str(limit)] == sum(value <= limit for value in values)
    assert samples["bucket", "+Inf"] == samples["count", None] == len(values)
    assert samples["sum", None] == pytest.approx(sum(values))


def test_other_paths_are_not_found():
    """The port answers for two pages only."""
    port = free_port()
    server = HealthServer(port, lambda: Health("gateway", True, "", {}))
    try:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metric", timeout=5)
    finally:
        server.close()


def test_the_gateway_declares_every_figure_it_shows(tmp_path):
    """A new figure on the health page fails here until somebody says what it is."""
    settings = GatewaySettings(broker_url="mqtt://127.0.0.1:1", spool_file=tmp_path / "spool.sqlite3")
    gateway = Gateway(settings, threading.Event())
    try:
        assert gateway.health().counts.keys() == COUNTS["gateway"].keys()
    finally:
        gateway.spool.close()


def test_every_declared_histogram_can_be_made_and_is_known():
    """Limits ascend, the unit is in the name, and its parts are names that a dashboard may use."""
    for name, (meaning, limits) in HISTOGRAMS.items():
        assert list(limits) == sorted(set(limits))
        assert name.endswith(("_seconds", "_points"))
        assert meaning.endswith(".")
        (family,) = read_text(exposition([histogram(name).family()])[0].decode().split("# HELP process")[0])
        assert {sample.name for sample in family.samples} <= metric_names()
