"""The flash queue when files are damaged, lost, old, or cannot be written."""

from firmware.core.queue import FlashQueue
from tests.firmware.both.ram_files import RamFiles


def body_of(seq):
    return b'{"seq":%d,"ts":1795488752,"distance_mm":740,"state":"ok"}' % seq


def fill(queue, boot, first, last):
    for seq in range(first, last + 1):
        assert queue.append(boot, seq, body_of(seq))


def seqs(window):
    return [int(body[7 : body.find(b",")]) for body in window[1]]


def test_damage_costs_only_the_record_it_hits():
    """A flipped bit, a torn length and a tail of garbage: all other readings arrive, the lost one is counted."""
    for place, value in ((20, 0), (1, 255), (0, 0)):
        files = RamFiles()
        queue = FlashQueue(files, "/q", 4096, 256)
        fill(queue, 1, 1, 30)
        name = sorted(files.listdir("/q/s"))[1]
        data = bytearray(files.content["/q/s/" + name])
        data[place] = value
        files.content["/q/s/" + name] = bytes(data)
        queue = FlashQueue(files, "/q", 4096, 256)
        first = int(name, 16) + 1
        got = []
        while queue.waiting:
            window = queue.window(8000, 64)
            if window is None:
                break
            got += seqs(window)
            queue.ack(1, got[-1])
        assert got == [seq for seq in range(1, 31) if seq != first]
        assert queue.dropped == 1


def test_a_torn_tail_is_not_written_behind():
    """Half a record at the end: the next reading begins a new segment and both sides of the tear arrive."""
    files = RamFiles()
    queue = FlashQueue(files)
    fill(queue, 1, 1, 3)
    files.content["/q/s/00000000"] += files.content["/q/s/00000000"][:20]
    queue = FlashQueue(files)
    assert queue.last_seq(1) == 3
    fill(queue, 1, 4, 6)
    assert seqs(FlashQueue(files).window(8000, 64)) == [1, 2, 3, 4, 5, 6]
    assert len(files.listdir("/q/s")) == 2


def test_a_segment_of_garbage_keeps_its_name():
    """A segment without any sound record is passed over, counted as one, and never written over."""
    files = RamFiles()
    FlashQueue(files)
    files.content["/q/s/00000000"] = b"garbage, and not a little of it"
    fill(FlashQueue(files), 1, 1, 3)
    queue = FlashQueue(files)
    assert seqs(queue.window(8000, 64)) == [1, 2, 3]
    assert (queue.dropped, sorted(files.listdir("/q/s"))) == (1, ["00000000", "00000001"])


def test_a_lost_or_wrong_pointer_means_sending_again():
    """Without a sound pointer everything on flash is un-acked, nothing is skipped."""
    for damage in (None, b"", b"\xb1" + b"\0" * 20, "flip"):
        files = RamFiles()
        queue = FlashQueue(files)
        fill(queue, 1, 1, 5)
        queue.ack(1, 4)
        queue.flush()
        if damage is None:
            files.remove("/q/pointer")
        elif damage == "flip":
            data = bytearray(files.content["/q/pointer"])
            data[5] ^= 1
            files.content["/q/pointer"] = bytes(data)
        else:
            files.content["/q/pointer"] = damage
        assert FlashQueue(files).waiting == 5


