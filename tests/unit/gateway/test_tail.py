"""Rows of the last commits: given once, and never too many."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.tail import READING_COLUMNS, ROWS_KEPT, Row, Tail


def columns(ids: range) -> list[object]:
    """Return the columns of readings, one row after the other."""
    return [part for n in ids for part in (n, "rsk-b001", "bin", 7, n, 1000 + n, 2000, "device", b"{}")]


def test_a_row_has_every_column() -> None:
    """Nothing is shifted, and a reading has neither topic nor code."""
    tail = Tail()
    tail.add(columns(range(5, 6)))
    assert tail.take([5]) == ([Row(5, "rsk-b001", "bin", 7, 5, 1005, 2000, "device", b"{}", None, None)], [])
    assert len(columns(range(1))) == READING_COLUMNS == len(Row.__struct_fields__) - 2


@given(st.lists(st.integers(0, 900), max_size=8), st.lists(st.integers(1, 4000), unique=True, max_size=50))
def test_what_is_there_is_given_once(commits: list[int], asked: list[int]) -> None:
    """Each id is given or missing, in order; a second time it is missing, and the bound holds always."""
    tail, last = Tail(), 0
    for size in commits:
        tail.add(columns(range(last + 1, last + size + 1)))
        last += size
        assert size <= len(tail) <= ROWS_KEPT
    rows, missing = tail.take(asked)
    given_ids = {row.id for row in rows}
    assert [row.id for row in rows] == [row_id for row_id in asked if row_id in given_ids]
    assert missing == [row_id for row_id in asked if row_id not in given_ids]
    if last <= ROWS_KEPT:
        assert given_ids == {row_id for row_id in asked if row_id <= last}
    assert tail.take(asked) == ([], asked)


def test_a_commit_that_is_larger_than_the_memory_is_left_to_the_file() -> None:
    """What was there stays."""
    tail = Tail()
    tail.add(columns(range(1, 3)))
    tail.add(columns(range(3, ROWS_KEPT + 4)))
    assert len(tail) == 2
