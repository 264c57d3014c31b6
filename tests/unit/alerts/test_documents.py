"""README and manual say what the code does."""

import re
from pathlib import Path

import pytest

import alerts
from alerts.domain.model import INCIDENT_STEPS, LEVELS, OWNERS, RULES, TASK_STEPS, WaitingReason
from alerts.plan import policy_of
from alerts.settings import SECTION, AlertsSettings
from square.errors import SettingsError
from square.settings import load_settings
from square.site import load_site

ROOT = Path(__file__).parents[3]
PACKAGE = Path(alerts.__file__).parent
README = (ROOT / "alerts" / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Rows of the table of the manual whose first heading is ``heading``, by their first cell."""
    lines = MANUAL.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    found: dict[str, list[str]] = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        first, *rest = [cell.strip() for cell in line.strip("|").split("|")]
        found[first] = rest
    return found


@pytest.mark.parametrize(("heading", "table"), [("incident state", INCIDENT_STEPS), ("task state", TASK_STEPS)])
def test_the_steps_in_the_manual_are_those_of_the_code(heading: str, table: dict[str, frozenset[str]]) -> None:
    """Each state with exactly its steps."""
    shown = {name.strip("`"): set(re.findall(r"`([a-z-]+)`", cells[0])) for name, cells in rows(heading).items()}
    assert shown == {state: set(steps) for state, steps in table.items()}


def test_every_rule_level_and_reason_is_in_the_manual() -> None:
    """With the owner of each rule."""
    assert {name.strip("`"): cells[-1] for name, cells in rows("rule").items()} == OWNERS
    assert [name.strip("`") for name in rows("level")] == [*LEVELS, "unknown"]
    assert {name.strip("`") for name in rows("`waiting_reason`")} == set(WaitingReason.__args__)
    assert set(OWNERS) == set(RULES)


def test_every_rule_of_the_site_can_be_tuned_and_is_explained() -> None:
    """A key that the engine reads from site.toml stands in the table of tuning, and nothing else does."""
    explained = {key for cell in rows("key") for key in re.findall(r"`([a-z0-9_]+)`", cell)}
    site = load_site("alun-alun-pasuruan")
    used: set[str] = set()

    class Spy:
        def __getattr__(self, name: str) -> object:
            used.add(name)
            return getattr(site.rules, name)

    class SpiedSite:
        rules = Spy()

    policy_of(SpiedSite(), max_open_tasks=2, ispu_top=500)  # type: ignore[arg-type]
    assert explained == used


def test_the_readme_lists_every_module() -> None:
    """Nobody looks for a file that the page does not mention."""
    named = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in named if name not in README] == []
    inner = [path for folder in ("domain", "adapters") for path in (PACKAGE / folder).glob("*.py")]
    assert [path.name for path in inner if path.name != "__init__.py" and f"`{path.stem}`" not in README] == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[alerts]\ndatabase = 'x'", "database"),
        ("[alerts]\nmax_open_tasks = 0", "max_open_tasks"),
        ("[alerts]\nispu_top = 450", "ispu_top"),
        ("[alerts]\ntick_s = 0", "tick_s"),
        ("[alarts]\n", "alarts"),
    ],
)
def test_a_wrong_setting_names_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    """A misspelt key or a value out of bounds is one sentence that names the place."""
    config = tmp_path / "resik.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=word) as caught:
        load_settings(AlertsSettings, SECTION, config)
    assert str(config) in str(caught.value)
