"""The checker itself: a planted loss and a planted duplicate must be seen."""

from hypothesis import given
from hypothesis import strategies as st

from resik.reconcile import latency_ms, read_times, reconcile

identities = st.tuples(st.sampled_from(["n-1", "n-2", "n-3"]), st.integers(0, 3), st.integers(1, 50))


@given(st.sets(identities, min_size=1), st.data())
def test_one_planted_loss_and_one_planted_duplicate_are_seen(published, data):
    """Equal counts hide nothing: one reading missing and another twice gives lost 1 and duplicated 1."""
    ledger = dict.fromkeys(published, 0)
    sound = reconcile(ledger, sorted(published))
    assert (sound.lost, sound.duplicated, sound.unknown) == (0, 0, 0)
    gone = data.draw(st.sampled_from(sorted(published)))
    rest = sorted(published - {gone})
    if not rest:
        assert reconcile(ledger, []).lost == 1
        return
    twice = data.draw(st.sampled_from(rest))
    found = reconcile(ledger, [*rest, twice])
    assert len(rest) + 1 == len(published)
    assert (found.lost, found.duplicated) == (1, 1)


def test_a_stranger_in_the_store_is_seen():
    """A point that nobody published counts as unknown and does not make up for a loss."""
    found = reconcile({("n-1", 1, 1): 0}, [("n-9", 1, 1)])
    assert (found.lost, found.unknown, found.stored) == (1, 1, 0)


def test_dead_letters_account_for_their_own_reading_only():
    """One set aside and one lost of three: 3 = 1 stored + 1 dead + 1 lost, however often the letter was counted."""
    ledger = {("n-1", 1, seq): 0 for seq in (1, 2, 3)}
    found = reconcile(ledger, [("n-1", 1, 1)], [("n-1", 1, 2)] * 3)
    assert (found.stored, found.dead_lettered, found.lost) == (1, 1, 1)
    foreign = reconcile(ledger, [("n-1", 1, 1)], [("n-9", 9, 9), ("n-1", 1, 1)])
    assert (foreign.dead_lettered, foreign.lost) == (0, 2)


def test_ledger_lines(tmp_path):
    """The first publish time of a reading counts, and a line that was cut off is ignored."""
    file = tmp_path / "ledger.csv"
    file.write_text("n-1,1,1,bin,7,abc,100\nn-1,1,1,bin,7,abc,900\nn-1,1,2,bin,8,abc,200\nn-1,1")
    assert read_times(file) == {("n-1", 1, 1): 100, ("n-1", 1, 2): 200}
    assert read_times(tmp_path / "none.csv") == {}


def test_latency_is_joined_by_identity():
    """Two readings that took 10 ms and 30 ms have a median of 20 ms; one that was never stored does not count."""
    published = {("n-1", 1, 1): 0, ("n-1", 1, 2): 1_000_000_000, ("n-1", 1, 3): 5}
    stored = {("n-1", 1, 1): 10_000_000, ("n-1", 1, 2): 1_030_000_000}
    assert latency_ms(published, stored)[50] == 20.0
    assert latency_ms(published, {}) is None
