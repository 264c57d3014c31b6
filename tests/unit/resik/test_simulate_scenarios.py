"""`resik simulate scenarios`: list, show and check, for people and for programs."""

import json

import pytest
from click.testing import CliRunner

from resik.simulate_scenarios import command
from simulators.scenario import resolve_scenario, shipped_scenarios


def resik(*arguments: str):
    return CliRunner().invoke(command, arguments)


def test_list_names_all_in_both_languages():
    """Each shipped scenario is listed with its titles; as JSON each is an object."""
    text = resik("list").output
    assert all(name in text for name in shipped_scenarios())
    assert "Malam Jumat Legi / Night of Jumat Legi" in text
    assert [one["id"] for one in json.loads(resik("list", "--json").output)] == list(shipped_scenarios())


@pytest.mark.parametrize("name", shipped_scenarios())
def test_show_tells_the_frame_in_local_time(name):
    """Title, local start and length stand in the text of each scenario."""
    text = resik("show", name).output
    assert text.startswith(f"{name}: ")
    assert "Asia/Jakarta" in text


def test_show_tells_what_happens_in_order_of_time():
    """Mishaps and faults of a night are one list, over midnight."""
    lines = resik("show", "vandal-night").output.splitlines()
    times = [line for line in lines if line[2:3] == ":"]
    assert times[0].startswith("20:50  tipped bin-021")
    assert "21:55  node:rsk-b029: blocked 1 share for good" in "\n".join(times)
    assert times[-1].startswith("01:15 +1 d  bin-theft bin-041")


def test_check_without_paths_checks_all_that_ship():
    """All shipped scenarios are sound: exit code 0."""
    result = resik("check")
    assert result.exit_code == 0
    assert result.output.count("is sound") == len(shipped_scenarios())


def test_check_lists_every_fault_and_fails(tmp_path):
    """A wrong file gives exit code 1 and for each fault its place and remedy; a warning alone gives 0."""
    path = tmp_path / "mine.toml"
    head = 'schema = 1\nid = "mine"\nname_id = "x"\nname_en = "x"\nabout_id = "x"\nabout_en = "x"\nday = 2026-11-24\n'
    path.write_text(head + 'hours = 0\nseeds = 3\n[[fault]]\nat = "+1:00"\ntarget = "disk"\nkind = "ful"\n')
    result = resik("check", str(path))
    assert result.exit_code == 1
    assert "3 kesalahan" in result.output
    for line in (8, 9, 13):
        assert f"{path}:{line}: error: " in result.output
    path.write_text(head + 'hours = 1\n[[fault]]\nat = "+2:00"\ntarget = "disk"\nkind = "full"\n')
    result = resik("check", str(path))
    assert result.exit_code == 0
    assert "1 warning(s)" in result.output


def test_check_of_a_folder_checks_each_file_in_it(tmp_path):
    """Every *.toml, and how many; other files are no scenarios, and an empty folder is told."""
    for name in ("haul", "quiet-tuesday"):
        (tmp_path / f"{name}.toml").write_bytes(resolve_scenario(name).read_bytes())
    (tmp_path / "notes.md").write_text("no scenario")
    result = resik("check", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "2 scenarios checked, 0 cannot be used." in result.output
    (tmp_path / "mine.toml").write_text("schema = 1\n")
    result = resik("check", str(tmp_path), "haul")
    assert result.exit_code == 1
    assert "4 scenarios checked, 1 cannot be used." in result.output
    assert f"{tmp_path}/mine.toml" in result.output
    (tmp_path / "empty").mkdir()
    result = resik("check", str(tmp_path / "empty"))
    assert result.exit_code == 2
    assert f"{tmp_path}/empty: no file in this folder ends with .toml. Name a folder" in result.output


def test_a_folder_is_no_scenario_to_show(tmp_path):
    """Where one is wanted a folder is called one, and not a file that is missing."""
    result = resik("show", str(tmp_path))
    assert result.exit_code == 2
    assert f"{tmp_path}: this is a folder. Name a scenario file" in result.output


def test_a_name_that_is_none_is_refused_in_one_sentence():
    """An unknown scenario ends with exit code 2 and the names there are."""
    result = resik("show", "noisy-tuesday")
    assert result.exit_code == 2
    assert "quiet-tuesday" in result.output
