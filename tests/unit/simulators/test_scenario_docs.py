"""docs/scenarios describes the scenarios that ship and the format that the code reads."""

import re
from pathlib import Path

import pytest

from resik.simulate_scenarios import findings_text, shown
from simulators.faults import KINDS, FaultScript
from simulators.scenario import check_scenario, load_scenario, load_scenario_and_site, shipped_scenarios
from simulators.scenario_schema import LISTS, SCENARIO_FIELDS, SECTIONS

DOCS = Path(__file__).parents[3] / "docs" / "scenarios"
GUIDE = (DOCS / "README.md").read_text(encoding="utf-8")
TABLES = {"top": SCENARIO_FIELDS, **SECTIONS, **{".".join(path): fields for path, fields in LISTS.items()}}
FIELDS = [(name, field) for name, fields in TABLES.items() for field in fields]


def blocks(text: str) -> list[str]:
    """Return the indented blocks of a page, without their indent."""
    found = re.findall(r"(?m)(?:^ {4,7}\S.*\n|^\n(?= {4,7}\S))+", text)
    return [re.sub(r"(?m)^ {4,7}", "", block).strip() for block in found]


def test_each_scenario_has_a_page_and_each_page_a_scenario():
    """Pages and shipped files are the same set, and the guide links each with what happens in both languages."""
    assert sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "README") == list(shipped_scenarios())
    for name in shipped_scenarios():
        s = load_scenario(name)
        row = f"| [`{name}`]({name}.md) | **{s.name_id}** / **{s.name_en}**. {s.about_id} / {s.about_en} |"
        assert row in GUIDE


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_page_shows_what_its_scenario_does(name):
    """The title is that of the file, what happens is what `show` prints, and bins and nodes that it names exist."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    scenario, site = load_scenario_and_site(name)
    assert text.startswith(f"# {scenario.name_id} / {scenario.name_en}\n")
    assert text.partition("```text\n")[2].partition("\n```")[0] == shown(scenario, site)
    known = {d.id for d in site.devices} | {c.id for c in site.crews} | set(site.assets)
    assert set(re.findall(r"\b(?:rsk-[ab]|bin-)\d+\b", text)) <= known


@pytest.mark.parametrize(("table", "field"), FIELDS, ids=[f"{table}-{field.name}" for table, field in FIELDS])
def test_every_key_is_documented(table, field):
    """Each key has its row: value, whether it is required with its default, meaning."""
    default = field.default
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, tuple):
        default = list(default)
    elif isinstance(default, float):
        default = f"{default:g}"
    need = "yes" if field.required else "no" if default in (None, "") else f"no, {default}"
    assert f"| `{field.name}` | {field.expected} | {need} | {field.about} |" in GUIDE, table


def test_every_fault_is_documented():
    """Each kind of fault of each target has its row with the range of its strength, and there are no others."""
    rows = [
        f"| `{target}` | `{kind}` | {x.about} | "
        + (f"{x.unit}, {x.low:g} to {x.high:g}; {x.default:g} when absent" if x.unit else "none")
        + " |"
        for target, kinds in KINDS.items()
        for kind, x in kinds.items()
    ]
    page = GUIDE.partition("| target | kind |")[2].splitlines()[2:]
    assert [line for line in page if line.startswith("|")] == rows


def concert() -> str:
    """Put the pieces of the guide together."""
    guide = GUIDE.partition("## Your own scenario")[2].partition("The check tells")[0]
    return "\n\n".join(block for block in blocks(guide) if not block.startswith("resik")) + "\n"


def test_the_scenario_of_the_guide_is_sound_and_means_what_it_says(tmp_path):
    """Put together, the pieces are a file without a finding, with its crowd, buses, storm and two faults."""
    path = tmp_path / "concert.toml"
    path.write_text(concert(), encoding="utf-8")
    assert check_scenario(path) == []
    found = load_scenario(path)
    assert [c.people for c in found.visits.crowds] == [1200]
    assert [g.buses for g in found.visits.groups] == [2]
    assert found.weather.is_dry
    assert len(found.weather.storms) == len(found.mishaps.planned) == 1
    assert found.crews.late_share == 0.1
    assert [(f.target, f.kind, (f.until_s - f.at_s) / 60) for f in found.faults.faults] == [
        ("node:rsk-b*", "radio-hole", 45.0),
        ("uplink", "cut", 45.0),
    ]


def test_the_slip_of_the_guide_is_told_as_the_guide_says(tmp_path, monkeypatch):
    """With that slip in the file the check prints exactly those two lines."""
    monkeypatch.chdir(tmp_path)
    path = Path("concert.toml")
    path.write_text(concert().replace("late_share", "late_shar"), encoding="utf-8")
    told = findings_text(check_scenario(path), path).splitlines()[2:]
    shown_there = GUIDE.partition("A slip looks like this:\n")[2].partition("Another square")[0].split("\n")
    assert [line.strip() for line in told] == [line.strip() for line in shown_there if line]


def test_the_lines_for_a_test_run():
    """The Python of the guide makes a script with a cut half an hour after the start."""
    code = blocks(GUIDE.partition("## In a test")[2])[0]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - our own page
    script, scenario = names["script"], names["scenario"]
    assert isinstance(script, FaultScript)
    assert [(f.at_s - scenario.start_s, f.until_s - f.at_s) for f in script.faults] == [(1800.0, 1200.0)]
