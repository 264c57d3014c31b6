"""A roll-out: what a node is doing, when the next stage opens, and when all stops."""

import doctest
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import rollout
from gateway.rollout import Plan, Run, Track, heard, in_order, is_meant_for, judge, note, offered, step

VERSION = 10_400
HOUR_MS = 3_600_000
NOW_MS = 1_795_488_752_000
NODES = tuple(f"rsk-b{number:03d}" for number in range(1, 101))


def plan(count: int = 100, **changes: Any) -> Plan:
    return Plan(version=VERSION, node_class="bin", nodes=NODES[:count], **changes)


def status(fw: str = "1.3.0", ota: str = "idle", **fields: Any) -> dict[str, Any]:
    return {"boot": 7, "fw": fw, "ota": ota, "ota_ver": VERSION, **fields}


OLD = status("1.3.0", "idle", ota_ver=10_300)
GOOD = status("1.4.0", "confirmed", crashes=2)


def track(*said: dict[str, Any], start_ms: int = NOW_MS) -> Track:
    """Make the track of a node that was offered the release at the start, and said something each minute after."""
    found = offered(heard(Track(), start_ms - 1), start_ms)
    for minute, one in enumerate(said, 1):
        found = note(found, plan(), one, start_ms + minute * 60_000)
    return found


def outcome(found: Track, *, at_ms: int = NOW_MS + HOUR_MS, run: Run | None = None) -> tuple[str, str]:
    verdict = judge(plan(), run or Run(), found, at_ms, 0)
    return verdict.outcome, verdict.why


