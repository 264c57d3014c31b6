"""The live view: the square lives at the speed of the keys, and what keys break is broken."""

import dataclasses
import threading
import time
from datetime import datetime

import pytest
from rich.console import Console

from resik import simulate_view
from resik.simulate_live import MISCHIEFS, LiveSquare
from resik.simulate_view import View, print_run, run
from simulators.errors import SimulatorError
from simulators.faults import KINDS
from simulators.scenario import load_scenario
from square.clock import WIB, clock_words

AFTERNOON_S = datetime(2026, 11, 24, 15, tzinfo=WIB).timestamp()
"""There are people and crews then."""


def make_square(hours=3.0, **more):
    scenario = load_scenario("quiet-tuesday")
    return LiveSquare(dataclasses.replace(scenario, hours=hours, start_s=AFTERNOON_S), **more)


@pytest.fixture
def square():
    return make_square()


def text_of(view, width=120, height=40):
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(view.picture(width, height), height=height)
    return console.export_text()


def test_the_square_lives_at_its_speed(square):
    """Two seconds at x600 are twenty minutes; paused, none; twice as fast, forty."""
    view = View(square, 600.0)
    begun_s = square.now_s
    view.let_pass(2.0, 30.0)
    assert square.now_s - begun_s == 1200
    view.press(" ")
    view.let_pass(2.0, 30.0)
    assert square.now_s - begun_s == 1200
    view.press(" ")
    view.press("+")
    view.let_pass(2.0, 30.0)
    assert square.now_s - begun_s == 3600
    view.press("-")
    view.press("-")
    assert view.speed == 300.0


def test_speed_has_bounds(square):
    """However often a key is pressed, a square second lies between a second and a day."""
    view = View(square)
    for _ in range(40):
        view.press("+")
    assert view.speed == simulate_view.FASTEST
    for _ in range(60):
        view.press("-")
    assert view.speed == simulate_view.SLOWEST


def test_what_cannot_be_caught_up_is_let_go(square):
    """A frame that had time for little does not pile up work for the next ones, and says that it is flat out."""
    view = View(square, 86_400.0)
    view.let_pass(1.0, 0.0)
    assert "flat out" in text_of(view)
    before_s = square.now_s
    view.let_pass(0.0, 30.0)
    assert square.now_s - before_s <= 120


def test_the_same_keys_give_the_same_square():
    """Watching is no chance: the same seed and keys at the same minutes come to the same figures; another seed not."""

    def figures(seed):
        square = make_square(seed=seed)
        view = View(square)
        for _ in range(60):
            square.minute()
        for key in "f2f9e":
            view.press(key)
        for _ in range(60):
            square.minute()
        return square.figures(), [row.fill_pct for row in square.bins()]

    assert figures(3) == figures(3)
    assert figures(3)[1] != figures(4)[1]


@pytest.mark.parametrize("number", range(len(MISCHIEFS)))
def test_every_digit_breaks_what_it_says(number):
    """The menu's faults are of kinds that exist, act at once, last as long as they say, and are told."""
    square = make_square()
    view = View(square)
    view.press("f")
    assert MISCHIEFS[number].words_en in text_of(view)
    view.press(str(number + 1))
    mischief = MISCHIEFS[number]
    assert mischief.kind in KINDS[mischief.target.partition(":")[0]]
    (fault,) = square.faults()
    assert (fault.target_kind, fault.kind) == (mischief.target.partition(":")[0], mischief.kind)
    assert fault.until_s - square.now_s == mischief.minutes * 60
    assert fault.target in view.said
    assert f"faults (1): {fault.target} {fault.kind}" in text_of(view)
    assert square.told[-1].is_bad


def test_a_fault_that_ends_is_told(square):
    """After its time a fault is gone from the heading and its end is an event."""
    square.make_mischief(6)
    for _ in range(61):
        square.minute()
    assert square.faults() == ()
    assert any("uplink cut" in told.words and not told.is_bad for told in square.told)


def test_no_digit_breaks_nothing(square):
    """Zero and letters close the menu and break nothing; digits without the menu do nothing."""
    view = View(square)
    for key in ("1", "f", "0", "x", "\x1b"):
        view.press(key)
    assert square.faults() == ()
    assert view.page == "square"


