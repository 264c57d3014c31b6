"""Replay maps: what is wrong is said with line, key and remedy; what is right reads the file exactly."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.errors import MapError
from simulators.replay_map import load_map, shipped_maps
from simulators.replay_rows import first_lines, read_files
from simulators.replay_site import build_replay_site
from square.plan_check import check_site
from square.site import load_site

GOOD = """\
schema = 1
name = "kota"
kind = "air"

[file]
delimiter = ";"
skip_lines = 1
blank = ["NA"]

[time]
column = "Zeit"
format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"

[device]
column = "Station"
id = "luft-{value}"

[fields.pm25_ngm3]
column = "PM2.5"
scale = 1000

[fields.temp_cdeg]
column = "T"
scale = 100
offset = 0.5
rounding = "half-even"

[site]
id = "kota"
name_id = "Kota"
name_en = "Town"
timezone = "Europe/Berlin"
lon_column = "lon"
lat_column = "lat"
"""
HEADER = "erste Zeile\nZeit;Station;PM2.5;T;lon;lat\n"


def write(folder: Path, text: str, name: str = "map.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, rows: str, text: str = GOOD):
    return read_files(load_map(write(folder, text)), [write(folder, HEADER + rows, "daten.csv")])


@pytest.mark.parametrize(
    ("change", "line", "key", "word"),
    [
        (("schema = 1", "schema = 2"), 1, "schema", "version"),
        (('kind = "air"', 'kind = "water"'), 3, "kind", "water"),
        (('delimiter = ";"', 'delimiter = ";;"'), 6, "file.delimiter", "length"),
        (("skip_lines = 1", "skip_line = 1"), 7, "file.skip_line", "unknown field"),
        (("skip_lines = 1", 'skip_lines = 1\nheader_starts = "Z"'), 8, "file.header_starts", "together"),
        (('column = "Zeit"\n', ""), 10, "time.column", "required"),
        (("%d.%m.%Y %H:%M", "german"), 12, "time.format", "german"),
        (("Europe/Berlin", "Europe/Atlantis"), 13, "time.zone", "Atlantis"),
        (('zone = "Europe/Berlin"\n\n[dev', "\n[dev"), 10, "time", "zone"),
        (('column = "Station"\n', ""), 15, "device", "column or file_pattern"),
        (("luft-{value}", "luft"), 17, "device.id", "regex"),
        (("[fields.pm25_ngm3]", "[fields.pm25]"), 19, "fields.pm25", "no field"),
        (("scale = 1000", 'scale = "many"'), 21, "fields.pm25_ngm3.scale", "number"),
        (('rounding = "half-even"', 'rounding = "up"'), 27, "fields.temp_cdeg.rounding", "up"),
        (('lat_column = "lat"\n', ""), 34, "site.lon_column", "only one"),
        (('name_en = "Town"\n', ""), 29, "site", "name_en"),
        (('id = "kota"\nname_id', 'id = "K"\nname_id'), 30, "site.id", "no id"),
        (("[site]\n", "[site]\n= 3\n"), 30, None, "TOML"),
    ],
)
def test_a_wrong_map_names_line_key_and_remedy(tmp_path, change, line, key, word):
    """Each fault is reported at its own line and key, with what to do."""
    assert change[0] in GOOD
    with pytest.raises(MapError) as caught:
        load_map(write(tmp_path, GOOD.replace(*change, 1)))
    error = caught.value
    assert (error.line, error.key) == (line, key)
    assert word in str(error)
    assert f"map.toml:{line}:" in str(error)
    assert str(error).endswith(".")


def test_shipped_maps_load_by_name():
    """Every map that ships is sound, and a name that does not exist lists those that do."""
    assert shipped_maps() == ("epa-air", "wyndham")
    for name in shipped_maps():
        assert load_map(name).map.name == name
    with pytest.raises(MapError, match="epa-air, wyndham"):
        load_map("nowhere")


def test_values_are_decimal_and_times_exact(tmp_path):
    """5.4 becomes 5400, never 5399 or 5400.000001; summer time counts; blank and NA are absent; zero is not blank."""
    recording = read(
        tmp_path,
        "01.07.2024 08:00;A 1;5.4;21.005;9.99;48.4\n"  # 21.005 * 100 + 0.5 = 2101.0
        "01.12.2024 08:00;A 1;NA;;9.99;48.4\n"
        "01.12.2024 08:01;A 1;0;-0,5;9.99;48.4\n",
    )
    assert [row.fields for row in recording.rows] == [{"pm25_ngm3": 5400, "temp_cdeg": 2101}, {}]
    summer, winter = (datetime.fromtimestamp(row.ts_s, UTC) for row in recording.rows)
    assert summer == datetime(2024, 7, 1, 6, 0, tzinfo=UTC)
    assert winter == datetime(2024, 12, 1, 7, 0, tzinfo=UTC)
    assert recording.rows[0].device == "luft-a-1"
    assert [str(r) for r in recording.rejected] == ['daten.csv:5: T: "-0,5" is no number']


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("32.07.2024 08:00;A;1;1;9;48", "does not fit the format"),
        (";A;1;1;9;48", "does not fit the format"),
        ("31.03.2024 02:30;A;1;1;9;48", "the clock was put forward"),
        ("01.07.2024 08:00;A;1", "3 of 6 columns"),
        ("01.07.2024 08:00;;1;1;9;48", "makes no device id"),
        ("01.07.2024 08:00;A;0.0005;1;9;48", "no whole number"),
        ("01.07.2024 08:00;A;NaN;1;9;48", "no number"),
        ("01.07.2024 08:00;A;1e30;1;9;48", "beyond any sensor"),
        ("01.07.1960 08:00;A;1;1;9;48", "outside 1970"),
        ("01.07.2024 08:00;B;1;1;east;48", "no longitude"),
        ("01.07.2024 08:00;a/1;1;1;9;48", "same device id"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, row, reason):
    """A bad row is rejected with file, line and reason, and every other row is still read."""
    good = "01.07.2024 08:00;a 1;1;1;9;48\n"
    recording = read(tmp_path, good + row + "\n" + good)
    assert len(recording.rows) == 2
    assert recording.rows_in == 3
    (rejected,) = recording.rejected
    assert (rejected.file, rejected.line) == ("daten.csv", 4)
    assert reason in rejected.reason


def test_rows_are_sorted_and_steps_back_reported(tmp_path):
    """Rows go out in time order whatever the file's order; the number of backward steps is kept."""
    rows = "".join(f"01.07.2024 08:{m:02d};A;{m};1;9;48\n" for m in (3, 1, 2, 0))
    recording = read(tmp_path, rows)
    assert [row.fields["pm25_ngm3"] for row in recording.rows] == [0, 1000, 2000, 3000]
    assert recording.backward_steps == 2
    assert recording.end_s - recording.start_s == 180


