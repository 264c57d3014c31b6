"""What one commit enters: the short way for the next reading of a device gives what the long way gives."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.arrivals import Arrivals
from gateway.messages import UpMessage
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, roomy, untimed, up

MESSAGES = st.one_of(
    st.builds(
        up,
        st.sampled_from(["rsk-b001", "rsk-b002"]),
        st.sampled_from([7, 8]),
        st.lists(st.integers(1, 7), min_size=1, max_size=3),
        oldest=st.none() | st.integers(1, 6),
    ),
    st.builds(
        untimed,
        st.just("rsk-b001"),
        st.just(7),
        st.integers(1, 7),
        up_s=st.integers(0, 100),
        sent_up_s=st.integers(100, 200),
        arrived_ms=st.just(NOW_MS),
    ),
)
COMMITS = st.lists(st.lists(MESSAGES, min_size=1, max_size=6), min_size=1, max_size=6)


def commit_all(commits: list[list[UpMessage]], *, shortly: bool) -> list[Any]:
    """Return what commits answer, and everything that the spool then holds on disk and in memory."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(Path(folder)))
        spool._connection.execute("PRAGMA synchronous=OFF")
        way = Arrivals._enter_next
        if not shortly:
            Arrivals._enter_next = lambda _self, _message: False  # type: ignore[method-assign]
        try:
            said: list[Any] = []
            for messages in commits:
                put = spool.put(messages)
                acks = sorted((ack.device, ack.boot, ack.upto, ack.also) for ack in put.acks)
                said.append((acks, put.offered, put.readings, put.inserted, put.duplicates, put.poison))
        finally:
            Arrivals._enter_next = way  # type: ignore[method-assign]
        said += [
            spool._connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - names from here
            for table in ("rows", "watermarks", "gaps", "anchors", "totals")
        ]
        marks = {
            key: (mark.watermark.upto, mark.watermark.above, mark.hole_since_ms, mark.is_new)
            for key, mark in spool._marks.items()
        }
        live = dict(spool._live)
        spool.close()
        return [*said, marks, live]


@settings(max_examples=60, deadline=None)
@given(COMMITS)
def test_both_ways_agree(commits: list[list[UpMessage]]) -> None:
    """Acks, counts, rows, marks, gaps, anchors and the live lane are the same, whatever comes in which order."""
    assert commit_all(commits, shortly=True) == commit_all(commits, shortly=False)


def test_the_short_way_is_taken(spool: Spool) -> None:
    """Readings that follow on what is known move the mark without a copy; a hole, a repeat and a first one do not."""
    spool.put([up("rsk-b001", 7, [1])])
    arrivals = Arrivals(spool._connection, spool._marks, 10, NOW_MS, {})
    arrivals.enter_all([up("rsk-b001", 7, [2, 3]), up("rsk-b001", 7, [4])])
    assert (arrivals.moved, arrivals.changed) == ({("rsk-b001", 7): 4}, {})
    arrivals.enter_all([up("rsk-b001", 7, [6]), up("rsk-b002", 7, [1])])
    assert arrivals.moved == {}
    assert arrivals.changed["rsk-b001", 7].watermark.above == [(6, 6)]
    assert spool._marks["rsk-b001", 7].watermark.upto == 1, "nothing is adopted before the commit"
