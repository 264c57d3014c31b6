"""Who is there: from what arrives, and after a restart from what was written down."""

import dataclasses
import doctest
from time import perf_counter

import pytest

from firmware import wire
from gateway import sense as sense_module
from gateway.messages import UplinkRow, Uplinks, read_message
from gateway.presence import Attendance, NodeState, counted
from gateway.spool import Spool
from square import intervals
from square.site import Device, Site, load_site
from tests.unit.gateway.fakes import NOW_MS, SITE, up

MINUTE_MS = 60_000
NODE, FOREIGN = "rsk-b001", "rsk-p001"


@pytest.fixture(scope="module")
def site() -> Site:
    """Give a square of three active devices and a spare one, ten minutes between readings, silent after three."""
    full = load_site("alun-alun-pasuruan")
    known = {device.id: device for device in full.devices}
    spare = next(device for device in full.devices if device.status == "spare")
    pack = Device(FOREIGN, "bin", None, "Pack", 600, "active", foreign="70b3d57ed0001234", codec="milesight-em300")
    assert full.rules.silent_factor == 3
    return dataclasses.replace(full, devices=(known[NODE], known["rsk-b002"], pack, spare))


@pytest.fixture
def attendance(site: Site) -> Attendance:
    return Attendance(site, NOW_MS)


def state_of(attendance: Attendance, now_ms: int, device: str = NODE) -> NodeState:
    return next(state for state in attendance.states(now_ms) if state.device == device)


def status(device: str = NODE, at_ms: int = NOW_MS, **fields: int) -> object:
    payload = wire.encode_status({"boot": 7, **fields}).encode()
    return read_message(f"resik/{SITE}/{device}/up/status", payload, at_ms)


def test_a_node_is_online_until_it_is_overdue_and_silent_after_three_intervals(attendance: Attendance) -> None:
    """Ten minutes: due at 10, late after 12.5, silent after 30."""
    attendance.committed([up(NODE, 7, [1])])
    states = [state_of(attendance, NOW_MS + int(minute * MINUTE_MS)).state for minute in (0, 10, 12.5, 12.6, 30, 30.1)]
    assert states == ["online", "online", "online", "late", "late", "silent"]
    assert state_of(attendance, NOW_MS).expected_ms == NOW_MS + 10 * MINUTE_MS
    attendance.committed([up(NODE, 7, [2])])
    assert state_of(attendance, NOW_MS + MINUTE_MS).state == "online"


def test_a_node_that_was_never_heard_is_called_so_and_a_spare_one_is_not_expected(attendance: Attendance) -> None:
    """The active devices of the registry are there from the start."""
    attendance.committed([up(NODE, 7, [1])])
    assert {state.device: state.state for state in attendance.states(NOW_MS)} == {
        NODE: "online", "rsk-b002": "never", FOREIGN: "never",
    }  # fmt: skip
    assert counted(attendance.states(NOW_MS)) == {
        "nodes_online": 1, "nodes_late": 0, "nodes_silent": 0, "nodes_never": 2,
    }  # fmt: skip


def test_the_announced_interval_counts_when_it_is_longer(attendance: Attendance) -> None:
    """At night a node says half an hour; and none can talk itself out of being missed for longer than four hours."""
    attendance.committed([up(NODE, 7, [1])])
    attendance.note_status(NODE, {"interval_s": 1800}, NOW_MS)
    assert state_of(attendance, NOW_MS + 35 * MINUTE_MS).state == "online"
    assert state_of(attendance, NOW_MS).expected_ms == NOW_MS + 30 * MINUTE_MS
    attendance.note_status(NODE, {"interval_s": 60}, NOW_MS)
    assert state_of(attendance, NOW_MS).interval_s == 600
    attendance.note_status(NODE, {"interval_s": 86_400}, NOW_MS)
    assert state_of(attendance, NOW_MS).interval_s == 4 * 3600


def test_a_status_is_a_sign_of_life_and_a_will_is_none(attendance: Attendance) -> None:
    """The will is the broker's word; it is shown beside."""
    attendance.committed([status()])  # type: ignore[list-item]
    will = read_message(f"resik/{SITE}/{NODE}/up/will", b'{"v":1,"boot":7}', NOW_MS + 20 * MINUTE_MS)
    attendance.committed([will])
    state = state_of(attendance, NOW_MS + 20 * MINUTE_MS)
    assert (state.state, state.heard_ms, state.reading_ms, state.will_ms) == (
        "late", NOW_MS, None, NOW_MS + 20 * MINUTE_MS,
    )  # fmt: skip


def test_a_sensor_of_another_make_is_known_by_its_id_here(attendance: Attendance) -> None:
    """By the identity of its maker in messages, by the registry's id in the list; a stranger keeps its mark."""
    rows = [UplinkRow(name, 1, 2, NOW_MS, "device", 5, b"{}") for name in ("@70b3d57ed0001234", "@70b3d57ed000ffff")]
    attendance.committed([Uplinks(rows, NOW_MS, "v3/x")])
    states = {state.device: state.state for state in attendance.states(NOW_MS)}
    assert (states[FOREIGN], states["@70b3d57ed000ffff"]) == ("online", "online")
    assert "@70b3d57ed0001234" not in states


