"""What the documents say is what the code does."""

import re
from pathlib import Path

import msgspec

from simulators import replay_map
from simulators.parameters import BEGIN, END, every_parameter, table

ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_parameters_is_that_of_the_modules():
    """Every parameter stands in docs/simulator.md, which `python -m simulators.parameters docs/simulator.md` writes."""
    text = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    page = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert page == table().strip()
    assert all(one.source and one.unit for _, _, one in every_parameter())


def test_every_key_of_a_map_is_documented():
    """Each key of the map's types appears in docs/replay.md, in a row with its default when it has one."""
    text = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
    parts = {
        "file": replay_map.FileMap,
        "time": replay_map.TimeMap,
        "device": replay_map.DeviceMap,
        "fields.<wire field>": replay_map.FieldMap,
        "clock": replay_map.ClockMap,
        "site": replay_map.SiteMap,
        "site.bin": replay_map.BinMap,
    }
    keys = {
        f"{prefix}.{field.name}": field.default
        for prefix, struct in parts.items()
        for field in msgspec.structs.fields(struct)
        if f"{prefix}.{field.name}" != "site.bin"
    }
    assert [key for key in keys if f"`{key}" not in text] == []
    # The geometry of the bins stands in one row, in which a sentence is shortened.
    plain = {key: value for key, value in keys.items() if isinstance(value, str | int) and key != "site.bin.source"}
    rows = {key: line for line in text.splitlines() if line.startswith("|") for key in plain if f"`{key}`" in line}
    assert [key for key, value in plain.items() if str(value) not in rows[key]] == []


def test_the_ten_minute_map_of_the_guide_works(tmp_path):
    """The pieces of the guide, put together, read the guide's own example file."""
    text = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
    guide = text[text.index("## Your own CSV") : text.index("## What is exact")]
    blocks = re.findall(r"(?m)(?:^ {4,7}\S.*\n|^\n(?= {4,7}\S))+", guide)
    data, *pieces = (re.sub(r"(?m)^ {4,7}", "", block) for block in blocks if "resik replay" not in block)
    (tmp_path / "luft.csv").write_text(data.strip() + "\n", encoding="utf-8")
    top = 'schema = 1\nname = "nord"\nkind = "air"\n'
    (tmp_path / "nord.toml").write_text(top + "\n".join(p for p in pieces if "[" in p), encoding="utf-8")
    from simulators.replay_rows import read_files

    recording = read_files(replay_map.load_map(tmp_path / "nord.toml"), [tmp_path / "luft.csv"])
    assert recording.devices == ("nord-hafen", "nord-markt")
    assert recording.rejected == []
    fields = {row.device: row.fields for row in recording.rows}
    assert fields == {"nord-markt": {"pm25_ngm3": 5400, "temp_cdeg": 2130}, "nord-hafen": {"temp_cdeg": 2090}}
