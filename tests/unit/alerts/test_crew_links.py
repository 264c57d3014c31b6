"""The file of secret links."""

import stat
from pathlib import Path

import pytest

from alerts.adapters.crew_links import read_links, write_links
from alerts.tokens import new_token, token_hash
from square.errors import SettingsError


def test_written_links_are_read_back_and_private(tmp_path: Path) -> None:
    """Folder and file are made for the owner only; a second write replaces the first."""
    path = tmp_path / "secrets" / "links.json"
    write_links(path, {"a": "1"})
    write_links(path, {"a": "1", "b": "2"})
    assert read_links(path) == {"a": "1", "b": "2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["links.json"]


def test_no_file_is_no_links(tmp_path: Path) -> None:
    """The first start has none."""
    assert read_links(tmp_path / "links.json") == {}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{"])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """It may hold links that people use: a person decides."""
    path = tmp_path / "links.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="crew_links_file"):
        read_links(path)
    assert path.read_text() == text


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "secrets").write_text("")
    with pytest.raises(SettingsError, match="check the folder"):
        write_links(tmp_path / "secrets" / "links.json", {"a": "1"})


def test_tokens_are_long_and_only_their_hash_is_stored() -> None:
    """256 bits make 43 characters; the hash does not contain the token."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token not in token_hash(token) for token in tokens)
