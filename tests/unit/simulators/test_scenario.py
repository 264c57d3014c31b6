"""Scenario files: all that ship load, every fault is told with its line and remedy, moments mean what they say."""

import shutil
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from simulators.errors import ScenarioError
from simulators.habits import Habits
from simulators.scenario import Scenario, check_scenario, load_scenario, resolve_scenario, shipped_scenarios
from simulators.scenario_schema import CREWS_FIELDS, MISHAPS_FIELDS, VISITORS_FIELDS, WEATHER_FIELDS, moment_s
from simulators.scenario_sections import CrowdSpell, Group, MishapRates, PlannedMishap, Storm, Visits, WeatherOverrides
from square.site import load_site, shipped_site

ZONE = ZoneInfo("Asia/Jakarta")
HEAD = """schema = 1
id = "a-day"
name_id = "Sehari"
name_en = "A day"
about_id = "Tidak ada apa-apa."
about_en = "Nothing."
day = 2026-11-24
start = "12:00"
hours = 24
"""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a scenario: lines after a sound head, which has 9 lines."""

    def write(more: str = "", head: str = HEAD) -> Path:
        path = tmp_path / "a-day.toml"
        path.write_text(head + more, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_is_sound(name):
    """It loads without a warning, is called as its file, and speaks both languages."""
    assert check_scenario(resolve_scenario(name)) == []
    scenario = load_scenario(name)
    assert scenario.id == name
    assert scenario.about_id != scenario.about_en
    assert scenario.start_s < scenario.end_s


def test_the_eleven_scenarios_ship():
    """Those that were promised are there."""
    promised = {
        "quiet-tuesday", "friday-noon", "sunday-morning", "jumat-legi", "haul", "ramadan-evening", "takbiran",
        "thunderstorm", "sensor-epidemic", "uplink-cut", "vandal-night",
    }  # fmt: skip
    assert promised <= set(shipped_scenarios())


def test_a_short_file_is_an_ordinary_day(file):
    """What is left out has its default: the sections are those of an ordinary day."""
    found = load_scenario(file())
    start_s = datetime(2026, 11, 24, 12, tzinfo=ZONE).timestamp()
    plain = Scenario("a-day", "Sehari", "A day", "Tidak ada apa-apa.", "Nothing.", "alun-alun-pasuruan", start_s, 24.0)
    assert found == plain
    assert (found.visits, found.weather) == (Visits(), WeatherOverrides())
    assert (found.mishaps, found.crews) == (MishapRates(), Habits())


def test_every_section_is_read(file):
    """Each key of each section arrives in its place, moments as seconds since 1970."""
    path = file(
        """