def test_a_pointer_behind_the_end_skips_nothing():
    """A segment that lost its end after it was acked: the next readings are not taken for those acked ones."""
    files = RamFiles()
    queue = FlashQueue(files)
    fill(queue, 1, 1, 5)
    queue.ack(1, 5)
    queue.flush()
    files.content["/q/s/00000000"] = files.content["/q/s/00000000"][: 2 * len(files.content["/q/s/00000000"]) // 5]
    fill(FlashQueue(files), 2, 1, 3)
    queue = FlashQueue(files)
    assert queue.waiting == 3
    assert seqs(queue.window(8000, 64)) == [1, 2, 3]


def test_the_index_may_be_old_lost_or_wrong():
    """A cut before a segment is in the index, no index, a flipped bit: nothing is overlooked or overwritten."""
    for damage in ("old", "lost", "flip", "old and torn"):
        files = RamFiles()
        queue = FlashQueue(files, "/q", 4096, 256)
        seq = 0
        while len(files.listdir("/q/s")) < 5:
            old = files.content.get("/q/index")
            seq += 1
            fill(queue, 1, seq, seq)
        if damage == "lost":
            files.remove("/q/index")
        elif damage == "flip":
            data = bytearray(files.content["/q/index"])
            data[0] ^= 1
            files.content["/q/index"] = bytes(data)
        else:
            files.content["/q/index"] = old
        if damage == "old and torn":
            name = "/q/s/" + sorted(files.listdir("/q/s"))[3]
            files.content[name] = files.content[name][:-1] + b"x"
        queue = FlashQueue(files, "/q", 4096, 256)
        assert (queue.last_seq(1), queue.waiting) == (seq, seq), damage
        fill(queue, 1, seq + 1, seq + 9)
        expected = list(range(1, seq + 10))
        if damage == "old and torn":
            expected.remove(seq - 1)  # the last one of the segment before the newest
        assert seqs(FlashQueue(files, "/q", 4096, 256).window(8000, 64)) == expected, damage


def test_segments_removed_since_the_index_are_not_missed():
    """The ring removes before it writes the index: a cut in between leaves names of nothing."""
    files = RamFiles()
    queue = FlashQueue(files, "/q", 4096, 256)
    fill(queue, 1, 1, 30)
    queue.ack(1, 20)
    queue.flush()
    for name in sorted(files.listdir("/q/s"))[:2]:
        files.remove("/q/s/" + name)
    queue = FlashQueue(files, "/q", 4096, 256)
    assert (queue.waiting, queue.dropped) == (10, 0)
    assert seqs(queue.window(8000, 64)) == list(range(21, 31))
    assert queue.rewind(1, 1) == 20 - 2 * 6
    fill(queue, 1, 31, 150)  # once around the ring
    assert queue.last_seq(1) == 150


def test_lost_segments_do_not_send_numbers_back():
    """When the segments are gone and the pointer is not, new readings are named behind it and are sent."""
    files = RamFiles()
    queue = FlashQueue(files)
    fill(queue, 1, 1, 5)
    queue.ack(1, 5)
    queue.flush()
    files.remove("/q/s/00000000")
    queue = FlashQueue(files)
    fill(queue, 2, 1, 2)
    assert seqs(FlashQueue(files).window(8000, 64)) == [1, 2]


def test_a_full_disk_costs_the_oldest_not_the_node():
    """ENOSPC: the oldest segments go, counted on flash; the new reading is there. Also with no room for a pointer."""
    for slack in (0, 100):
        files = RamFiles()
        queue = FlashQueue(files, "/q", 65536, 256)
        fill(queue, 1, 1, 30)
        files.room = files.used() + slack
        queue.ack(1, 1)
        queue.flush()
        fill(queue, 1, 31, 40)
        assert queue.dropped > 0
        again = FlashQueue(files, "/q", 65536, 256)
        assert again.dropped == queue.dropped
        assert seqs(again.window(8000, 64)) == list(range(queue.dropped + 2, 41))


def test_without_any_room_a_reading_is_counted():
    """A disk that others filled: the reading is not kept, and the node knows."""
    files = RamFiles()
    queue = FlashQueue(files)
    files.room = 10
    assert queue.append(1, 1, body_of(1)) is False
    queue.flush()
    assert (queue.dropped, queue.waiting) == (1, 0)
    files.room = None
    queue.flush()
    assert FlashQueue(files).dropped == 1


def test_a_bad_place_in_flash_moves_on():
    """An I/O error on one segment: the reading goes to a new one."""
    files = RamFiles()
    queue = FlashQueue(files)
    fill(queue, 1, 1, 2)
    files.broken = "/q/s/00000000"
    fill(queue, 1, 3, 3)
    files.broken = None
    assert seqs(queue.window(8000, 64)) == [1, 2, 3]


def test_a_segment_that_cannot_be_removed_stops_nothing():
    """Worn-out flash: the ring goes on over it, the drop is counted, and a restart finds the same readings."""
    files = RamFiles()
    queue = FlashQueue(files, "/q", 4 * 2048, 2048)
    remove = files.remove

    def refuse(path):
        if "/s/" in path:
            raise OSError(5)
        remove(path)

    files.remove = refuse
    for seq in range(1, 301):
        assert queue.append(7, seq, b'{"seq":%d,"ts":1795000000,"distance_mm":900,"state":"ok"}' % seq)
    assert queue.dropped > 0
    assert queue.waiting + queue.dropped == 300
    queue.flush()
    again = FlashQueue(files, "/q", 4 * 2048, 2048)
    assert (again.waiting, again.dropped, again.last_seq(7)) == (queue.waiting, queue.dropped, 300)
