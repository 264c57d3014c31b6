"""The office of the contest where it differs from the engine: outages, beliefs, bins that are sent to early."""

from simulators.contest.office import Office, by_age
from simulators.contest.policy import CrewReport, CrewView, Observation
from tests.unit.simulators.contest.stages import NINE_S, stage

NINE_MS = round(NINE_S * 1000)
MINUTE_MS = 60_000
SQUARE = stage().square
CREWS = [CrewView(one, "pagi", is_on_shift=True, is_leaving=False, ahead=(), at=None) for one in ("pagi-1", "pagi-2")]


def reading(minute, fill_pct, asset="bin-001", *, arrived=None, state="ok"):
    ts_ms = NINE_MS + minute * MINUTE_MS
    arrived_ms = ts_ms if arrived is None else NINE_MS + arrived * MINUTE_MS
    return Observation("rsk", asset, ts_ms, arrived_ms, minute + 1, 1, fill_pct, 300, state, 4, 3700)


def turn(office, minute, also=()):
    office.settle(NINE_MS + minute * MINUTE_MS, CREWS)
    office.want(also)
    office.dispatch(CREWS)
    return office.orders(CREWS, idle=lambda _: (), sequence=by_age)


def believed(office, minute, asset="bin-001"):
    return next(one for one in office.believe(NINE_MS + minute * MINUTE_MS) if one.asset == asset)


def test_a_full_bin_becomes_an_order_and_the_sensor_closes_it():
    """From 90 % to an order; claimed and seen empty it is verified, and nobody is sent again."""
    office = Office(SQUARE, NINE_MS)
    office.observe(reading(0, 90.0))
    (order,) = turn(office, 1)
    (stop,) = order.stops
    assert (stop.kind, stop.target) == ("empty", "bin-001")
    for kind, minute in (("accepted", 2), ("claimed", 7)):
        at_ms = NINE_MS + minute * MINUTE_MS
        office.report(CrewReport(order.crew_id, kind, at_ms, at_ms, stop))
    office.observe(reading(10, 4.0))
    assert [task.state for task in office.closed] == ["verified"]
    (back,) = turn(office, 11)
    assert back.stops == ()
    assert office.incidents == {}


def test_what_a_crew_says_of_another_crews_task_changes_nothing():
    """Only who has the task can accept it."""
    office = Office(SQUARE, NINE_MS)
    office.observe(reading(0, 90.0))
    (order,) = turn(office, 1)
    other = next(crew.crew_id for crew in CREWS if crew.crew_id != order.crew_id)
    office.report(CrewReport(other, "accepted", NINE_MS, NINE_MS, order.stops[0]))
    assert [task.state for task in office.tasks.values()] == ["assigned"]


def test_an_outage_makes_nobody_silent_and_afterwards_the_waiting_begins_anew():
    """An hour without any reading is the way's fault; when others are heard again, the quiet one has its full time."""
    office = Office(SQUARE, NINE_MS)
    for asset in ("bin-001", "bin-002"):
        office.observe(reading(0, 20.0, asset))
    assert not believed(office, 60).is_silent, "the way is cut: as of the last reading nobody was late"
    assert believed(office, 60).is_stale
    for minute in range(61, 130, 1):
        office.observe(reading(minute, 20.0, "bin-002"))
        quiet = believed(office, minute).is_silent
        assert quiet == (minute > 61 + 30), minute
    assert not believed(office, 129, "bin-002").is_silent


def test_early_work_waits_for_no_level_and_is_verified_like_any_other():
    """A bin at 60 % that somebody wants now: sent to, and done when the sensor says so; never twice at a time."""
    office = Office(SQUARE, NINE_MS)
    office.observe(reading(0, 60.0))
    (order,) = turn(office, 1, also=["bin-001"])
    turn(office, 2, also=["bin-001"])
    assert len(office.tasks) == 1
    for kind, minute in (("accepted", 3), ("claimed", 8)):
        office.report(CrewReport(order.crew_id, kind, NINE_MS, NINE_MS + minute * MINUTE_MS, order.stops[0]))
    office.observe(reading(10, 5.0))
    assert [(task.kind, task.state) for task in office.closed] == [("early", "verified")]


def test_nobody_is_sent_by_old_news():
    """A reading that comes an hour late changes what is believed and sends nobody."""
    office = Office(SQUARE, NINE_MS)
    office.observe(reading(0, 95.0, arrived=60))
    assert turn(office, 61) == []
    assert believed(office, 61).level == "full"


def test_faults_are_believed_as_the_rules_say():
    """Tilted at once, no echo at the second reading; a bin that never reported is unknown."""
    office = Office(SQUARE, NINE_MS)
    office.observe(reading(0, None, "bin-001", state="tilted"))
    office.observe(reading(0, None, "bin-002", state="no-echo"))
    assert (believed(office, 1).is_faulty, believed(office, 1, "bin-002").is_faulty) == (True, False)
    office.observe(reading(10, None, "bin-002", state="no-echo"))
    assert believed(office, 11, "bin-002").is_faulty
    assert believed(office, 11, "bin-003").level == "unknown"
