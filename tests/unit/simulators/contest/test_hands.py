"""Crews: what they do about orders, and when they may not."""

import pytest

from simulators.contest.hands import value
from simulators.contest.loop import Loop
from simulators.contest.policy import Order, Stop
from simulators.faults import Fault
from simulators.habits import Habits
from tests.unit.simulators.contest.stages import NINE_S, stage

HOUR_S = 3600.0
FRIDAY_TEN_S = NINE_S + 3 * 86_400 + HOUR_S
"""2026-11-27 10:00: the umbrella forecourt closes at 11:00 for the prayer."""


class Script:
    """Gives one crew the same list of stops at one moment and notes what is reported."""

    name = "script"
    every_s = 60

    def __init__(self, *stops, crew_id="pagi-1", after_min=5):
        self.stops, self.crew_id, self.after_min = stops, crew_id, after_min
        self.said = []

    def begin(self, _square, now_ms):
        self.at_ms = now_ms + self.after_min * 60_000

    def observe(self, observation):
        pass

    def report(self, report):
        if report.stop is not None:
            self.said.append(report)

    def decide(self, now_ms, _crews):
        return (Order(self.crew_id, tuple(self.stops)),) if now_ms == self.at_ms else ()

    def believe(self, _now_ms):
        return ()

    def kinds(self):
        return [(report.kind, report.stop.target) for report in self.said]


def run(script, minutes=120, **options):
    loop = Loop(stage(**options), script, seed=1, minutes=minutes)
    outcome = loop.run()
    return loop, outcome.labour[script.crew_id]


def test_a_task_is_accepted_then_done_and_a_standing_order_is_just_done():
    """Only what has a number is seen on the phone first."""
    script = Script(Stop("empty", "bin-001", 1), Stop("empty", "bin-002"))
    loop, labour = run(script)
    assert sorted(script.kinds()) == [("accepted", "bin-001"), ("claimed", "bin-001"), ("claimed", "bin-002")]
    assert labour.emptied == 2
    assert labour.distance_m > 0
    assert loop.model.fill_of("bin-001") < 20


def test_a_crew_that_lets_an_order_lie_says_nothing():
    """No report, no walk, no work."""
    script = Script(Stop("empty", "bin-001", 1))
    _, labour = run(script, habits=Habits(refuse_share=1.0))
    assert script.said == []
    assert (labour.let_lie, labour.work_ms, labour.distance_m) == (1, 0, 0.0)


def test_a_lie_is_a_claim_and_leaves_the_bin_as_it_is():
    """The office hears "claimed"; the bin is as full as if nobody had been sent."""
    script = Script(Stop("empty", "bin-001", 1))
    loop, labour = run(script, habits=Habits(lie_share=1.0))
    untouched, _ = run(Script())
    assert script.kinds() == [("accepted", "bin-001"), ("claimed", "bin-001")]
    assert (labour.lied, labour.emptied, labour.distance_m) == (1, 0, 0.0)
    assert loop.model.fill_of("bin-001") == untouched.model.fill_of("bin-001") > 0


def test_a_crew_without_network_does_the_work_and_tells_it_later():
    """Emptied in time, heard of after the median of an outage."""
    script = Script(Stop("empty", "bin-001", 1))
    run(script, habits=Habits(offline_share=1.0, offline_median_s=3000.0))
    (claimed,) = [report for report in script.said if report.kind == "claimed"]
    assert claimed.arrived_ms - claimed.at_ms > 300_000


def test_a_broken_cart_makes_the_way_longer():
    """The breakdown counts as time on the way."""
    slow, quick = (
        run(Script(Stop("empty", "bin-001")), habits=habits)[1] for habits in (Habits(breakdown_share=1.0), None)
    )
    assert slow.work_ms > quick.work_ms + 300_000
    assert slow.distance_m == quick.distance_m


def test_a_cart_that_is_full_is_unloaded_first():
    """A cart of 600 l takes no sixth bin of 120 l on top of what is in it: the crew goes to the transfer point."""
    targets = [f"bin-{n:03}" for n in range(1, 13)]
    script = Script(*(Stop("empty", target) for target in targets))
    _, labour = run(script, fill=(90.0, 100.0))
    assert labour.emptied == 12
    assert labour.unloaded >= 1
    assert ("unloaded", "") in script.kinds()


