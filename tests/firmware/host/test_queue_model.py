"""The flash queue against a model, with restarts and power cuts between and inside its operations."""

from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from firmware.core.queue import FlashQueue
from tests.firmware.both.ram_files import RamFiles

LIMIT_BYTES = 1024
SEGMENT_BYTES = 128


class PowerCut(BaseException):
    """The power went away inside a file operation."""


class FailingFiles(RamFiles):
    """Files whose power fails at the n-th change; what was not closed by then is lost."""

    changes_left: int | None = None

    def _change(self) -> None:
        if self.changes_left is not None:
            if not self.changes_left:
                raise PowerCut
            self.changes_left -= 1

    def open(self, path: str, mode: str = "r") -> object:
        if "r" not in mode and path not in self.content:
            self._change()
        return super().open(path, mode)

    def close(self, path: str, data: bytes) -> None:
        self._change()
        super().close(path, data)

    def remove(self, path: str) -> None:
        self._change()
        super().remove(path)

    def rename(self, old: str, new: str) -> None:
        self._change()
        super().rename(old, new)


def body_of(boot: int, seq: int) -> bytes:
    """Body of a reading, which its identity determines."""
    return b'{"seq":%d,"distance_mm":%d,"state":"ok"}' % (seq, (boot * 31 + seq) % 4000)


def drain(queue: FlashQueue) -> list[tuple[int, int]]:
    """Everything that the queue would still send, in order."""
    sent = []
    while (window := queue.window(4000, 64)) is not None:
        boot, bodies, first = window
        seqs = [int(body[7 : body.find(b",")]) for body in bodies]
        assert seqs[0] == first
        assert bodies == [body_of(boot, seq) for seq in seqs]
        sent += [(boot, seq) for seq in seqs]
        assert queue.ack(boot, seqs[-1]) == len(bodies)
    return sent


class QueueMachine(RuleBasedStateMachine):
    """`made` is every reading in order, `acked` those that the gateway ever named."""

    boots = Bundle("boots")

    def __init__(self) -> None:
        super().__init__()
        self.files = FailingFiles()
        self.queue = self.start()
        self.boot, self.seq = 1, 0
        self.made: list[tuple[int, int]] = []
        self.acked: set[tuple[int, int]] = set()
        self.in_doubt: tuple[int, int] | None = None

    def start(self) -> FlashQueue:
        return FlashQueue(self.files, "/q", LIMIT_BYTES, SEGMENT_BYTES)

    @rule(count=strategies.integers(1, 12))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.seq += 1
            assert self.queue.append(self.boot, self.seq, body_of(self.boot, self.seq))
            self.made.append((self.boot, self.seq))

    @rule()
    def cold_start(self) -> None:
        self.boot += 1
        self.seq = 0
        self.queue = self.start()

    @rule()
    def wake(self) -> None:
        self.queue = self.start()

    @rule(count=strategies.integers(1, 20), part=strategies.integers(0, 20), newest=strategies.booleans())
    def converse(self, count: int, part: int, newest: bool) -> None:
        """Send the newest reading and a window, and get an ack of a part of it."""
        newest_window = self.queue.window(4000, 1, newest=True) if newest else None
        if newest_window:
            boot, bodies, first = newest_window
            seq = self.made[-1][1]
            assert boot == self.made[-1][0]
            assert bodies == [body_of(boot, seq)]
            assert first <= seq
            self.ack(boot, 0, seq)
        window = self.queue.window(4000, count)
        if window:
            self.ack(window[0], window[2] + min(part, len(window[1])) - 1, 0)

    def ack(self, boot: int, upto: int, one: int) -> None:
        before = self.queue.waiting
        freed = self.queue.ack(boot, upto, [(one, one)] if one else ())
        assert self.queue.waiting == before - freed
        self.acked |= {(b, s) for b, s in self.made if b == boot and (s <= upto or s == one)}

    @rule()
    def flush(self) -> None:
        self.queue.flush()

    @rule(back=strategies.integers(0, 30))
    def rewind(self, back: int) -> None:
        before = self.queue.waiting
        assert self.queue.rewind(self.boot, max(1, self.seq - back)) == self.queue.waiting - before

    @precondition(lambda self: self.seq > 0)
    @rule(changes=strategies.integers(0, 6), flush=strategies.booleans())
    def power_cut(self, changes: int, flush: bool) -> None:
        """Cut the power at some change of an append or a flush; whatever was in RAM is gone."""
        self.files.changes_left = changes
        try:
            if flush:
                self.queue.flush()
            else:
                for _ in range(4):
                    self.in_doubt = (self.boot, self.seq + 1)
                    assert self.queue.append(*self.in_doubt, body_of(*self.in_doubt))
                    self.made.append(self.in_doubt)
                    self.seq += 1
        except PowerCut:
            pass
        self.files.changes_left = None
        self.queue = self.start()
        if self.in_doubt and self.queue.last_seq(self.boot) == self.in_doubt[1] > self.seq:
            self.made.append(self.in_doubt)
            self.seq += 1
        self.in_doubt = None

    @invariant()
    def nothing_is_lost(self) -> None:
        """Find at a start every reading that is neither acked nor counted as dropped, once and in order."""
        queue = self.start()
        dropped, waiting = queue.dropped, queue.waiting
        held = drain(queue)
        assert len(held) == waiting
        assert held == [one for one in self.made if one in set(held)]
        must = [one for one in self.made if one not in self.acked]
        lost = [one for one in must if one not in set(held)]
        assert lost == must[: len(lost)]
        assert len(lost) <= dropped


TestQueueAgainstModel = QueueMachine.TestCase
TestQueueAgainstModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