def test_the_examples_of_the_module_are_true() -> None:
    """Version numbers are read and written as the docstrings say."""
    assert doctest.testmod(rollout).failed == 0


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.100.0", "1.2.100", "-1.2.3", "1..3", "\u0661.2.3"]
)
def test_what_is_no_version_has_no_number(text: str) -> None:
    """Only three plain numbers are a version."""
    assert rollout.version_number(text) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ("offered", "")),
        ([OLD], ("offered", "")),
        ([status(ota="loading", ota_at=4096)], ("loading", "")),
        ([status(ota="ready")], ("ready", "")),
        ([status("1.4.0", "trial")], ("trial", "")),
        ([GOOD], ("confirmed", "")),
        ([status("1.4.0", "idle")], ("confirmed", "")),
        ([status("1.5.0", "trial", ota_ver=10_500)], ("confirmed", "")),
        ([status("1.4.0", "")], ("offered", "")),
        ([status(ota="rolled-back")], ("failed", "rolled back to the old version")),
        ([status(ota="refused-space")], ("failed", "refused: space")),
        ([status(ota="refused-space"), status(ota="loading"), GOOD], ("confirmed", "")),
        ([GOOD, status("1.4.0", "confirmed", crashes=3)], ("failed", "crashed in the new version")),
        ([GOOD, status("1.4.0", "idle", crashes=2)], ("confirmed", "")),
        ([status("1.4.0", "trial", crashes=3), status("1.4.0", "confirmed", crashes=3)], ("confirmed", "")),
        ([GOOD, status("1.4.0", "idle", reset="watchdog")], ("failed", "hung in the new version (watchdog)")),
        ([GOOD, OLD], ("failed", "is back in an older version")),
        ([status(ota="rolled-back", ota_ver=10_200)], ("offered", "")),
        ([status(ota="refused-battery")], ("postponed", "its battery is low")),
        ([status(ota="refused-battery"), status(ota="loading")], ("loading", "")),
    ],
)
def test_what_a_node_says_tells_what_it_is_doing(said: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    """Only a status of this version, confirmed, counts as done; each way to fail has a name."""
    assert outcome(track(*said)) == expected


def test_an_image_is_confirmed_by_its_own_version() -> None:
    """The version of the application says nothing about the image below it; what the node said once stays true."""
    image = plan(is_image=True)
    newer = status("9.9.9", "idle", ota_ver=0)
    before = note(heard(Track(), NOW_MS), image, newer, NOW_MS)
    assert judge(image, Run(), before, NOW_MS, 0).outcome == "waiting"
    assert rollout.lacks(image, before, newer)
    got = status("1.3.0", "confirmed")
    after = note(note(before, image, got, NOW_MS + 1), image, newer, NOW_MS + 2)
    assert judge(image, Run(), after, NOW_MS + 2, 0).outcome == "confirmed"
    assert not rollout.lacks(image, before, got)
    assert not rollout.lacks(image, after, newer)
    back = note(before, image, status("1.3.0", "rolled-back"), NOW_MS + 1)
    assert judge(image, Run(), back, NOW_MS + 1, 0).outcome == "failed"


def test_a_node_with_a_low_battery_is_no_failure_and_holds_nobody_up() -> None:
    """It waits by itself: the release is not to blame, and the other nodes need not wait with it."""
    second = Run(stage=1, opened_ms=NOW_MS)
    tracks = {node: track(GOOD) for node in NODES[:10]} | {NODES[3]: track(status(ota="refused-battery"))}
    assert step(plan(), second, tracks, NOW_MS + 2 * HOUR_MS, 0).stage == 2


def test_a_node_is_not_offered_what_it_refused_for_good() -> None:
    """Only a battery gets better; every other refusal holds for this version, and for no other one."""
    assert not rollout.lacks(plan(), Track(), status(ota="refused-signature"))
    assert not rollout.lacks(plan(), Track(), status(ota="rolled-back"))
    assert rollout.lacks(plan(), Track(), status(ota="refused-battery"))
    assert rollout.lacks(plan(), Track(), status(ota="refused-signature", ota_ver=10_300))


def test_silence_is_a_failure_only_of_a_node_that_was_heard_since_its_offer() -> None:
    """A node that fell silent after it took the offer has failed; one that was never there is away."""
    later = NOW_MS + 5 * HOUR_MS
    assert outcome(track(status(ota="loading")), at_ms=later) == ("failed", "silent since the update")
    assert outcome(track(), at_ms=later) == ("away", "")
    assert outcome(Track(), at_ms=later) == ("away", "")
    assert outcome(track(GOOD), at_ms=later) == ("failed", "silent since the update")


def test_the_silence_of_a_gateway_is_no_silence_of_nodes() -> None:
    """A gateway that could not hear anybody for a day condemns nobody."""
    found = track(status(ota="loading"))
    day_later = NOW_MS + 24 * HOUR_MS
    assert judge(plan(), Run(), found, day_later, day_later - HOUR_MS).outcome == "loading"


def test_resuming_skips_what_had_failed_and_counts_what_fails_after() -> None:
    """A forgiven failure holds nothing up and is no failure; a new one of the same node is."""
    run = Run(resumed_ms=NOW_MS + 2 * HOUR_MS)
    crashed = status("1.4.0", "confirmed", crashes=3)
    again = note(track(GOOD, crashed), plan(), status("1.4.0", "confirmed", crashes=4), NOW_MS + 3 * HOUR_MS)
    for said in ([status(ota="rolled-back")], [status(ota="refused-space")], [GOOD, crashed], [GOOD, OLD]):
        repeated = note(track(*said), plan(), said[-1], NOW_MS + 3 * HOUR_MS)
        assert outcome(repeated, at_ms=NOW_MS + 3 * HOUR_MS, run=run)[0] == "skipped"
    assert outcome(again, at_ms=NOW_MS + 3 * HOUR_MS, run=run) == ("failed", "crashed in the new version")


@pytest.mark.parametrize(
    ("count", "shares", "reaches"),
    [
        (100, (1, 10, 50, 100), [1, 10, 50, 100]),
        (10, (1, 10, 50, 100), [1, 2, 5, 10]),
        (3, (1, 10, 50, 100), [1, 2, 3, 3]),
        (1, (1, 10, 50, 100), [1, 1, 1, 1]),
        (7, (100,), [7]),
    ],
)
def test_stages_reach_their_share_and_at_least_one_more_node(
    count: int, shares: tuple[int, ...], reaches: list[int]
) -> None:
    """Shares are rounded up, each stage adds a node as long as there are any, and the last reaches all."""
    made = plan(count, shares=shares)
    assert [made.reach(stage) for stage in range(len(shares))] == reaches
    assert made.reach(made.last_stage) == count


def test_the_order_begins_with_nodes_that_can_be_reached_and_differs_by_version() -> None:
    """The first stage is not always the same few nodes, and never dead ones while others live."""
    first = in_order(NODES, NODES[50:], VERSION)
    assert set(first[:50]) == set(NODES[50:])
    assert sorted(first) == sorted(NODES)
    assert first == in_order(reversed(NODES), NODES[50:], VERSION)
    assert first != in_order(NODES, NODES[50:], VERSION + 1)


def test_a_stage_opens_after_confirmation_and_soak_and_never_two_at_once() -> None:
    """The first node confirms; an hour later, and not before, the second stage opens."""
    made, run = plan(), Run(opened_ms=NOW_MS)
    tracks = {NODES[0]: track(GOOD)}
    soaked_ms = NOW_MS + 60_000 + HOUR_MS  # confirmed in minute 1, soak time 1 h
    assert step(made, run, tracks, soaked_ms - 1, 0) == run
    opened = step(made, run, tracks, soaked_ms, 0)
    assert (opened.phase, opened.stage, opened.opened_ms) == ("running", 1, soaked_ms)
    tracks |= {node: Track(seen_ms=soaked_ms) for node in NODES[1:10]}
    assert step(made, opened, tracks, soaked_ms + 2 * HOUR_MS, 0) == opened


def test_a_stage_of_absent_nodes_proves_nothing() -> None:
    """When nobody of a stage can be reached the next one stays closed, however long it takes."""
    made, run = plan(), Run(opened_ms=NOW_MS)
    assert step(made, run, {}, NOW_MS + 1000 * HOUR_MS, 0) == run
    second = Run(stage=1, opened_ms=NOW_MS)
    confirmed = {NODES[0]: heard(track(GOOD), NOW_MS + 3 * HOUR_MS)}
    assert step(made, second, confirmed, NOW_MS + 3 * HOUR_MS, 0) == second


def test_absent_nodes_hold_nothing_up_when_others_have_proved_it() -> None:
    """Of ten nodes in the second stage nine are away: one that confirmed lets the third stage open."""
    second = Run(stage=1, opened_ms=NOW_MS)
    later = NOW_MS + 3 * HOUR_MS
    tracks = {NODES[0]: heard(track(GOOD), later), NODES[5]: heard(track(GOOD), later)}
    assert step(plan(), second, tracks, later, 0).stage == 2


def test_the_first_failure_halts_and_says_who_and_why() -> None:
    """With the limit of one, one roll-back stops everything; a person reads the node and the reason."""
    halted = step(plan(), Run(), {NODES[0]: track(status(ota="rolled-back"))}, NOW_MS + HOUR_MS, 0)
    assert (halted.phase, halted.why) == ("halted", "rsk-b001 rolled back to the old version")
    assert step(plan(), halted, {NODES[0]: track(GOOD)}, NOW_MS + 9 * HOUR_MS, 0) == halted


def test_failures_below_the_limit_hold_nothing_up_but_begin_the_soak_anew() -> None:
    """With a limit of two, one refusal in ten nodes lets the stage pass an hour after it."""
    made, second = plan(max_failures=2), Run(stage=1, opened_ms=NOW_MS)
    tracks = {node: track(GOOD) for node in NODES[:10]} | {NODES[3]: track(OLD, OLD, status(ota="refused-space"))}
    refused_ms = NOW_MS + 3 * 60_000
    assert step(made, second, tracks, refused_ms + HOUR_MS - 1, 0) == second
    assert step(made, second, tracks, refused_ms + HOUR_MS, 0).stage == 2
    tracks[NODES[4]] = track(status(ota="rolled-back"))
    assert step(made, second, tracks, refused_ms + HOUR_MS, 0).phase == "halted"


def test_the_last_stage_ends_in_done() -> None:
    """When all that can be reached have it and the soak time passed, the roll-out is done."""
    made = plan(2)
    run = Run(stage=made.last_stage, opened_ms=NOW_MS)
    tracks = {node: track(GOOD) for node in NODES[:2]}
    assert step(made, run, tracks, NOW_MS + 2 * HOUR_MS, 0).phase == "done"


def test_who_may_have_a_release() -> None:
    """Nodes of open stages while it runs; all, and newcomers of the class, when it is done; nobody when it halted."""
    made = plan()
    assert is_meant_for(made, Run(stage=1), NODES[9], "bin")
    assert not is_meant_for(made, Run(stage=1), NODES[10], "bin")
    done = Run(phase="done", stage=3)
    assert is_meant_for(made, done, NODES[99], None)
    assert is_meant_for(made, done, "rsk-b999", "bin")
    assert not is_meant_for(made, done, "rsk-a001", "air")
    assert not is_meant_for(plan(everyone=False), done, "rsk-b999", "bin")
    for phase in ("halted", "superseded"):
        assert not is_meant_for(made, Run(phase=phase), NODES[0], "bin")


DAY_MS = 24 * HOUR_MS


def talk(said: dict[str, Any], days: range) -> Track:
    """Make the track of a node that was offered the release at the start and says the same on each of some days."""
    found = offered(Track(), NOW_MS)
    for day in days:
        found = note(found, plan(), said, NOW_MS + day * DAY_MS)
    return found


@pytest.mark.parametrize("said", [OLD, status(ota="loading"), status(ota="ready"), status("1.4.0", "trial")])
def test_a_node_that_talks_and_does_not_get_there_fails_after_its_days(said: dict[str, Any]) -> None:
    """On the eighth day that it talks it has failed; a person who resumes skips it; it may still get there."""
    seven, eight = talk(said, range(7)), talk(said, range(8))
    later_ms = NOW_MS + 7 * DAY_MS
    assert outcome(seven, at_ms=later_ms - DAY_MS)[0] not in {"failed", "skipped"}
    assert outcome(eight, at_ms=later_ms) == ("failed", "did not get there")
    assert step(plan(), Run(), {NODES[0]: eight}, later_ms, 0).why == "rsk-b001 did not get there"
    resumed = Run(resumed_ms=later_ms)
    assert outcome(note(eight, plan(), said, later_ms + 1), at_ms=later_ms + 1, run=resumed)[0] == "skipped"
    assert outcome(note(eight, plan(), GOOD, later_ms + 1), at_ms=later_ms + 1) == ("confirmed", "")


def test_days_of_absence_and_of_a_low_battery_are_not_counted() -> None:
    """A node that comes back after a month, and one that waited a month for the sun, have all their days yet."""
    month_ms = NOW_MS + 30 * DAY_MS
    back = note(offered(Track(), NOW_MS), plan(), status(ota="loading"), month_ms)
    charged = note(talk(status(ota="refused-battery"), range(30)), plan(), status(ota="loading"), month_ms)
    assert outcome(back, at_ms=month_ms) == outcome(charged, at_ms=month_ms) == ("loading", "")


def test_one_node_is_one_failure_however_often_it_says_so() -> None:
    """A node that tells lies in every status halts nothing at a limit of two, and nothing once it is left out."""
    lies = [status(ota="rolled-back"), status(ota="refused-space"), GOOD, status("1.4.0", "idle", crashes=9), OLD] * 5
    tracks = {NODES[0]: track(*lies)}
    assert step(plan(max_failures=2), Run(), tracks, NOW_MS + HOUR_MS, 0).phase == "running"
    assert step(plan(), Run(), tracks, NOW_MS + HOUR_MS, 0).phase == "halted"
    without = Run(without=(NODES[0],))
    assert step(plan(), without, tracks, NOW_MS + HOUR_MS, 0) == without
    assert not is_meant_for(plan(), without, NODES[0], "bin")
    assert is_meant_for(plan(), Run(phase="done"), NODES[0], "bin")


# -- any history -------------------------------------------------------------------------------

statuses = st.fixed_dictionaries(
    {
        "fw": st.sampled_from(["1.3.0", "1.4.0", "1.4.0", "1.5.0", "dev"]),
        "ota": st.sampled_from(
            [
                "idle",
                "loading",
                "ready",
                "trial",
                "confirmed",
                "confirmed",
                "rolled-back",
                "refused-x",
                "refused-battery",
            ]
        ),
        "ota_ver": st.sampled_from([VERSION, VERSION, 10_300]),
    },
    optional={
        "crashes": st.integers(0, 3),
        "reset": st.sampled_from(["watchdog", "deep-sleep"]),
        "ota_at": st.integers(0, 9000),
    },
)
histories = st.lists(st.tuples(statuses, st.integers(0, 10)), max_size=6)


def fold(said: list[tuple[dict[str, Any], int]]) -> Track:
    found = Track()
    for one, minute in said:
        found = note(found, plan(), one, NOW_MS + minute * 60_000)
    return found


@given(histories, st.randoms(use_true_random=False))
def test_neither_order_nor_repeats_of_statuses_matter(said: list[tuple[dict[str, Any], int]], chance: Any) -> None:
    """A track is the same for every order in which its statuses come, and however often each does."""
    shuffled = said + [one for one in said if chance.random() < 0.5]
    chance.shuffle(shuffled)
    assert fold(shuffled) == fold(said)


events = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 5), statuses),
        st.tuples(st.just("offer"), st.integers(0, 5), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 300), st.none()),
        st.tuples(st.just("restart"), st.just(0), st.none()),
    ),
    max_size=40,
)


