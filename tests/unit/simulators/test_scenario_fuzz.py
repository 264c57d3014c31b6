"""Whatever stands in a scenario file, the check answers with findings, and a file without errors loads."""

import json
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import scenario
from simulators.faults import KINDS
from simulators.scenario import check_scenario, load_scenario
from simulators.scenario_schema import LISTS, SCENARIO_FIELDS, SECTIONS
from square.site import load_site

HEAD = {
    "schema": 1, "id": "a-day", "name_id": "x", "name_en": "x", "about_id": "x", "about_en": "y",
    "day": date(2026, 11, 24), "hours": 6,
}  # fmt: skip
WORDS = sorted({*KINDS, *(kind for kinds in KINDS.values() for kind in kinds), "node:*", "crew:pagi-?", "food", "haul"})
TEXTS = st.one_of(
    st.sampled_from([*WORDS, "12:00", "24:00", "+1:30", "+9999:59", "bin-001", "node:", ":", "[", "x" * 400]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8),
)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 100),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.times(),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["at", "kind", "x"]), SCALARS, max_size=2)
)
PLACES = [
    ((), SCENARIO_FIELDS),
    *(((name,), fields) for name, fields in SECTIONS.items()),
    *LISTS.items(),
]


def toml(value: object) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    return repr(value)


@pytest.fixture(scope="module", autouse=True)
def _sites_once():
    """Load each site once: the real function, remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenario, "load_site", cache(load_site))
        yield


@st.composite
def files(draw) -> str:
    """Make a scenario file with a sound head and some tables whose values are of any kind."""
    head = dict(HEAD)
    for field in draw(st.lists(st.sampled_from(SCENARIO_FIELDS), max_size=2)):
        head[field.name] = draw(VALUES)
    lines = [f"{key} = {toml(value)}" for key, value in head.items()]
    # Tables before the lists inside them, each table once, as TOML wants it.
    for path, fields in draw(st.lists(st.sampled_from(PLACES[1:5]), max_size=2, unique_by=lambda p: p[0])):
        lines.append(f"[{path[0]}]")
        lines += [
            f"{f.name} = {toml(draw(VALUES))}" for f in draw(st.lists(st.sampled_from(fields), unique=True, max_size=3))
        ]
    for path, fields in draw(st.lists(st.sampled_from(PLACES[5:]), max_size=3)):
        lines.append(f"[[{'.'.join(path)}]]")
        lines += [f"{f.name} = {toml(draw(VALUES))}" for f in draw(st.lists(st.sampled_from(fields), unique=True))]
    return "\n".join(lines) + "\n"


@settings(max_examples=200, deadline=None)
@given(files())
def test_any_file_gets_findings_and_one_without_errors_loads(text):
    """No value of any key ends in a traceback; each finding has a line of the file, a what and a remedy."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a-day.toml"
        path.write_text(text, encoding="utf-8")
        findings = check_scenario(path)
        for finding in findings:
            assert 1 <= finding.line <= text.count("\n") + 1
            assert finding.what
            assert finding.remedy.endswith((".", "?", ")"))
        if all(f.severity != "error" for f in findings):
            loaded = load_scenario(path)
            assert loaded.start_s < loaded.end_s
            assert all(f.at_s <= f.until_s for f in loaded.faults.faults)