def test_the_office_does_not_see_what_a_broken_line_hides():
    """With the uplink cut for an hour the office goes on believing what it heard last of the fullest bin."""
    square = make_square()
    for _ in range(60):
        square.minute()
    believed = {row.asset_id: row.belief.as_of_ms for row in square.bins() if row.belief is not None}
    square.make_mischief(6)
    for _ in range(50):
        square.minute()
    after = {row.asset_id: row.belief.as_of_ms for row in square.bins() if row.belief is not None}
    assert after == believed


def test_the_fullest_bin_can_be_emptied_by_hand(square):
    """Key e takes out the first of the list, says so, and the bin is empty in truth."""
    view = View(square)
    fullest = square.bins()[0]
    view.press("e")
    assert f"{fullest.asset_id} dikosongkan" in view.said
    assert next(row for row in square.bins() if row.asset_id == fullest.asset_id).fill_pct == 0


@pytest.mark.parametrize(("width", "height"), [(120, 40), (100, 30), (80, 24)])
def test_the_picture_fits_the_terminal(square, width, height):
    """Every size has the time of the square, the fullest bin, who works, the first figures and the keys."""
    view = View(square)
    for _ in range(5):
        square.minute()
    text = text_of(view, width, height)
    lines = text.splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for wanted in (
        "24-11-2026 15.05 WIB", "×600", square.bins()[0].asset_id, "siang-1 Budi", "menit tong meluap", "keluhan",
        "jeda/pause", "q keluar",
    ):  # fmt: skip
        assert wanted in text


def test_the_scenario_explains_itself(square):
    """Key s shows what the scenario is about in both languages, and goes back."""
    view = View(square)
    view.press("s")
    text = text_of(view)
    assert square.scenario.name_en in text
    assert square.scenario.about_id.split()[0] in text
    view.press("s")
    assert view.page == "square"


def test_a_scenario_that_is_over_stands_still():
    """After the last minute the time stands, the heading says so, and keys still answer."""
    square = make_square(hours=0.1)
    view = View(square)
    view.let_pass(10.0, 30.0)
    assert square.is_over
    end_s = square.now_s
    view.let_pass(10.0, 30.0)
    assert square.now_s == end_s
    assert "selesai / over" in text_of(view)
    view.press("q")
    assert view.has_quit


def test_the_loop_draws_until_somebody_quits(square):
    """Keys reach the view in order, time passes between them, and q ends it."""
    view = View(square, 6000.0)
    pressed = iter([None, "+", None, "q"])
    drawn = []

    class Fingers:
        def wait(self, _within_s):
            time.sleep(0.03)
            return next(pressed)

    run(view, Fingers(), lambda: drawn.append(1), threading.Event())
    assert len(drawn) == 4
    assert view.speed == 12_000.0
    assert square.now_s > make_square().now_s


def test_the_loop_ends_between_two_pictures_when_it_is_stopped(square):
    """A signal never cuts a picture in two: what was begun is finished, and no further one begins."""
    stop, drawn = threading.Event(), []

    class Fingers:
        def wait(self, _within_s):
            stop.set()

    run(View(square), Fingers(), lambda: drawn.append(1), stop)
    assert drawn == [1]


def test_without_a_terminal_there_are_lines():
    """An hour, a line; what is bad news between; the figures at the end."""
    square = make_square(hours=2.0)
    square.make_mischief(4)
    console = Console(width=300, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_run(square, console)
    lines = console.export_text().splitlines()
    hours = [line for line in lines if "meluap / over" in line and "WIB" in line]
    assert [line[:20] for line in hours] == ["24-11-2026 16.00 WIB", "24-11-2026 17.00 WIB"]
    assert any("! gangguan / fault: broker down" in line for line in lines)
    assert any("menit tong meluap / overflow" in line for line in lines)


def test_who_knows_the_future_does_not_play_here():
    """The clairvoyant policy plans for a future that keys may change: it is refused in words."""
    with pytest.raises(SimulatorError, match="choose another"):
        make_square(policy="oracle")


def test_times_are_read_as_at_the_square(square):
    """Day first, points, and the zone by its name."""
    assert clock_words(square.local) == "24-11-2026 15.00 WIB"
