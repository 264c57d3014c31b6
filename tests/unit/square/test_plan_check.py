"""Checking a site folder: every fault is found, with its line and a remedy."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from square.errors import SiteError
from square.plan_check import check_site, main_text
from square.plan_source import Severity
from square.site import load_site, shipped_site, shipped_sites
from tests.unit.square.small_site import PLAN, TEXTS, line_of, write_site

SITE_T, PLAN_T, CREWS_T, DEVICES_T = "site.toml", "plan.geojson", "crews.toml", "devices.toml"
BIN_1 = "[112.8995, -7.64]}"
SPARE = 'status = "spare"\n'
SPARE_OTHER = 'model = "test"\nstatus = "spare"\nforeign = "84fce612f5b8"\ncodec = "senml"\n'

# file, old text, new text, file of the finding, text on the line of the finding, part of the message
FAULTS = {
    "toml-syntax": (SITE_T, 'id = "small"', "id = small", SITE_T, "id = small", "the TOML breaks off at column"),
    "json-syntax": (PLAN_T, '"name_id": "Dua",', '"name_id": "Dua"', PLAN_T, '"Dua"', "the JSON breaks off at column"),
    "json-nan": (PLAN_T, '"volume_l": 120', '"volume_l": NaN', PLAN_T, "NaN", "NaN is not a JSON number"),
    "missing-key": (SITE_T, "soon_full_h = 2\n", "", SITE_T, "[rules]", '"soon_full_h" is missing'),
    "missing-table": (
        SITE_T,
        "[reporting]\nbin_interval_s = 600\nair_interval_s = 300\n",
        "",
        SITE_T,
        "schema",
        "[reporting] is missing",
    ),
    "missing-property": (PLAN_T, '"volume_l": 240, ', "", PLAN_T, '"Dua"', '"volume_l" is missing'),
    "null-property": (PLAN_T, '"volume_l": 240, ', '"volume_l": null, ', PLAN_T, '"Dua"', '"volume_l" is missing'),
    "wrong-type": (SITE_T, "full_pct = 85", 'full_pct = "85"', SITE_T, 'full_pct = "85"', "full_pct is a text"),
    "bool-is-no-number": (SITE_T, "soon_full_h = 2", "soon_full_h = true", SITE_T, "soon_full_h", "is true or false"),
    "fraction-is-no-integer": (PLAN_T, '"empty_mm": 980', '"empty_mm": 980.5', PLAN_T, "980.5", "empty_mm is a number"),
    "out-of-range": (
        SITE_T,
        "overflow_pct = 100",
        "overflow_pct = 140",
        SITE_T,
        "overflow_pct = 140",
        "overflow_pct is 140",
    ),
    "toml-nan": (SITE_T, "soon_full_h = 2", "soon_full_h = nan", SITE_T, "soon_full_h", "soon_full_h is nan"),
    "unknown-key": (
        SITE_T,
        "soon_full_h = 2",
        "soon_full_hours = 2",
        SITE_T,
        "soon_full_hours",
        '"soon_full_hours" is not a key',
    ),
    "bad-zone-name": (SITE_T, "Asia/Jakarta", "Asia/Pasuruan", SITE_T, "Asia/Pasuruan", "timezone is"),
    "frame-swapped": (
        SITE_T,
        "origin_lon = 112.9\norigin_lat = -7.64",
        "origin_lon = -7.64\norigin_lat = 112.9",
        SITE_T,
        "origin_lat",
        "are swapped",
    ),
    "rules-order": (SITE_T, "filling_pct = 70", "filling_pct = 90", SITE_T, "filling_pct = 90", "not below full_pct"),
    "hysteresis": (
        SITE_T,
        "full_clear_pct = 60",
        "full_clear_pct = 85",
        SITE_T,
        "full_clear_pct",
        "not below full_pct",
    ),
    "swapped": (PLAN_T, BIN_1, "[-7.64, 112.8995]}", PLAN_T, "[-7.64, 112.8995]", "latitude and longitude are swapped"),
    "far-away": (PLAN_T, BIN_1, "[112.92, -7.64]}", PLAN_T, "[112.92, -7.64]", "2.2 km away from the centre"),
    "projected": (PLAN_T, BIN_1, "[709000, 9155000]}", PLAN_T, "709000", "is not on the earth"),
    "no-position": (PLAN_T, BIN_1, '["112.9", "-7.64"]}', PLAN_T, '"112.9"', "not [longitude, latitude]"),
    "duplicate-id": (
        PLAN_T,
        '"id": "bin-002"',
        '"id": "bin-001"',
        PLAN_T,
        '"name_id": "Dua"',
        "already used in line 12",
    ),
    "id-grammar": (PLAN_T, '"id": "zone-east"', '"id": "Zone East"', PLAN_T, "Zone East", 'id is "Zone East"'),
    "device-id-grammar": (DEVICES_T, "rsk-b009", "b9", DEVICES_T, '"b9"', 'id is "b9"'),
    "duplicate-device": (DEVICES_T, "rsk-b009", "rsk-b001", DEVICES_T, "rsk-b001", "already used in line 1"),
    "outside-zones": (PLAN_T, BIN_1, "[112.8989, -7.64]}", PLAN_T, "112.8989", "lies outside every zone"),
    "unknown-asset": (
        DEVICES_T,
        'asset = "bin-002"',
        'asset = "bin-003"',
        DEVICES_T,
        "bin-003",
        'unknown asset "bin-003"',
    ),
    "asset-is-no-bin": (DEVICES_T, 'asset = "bin-002"', 'asset = "depot"', DEVICES_T, "depot", 'unknown asset "depot"'),
    "kind-mismatch": (DEVICES_T, 'kind = "air"', 'kind = "bin"', DEVICES_T, "air-01", 'role "air"'),
    "asset-used-twice": (
        DEVICES_T,
        'status = "retired"',
        'status = "active"',
        DEVICES_T,
        'asset = "bin-001"',
        "already has an active device in line 1",
    ),
    "active-without-asset": (DEVICES_T, 'status = "spare"', 'status = "active"', DEVICES_T, "rsk-b009", "has no asset"),
    "foreign-without-codec": (
        DEVICES_T,
        SPARE,
        SPARE + 'foreign = "70b3d57ed0001234"\n',
        DEVICES_T,
        "70b3",
        "no codec",
    ),
    "codec-without-foreign": (DEVICES_T, SPARE, SPARE + 'codec = "senml"\n', DEVICES_T, '"senml"', "no foreign"),
    "unknown-codec": (
        DEVICES_T,
        SPARE,
        SPARE + 'foreign = "70b3d57ed0001234"\ncodec = "acme"\n',
        DEVICES_T,
        '"acme"',
        'codec is "acme"',
    ),
    "codec-of-another-kind": (
        DEVICES_T,
        SPARE,
        SPARE + 'foreign = "70b3d57ed0001234"\ncodec = "decentlab-dl-pm"\n',
        DEVICES_T,
        "decentlab",
        'no values of a device of kind "bin"',
    ),
    "foreign-grammar": (
        DEVICES_T,
        SPARE,
        SPARE + 'foreign = "70B3D57ED0001234"\ncodec = "senml"\n',
        DEVICES_T,
        "70B3",
        'foreign is "70B3D57ED0001234"',
    ),
    "foreign-used-twice": (
        DEVICES_T,
        'model = "test"\nstatus = "spare"\n',
        SPARE_OTHER + '\n[[device]]\nid = "rsk-x01"\nkind = "bin"\n' + SPARE_OTHER.replace('b8"', 'b8"  # again'),
        DEVICES_T,
        "# again",
        'the identity "84fce612f5b8" already belongs to the device in line 30',
    ),
    "bad-status": (DEVICES_T, 'status = "spare"', 'status = "broken"', DEVICES_T, "broken", 'status is "broken"'),
    "unclosed": (PLAN_T, ", [112.899, -7.641]]]}", "]]}", PLAN_T, "[[[112.899,", "the polygon is not closed"),
    "self-crossing": (
        PLAN_T,
        "[112.9, -7.639],\n  [112.899, -7.639]",
        "[112.899, -7.639],\n  [112.9, -7.639]",
        PLAN_T,
        "  [112.9, -7.639]",
        "the outline crosses itself",
    ),
    "flat-polygon": (
        PLAN_T,
        "[112.9, -7.641], [112.9, -7.639],\n  [112.899, -7.639]",
        "[112.9, -7.641],\n  [112.8995, -7.641]",
        PLAN_T,
        "[[[112.899,",
        "the polygon has no area",
    ),
    "empty-below-full": (
        PLAN_T,
        '"empty_mm": 980',
        '"empty_mm": 240',
        PLAN_T,
        '"empty_mm": 240',
        "is not greater than full_mm",
    ),
    "bad-window": (PLAN_T, '"05:00-07:00"', '"05:00-25:00"', PLAN_T, "05:00-25:00", '"25:00" is not a time'),
    "window-no-list": (
        PLAN_T,
        '["05:00-07:00", "22:00-02:00"]',
        '"05:00-07:00"',
        PLAN_T,
        "service_hours",
        "service_hours is a text",
    ),
    "bad-role": (PLAN_T, '"role": "depot"', '"role": "depo"', PLAN_T, '"depo"', '"depo" is not a role'),
    "geometry-of-role": (
        PLAN_T,
        '"type": "Point", "coordinates": [112.8995',
        '"type": "MultiPoint", "coordinates": [112.8995',
        PLAN_T,
        "MultiPoint",
        "has the geometry",
    ),
    "repeated-json-key": (
        PLAN_T,
        '"empty_mm": 980,',
        '"empty_mm": 980, "empty_mm": 990,',
        PLAN_T,
        "990",
        "given twice",
    ),
    "shifts-overlap": (SITE_T, 'end = "12:00"', 'end = "13:00"', SITE_T, 'start = "12:00"', "overlap by 60 min"),
    "shift-empty": (SITE_T, 'end = "12:00"', 'end = "06:00"', SITE_T, 'end = "06:00"', "hours of the shift are wrong"),
    "crew-unknown-shift": (CREWS_T, 'shift = "pagi"', 'shift = "subuh"', CREWS_T, "subuh", 'unknown shift "subuh"'),
    "path-broken": (
        PLAN_T,
        "[112.9, -7.64], [112.9005, -7.64]]",
        "[112.8997, -7.64]]",
        PLAN_T,
        '"type": "Point"',
        "away from the nearest path vertex",
    ),
}
WARNINGS = {
    "unknown-property": (PLAN_T, '"height_m": 3', '"fid": 3', PLAN_T, "fid", '"fid" is not a key'),
    "shift-gap": (SITE_T, 'start = "12:00"', 'start = "13:00"', SITE_T, 'id = "pagi"', "from 12:00 to 13:00"),
    "undeclared-rest": (SITE_T, 'rest_hours = ["18:00-06:00"]', "", SITE_T, 'id = "pagi"', "from 18:00 to 24:00"),
    "no-device": (
        DEVICES_T,
        'asset = "bin-002"',
        'asset = "bin-001"',
        PLAN_T,
        '"Dua"',
        '"bin-002" has no active device',
    ),
    "shift-without-crew": (
        CREWS_T,
        'shift = "pagi"',
        'shift = "siang"',
        SITE_T,
        'id = "pagi"',
        "nobody works on the shift",
    ),
    "two-zones": (
        PLAN_T,
        "[112.9, -7.641], [112.9, -7.639]",
        "[112.9008, -7.641], [112.9008, -7.639]",
        PLAN_T,
        '"type": "Point"',
        "lies in 2 zones",
    ),
}


def check_edit(tmp_path, edit, severity):
    name, old, new, where, marker, message = edit
    folder = write_site(tmp_path / "site", (name, old, new))
    found = check_site(folder)
    hits = [f for f in found if f.file == where and f.severity is severity and message in f.what]
    assert hits, found
    lines = {i for i, text in enumerate((folder / where).read_text().splitlines(), 1) if marker in text}
    assert {f.line for f in hits} <= lines
    for finding in hits:
        assert finding.remedy.endswith((".", "?"))
        assert not finding.what.endswith(".")


def test_small_site_is_sound(tmp_path):
    """The site that the other tests break has no finding."""
    assert check_site(write_site(tmp_path / "site")) == []


@pytest.mark.parametrize("name", shipped_sites())
def test_shipped_sites_are_sound(name):
    """Every site that ships passes its own check without even a warning."""
    assert check_site(shipped_site(name)) == []


@pytest.mark.parametrize("case", FAULTS)
def test_check_site_finds_fault(tmp_path, case):
    """Each kind of fault is an error on its own line, and the site does not load."""
    check_edit(tmp_path, FAULTS[case], Severity.ERROR)
    with pytest.raises(SiteError):
        load_site(tmp_path / "site")


@pytest.mark.parametrize("case", WARNINGS)
def test_check_site_warns(tmp_path, case):
    """Each kind of oddity is a warning on its own line; what is only odd still loads."""
    check_edit(tmp_path, WARNINGS[case], Severity.WARNING)
    if case != "no-device":  # there the second device on bin-001 is an error of its own
        load_site(tmp_path / "site")


def test_check_site_exact_lines(tmp_path):
    """Values are named by their own line, not by that of their feature or table."""
    folder = write_site(
        tmp_path / "site",
        (PLAN_T, '"empty_mm": 980', '"empty_mm": -1'),
        (SITE_T, "walk_speed_mps = 1.0", "walk_speed_mps = 30"),
        (DEVICES_T, "interval_s = 60", "interval_s = 1"),
    )
    places = {(f.file, f.line) for f in check_site(folder)}
    assert places == {
        (SITE_T, line_of(folder, SITE_T, "walk_speed_mps")),
        (PLAN_T, line_of(folder, PLAN_T, '"empty_mm": -1')),
        (DEVICES_T, line_of(folder, DEVICES_T, "interval_s = 1")),
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (", [112.899, -7.641]]]}", "]]}"),
        ('"role": "zone", "id": "zone-west"', '"role": "zona", "id": "zone-west"'),
        ('"volume_l": 120', '"volume_l": 0'),
        ('"role": "path", "id": "path-1"', '"role": "path", "id": "P1"'),
        ('"role": "depot", "id": "depot"', '"role": "depot", "id": "D"'),
        ('{"type": "FeatureCollection",', '{"type": "Features",'),
    ],
    ids=["zone-ring", "zone-role", "bin", "path", "depot", "collection"],
)
def test_check_site_one_slip_is_one_finding(tmp_path, old, new):
    """What rests on a broken feature is not reported on top of it."""
    assert len(check_site(write_site(tmp_path / "site", (PLAN_T, old, new)))) == 1


def test_check_site_lists_all_faults_in_one_run(tmp_path):
    """Faults in four files appear together, in order of file and line."""
    folder = write_site(
        tmp_path / "site",
        (SITE_T, "half_pct = 50", "half_pct = 0"),
        (PLAN_T, '"volume_l": 120', '"volume_l": 0'),
        (PLAN_T, '"waste_kind": "organic"', '"waste_kind": "wet"'),
        (CREWS_T, 'name = "Sri"', 'name = ""'),
        (DEVICES_T, 'kind = "air"', 'kind = "gas"'),
    )
    found = check_site(folder)
    assert [f.file for f in found if f.severity is Severity.ERROR] == [SITE_T, PLAN_T, PLAN_T, CREWS_T, DEVICES_T]
    assert found == sorted(found, key=lambda f: ([SITE_T, PLAN_T, CREWS_T, DEVICES_T].index(f.file), f.line))


@pytest.mark.parametrize("name", TEXTS)
def test_check_site_missing_file(tmp_path, name):
    """A missing file is named; the other files are still checked."""
    folder = write_site(tmp_path / "site")
    (folder / name).unlink()
    assert [(f.file, f.what) for f in check_site(folder)] == [(name, "the file is missing")]


@pytest.mark.parametrize("name", TEXTS)
def test_check_site_bad_utf8(tmp_path, name):
    """A byte that is not UTF-8 is named with the line on which it stands."""
    folder = write_site(tmp_path / "site")
    raw = (folder / name).read_bytes()
    second_line = raw.index(b"\n") + 3
    (folder / name).write_bytes(raw[:second_line] + b"\xe9" + raw[second_line:])
    assert [(f.file, f.line, f.what) for f in check_site(folder)] == [(name, 2, "byte 0xe9 is not valid UTF-8")]


@pytest.mark.parametrize("name", TEXTS)
def test_check_site_accepts_byte_order_mark_and_crlf(tmp_path, name):
    """Files saved by Windows editors are the same site."""
    folder = write_site(tmp_path / "site")
    text = (folder / name).read_text()
    (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert check_site(folder) == []


def test_check_site_no_folder(tmp_path):
    """A folder that does not exist is one finding, not an exception."""
    (found,) = check_site(tmp_path / "nowhere")
    assert "is not a folder" in found.what


FAR_PATH = """\
{"type": "Feature",
 "properties": {"role": "path", "id": "path-2", "name_id": "J", "name_en": "P", "accuracy_m": 1, "source": "test"},
 "geometry": {"type": "LineString", "coordinates": [[112.9001, -7.64], [112.9005, -7.64]]}}"""


def test_check_site_disconnected_paths(tmp_path):
    """Two paths without a common vertex: the bin on the far one cannot be reached."""
    folder = write_site(
        tmp_path / "site",
        (
            PLAN_T,
            "[[112.8995, -7.64], [112.9, -7.64], [112.9005, -7.64]]}}",
            "[[112.8995, -7.64], [112.9, -7.64]]}},\n" + FAR_PATH,
        ),
    )
    found = {f.what: f.severity for f in check_site(folder)}
    assert found == {
        'no path leads from the depot to "bin-002"': Severity.ERROR,
        'the path "path-2" is not joined to the path at the depot': Severity.WARNING,
    }


def test_check_site_swapped_file_says_so_once_per_shape(tmp_path):
    """A plan whose axes are all exchanged gets one sentence per shape, not one per vertex."""
    folder = write_site(tmp_path / "site")
    plan = json.loads(PLAN)

    def swap(node):
        return [node[1], node[0]] if isinstance(node[0], float) else [swap(child) for child in node]

    for feature in plan["features"]:
        feature["geometry"]["coordinates"] = swap(feature["geometry"]["coordinates"])
    (folder / PLAN_T).write_text(json.dumps(plan, indent=1))
    swapped = [f for f in check_site(folder) if "swapped" in f.what]
    assert len(swapped) == len(plan["features"])


def test_check_site_swapped_where_both_are_latitudes(tmp_path):
    """Where longitude and latitude could both be latitudes (9, 48), the centre of the site tells them apart."""
    folder = write_site(
        tmp_path / "site", (SITE_T, "origin_lon = 112.9\norigin_lat = -7.64", "origin_lon = 9.0\norigin_lat = 48.0")
    )
    text = (folder / PLAN_T).read_text().replace(BIN_1, "[48.0, 9.0]}")
    (folder / PLAN_T).write_text(text)
    line = line_of(folder, PLAN_T, "[48.0, 9.0]")
    assert [f.what for f in check_site(folder) if f.line == line] == ["latitude and longitude are swapped: [48.0, 9.0]"]


def test_load_site_error_names_file_line_and_remedy(tmp_path):
    """The first error becomes the exception, in one sentence with its place."""
    folder = write_site(tmp_path / "site", (SITE_T, "half_pct = 50", "half_pct = 0"))
    with pytest.raises(SiteError) as caught:
        load_site(folder)
    assert caught.value.file == folder / SITE_T
    assert caught.value.line == line_of(folder, SITE_T, "half_pct")
    assert f"{SITE_T}:{caught.value.line}: half_pct is 0. Write a number from 1 to 120" in str(caught.value)


def test_main_text(tmp_path):
    """The terminal text starts with one Indonesian and one English line and then names each place."""
    folder = write_site(tmp_path / "site", (SITE_T, "half_pct = 50", "half_pct = 0"))
    text = main_text(check_site(folder), folder)
    assert text.splitlines()[:2] == [
        f"Denah {folder} tidak dapat dipakai: 1 kesalahan, 0 peringatan.",
        f"The site plan {folder} cannot be used: 1 error(s), 0 warning(s).",
    ]
    assert f"{folder / SITE_T}:{line_of(folder, SITE_T, 'half_pct')}: error: half_pct is 0.\n" in text
    assert main_text([], folder).startswith(f"Denah {folder} benar.")


def test_check_site_bin_that_nobody_can_empty(tmp_path):
    """Hours that no shift meets are a warning: tasks at this bin would wait for ever."""
    folder = write_site(tmp_path / "site", (PLAN_T, '["05:00-07:00", "22:00-02:00"]', '["18:00-06:00"]'))
    (found,) = check_site(folder)
    assert found.severity is Severity.WARNING
    assert found.what.startswith('"bin-002" can never be emptied')


@pytest.mark.parametrize("role", ["depot", "tps"])
def test_check_site_second_depot(tmp_path, role):
    """A second depot or transfer point is not left unused in silence."""
    plan = json.loads(PLAN)
    place = {"type": "Point", "coordinates": [112.9, -7.64]}
    names = {"role": role, "name_id": "Pos", "name_en": "Post", "accuracy_m": 1, "source": "test"}
    plan["features"] = [f for f in plan["features"] if f["properties"]["role"] != role] + [
        {"type": "Feature", "properties": {**names, "id": ident}, "geometry": place} for ident in ("one", "two")
    ]
    folder = write_site(tmp_path / "site")
    (folder / PLAN_T).write_text(json.dumps(plan))
    (found,) = check_site(folder)
    assert found.severity is Severity.WARNING
    assert found.what == f'"two" is a second {role}; only the first one of the file is used'


def test_findings_are_safe_for_a_terminal(tmp_path):
    """Escape sequences and endless values from a file do not reach the terminal."""
    folder = write_site(
        tmp_path / "site",
        (PLAN_T, '"id": "bin-001"', '"id": "\\u001b[2Jbin"'),
        (CREWS_T, 'shift = "pagi"', f'shift = "{"x" * 5000}"'),
    )
    for finding in check_site(folder):
        assert finding.what.isprintable()
        assert len(finding.what) < 400


scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def places(node, key=()):
    """Every key path of a JSON document."""
    yield key
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from places(child, (*key, name))


PLACES = list(places(json.loads(PLAN)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=anything)
def test_any_plan_loads_or_is_refused_with_a_line(tmp_path, place, value):
    """Whatever stands in one place of the plan: the site loads, or a finding with a line says why. Never a crash."""
    plan = json.loads(PLAN)
    node = plan
    for name in place[:-1]:
        node = node[name]
    if place:
        node[place[-1]] = value
    else:
        plan = value
    folder = write_site(tmp_path / "site")
    (folder / PLAN_T).write_text(json.dumps(plan, indent=0))
    check_loads_or_refuses(folder)


TOML_VALUES = (
    "[]",
    "{}",
    "[1]",
    "[{}]",
    "[[]]",
    '""',
    '"x"',
    "0",
    "-1",
    "1.5",
    "true",
    "nan",
    "inf",
    "1979-05-27",
    "9" * 30,
    '["a-b"]',
    "[1, {}]",
    "07:32:00",
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([SITE_T, CREWS_T, DEVICES_T]), data=st.data())
def test_any_toml_value_loads_or_is_refused_with_a_line(tmp_path, name, data):
    """Whatever stands behind one key of the TOML files, or when a line is missing: loads or a finding, no crash."""
    lines = TEXTS[name].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[at].partition(" = ")
    value = data.draw(st.sampled_from(TOML_VALUES))
    lines[at] = (
        f"{key} = {value}"
        if equals and data.draw(st.booleans())
        else data.draw(st.sampled_from(["", f"x = {value}", f"shift = {value}"]))
    )
    folder = write_site(tmp_path / "site")
    (folder / name).write_text("\n".join(lines))
    check_loads_or_refuses(folder)


def check_loads_or_refuses(folder):
    errors = [f for f in check_site(folder) if f.severity is Severity.ERROR]
    lengths = {name: len((folder / name).read_text().splitlines()) for name in TEXTS}
    assert all(1 <= f.line <= max(1, lengths[f.file]) for f in errors)
    if errors:
        with pytest.raises(SiteError):
            load_site(folder)
    else:
        load_site(folder).feature_collection()
    shutil.rmtree(folder)
