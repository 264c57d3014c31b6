"""The samples of settings in the documents are the truth about the code."""

import re
import tomllib
from pathlib import Path

import pytest

from alerts.settings import AlertsSettings
from dashboard_api.settings import DashboardSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from resik.stack import StackSettings
from simulators.settings import SimulatorSettings

ROOT = Path(__file__).parents[2]
SAMPLES = [
    ("gateway/README.md", "gateway", GatewaySettings),
    ("ingest/README.md", "ingest", IngestSettings),
    ("alerts/README.md", "alerts", AlertsSettings),
    ("dashboard_api/README.md", "dashboard", DashboardSettings),
    ("simulators/README.md", "simulator", SimulatorSettings),
    ("docs/settings.md", "stack", StackSettings),
]


def plain(value):
    """Return a default as TOML would write it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("page", "section", "settings"), SAMPLES, ids=lambda value: str(value).split("/")[0])
def test_the_sample_shows_every_setting_with_its_default(page, section, settings):
    """Each field stands in the sample once; a commented value is the default, an empty one is unset."""
    text = (ROOT / page).read_text(encoding="utf-8")
    block = re.search(rf"```toml\n\[{section}\]\n(.*?)```", text, re.DOTALL)
    assert block is not None, f"{page} has no [{section}] sample"
    shown = {}
    for line in block[1].splitlines():
        key, _, rest = line.removeprefix("# ").partition("=")
        value = rest.split("  #")[0].strip()
        assert key.strip() not in shown
        shown[key.strip()] = tomllib.loads(f"x = {value}")["x"] if value and not value.startswith("#") else None
    defaults = {
        name: plain(field.get_default(call_default_factory=True)) for name, field in settings.model_fields.items()
    }
    assert shown == defaults