initial_fill_pct = [10, 20]
seed = 7
[visitors]
per_day_factor = 2
group = [{ at = "+1:00", buses = 3 }]
[[visitors.crowd]]
from = "18:00"
until = "19:00"
people = 500
purpose = "food"
[[visitors.quiet]]
from = "22:00"
until = "04:00"
factor = 0.5
[weather]
is_dry = true
temp_shift_c = -2
[[weather.storm]]
from = "14:00"
until = "15:00"
rain_mmph = 40
[mishaps]
moved_per_day = 3
[[mishaps.planned]]
at = 2026-11-24T20:00:00
kind = "fire"
bin = "bin-041"
[crews]
lie_share = 0.25
[[occasion]]
day = 2027-08-13
name = "haul"
"""
    )
    assert check_scenario(path) == []
    found = load_scenario(path)
    noon_s, hour = found.start_s, 3600.0
    assert (found.seed, found.initial_fill_pct) == (7, (10.0, 20.0))
    assert found.visits.per_day_factor == 2.0
    assert found.visits.groups == (Group(noon_s + hour, 3, 62.0),)
    assert found.visits.crowds == (CrowdSpell(noon_s + 6 * hour, noon_s + 7 * hour, 500, "food"),)
    assert [(q.from_s, q.until_s, q.factor) for q in found.visits.quiet] == [
        (noon_s + 10 * hour, noon_s + 16 * hour, 0.5)
    ]
    assert (found.weather.is_dry, found.weather.temp_shift_c) == (True, -2.0)
    assert found.weather.storms == (Storm(noon_s + 2 * hour, noon_s + 3 * hour, 40.0, 8.0),)
    assert found.mishaps.moved_per_day == 3.0
    assert found.mishaps.planned == (PlannedMishap(noon_s + 8 * hour, "fire", "bin-041"),)
    assert found.crews == Habits(lie_share=0.25)
    assert found.occasions == {date(2027, 8, 13): ("haul",)}


WRONG = [
    ("[wether]\nx = 1\n", 10, '"wether" is not a key of this format', "Did you mean weather?"),
    ("[visitors]\nper_day = 3\n", 11, '"per_day" is not a key of this format', "Did you mean per_day_factor?"),
    ("weather = 3\n", 10, '"weather" is no table', "Write it as [weather]."),
    ("[fault]\nat = 1\n", 10, '"fault" is no list of tables', "Write each of them as [[fault]]."),
    ("seed = -1\n", 10, "seed is -1", "Write a whole number from 0 to"),
    ("initial_fill_pct = [80, 20]\n", 10, "initial_fill_pct is [80, 20]", "the smaller first, like [5, 75]"),
    ('site = "alun-alun-nowhere"\n', 10, "the site cannot be loaded", "Name a sound site."),
    ("[weather]\nis_dry = 1\n", 11, "is_dry is 1", "Write true or false"),
    ("[crews]\nlie_share = 1.5\n", 11, "lie_share is 1.5", "Write a number from 0 to 1"),
    (
        '[[visitors.crowd]]\nfrom = "25:00"\nuntil = "+1:00"\npeople = 1\npurpose = "food"\n',
        11,
        'from is "25:00"',
        "like",
    ),
    (
        '[[visitors.crowd]]\nfrom = "+2:00"\nuntil = "+1:00"\npeople = 1\npurpose = "food"\n',
        12,
        "until is not later",
        "Ex",
    ),
    ('[[mishaps.planned]]\nat = "+1:00"\nkind = "tiped"\n', 12, 'kind is "tiped"', "Write one of scavenged"),
    (
        '[[mishaps.planned]]\nat = "+1:00"\nkind = "fire"\nbin = "bin-099"\n',
        13,
        '"bin-099" is no bin',
        "Did you mean bin-0",
    ),
    ('[[occasion]]\nday = 2027-08-13\nname = "hauls"\n', 12, '"hauls" is no occasion', "Did you mean haul?"),
    ('[[fault]]\nat = "+1:00"\nkind = "cut"\n', 10, '"target" is missing', "Add target"),
    ('[[fault]]\nat = "+1:00"\ntarget = "uplnk"\nkind = "cut"\n', 12, '"uplnk" is nothing', "Did you mean uplink?"),
    ('[[fault]]\nat = "+1:00"\ntarget = "node"\nkind = "silent"\n', 12, "names no node", 'Write "node:*" for all'),
    ('[[fault]]\nat = "+1:00"\ntarget = "store:1"\nkind = "down"\n', 12, "there is only one store", 'Write "store".'),
    (
        '[[fault]]\nat = "+1:00"\ntarget = "node:rsk-b0001"\nkind = "silent"\n',
        12,
        "matches no device",
        "Did you mean rsk-b001",
    ),
    ('[[fault]]\nat = "+1:00"\ntarget = "crew:malam"\nkind = "away"\n', 12, "matches no crew", "Did you mean malam-"),
    (
        '[[fault]]\nat = "+1:00"\ntarget = "uplink"\nkind = "cutt"\n',
        13,
        '"cutt" is no fault of an uplink',
        "Did you mean cut?",
    ),
    ('[[fault]]\nat = "+1:00"\ntarget = "uplink"\nkind = "cut"\nstrength = 2\n', 14, "cut has no strength", "Remove"),
    (
        '[[fault]]\nat = "+1:00"\ntarget = "node:*"\nkind = "wild"\nstrength = 2\n',
        14,
        "strength is 2",
        "from 0 to 1 (share)",
    ),
    (
        '[[fault]]\nat = "+1:00"\ntarget = "disk"\nkind = "full"\nshare = 0.5\n',
        14,
        "there is only one disk",
        "Remove share.",
    ),
    (
        '[[fault]]\nat = "+1:00"\nuntil = "+2:00"\nfor_min = 1\ntarget = "disk"\nkind = "full"\n',
        13,
        "together with until",
        "Keep",
    ),
    ('[[fault]]\nat = 2026-11-24T11:00:00\ntarget = "disk"\nkind = "full"\n', 11, "before the start", "later time"),
    (
        '[[fault]]\nat = "+1:00"\nfor_min = 5\ntarget = "clock"\nkind = "jump"\n',
        12,
        "jump is a moment and lasts no time",
        "Remove for_min.",
    ),
    (
        '[[mishaps.planned]]\nat = "+1:00"\nkind = "burning"\nbin = "bin-001"\n',
        13,
        "burning happens near the square, at no bin",
        "Remove bin.",
    ),
    ("fault = [1]\n", 10, '"fault" is no list of tables', "Write each of them as [[fault]]."),
    ("initial_fill_pct = [1, 2, 3]\n", 10, "initial_fill_pct is", "the smaller first"),
    ('initial_fill_pct = ["a", "b"]\n', 10, "initial_fill_pct is", "the smaller first"),
    ("initial_fill_pct = [false, true]\n", 10, "initial_fill_pct is", "the smaller first"),
    ('site = ""\n', 10, "site is empty", "Write a text that is not empty"),
    ("site = 3\n", 10, "site is a whole number", "Write a text that is not empty"),
    (f'site = "{"x" * 300}"\n', 10, "the site cannot be loaded", "Name a sound site."),
    ('[[occasion]]\nday = 9999-12-31\nname = "haul"\n', 11, "day is 9999-12-31", "from 1970 to 2199"),
    ('[[fault]]\nat = 9999-12-31T00:00:00\ntarget = "disk"\nkind = "full"\n', 11, "at is 9999-12-31", "time of day"),
    ("hours = 3\n", 10, "the TOML breaks off", "Correct the text"),
]


@pytest.mark.parametrize(("more", "line", "what", "remedy"), WRONG, ids=[w[2][:24] for w in WRONG])
def test_a_fault_is_told_with_line_and_remedy(file, more, line, what, remedy):
    """Exactly one error, at its line, with what is wrong and what to do; loading raises it."""
    path = file(more)
    findings = [f for f in check_scenario(path) if f.severity == "error"]
    assert [f.line for f in findings] == [line]
    assert what in findings[0].what
    assert remedy in findings[0].remedy
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path)
    assert (raised.value.path, raised.value.line, raised.value.what) == (path, line, findings[0].what)
    assert "more: run" not in str(raised.value)


def test_all_faults_are_told_at_once_in_order_of_lines(file):
    """A file with many faults is listed whole; the error of loading names the first and how many more."""
    path = file("x = 1\n[weather]\ny = 2\n[[fault]]\nz = 3\n", head=HEAD.replace('name_en = "A day"\n', ""))
    findings = check_scenario(path)
    assert [f.line for f in findings] == [1, 9, 11, 12, 12, 12, 13]
    with pytest.raises(ScenarioError, match=r"6 more: run resik simulate scenarios check .*a-day\.toml"):
        load_scenario(path)


def test_what_never_happens_is_a_warning(file):
    """A fault after the end does not keep the scenario from loading, and is told."""
    path = file('[[fault]]\nat = "+30:00"\ntarget = "disk"\nkind = "full"\n')
    assert [(f.line, str(f.severity)) for f in check_scenario(path)] == [(11, "warning")]
    assert len(load_scenario(path).faults) == 1


def test_a_name_that_is_none_says_what_there_is():
    """A scenario that does not exist is refused with the names of those that ship."""
    with pytest.raises(ScenarioError, match=r"no scenario of this name.*quiet-tuesday"):
        load_scenario("noisy-tuesday")


def test_a_name_that_no_file_can_have_is_refused_like_any_other():
    """300 characters are too long for a file name, and no reason for a traceback."""
    with pytest.raises(ScenarioError, match="no scenario of this name"):
        load_scenario("x" * 300)


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "2200-01-01", "9999-12-31"])
def test_a_day_beyond_the_calendars_is_refused(file, day):
    """Days before 1970 and after 2199 are errors of the file; the first and last days themselves are none."""
    path = file(head=HEAD.replace("2026-11-24", day))
    assert [(f.line, f.severity) for f in check_scenario(path)] == [(7, "error")]
    for sound in ("1970-01-01", "2199-12-31"):
        assert check_scenario(file(head=HEAD.replace("2026-11-24", sound))) == []


@pytest.mark.parametrize(("day", "offset_h"), [("2027-03-28", 2), ("2027-10-31", 1)])
def test_on_the_day_of_a_clock_change_start_and_moments_are_wall_clock(file, tmp_path, day, offset_h):
    """In Berlin 04:30 is half past four on these days too, and 05:00 is half an hour later, not a day."""
    folder = tmp_path / "platz"
    shutil.copytree(shipped_site("alun-alun-pasuruan"), folder)
    plan = folder / "site.toml"
    plan.write_text(plan.read_text(encoding="utf-8").replace("Asia/Jakarta", "Europe/Berlin"), encoding="utf-8")
    more = 'site = "platz"\n[[fault]]\nat = "05:00"\ntarget = "disk"\nkind = "full"\n'
    path = file(more, HEAD.replace("2026-11-24", day).replace('"12:00"', '"04:30"'))
    assert check_scenario(path) == []
    found = load_scenario(path)
    midnight_utc_s = datetime.fromisoformat(f"{day}T00:00+00:00").timestamp()
    assert found.start_s == midnight_utc_s + (4.5 - offset_h) * 3600
    assert found.faults.faults[0].at_s == found.start_s + 1800


def test_a_site_folder_is_counted_from_the_file(file, tmp_path):
    """A folder beside the file is found whatever the working folder is."""
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares" / "ours").symlink_to(shipped_site("alun-alun-pasuruan"))
    found = load_scenario(file('site = "squares/ours"\n'))
    assert load_site(found.site).id == "alun-alun-pasuruan"


@pytest.mark.parametrize(
    ("text", "hours"),
    [("12:00", 0), ("11:59", 23 + 59 / 60), ("24:00", 12), ("00:00", 12), ("+0:00", 0), ("+49:30", 49.5)],
)
def test_moments(text, hours):
    """A time of day is the first one not before the start; a plus counts from it."""
    noon_s = datetime(2026, 11, 24, 12, tzinfo=ZONE).timestamp()
    assert moment_s(text, noon_s, noon_s, ZONE) == noon_s + hours * 3600


def test_sections_and_tables_have_the_same_keys():
    """No number of a section is out of reach of a file, and no key leads nowhere."""
    for section, fields in (
        (Visits(), VISITORS_FIELDS),
        (WeatherOverrides(), WEATHER_FIELDS),
        (MishapRates(), MISHAPS_FIELDS),
        (Habits(), CREWS_FIELDS),
    ):
        numbers = {n: getattr(section, n) for n in type(section).__dataclass_fields__}
        plain = {n: v for n, v in numbers.items() if not isinstance(v, tuple)}
        assert plain == {f.name: f.default for f in fields}