def test_nobody_works_where_it_is_closed():
    """On Friday at 11 the forecourt closes: its bins wait until 13:00, others are done meanwhile."""
    closed, free = "bin-030", "bin-001"
    played = stage(start_s=FRIDAY_TEN_S + HOUR_S)
    zone = next(z for z in played.site.zones if z.id == "zona-payung")
    closed = next(b.id for b in played.site.bins if b.zone == zone.id)
    script = Script(Stop("empty", closed), Stop("empty", free))
    run(script, minutes=29, start_s=FRIDAY_TEN_S + HOUR_S)
    assert script.kinds() == [("claimed", free)]


def test_a_crew_that_comes_too_late_goes_on_elsewhere_and_comes_back():
    """Sent before the forecourt closes, there after: the stop stays on the list until it is open again."""
    start_s = NINE_S + 2 * HOUR_S  # 11:00 on a Tuesday: closed from 11:05 to 12:15
    played = stage(start_s=start_s)
    closed = next(b.id for b in played.site.bins if b.zone == "zona-payung")
    script = Script(Stop("empty", closed), crew_id="siang-1", after_min=40)
    run(script, minutes=70, start_s=start_s)
    assert script.said == [], "12:10 and still closed"
    script = Script(Stop("empty", closed), crew_id="siang-1", after_min=40)
    run(script, minutes=100, start_s=start_s)
    assert script.kinds() == [("claimed", closed)]


def test_nothing_is_begun_after_the_shift():
    """An order at the end of the shift is forgotten; the next morning nothing of it is left."""
    script = Script(*(Stop("empty", f"bin-{n:03}") for n in range(1, 40)), after_min=140)
    _, labour = run(script, minutes=240)
    assert 1 <= labour.emptied < 10
    last_ms = max(report.at_ms for report in script.said)
    shift_end_ms = round((NINE_S + 2.5 * HOUR_S) * 1000)
    assert last_ms < shift_end_ms + 20 * 60_000


def test_a_new_order_replaces_what_is_not_begun():
    """The bin on whose way the crew is is finished, the rest of the old list is gone."""

    class Twice(Script):
        def decide(self, now_ms, crews):
            if now_ms == self.at_ms + 120_000:
                return (Order(self.crew_id, (Stop("empty", "bin-010"),)),)
            return super().decide(now_ms, crews)

    script = Twice(Stop("empty", "bin-001"), Stop("empty", "bin-002"))
    run(script)
    assert script.kinds() == [("claimed", "bin-001"), ("claimed", "bin-010")]


def test_who_has_gone_home_takes_no_order():
    """An order to a crew of the evening, given in the morning, is as if it had not been given."""
    script = Script(Stop("empty", "bin-001"), crew_id="malam-1")
    loop, labour = run(script, minutes=60)
    assert loop.hands["malam-1"].view().ahead == ()
    assert labour.work_ms == 0


@pytest.mark.parametrize(("kind", "emptied"), [("away", 0), ("offline", 1), ("lying", 0)])
def test_faults_of_crews(kind, emptied):
    """Away: nothing happens. Offline: the order comes when the network does. Lying: claimed, not done."""
    faults = (Fault(NINE_S, NINE_S + HOUR_S, "crew:pagi-1", kind),)
    script = Script(Stop("empty", "bin-001", 1))
    _, labour = run(script, minutes=140, faults=faults)
    assert labour.emptied == emptied
    if kind == "offline":
        assert min(report.arrived_ms for report in script.said) >= round((NINE_S + HOUR_S) * 1000)
    if kind == "lying":
        assert script.kinds()[-1] == ("claimed", "bin-001")


def test_sweeping_takes_time_with_the_litter():
    """A zone is clean afterwards; more litter takes longer."""
    script = Script(Stop("sweep", "zona-kuliner"), after_min=60)
    loop, labour = run(script, factor=12.0)
    assert labour.swept == 1
    assert labour.work_ms > 1000 * value("sweep_base_s") / 2
    assert loop.litter_l("zona-kuliner") < run(Script(), factor=12.0)[0].litter_l("zona-kuliner")
