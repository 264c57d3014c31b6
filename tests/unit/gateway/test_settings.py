"""The sample in gateway/README.md is the truth about the settings."""

from pathlib import Path
from typing import get_args

import pytest

from gateway.settings import SECTION, GatewaySettings, MakeSource
from square.errors import SettingsError
from square.makes import FORMATS
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
        ("[gateway]\nmakes = [{format = 'sigfox', filter = 'a/+'}]", "makes.0.format"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = 'v3/+', port = 1}]", "makes.0.port"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = '#'}]", "makes.0.filter.*first level"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = 'resik/+/+/up/#'}]", "makes.0.filter.*first level"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = '$SYS/#'}]", "makes.0.filter.*first level"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = 'v3/#/up'}]", "makes.0.filter.*alone"),
        ("[gateway]\nmakes = [{format = 'ttn', filter = 'v3/a+/up'}]", "makes.0.filter.*alone"),
    ],
)
def test_a_wrong_setting_names_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    """A misspelt key or a value out of bounds is one sentence that names the place."""
    config = tmp_path / "resik.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=word) as caught:
        load_settings(GatewaySettings, SECTION, config)
    assert str(config) in str(caught.value)


def test_topics_of_other_makes_come_from_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of formats and filters; in the environment it is written as JSON."""
    config = tmp_path / "resik.toml"
    config.write_text("[gateway]\nmakes = [{format = 'chirpstack', filter = 'application/+/device/+/event/up'}]")
    (make,) = load_settings(GatewaySettings, SECTION, config).makes
    assert (make.format, make.filter) == ("chirpstack", "application/+/device/+/event/up")
    monkeypatch.setenv("RESIK_GATEWAY_MAKES", '[{"format":"ttn","filter":"v3/+/devices/+/up"}]')
    (make,) = load_settings(GatewaySettings, SECTION, config).makes
    assert make.format == "ttn"


def test_the_formats_of_the_setting_are_those_that_can_be_read() -> None:
    """The setting and the reader name the same formats."""
    assert set(get_args(MakeSource.model_fields["format"].annotation)) == set(FORMATS)