def test_gzip_bom_and_file_pattern(tmp_path):
    """A gzip file with a byte order mark and a device in its name reads like the plain one."""
    text = GOOD.replace('column = "Station"', 'file_pattern = "^([A-Z]+)_"')
    text = text.replace("skip_lines = 1", 'header_starts = "Zeit"')
    path = tmp_path / "NORD_raw.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig", newline="") as file:
        file.write("Zeit;PM2.5;T;lon;lat\r\n01.07.2024 08:00;1.5;20;9;48\r\n\r\n")
    recording = read_files(load_map(write(tmp_path, text)), [path])
    assert recording.rows[0].device == "luft-nord"
    assert recording.rows[0].fields["pm25_ngm3"] == 1500
    assert recording.rows_in == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("erste Zeile\nZeit;Station;PM10;T;lon;lat\n1;1;1;1;1;1\n", "fields.pm25_ngm3.column"),
        ("", "no header"),
        (HEADER, "none of 0 rows"),
        (HEADER + "x;A;1;1;9;48\n", "the first reason: daten.csv:3"),
        (HEADER + "\udcff", "not utf-8-sig"),
    ],
)
def test_files_that_do_not_fit_the_map(tmp_path, content, word):
    """A missing column, no header, no readable row and a wrong encoding are one clear error each."""
    data = tmp_path / "daten.csv"
    data.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(MapError, match=word):
        read_files(load_map(write(tmp_path, GOOD)), [data])


def test_the_made_site_is_sound(tmp_path):
    """The site made from the data passes the site check without a finding and puts devices where the data says."""
    rows = "01.07.2024 08:00;A;1;1;9.99;48.4\n01.07.2024 08:00;B;1;1;9.98;48.41\n"
    doc = load_map(write(tmp_path, GOOD))
    folder = build_replay_site(doc, read(tmp_path, rows), tmp_path / "site")
    assert check_site(folder) == []
    site = load_site(folder)
    assert [(a.lon, a.lat) for a in site.air_stations] == [(9.99, 48.4), (9.98, 48.41)]
    assert [d.id for d in site.devices] == ["luft-a", "luft-b"]


def test_places_too_far_apart_are_refused(tmp_path):
    """Devices of two towns do not make one square."""
    rows = "01.07.2024 08:00;A;1;1;9.99;48.4\n01.07.2024 08:00;B;1;1;13.4;52.5\n"
    doc = load_map(write(tmp_path, GOOD))
    with pytest.raises(MapError, match="one town at a time"):
        build_replay_site(doc, read(tmp_path, rows), tmp_path / "site")


SITE_SECTION = GOOD[GOOD.index("[site]") :]


def test_an_existing_site_with_other_devices(tmp_path):
    """With a folder and assets the devices sit on assets of that site; a missing or unknown one is named."""
    text = GOOD.replace(SITE_SECTION, '[site]\nfolder = "alun-alun-pasuruan"\n\n[site.assets]\nluft-a = "air-01"\n')
    recording = read(tmp_path, "01.07.2024 08:00;A;1;1;9;48\n", text)
    doc = load_map(tmp_path / "map.toml")
    site = load_site(build_replay_site(doc, recording, tmp_path / "site"))
    assert [(d.id, d.asset) for d in site.devices] == [("luft-a", "air-01")]
    for wrong, word in (("air-99", "air-99"), ("air-01", "luft-b")):
        doc = load_map(write(tmp_path, text.replace("air-01", wrong)))
        rows = "01.07.2024 08:00;A;1;1;9;48\n01.07.2024 08:00;B;1;1;9;48\n"
        with pytest.raises(MapError, match=word):
            build_replay_site(doc, read(tmp_path, rows, text), tmp_path / "site")


def test_long_lists_of_rejected_rows_are_cut():
    """A person sees the first reasons and how many more there are."""
    from simulators.replay_rows import Rejected

    lines = list(first_lines([Rejected("f.csv", i, "bad") for i in range(25)]))
    assert lines[0] == "f.csv:0: bad"
    assert lines[-1] == "... and 5 more"
    assert len(lines) == 21
