"""The watermark against a plain set of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.watermark import Watermark, intersect

SEQS = st.lists(st.integers(1, 60), max_size=80)


def _numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(SEQS)
def test_add_agrees_with_a_set(seqs: list[int]) -> None:
    """Every order of arrival gives the contiguous mark and the ranges of the plain set, never adjacent."""
    watermark, seen = Watermark(), set()
    for seq in seqs:
        assert watermark.add(seq) == (seq not in seen)
        seen.add(seq)
        assert watermark.covers(seq)
    upto = 0
    while upto + 1 in seen:
        upto += 1
    assert watermark.upto == upto
    assert _numbers(watermark.above) == {seq for seq in seen if seq > upto}
    edges = [edge for pair in watermark.above for edge in pair]
    assert all(b - a >= 2 for a, b in zip(edges[1::2], edges[2::2], strict=False))


@given(SEQS, st.integers(1, 70), SEQS)
def test_pass_below_returns_exactly_what_never_came(before: list[int], oldest: int, after: list[int]) -> None:
    """What is passed is everything below oldest_seq that did not arrive, and later arrivals still count right."""
    watermark = Watermark()
    for seq in before:
        watermark.add(seq)
    lost = watermark.pass_below(oldest)
    assert _numbers(lost) == set(range(1, oldest)) - set(before)
    covered = set(before) | set(range(1, oldest))
    for seq in after:
        assert watermark.add(seq) == (seq not in covered)
        covered.add(seq)
    assert all(watermark.covers(seq) == (seq in covered) for seq in range(1, 72))


@given(SEQS)
def test_holes_are_what_is_missing_below_the_newest(seqs: list[int]) -> None:
    """Holes and arrivals together are every number up to the newest one."""
    watermark = Watermark()
    for seq in seqs:
        watermark.add(seq)
    assert _numbers(watermark.holes()) == set(range(1, max(seqs, default=0))) - set(seqs)


def test_also_names_what_a_message_just_brought_even_beyond_the_limit() -> None:
    """With more ranges than an ack holds, those of the message at hand are in it: it must not come again for ever."""
    watermark = Watermark()
    for seq in range(2, 1002, 2):
        watermark.add(seq)
    also = watermark.also([1000, 998], limit=10)
    assert len(also) == 10
    assert (1000, 1000) in also
    assert (998, 998) in also
    assert (2, 2) in also


@given(SEQS, SEQS)
def test_intersect_agrees_with_sets(left: list[int], right: list[int]) -> None:
    """The common part of two range lists is the common part of their sets."""

    def ranges(seqs: list[int]) -> list[tuple[int, int]]:
        watermark = Watermark()
        for seq in seqs:
            watermark.add(seq + 1)  # never contiguous with 0, so everything stays a range
        return watermark.above

    assert _numbers(intersect(ranges(left), ranges(right))) == _numbers(ranges(left)) & _numbers(ranges(right))
