"""The sample in gateway/README.md is the truth about the settings."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.settings import SECTION, GatewaySettings
from square.errors import SettingsError
from square.settings import load_settings

README = (Path(__file__).parents[3] / "gateway" / "README.md").read_text(encoding="utf-8")


def test_the_sample_shows_every_setting_with_its_default() -> None:
    """Each field stands in the sample once; a commented value is the default, an empty one is unset."""
    block = re.search(r"```toml\n\[gateway\]\n(.*?)```", README, re.DOTALL)
    assert block is not None
    shown = {}
    for line in block.group(1).splitlines():
        key, _, value = line.removeprefix("# ").partition("=")
        value = value.split("  #")[0].strip()
        shown[key.strip()] = tomllib.loads(f"x = {value}")["x"] if value and not value.startswith("#") else None
    defaults = {
        name: str(field.default) if isinstance(field.default, Path) else field.default
        for name, field in GatewaySettings.model_fields.items()
    }
    assert shown == defaults


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[gateway]\nspool_flie = 'x'", "spool_flie"),
        ("[gateway]\ngateway_id = 'GW 1'", "gateway_id"),
        ("[gateway]\nbatch_rows = 501", "batch_rows"),
        ("[gateway]\nbatches_in_flight = 0", "batches_in_flight"),
        ("[gateway]\ndisk_warn_pct = 4", "warn before you stop"),
    ],
)
def test_a_wrong_setting_names_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    """A misspelt key or a value out of bounds is one sentence that names the place."""
    config = tmp_path / "resik.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=word) as caught:
        load_settings(GatewaySettings, SECTION, config)
    assert str(config) in str(caught.value)
