"""The real files of a node, on the file system of the host."""

from pathlib import Path

from firmware.core.files import discard, read, replace
from firmware.core.queue import FlashQueue
from tests.firmware.both.rooted import Rooted


def test_a_queue_lives_in_real_files(tmp_path: Path) -> None:
    """Folder, segments, index and pointer are made under the root; a second start finds the readings and the acks."""
    files = Rooted(str(tmp_path))
    queue = FlashQueue(files, "/q", 4096, 256)
    for seq in range(1, 31):
        assert queue.append(7, seq, b'{"seq":%d,"fill_pct":5}' % seq)
    assert queue.ack(7, 12) == 12
    queue.flush()
    assert {path.name for path in (tmp_path / "q").iterdir()} == {"s", "index", "pointer"}
    again = FlashQueue(files, "/q", 4096, 256)
    assert again.waiting == 18
    window = again.window(8000, 64)
    assert window is not None
    assert window[2] == 13


def test_replace_leaves_one_whole_file(tmp_path: Path) -> None:
    """The new content is there, the temporary file is not; what is missing reads as None and can be discarded."""
    files = Rooted(str(tmp_path))
    replace(files, "/x", b"old")
    replace(files, "/x", b"new")
    assert read(files, "/x") == b"new"
    assert read(files, "/x", 2) == b"ne"
    assert files.stat("/x")[6] == 3
    assert files.listdir("/") == ["x"]
    discard(files, "/x")
    discard(files, "/x")
    assert read(files, "/x") is None
