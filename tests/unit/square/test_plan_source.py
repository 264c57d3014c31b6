"""Lines of values in JSON and TOML."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.plan_source import DEVICES_FILE, SITE_FILE, Document, Finding, read_document
from square.site import shipped_site, shipped_sites
from tests.unit.square.small_site import TEXTS

TRICKY = '''\
a = 1  # [not] = a table
"quoted.key" = 2
text = """
fake = 3
[fake]
"""
raw = \'\'\'
[[fake]]\'\'\'
list = [
  1, # ]
  "x ] y",
]
last = 4

[one.two]
deep.er = 5
[[three]]
v = 6

[[three]]
v = 7 # "
w = { x = 1 }
'''


def read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_document(tmp_path, name)


def key_paths(node, key=()):
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield (*key, name), child
        yield from key_paths(child, (*key, name))


def test_toml_lines_of_a_tricky_file(tmp_path):
    """Quotes, comments, lists over many lines and long texts do not shift or fake a line."""
    doc = read(tmp_path, "x.toml", TRICKY)
    expected = {
        ("a",): 1,
        ("text",): 3,
        ("raw",): 7,
        ("list",): 9,
        ("last",): 13,
        ("one", "two"): 15,
        ("one", "two", "deep", "er"): 16,
        ("three", 0): 17,
        ("three", 0, "v"): 18,
        ("three", 1): 20,
        ("three", 1, "v"): 21,
        ("three", 1, "w"): 22,
    }
    assert {key: doc.lines.get(key) for key in expected} == expected
    assert not any("fake" in key for key in doc.lines)


@pytest.mark.parametrize("name", shipped_sites())
@pytest.mark.parametrize("file", [SITE_FILE, DEVICES_FILE])
def test_toml_lines_name_the_key(name, file):
    """In the shipped files every scalar has a line, and that line starts with its key."""
    folder = shipped_site(name)
    lines = (folder / file).read_text().splitlines()
    doc = read_document(folder, file)
    for key, value in key_paths(tomllib.loads("\n".join(lines))):
        if not isinstance(value, dict | list) and not isinstance(key[-1], int):
            assert lines[doc.line(*key) - 1].startswith(f"{key[-1]} = ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


@given(value=json_values, indent=st.sampled_from([None, 0, 2]))
def test_json_agrees_with_the_standard_library(tmp_path_factory, value, indent):
    """Every JSON text parses to the same data as json.loads, for compact and indented texts."""
    text = json.dumps(value, indent=indent)
    doc = read(tmp_path_factory.mktemp("json"), "x.geojson", text)
    assert isinstance(doc, Document)
    assert doc.data == json.loads(text)


@given(st.lists(st.text(alphabet='{}[]:,"a1\\ \n-.eE', max_size=3), max_size=12).map("".join))
def test_json_refuses_what_the_standard_library_refuses(tmp_path_factory, text):
    """On arbitrary punctuation both agree on whether it is JSON at all."""
    result = read(tmp_path_factory.mktemp("json"), "x.geojson", text)
    try:
        expected = json.loads(text)
    except ValueError:
        assert isinstance(result, Finding)
    else:
        assert isinstance(result, Document)
        assert result.data == expected


def test_json_lines(tmp_path):
    """A value has the line on which it starts, not the line of its name."""
    doc = read(tmp_path, "x.geojson", '{\n"a":\n [1,\n  {"b": 2}],\n"c": "x"}')
    assert (doc.line("a"), doc.line("a", 1, "b"), doc.line("c"), doc.line("a", 1, "zzz")) == (3, 4, 5, 4)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ('{"a": 1,\n}', 2, "expected a name in double quotes"),
        ('{"a": 1}\n}', 2, "extra data"),
        ("[" * 100, 1, "nested deeper"),
        ("[1,\n" + "9" * 5000 + "]", 2, "number too long"),
        ("", 1, "expecting value"),
        ('["a\nb"]', 1, "invalid control character"),
    ],
)
def test_json_faults_have_a_line(tmp_path, text, line, part):
    """Broken JSON is a finding with line, column and reason; deep nesting is refused, not a crash."""
    finding = read(tmp_path, "x.geojson", text)
    assert isinstance(finding, Finding)
    assert finding.line == line
    assert part in finding.what


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = \n", 2), ('a = 1\nb = "x\n', 2), ("a = 1\na = 2\n", 2), ("a = [1,\n", 1)]
)
def test_toml_faults_have_a_line(tmp_path, text, line):
    """Broken TOML is a finding with a line."""
    finding = read(tmp_path, "x.toml", text)
    assert isinstance(finding, Finding)
    assert finding.line == line


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000])
def test_toml_extremes_are_findings(tmp_path, text):
    """Thousands of brackets or digits are refused, not a crash."""
    assert isinstance(read(tmp_path, "x.toml", text), Finding)


def test_unreadable_file_is_a_finding(tmp_path):
    """A folder in the place of a file is reported with the reason of the system."""
    (tmp_path / "x.toml").mkdir()
    finding = read_document(tmp_path, "x.toml")
    assert "cannot be read" in finding.what


def test_every_text_of_the_small_site_parses(tmp_path):
    """The parsers accept the four files that the other tests build on."""
    assert all(isinstance(read(tmp_path, name, text), Document) for name, text in TEXTS.items())