@given(events, st.integers(1, 3))
def test_no_stage_opens_past_the_limit_and_a_restart_changes_nothing(moves: list[Any], limit: int) -> None:
    """Whatever nodes do: no stage opens at the limit of failures, and each only after a proven one.

    At a restart, plan, run and tracks go through their form on disk.
    """
    made = plan(6, shares=(10, 50, 100), max_failures=limit, soak_ms=30 * 60_000, stall_days=1)
    run = twin = Run(opened_ms=NOW_MS)
    tracks: dict[str, Track] = {}
    now_ms = NOW_MS
    for what, number, said in moves:
        if what == "wait":
            now_ms += number * 60_000
        elif what == "offer":
            tracks[NODES[number]] = offered(tracks.get(NODES[number], Track()), now_ms)
        elif what == "say":
            tracks[NODES[number]] = note(tracks.get(NODES[number], Track()), made, said, now_ms)
        else:
            made = msgspec.json.decode(msgspec.json.encode(made), type=Plan)
            twin = msgspec.json.decode(msgspec.json.encode(twin), type=Run)
            tracks = msgspec.json.decode(msgspec.json.encode(tracks), type=dict[str, Track])
        found = rollout.verdicts(made, run, tracks, now_ms, 0)
        failed = sum(verdict.outcome == "failed" for verdict in found.values())
        before, run = run, step(made, run, tracks, now_ms, 0)
        twin = step(made, twin, tracks, now_ms, 0)
        assert twin == run
        assert run.stage - before.stage in {0, 1}
        if before.phase == "running":
            assert (run.phase == "halted") == (failed >= limit)
        else:
            assert run == before
        if run.stage > before.stage or (run.phase == "done") != (before.phase == "done"):
            assert failed < limit
            held_up = {"waiting", "offered", "loading", "ready", "trial"}
            assert not any(found[node].outcome in held_up for node in made.members(before.stage))
            assert any(found[node].outcome == "confirmed" for node in made.members(before.stage))
