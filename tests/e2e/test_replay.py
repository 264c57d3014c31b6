"""Recorded data through the whole chain: every row of a file is accounted for."""

import gzip
import json

import pytest

from ingest.stores import open_store
from tests.e2e.square import run_resik
from tests.services import free_port
from tests.unit.simulators.reference import reference_file

pytestmark = pytest.mark.e2e

MAP = """
schema = 1
name = "pasar"
kind = "bin"

[time]
column = "waktu"
format = "%Y-%m-%d %H:%M"
zone = "Asia/Jakarta"

[device]
column = "tong"
id = "psr-{value}"

[fields.fill_pct]
column = "isi"

[site]
id = "pasar"
name_id = "Pasar"
name_en = "Market"
timezone = "Asia/Jakarta"
source = "test"
lon_column = "bujur"
lat_column = "lintang"
interval_s = 600
"""


def replay(*words, cwd):
    """Run the command; return its exit code and its report."""
    done = run_resik("replay", *words, "--json", "--port", str(free_port()), cwd=cwd)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_every_row_is_accounted_for(tmp_path):
    """12 rows: 8 stored, 2 dead-lettered (level 150 %), 2 rejected (no number, no time): 12 = 8 + 2 + 2."""
    rows = [f"2019-03-01 08:{minute:02},a,{minute},112.9067,-7.6414" for minute in range(0, 40, 10)]
    rows += [f"2019-03-01 08:{minute:02},b,{minute + 20},112.9069,-7.6412" for minute in range(30, -10, -10)]
    rows += ["2019-03-01 09:00,a,150,112.9067,-7.6414", "2019-03-01 09:00,b,150,112.9069,-7.6412"]
    rows += ["2019-03-01 09:10,a,penuh,112.9067,-7.6414", "kemarin,a,10,112.9067,-7.6414"]
    (tmp_path / "isi.csv").write_text("waktu,tong,isi,bujur,lintang\n" + "\n".join(rows) + "\n")
    (tmp_path / "pasar.toml").write_text(MAP)
    code, report = replay("isi.csv", "--map", "pasar.toml", "--data", "data", cwd=tmp_path)
    assert code == 0
    assert (report["rows_in"], report["stored"], report["dead_lettered"], report["rejected"]) == (12, 8, 2, 2)
    assert (report["lost"], report["duplicated"], report["backward_steps"]) == (0, 0, 3)
    assert report["dead_letters"] == {"bad-value": 2}
    store = open_store(f"sqlite:///{tmp_path}/data/points.sqlite3", read_only=True)
    store.prepare()
    points = list(store.readings(site="pasar", start_ms=0, end_ms=2_000_000_000_000))
    store.close()
    # 2019-03-01 08:00 WIB is 01:00 UTC
    assert {(p.tags["device"], p.ts_ms // 1000 - 1_551_402_000, p.fields["fill_pct"]) for p in points} == {
        ("psr-a", 60 * minute, float(minute)) for minute in range(0, 40, 10)
    } | {("psr-b", 60 * minute, float(minute + 20)) for minute in range(0, 40, 10)}


@pytest.mark.parametrize(
    ("map_text", "csv", "complaint"),
    [
        ("schema = 1\n[file\n", "a\n1\n", "map.toml:2"),
        (MAP.replace("column = 'waktu'", "").replace('column = "isi"', 'colum = "isi"'), "a\n1\n", "colum"),
        (MAP, "waktu,tong\n2019-01-01 00:00,a\n", "isi"),
        (MAP, "", "readings.csv"),
    ],
)
def test_bad_maps_and_files_are_explained(tmp_path, map_text, csv, complaint):
    """Each mistake names file and place, ends non-zero, and starts nothing."""
    (tmp_path / "map.toml").write_text(map_text)
    (tmp_path / "readings.csv").write_text(csv)
    code, output = replay("readings.csv", "--map", "map.toml", "--data", "data", cwd=tmp_path)
    assert code == 2
    assert complaint in output
    assert not (tmp_path / "data").exists()


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "map_name", "skip", "rows"),
    [
        ("wyndham_fill/wyndham_fill_daily.csv.gz", "wyndham", 1, 1500),
        ("epa_collocation/RT01_raw.csv.gz", "epa-air", 7, 1500),
    ],
)
def test_the_first_rows_of_the_reference_data(tmp_path, name, map_name, skip, rows):
    """The first rows of both data sets pass broker, gateway, ingest and store: rows in = rows stored."""
    with gzip.open(reference_file(name), "rt", encoding="utf-8-sig") as source:
        lines = [line for _number, line in zip(range(skip + rows), source, strict=False)]
    part = tmp_path / name.split("/")[1]  # the map of the air data reads the device from the file's name
    with gzip.open(part, "wt", encoding="utf-8-sig") as file:
        file.writelines(lines)
    code, report = replay(part.name, "--map", map_name, "--data", "data", cwd=tmp_path)
    assert code == 0, report
    assert report["rows_in"] == report["stored"] == rows
