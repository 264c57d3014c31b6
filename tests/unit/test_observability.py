"""Rules, dashboard and page about metrics speak of metrics that exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

from square.metrics import COUNTS, HISTOGRAMS, metric_names
from square.quantities import QUANTITIES

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "docs" / "grafana" / "alerts.yml").read_text(encoding="utf-8"))
BOARD = json.loads((ROOT / "docs" / "grafana" / "resik.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")

ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
TARGETS = [target for panel in BOARD["panels"] for target in panel["targets"]]
PROMETHEUS = [target["expr"] for target in TARGETS if target["datasource"]["type"] == "prometheus"]
INFLUX = [target["query"] for target in TARGETS if target["datasource"]["type"] == "influxdb"]


def names_in(expression):
    """Return the metrics of an expression; a name pattern stands for every metric that it matches."""
    patterns = re.findall(r'__name__=~"([^"]+)"', expression)
    rest = re.sub(r'"[^"]*"', "", expression)
    return {*re.findall(r"\b(?:resik|process)_[a-z0-9_]+|\bup\b", rest), *matched(patterns)}


def matched(patterns):
    for pattern in patterns:
        found = {name for name in metric_names() if re.fullmatch(pattern, name)}
        assert found, pattern
        yield from found


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_rule_asks_for_what_exists_and_says_what_to_do(rule):
    """Every metric of its expression is one of ours; people get a sentence in both languages, and a severity."""
    names = names_in(rule["expr"])
    assert names
    assert names <= metric_names()
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert " / " in rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert f"`{rule['alert']}`" in PAGE


def test_alerts_have_names_of_their_own():
    """Two rules with one name could not be told apart."""
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("expression", PROMETHEUS)
def test_a_panel_asks_for_what_exists(expression):
    """Every metric of the dashboard is one of ours."""
    names = names_in(expression)
    assert names
    assert names <= metric_names()


def test_the_dashboard_can_be_imported():
    """Sources are inputs that the importer asks for; panels have ids, do not overlap, and are described."""
    inputs = {"${" + found["name"] + "}" for found in BOARD["__inputs"]}
    cells = set()
    for panel in BOARD["panels"]:
        assert panel["datasource"]["uid"] in inputs
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]}
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in mine) < 24
        assert not mine & cells
        cells |= mine
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert "id" not in BOARD  # the id of an installation is not ours to give
    assert INFLUX


@pytest.mark.parametrize("query", INFLUX)
def test_the_panel_over_influxdb_asks_for_a_stored_field(query):
    """Measurement and field are those that ingest writes."""
    (field,) = re.findall(r'mean\("(\w+)"\)', query)
    (measurement,) = re.findall(r'FROM "(\w+)"', query)
    assert measurement == "bin"
    assert field in QUANTITIES


def test_the_page_lists_every_metric():
    """Each figure of each service and each histogram has its line, with its meaning."""
    for service, counts in COUNTS.items():
        for count in counts.values():
            assert f"| `resik_{service}_{count.metric}` | {count.kind} | {count.meaning} |" in PAGE
    for name, (meaning, _) in HISTOGRAMS.items():
        assert f"| `{name}` | histogram | {meaning} |" in PAGE
