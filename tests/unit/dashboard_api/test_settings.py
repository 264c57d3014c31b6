"""Settings: what is refused, and the sample in the README."""

from pathlib import Path

import pytest

from dashboard_api.settings import DashboardSettings
from square.errors import SettingsError
from square.settings import load_settings

README = Path(__file__).parents[3] / "dashboard_api" / "README.md"


def write(folder: Path, text: str) -> Path:
    file = folder / "resik.toml"
    file.write_text(f"[dashboard]\n{text}", encoding="utf-8")
    return file


def test_beyond_loopback_needs_a_deliberate_word(tmp_path: Path) -> None:
    """The office has no login yet, so an open address is refused with the reason; the word opens it."""
    with pytest.raises(SettingsError, match=r"no login yet.*allow_remote"):
        load_settings(DashboardSettings, "dashboard", write(tmp_path, 'host = "0.0.0.0"'))
    opened = load_settings(DashboardSettings, "dashboard", write(tmp_path, 'host = "0.0.0.0"\nallow_remote = true'))
    assert opened.host == "0.0.0.0"  # noqa: S104
    for host in ("127.0.0.1", "::1", "localhost"):
        assert load_settings(DashboardSettings, "dashboard", write(tmp_path, f'host = "{host}"')).host == host


@pytest.mark.parametrize(
    "line",
    [
        "port = 0",
        "port = 65536",
        'tiles_url = "http://tile.example/{z}"',
        "tiles_url = \"https://tile.example; script-src 'unsafe-inline'/x\"",
        'tiles_url = "https://*/{z}"',
        'health_urls = { ingest = "file:///etc/passwd" }',
        'hots = "127.0.0.1"',
    ],
)
def test_bad_values_are_refused(tmp_path: Path, line: str) -> None:
    """Values out of bounds, addresses that would loosen the policy and misspelt keys stop the start."""
    with pytest.raises(SettingsError, match=line.split(" ", maxsplit=1)[0]):
        load_settings(DashboardSettings, "dashboard", write(tmp_path, line))


def test_health_urls_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and lists are JSON in the environment."""
    monkeypatch.setenv("RESIK_DASHBOARD_HEALTH_URLS", '{"ingest": "http://127.0.0.1:9002/healthz"}')
    monkeypatch.setenv("RESIK_DASHBOARD_ALLOWED_HOSTS", '["resik.example"]')
    settings = load_settings(DashboardSettings, "dashboard")
    assert settings.health_urls == {"ingest": "http://127.0.0.1:9002/healthz"}
    assert settings.allowed_hosts == ("resik.example",)
