"""The shipped maps on the real data sets: every row, exact values, exact times."""

import csv
import gzip
from collections import Counter
from datetime import UTC, datetime

import pytest

from simulators.replay_map import load_map
from simulators.replay_rows import read_files
from simulators.replay_site import build_replay_site
from square.site import load_site
from tests.unit.simulators.reference import reference_file

pytestmark = pytest.mark.reference


def test_wyndham_is_read_whole(tmp_path):
    """19,995 rows of 31 bins, 137 backward steps, 2,813 + 532 rows at 80 % or more: the figures of the data set."""
    path = reference_file("wyndham_fill/wyndham_fill_daily.csv.gz")
    doc = load_map("wyndham")
    recording = read_files(doc, [path])
    assert (recording.rows_in, len(recording.rejected), len(recording.devices)) == (19_995, 0, 31)
    assert recording.backward_steps == 137
    # FULLNESS 2,813 of 2,813 at or above the threshold and 532 ALERT rows
    assert sum(row.fields["fill_pct"] >= 80 for row in recording.rows) == 2_813 + 532
    per_day = Counter(datetime.fromtimestamp(row.ts_s, UTC).date() for row in recording.rows)
    assert len(per_day) == 645
    assert set(per_day.values()) == {31}
    site = load_site(build_replay_site(doc, recording, tmp_path))
    assert len(site.bins) == 31
    assert site.rules.full_pct == 80


def test_epa_is_read_whole_and_exactly(tmp_path):
    """42,836 + 42,923 minutes; PM2.5 of every row equals the text of the file; NO2 below zero stays below zero."""
    files = [reference_file(f"epa_collocation/{unit}_raw.csv.gz") for unit in ("RT01", "RT02")]
    doc = load_map("epa-air")
    recording = read_files(doc, files)
    assert (recording.rows_in, len(recording.rejected), recording.backward_steps) == (42_836 + 42_923, 0, 0)
    sent = {(row.file, row.line): row for row in recording.rows}
    negative = Counter()
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            for line, cells in enumerate(csv.reader(file), start=1):
                if line < 8:
                    continue
                row = sent[path.name, line]
                whole, _, part = cells[3].partition(".")
                assert row.fields["pm25_ngm3"] == int(whole) * 1000 + int(part.ljust(3, "0")[:3])  # not by Decimal
                assert (cells[1] == "") == ("no2_ppt" not in row.fields)
                negative[path.name] += row.fields.get("no2_ppt", 0) < 0
    assert negative == {"RT01_raw.csv.gz": 32_265, "RT02_raw.csv.gz": 22_784}
    assert sum("no2_ppt" not in row.fields for row in recording.rows) == 2 + 3
    # 07:11 of a clock fixed at UTC-5 is 12:11 UTC, although daylight time applied
    assert datetime.fromtimestamp(recording.start_s, UTC) == datetime(2019, 8, 1, 12, 11, tzinfo=UTC)
    assert len(load_site(build_replay_site(doc, recording, tmp_path)).air_stations) == 2
