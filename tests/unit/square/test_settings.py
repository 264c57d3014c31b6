"""Settings: everything known is read, everything unknown is refused with a sentence."""

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from square.errors import SettingsError
from square.settings import PipelineSettings, load_settings, read_secret


class ExampleSettings(PipelineSettings):
    """A service with one bounded setting."""

    model_config = SettingsConfigDict(env_prefix="RESIK_GATEWAY_")

    linger_s: float = Field(default=0.02, ge=0, le=1)


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "resik.toml"
        path.write_text(text)
        return path

    return write


def test_environment_wins_over_file_wins_over_default(config, monkeypatch):
    """The nearest source wins, key by key; the command line wins over all."""
    path = config("[gateway]\nlinger_s = 0.5\nhealth_port = 1\n")
    monkeypatch.setenv("RESIK_GATEWAY_HEALTH_PORT", "2")
    settings = load_settings(ExampleSettings, "gateway", path)
    assert (settings.linger_s, settings.health_port, settings.log_level) == (0.5, 2, "INFO")
    assert load_settings(ExampleSettings, "gateway", path, health_port=3).health_port == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gateway]\nlingr_s = 1\n", r"resik.toml: unknown key 'lingr_s' in \[gateway\]: known keys are .*linger_s"),
        ("[gatway]\n", r"unknown section \[gatway\]"),
        ("gateway = 3\n", r"write \[gateway\]"),
        ("[gateway\n", r"not valid TOML.*line 1"),
        ("[gateway]\nlinger_s = 7\n", r"\[gateway\] linger_s: .*less than or equal to 1"),
        ("[gateway]\nlinger_s = 'soon'\n", r"linger_s: .*number"),
    ],
)
def test_bad_files_are_explained(config, text, complaint):
    """Each kind of mistake names file, key and what would be right."""
    with pytest.raises(SettingsError, match=complaint):
        load_settings(ExampleSettings, "gateway", config(text))


def test_misspelt_environment_variable_is_refused(monkeypatch):
    """A variable with the service's prefix that is no setting is an error, not silence."""
    monkeypatch.setenv("RESIK_GATEWAY_LINGR_S", "1")
    with pytest.raises(SettingsError, match="RESIK_GATEWAY_LINGR_S is not a setting"):
        load_settings(ExampleSettings, "gateway")


def test_bad_environment_value_names_the_variable(monkeypatch):
    """The sentence blames the variable, not the file."""
    monkeypatch.setenv("RESIK_GATEWAY_LINGER_S", "9")
    with pytest.raises(SettingsError, match="environment variable RESIK_GATEWAY_LINGER_S"):
        load_settings(ExampleSettings, "gateway")


def test_bad_option_is_blamed_itself():
    """A value from the command line is blamed by its option, not by a file or variable that the person never wrote."""
    with pytest.raises(SettingsError, match=r"the option --linger-s: .*less than or equal to 1"):
        load_settings(ExampleSettings, "gateway", linger_s=9)


def test_missing_file_is_explained(tmp_path):
    """A configuration file that is not there is named."""
    with pytest.raises(SettingsError, match=r"none.toml cannot be read"):
        load_settings(ExampleSettings, "gateway", tmp_path / "none.toml")


def test_secret_file(tmp_path):
    """A secret loses its line end; a missing or empty file is an error."""
    path = tmp_path / "secret"
    path.write_text("word \n")
    assert read_secret(path) == "word "
    assert read_secret(None) is None
    path.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_secret(tmp_path / "none")
