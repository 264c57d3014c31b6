"""The sample in gateway/README.md is the truth about the settings."""

from pathlib import Path

import pytest

from gateway.settings import SECTION, GatewaySettings
from square.errors import SettingsError
from square.settings import load_settings

README = (Path(__file__).parents[3] / "gateway" / "README.md").read_text(encoding="utf-8")


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
