"""Application acks in a flood: the newest of each boot goes, and none waits for longer than it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from gateway.acks import ACK_RANGES_KEPT, ACKS_LONGEST_S, ACKS_WITHIN_S, AppAck, WaitingAcks, ack_topic

BOOTS = st.tuples(st.sampled_from(["rsk-b001", "rsk-b002", "rsk-b003"]), st.sampled_from([7, 8]))
RANGES = st.sampled_from([[(90, 91)], [(n, n) for n in range(90, 90 + 2 * ACK_RANGES_KEPT + 2, 2)]])
COMMITS = st.lists(
    st.tuples(st.sampled_from([0.01, 0.1, 0.3]), st.dictionaries(BOOTS, st.none() | RANGES, max_size=6)), max_size=25
)


@given(COMMITS)
def test_every_boot_hears_of_its_newest_commit_in_time(commits: list[tuple[float, dict]]) -> None:
    """Who is owed an ack gets the newest, within a second and a commit; ranges that may not fit again go at once."""
    waiting, now_s = WaitingAcks(), 100.0
    owed: dict[tuple[str, int], AppAck] = {}
    since_s: dict[tuple[str, int], float] = {}
    for upto, (pause_s, commit) in enumerate(commits, 1):
        now_s += pause_s
        acks = {key: AppAck(*key, upto, also or []) for key, also in commit.items()}
        full = [ack for key, ack in owed.items() if key in acks and len(ack.also) > ACK_RANGES_KEPT]
        plain = {key: upto for key, ack in acks.items() if not ack.also}
        replaced = waiting.add(plain, [ack for ack in acks.values() if ack.also], now_s)
        assert sorted(replaced, key=str) == sorted(full, key=str)
        for key, ack in acks.items():
            owed[key] = ack
            since_s.setdefault(key, now_s)
        for ack in waiting.due(now_s):
            key = ack.device, ack.boot
            assert ack == owed.pop(key)
            assert now_s - since_s.pop(key) <= ACKS_LONGEST_S + 0.3
        assert all(now_s - at_s < ACKS_LONGEST_S for at_s in since_s.values())
        assert bool(waiting) == bool(owed)
    assert sorted(waiting.take_all(), key=str) == sorted(owed.values(), key=str)
    assert not waiting


def test_nobody_waits_who_sends_no_more() -> None:
    """After a quarter of a second only those wait on who have sent again meanwhile."""
    waiting = WaitingAcks()
    waiting.add({("rsk-b001", 7): 1, ("rsk-b002", 7): 1}, [], 0.0)
    waiting.add({("rsk-b001", 7): 2}, [], 0.1)
    assert waiting.due(ACKS_WITHIN_S - 0.01) == []
    assert waiting.due(ACKS_WITHIN_S) == [AppAck("rsk-b002", 7, 1)]
    assert waiting.due(2 * ACKS_WITHIN_S) == [AppAck("rsk-b001", 7, 2)]


@pytest.mark.parametrize("also", [[], [(3, 4), (9, 9)]])
def test_acks_are_encoded_as_the_wire_says(also: list[tuple[int, int]]) -> None:
    """The fast way and `wire.encode_ack` write the same bytes."""
    ack = AppAck("rsk-b001", 305_419_896, 17, also)
    assert ack.encode() == wire.encode_ack(ack.boot, ack.upto, also).encode()
    assert ack_topic("alun-alun", "rsk-b001") == "resik/alun-alun/rsk-b001/down/ack"