def test_the_gateways_own_silence_is_no_silence_of_nodes(attendance: Attendance) -> None:
    """Heard an hour ago, but deaf since then: late, until three intervals of listening went by."""
    attendance.committed([up(NODE, 7, [1])])
    hour_ms = NOW_MS + 60 * MINUTE_MS
    assert state_of(attendance, hour_ms).state == "silent"
    attendance.tick(hour_ms, is_listening=False)
    assert state_of(attendance, hour_ms).state == "late"
    assert state_of(attendance, hour_ms + 31 * MINUTE_MS).state == "silent"


def test_a_clock_that_is_set_back_hides_no_silence(attendance: Attendance) -> None:
    """It was a day ahead: whoever was heard then counts as heard now, not tomorrow."""
    day_ms = NOW_MS + 24 * 60 * MINUTE_MS
    attendance.tick(day_ms, is_listening=True)
    attendance.restore_arrivals([(NODE, "bin", day_ms), (NODE, "will", day_ms)])
    attendance.tick(NOW_MS, is_listening=True)
    assert state_of(attendance, NOW_MS + MINUTE_MS).expected_ms == NOW_MS + 10 * MINUTE_MS
    assert state_of(attendance, NOW_MS).will_ms == NOW_MS
    assert state_of(attendance, NOW_MS + 31 * MINUTE_MS).state == "silent"


def test_it_is_put_together_again_after_a_restart(site: Site, spool: Spool) -> None:
    """Readings and wills from the spool, older news and the announced interval from the file of orders."""
    spool.put([up(NODE, 7, [1]), read_message(f"resik/{SITE}/{NODE}/up/will", b'{"v":1,"boot":7}', NOW_MS + 5000)])
    spool.settle([1, 2], [], NOW_MS)
    attendance = Attendance(site, NOW_MS + MINUTE_MS)
    attendance.restore_arrivals(spool.last_arrivals())
    attendance.restore_node("rsk-b002", NOW_MS - 5 * MINUTE_MS, {"interval_s": 1200, "dropped": 4})
    known = state_of(attendance, NOW_MS + MINUTE_MS)
    assert (known.state, known.reading_ms, known.will_ms) == ("online", NOW_MS, NOW_MS + 5000)
    other = state_of(attendance, NOW_MS + MINUTE_MS, "rsk-b002")
    assert (other.state, other.heard_ms, other.interval_s) == ("online", NOW_MS - 5 * MINUTE_MS, 1200)
    attendance.note_status("rsk-b002", {"dropped": 6}, NOW_MS)
    assert attendance.dropped_since("rsk-b002", NOW_MS) == 2


def test_only_the_newest_rows_are_looked_through(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool of millions opens as fast as one of thousands."""
    monkeypatch.setattr("gateway.missing.RECENT_ROWS", 2)
    spool.put([up("rsk-b009", 7, [1]), up(NODE, 7, [1, 2])])
    assert spool.last_arrivals() == [(NODE, "bin", NOW_MS)]


def test_losses_that_a_node_admits_are_counted_by_their_time(attendance: Attendance) -> None:
    """What it had lost before we knew it is no news; a count that starts anew is none either."""
    for at_ms, total in ((0, 10), (1000, 12), (2000, 12), (3000, 15), (4000, 1), (5000, 2)):
        attendance.note_status(NODE, {"dropped": total}, NOW_MS + at_ms)
    assert [attendance.dropped_since(NODE, NOW_MS + ms) for ms in (0, 1000, 1001, 3001, 5001)] == [6, 6, 4, 1, 0]


def test_who_sent_readings_since_the_last_question(attendance: Attendance) -> None:
    """Roll-outs follow nodes by it; each is named once, and sensors of other makes never."""
    attendance.committed([up(NODE, 7, [1]), Uplinks([UplinkRow("@x", 1, 2, 3, "device", 5, b"")], NOW_MS, "v3/x")])
    assert attendance.readings_since_last() == {NODE: NOW_MS}
    assert attendance.readings_since_last() == {}


def test_taking_note_costs_next_to_nothing(attendance: Attendance) -> None:
    """Well below a microsecond a message (the bound is loose: the machine may be busy)."""
    messages = [up(f"rsk-b{number:04d}", 7, [1]) for number in range(1000)]
    best_s = 1.0
    for _ in range(5):
        start_s = perf_counter()
        attendance.committed(messages)
        best_s = min(best_s, perf_counter() - start_s)
    print(f"{best_s * 1e6 / len(messages):.3f} us a message")  # noqa: T201 - a figure for people
    assert best_s < 1e-6 * len(messages)


@pytest.mark.parametrize("module", [sense_module, intervals])
def test_examples_in_docstrings_are_true(module: object) -> None:
    """The worked examples give what they say."""
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
