"""Ranges of settled rows against a plain set, and their table against their memory."""

import itertools
import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from gateway.settled import TOGETHER_MS, Settled, load_settled, runs
from tests.unit.gateway.fakes import NOW_MS

IDS = st.sets(st.integers(1, 60), max_size=25)
ACKS = st.lists(st.tuples(IDS, st.integers(0, 5 * TOGETHER_MS)), max_size=8)


def end_of_minute(at_ms: int) -> int:
    return -(-(at_ms + 1) // 60_000) * 60_000


def a_table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE settled (from_id INTEGER PRIMARY KEY, to_id INTEGER, settled_ms INTEGER)")
    return connection


@given(IDS)
def test_runs_are_the_ids(ids: set[int]) -> None:
    """Every id lies in one run, and between two runs lies an id that is not there."""
    found = runs(ids)
    assert [row_id for low, high in found for row_id in range(low, high + 1)] == sorted(ids)
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(found))


@given(ACKS)
def test_acks_in_any_order(acks: list[tuple[set[int], int]]) -> None:
    """What is settled is the union, each id with the minute of its first ack; memory and table agree after each."""
    settled, table, model = Settled(), a_table(), {}
    for ids, after_ms in acks:
        changes = settled.add(ids, NOW_MS + after_ms)
        changes.write(table)
        fresh = {row_id for low, high in changes.fresh for row_id in range(low, high + 1)}
        assert fresh == ids - model.keys()
        model.update(dict.fromkeys(fresh, end_of_minute(NOW_MS + after_ms)))
        assert {
            row_id: settled_ms for low, high, settled_ms in settled.ranges for row_id in range(low, high + 1)
        } == model
        assert load_settled(table).ranges == settled.ranges
    assert [row_id for row_id in range(62) if settled.covers(row_id)] == sorted(model)
    assert all(left[1] + 1 < right[0] or left[2] != right[2] for left, right in itertools.pairwise(settled.ranges)), (
        "neighbours of one minute are one"
    )


@given(IDS, st.integers(0, 62), st.integers(0, 62))
def test_gaps_are_what_is_left(ids: set[int], after_id: int, upto_id: int) -> None:
    """Between two bounds, gaps and settled ids are all ids, and share none."""
    settled = Settled()
    settled.add(ids, NOW_MS)
    left = [row_id for low, high in settled.gaps(after_id, upto_id) for row_id in range(low, high + 1)]
    assert left == [row_id for row_id in range(after_id + 1, upto_id + 1) if row_id not in ids]


@given(ACKS, st.data())
def test_dropping_forgets_the_lower_end_of_a_range(acks: list[tuple[set[int], int]], data: st.DataObject) -> None:
    """The rest of the range keeps its time; a copy made before keeps everything."""
    settled, table = Settled(), a_table()
    for ids, after_ms in acks:
        settled.add(ids, NOW_MS + after_ms).write(table)
    before = settled.ranges
    if not before:
        return
    low, high, settled_ms = data.draw(st.sampled_from(before))
    upto_id = data.draw(st.integers(low, high))
    twin = settled.copy()
    twin.drop(low, upto_id).write(table)
    rest = [(upto_id + 1, high, settled_ms)] if upto_id < high else []
    assert twin.ranges == sorted([*(each for each in before if each[0] != low), *rest])
    assert load_settled(table).ranges == twin.ranges
    assert settled.ranges == before


def test_a_batch_in_order_is_one_range_and_one_row() -> None:
    """Five acks of a hundred rows within a minute write one row of the table each time, and leave one range."""
    settled = Settled()
    for first in range(1, 500, 100):
        changes = settled.add(set(range(first, first + 100)), NOW_MS // 60_000 * 60_000 + first)
        assert (len(changes.written), changes.gone) == (1, set())
    assert settled.ranges == [(1, 500, end_of_minute(NOW_MS))]


def test_the_last_missing_one_joins_both_sides() -> None:
    """Three ranges become one; what was the right one is gone."""
    settled = Settled()
    settled.add({1, 2}, NOW_MS)
    settled.add({4, 5}, NOW_MS)
    changes = settled.add({3}, NOW_MS)
    assert (changes.gone, changes.written) == ({4}, {1: (5, end_of_minute(NOW_MS))})
    assert changes.fresh == [(3, 3)]
