"""The spool against a model a page long, under every order of puts, crashes, acks and repeats."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.arrivals import Arrivals
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, mark_of, roomy, up

DEVICES = ("rsk-b001", "rsk-b002")
BOOTS = (7, 4_294_967_295)
SEQS = st.lists(st.integers(1, 25), min_size=1, max_size=8)

Key = tuple[str, int, int]


class CommitError(Exception):
    """Stands for whatever makes a commit fail."""


class SpoolMachine(RuleBasedStateMachine):
    """Every operation that a gateway does to its spool, in any order, with crashes in between.

    The model: `arrived` are the readings whose put returned, `passed` those a device declared lost,
    `settled` those that upstream took over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="resik-spool-"))
        self.arrived: set[Key] = set()
        self.passed: set[Key] = set()
        self.settled: set[Key] = set()
        self.key_of_id: dict[int, Key] = {}
        self.pruned_ids: set[int] = set()
        self.now_ms = NOW_MS
        self.spool: Spool | None = None

    @initialize()
    def open(self) -> None:
        """Start with an empty file."""
        self._open()

    def _open(self) -> None:
        self.spool = Spool(self.folder / "spool.sqlite3", now_ms=self.now_ms, disk=roomy(self.folder))

    def teardown(self) -> None:
        """Remove the folder."""
        if self.spool is not None:
            self.spool.close()
        shutil.rmtree(self.folder)

    @rule(device=st.sampled_from(DEVICES), boot=st.sampled_from(BOOTS), seqs=SEQS, data=st.data())
    def put(self, device: str, boot: int, seqs: list[int], data: st.DataObject) -> None:
        """Let a message arrive, new or sent again; its ack covers everything it brought."""
        oldest = data.draw(st.none() | st.integers(1, min(seqs)), label="oldest_seq")
        put = self.spool.put([up(device, boot, seqs, oldest=oldest)])
        new = {(device, boot, seq) for seq in seqs} - self.arrived
        assert put.inserted == len(new)
        assert put.duplicates == len(seqs) - len(new)
        self.arrived |= new
        self.passed -= new
        if oldest is not None:
            self.passed |= {(device, boot, seq) for seq in range(1, oldest)} - self.arrived
        (ack,) = put.acks
        covered = set(range(1, ack.upto + 1)) | {seq for low, high in ack.also for seq in range(low, high + 1)}
        assert set(seqs) <= covered
        promised = {(device, boot, seq) for seq in covered}
        assert promised <= self.arrived | self.passed, "an ack promised what is not on disk"

    @rule(device=st.sampled_from(DEVICES), seqs=SEQS)
    def die_before_the_commit(self, device: str, seqs: list[int]) -> None:
        """Die with everything written but the commit: the file is what it was, nobody was acked."""
        spool = self.spool
        spool._connection.execute("BEGIN IMMEDIATE")
        arrivals = Arrivals(spool._connection, spool._marks, spool._next_id, spool._created_ms, spool._poisoned)
        arrivals.enter_all([up(device, BOOTS[0], seqs)])
        arrivals.finish()
        spool.close()
        self._open()

    @rule(device=st.sampled_from(DEVICES), seqs=SEQS)
    def fail_to_commit(self, device: str, seqs: list[int]) -> None:
        """Let the commit raise and carry on in the same process: nothing moved."""

        def fail() -> None:
            raise CommitError

        self.spool._commit = fail
        try:
            with pytest.raises(CommitError):
                self.spool.put([up(device, BOOTS[0], seqs)])
        finally:
            del self.spool._commit

    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.spool.close()
        self._open()

    @rule(limit=st.integers(1, 10), live=st.booleans())
    def forward(self, limit: int, live: bool) -> None:
        """Take rows for a batch: only rows that wait, each with a number of its own."""
        rows = self.spool.take_live(limit, 10**9) if live else self.spool.take_backlog(0, limit, 10**9, ())
        for row in rows:
            key = (row.device, row.boot, row.seq)
            assert key in self.arrived
            assert key not in self.settled, "a settled row was forwarded"
            assert self.key_of_id.setdefault(row.id, key) == key, "a row id was used twice"

    @precondition(lambda self: self.key_of_id)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Settle some rows that were forwarded, maybe for the second time."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.key_of_id)), max_size=6))
        cut = data.draw(st.integers(0, len(ids)))
        stored, dead = self.spool.settle(ids[:cut], ids[cut:], self.now_ms)
        new = {self.key_of_id[row_id] for row_id in ids} - self.settled
        assert stored + dead == len(new)
        self.settled |= new

    @rule()
    def prune(self) -> None:
        """Three days pass; settled rows go."""
        self.now_ms += 3 * 86_400_000
        self.spool.prune(self.now_ms)

    @rule()
    def note_gaps(self) -> None:
        """Gaps are noted; this never changes what is stored or acked."""
        self.spool.note_late_gaps(self.now_ms)

    @invariant()
    def nothing_is_lost_and_nothing_twice(self) -> None:
        """Hold that what waits is exactly what arrived and was not settled, one row each."""
        if self.spool is None:
            return
        keys = self.spool._connection.execute("SELECT device, boot, seq FROM waiting").fetchall()
        assert len(keys) == len(set(keys))
        assert set(keys) == self.arrived - self.settled
        assert self.spool.backlog().waiting == len(keys)
        totals = self.spool.totals
        assert totals.offered == totals.duplicates + totals.spooled
        assert totals.spooled == totals.stored + totals.dead + len(keys)
        assert totals.spooled == len(self.arrived)

    @invariant()
    def watermarks_are_the_models(self) -> None:
        """Hold that mark and ranges are what the model computes from sets."""
        if self.spool is None:
            return
        for device in DEVICES:
            for boot in BOOTS:
                seen = {seq for d, b, seq in self.arrived | self.passed if (d, b) == (device, boot)}
                upto, above = mark_of(self.spool, device, boot)
                expected = 0
                while expected + 1 in seen:
                    expected += 1
                assert upto == expected
                assert {seq for low, high in above for seq in range(low, high + 1)} == {s for s in seen if s > upto}

    @invariant()
    def gaps_are_what_was_passed(self) -> None:
        """Hold that readings counted as lost are those that devices declared lost and that never came."""
        if self.spool is None:
            return
        backlog = self.spool.backlog()
        assert backlog.lost + backlog.before_spool == len(self.passed)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
