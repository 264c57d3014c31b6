"""The sample in ingest/README.md is the truth about the settings."""

from pathlib import Path

import pytest

import ingest
from ingest.settings import SECTION, IngestSettings
from square.errors import SettingsError
from square.settings import load_settings

README = (Path(__file__).parents[3] / "ingest" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[ingest]\nstore_ulr = 'x'", "store_ulr"),
        ("[ingest]\nmax_points = 0", "max_points"),
        ("[ingest]\nlinger_ms = -1", "linger_ms"),
        ("[ingest]\nclient_id = 'A B'", "client_id"),
        (f"[ingest]\nclient_id = '{'a' * 33}'", "client_id"),
        ("[ingset]\n", "ingset"),
    ],
)
def test_a_wrong_setting_names_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    """A misspelt key or a value out of bounds is one sentence that names the place."""
    config = tmp_path / "resik.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=word) as caught:
        load_settings(IngestSettings, SECTION, config)
    assert str(config) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name", "every_s"),
    [
        ({}, "ingest", 300),
        ({"worker": 1}, "ingest", 300),
        ({"worker": 2}, "ingest-2", 0),
        ({"worker": 99, "rollup_every_s": 60}, "ingest-99", 60),
    ],
)
def test_a_worker_follows_from_its_number(given: dict[str, int], name: str, every_s: int) -> None:
    """Name at the broker and who rolls up need no settings of their own."""
    settings = IngestSettings(**given)
    assert (settings.name, settings.rolls_up_every_s) == (name, every_s)


def test_the_readme_lists_every_module() -> None:
    """Nobody looks for a file that the page does not mention."""
    folder = Path(ingest.__file__).parent
    missing = [path.name for path in folder.glob("*.py") if path.name != "__init__.py" and path.name not in README]
    assert missing == []
