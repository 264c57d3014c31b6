"""The waits between tries: inside their bounds, growing, spread, and small again after success."""

from firmware.net.backoff import Backoff


def test_the_first_wait_is_short_and_the_reach_doubles_to_its_limit():
    """With the largest random number the waits are 2, 4, 8, .. seconds, at most 300."""
    backoff = Backoff(lambda: 2**32 - 1, 1, 300)
    highest = [2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000, 300000]
    for limit in highest:
        assert 1000 <= backoff.next_ms() <= limit


def test_no_wait_leaves_its_bounds_whatever_the_dice_say():
    """For random numbers over the whole range each wait is between 1 s and its reach, and both ends are reached."""
    for draw in (0, 1, 999, 1000, 2**31, 2**32 - 1):
        backoff = Backoff(lambda draw=draw: draw)
        for turn in range(12):
            assert 1000 <= backoff.next_ms() <= min(2000 << turn, 300000)
    backoff = Backoff(lambda: 0)
    assert [backoff.next_ms() for _ in range(3)] == [1000, 1000, 1000]
    backoff = Backoff(lambda: 1000)
    assert backoff.next_ms() == 2000


def test_reset_begins_small_again():
    """After success the first wait is at most 2 s."""
    backoff = Backoff(lambda: 1000000007)
    for _ in range(9):
        backoff.next_ms()
    backoff.reset()
    assert backoff.next_ms() <= 2000


def test_a_town_of_nodes_does_not_come_back_at_once():
    """200 nodes after 8 failures: no second sees more than 10 of them (mean 200/255)."""
    state = 12345
    seconds = {}
    for _ in range(200):

        def dice():
            nonlocal state
            state = (state * 1103515245 + 12345) % 2**31
            return state >> 3

        backoff = Backoff(dice)
        for _ in range(7):
            backoff.next_ms()
        second = backoff.next_ms() // 1000
        seconds[second] = seconds.get(second, 0) + 1
    assert max(seconds.values()) <= 10
