"""The flash queue over files in RAM: order, acks, ring."""

import struct

from firmware.core.queue import FlashQueue
from tests.firmware.both.ram_files import RamFiles


def body_of(seq):
    return b'{"seq":%d,"ts":1795488752,"distance_mm":740,"state":"ok"}' % seq


def fill(queue, boot, first, last):
    for seq in range(first, last + 1):
        assert queue.append(boot, seq, body_of(seq))


def seqs(window):
    return [int(body[7 : body.find(b",")]) for body in window[1]]


def test_an_empty_queue_has_nothing_to_send():
    """A first start makes the folder; no window, nothing waiting, no number taken."""
    queue = FlashQueue(RamFiles())
    assert queue.window(8000, 64) is None
    assert (queue.waiting, queue.dropped, queue.last_seq(1)) == (0, 0, 0)
    assert queue.ack(1, 5) == 0


def test_readings_come_back_as_they_went_in():
    """Bodies are the same bytes, oldest first, and survive a restart without any flush."""
    files = RamFiles()
    fill(FlashQueue(files), 9, 1, 40)
    queue = FlashQueue(files)
    boot, bodies, oldest = queue.window(8000, 64)
    assert (boot, oldest, queue.waiting, queue.last_seq(9)) == (9, 1, 40, 40)
    assert bodies == [body_of(seq) for seq in range(1, 41)]


def test_what_is_no_reading_is_refused():
    """Bytes that could be taken for a shortened key, and a body longer than a segment, do not go in."""
    queue = FlashQueue(RamFiles(), "/q", 8192, 256)
    for body in (b'{"seq":1,"x":"\x80"}', b"x" * 300):
        try:
            queue.append(1, 1, body)
        except ValueError:
            continue
        raise AssertionError("was accepted")
    assert queue.waiting == 0


def test_a_number_is_given_once():
    """A seq that is on flash is refused, so that nothing is ever stored under a used identity."""
    files = RamFiles()
    fill(FlashQueue(files), 9, 1, 3)
    queue = FlashQueue(files)
    try:
        queue.append(9, 3, b'{"seq":3,"distance_mm":1}')
    except ValueError:
        assert queue.waiting == 3
        return
    raise AssertionError("was accepted")


def test_a_window_holds_one_boot_and_keeps_its_limits():
    """Bytes, count and boot each end a window; one reading always fits."""
    queue = FlashQueue(RamFiles())
    fill(queue, 1, 1, 5)
    fill(queue, 2, 1, 5)
    assert seqs(queue.window(8000, 3)) == [1, 2, 3]
    assert seqs(queue.window(8000, 64)) == [1, 2, 3, 4, 5]
    size = len(body_of(1)) + 1
    assert seqs(queue.window(2 * size, 64)) == [1, 2]
    assert seqs(queue.window(1, 64)) == [1]
    assert queue.ack(1, 5) == 5
    assert queue.window(8000, 64)[0] == 2


def test_the_newest_goes_first_and_is_not_sent_twice():
    """The newest reading can be acked ahead of the backlog, which then lacks only that one, across a restart, too."""
    files = RamFiles()
    queue = FlashQueue(files)
    fill(queue, 1, 1, 6)
    assert queue.window(8000, 1, newest=True) == (1, [body_of(6)], 1)
    assert queue.ack(1, 0, [(6, 6)]) == 1
    assert queue.window(8000, 1, newest=True) is None
    queue.flush()
    queue = FlashQueue(files)
    assert queue.waiting == 5
    assert seqs(queue.window(8000, 64)) == [1, 2, 3, 4, 5]
    fill(queue, 1, 7, 7)
    assert seqs(queue.window(8000, 64)) == [1, 2, 3, 4, 5, 7]
    assert queue.ack(1, 7) == 6
    assert queue.waiting == 0


def test_the_newest_of_a_later_boot_claims_no_gap():
    """While an older boot waits, the lowest number of the newest boot is said to be 1."""
    queue = FlashQueue(RamFiles())
    fill(queue, 1, 1, 2)
    fill(queue, 2, 4, 5)
    assert queue.window(8000, 1, newest=True) == (2, [body_of(5)], 1)


def test_an_ack_covers_nothing_that_is_made_later():
    """An ack far beyond the last number frees what is there; the next reading still has to be sent."""
    queue = FlashQueue(RamFiles())
    fill(queue, 1, 1, 3)
    assert queue.ack(1, 4294967295) == 3
    fill(queue, 1, 4, 4)
    assert seqs(queue.window(8000, 64)) == [4]
    fill(queue, 1, 5, 6)
    assert queue.ack(1, 0, [(6, 4294967295)]) == 1
    fill(queue, 1, 7, 7)
    assert seqs(queue.window(8000, 64)) == [4, 5, 7]


def test_acks_are_idempotent_and_of_their_boot():
    """A repeated, older or foreign ack frees nothing."""
    queue = FlashQueue(RamFiles())
    fill(queue, 1, 1, 4)
    assert queue.ack(2, 4) == 0
    assert queue.ack(1, 3) == 3
    assert queue.ack(1, 3) == 0
    assert queue.ack(1, 1, [(1, 2)]) == 0
    assert queue.waiting == 1


def test_more_ranges_than_fit_are_forgotten_not_mistaken():
    """Twenty single acks ahead: what does not fit is sent again, nothing else is freed."""
    queue = FlashQueue(RamFiles())
    fill(queue, 1, 1, 50)
    queue.ack(1, 0, [(seq, seq) for seq in range(2, 42, 2)])
    left = seqs(queue.window(8000, 64))
    assert set(range(1, 51)) - set(left) <= set(range(2, 42, 2))
    assert len(left) == queue.waiting == 42


def test_the_ring_drops_the_oldest_and_counts():
    """A full ring gives up whole segments; the counter is on flash before the next start."""
    files = RamFiles()
    queue = FlashQueue(files, "/q", 1024, 256)
    fill(queue, 1, 1, 100)
    queue = FlashQueue(files, "/q", 1024, 256)
    assert queue.dropped + queue.waiting == 100
    assert seqs(queue.window(8000, 64)) == list(range(queue.dropped + 1, 101))
    assert len(files.listdir("/q/s")) == 4


def test_acked_history_can_be_taken_back():
    """Rewind un-acks what flash still has from a number on, and says how many these are."""
    files = RamFiles()
    queue = FlashQueue(files, "/q", 4096, 256)
    fill(queue, 1, 1, 60)
    assert queue.ack(1, 60) == 60
    assert queue.rewind(1, 41) == 20
    queue.flush()
    queue = FlashQueue(files, "/q", 4096, 256)
    assert seqs(queue.window(8000, 64)) == list(range(41, 61))
    assert queue.rewind(2, 1) == 0
    queue.ack(1, 0, [(50, 60)])
    assert queue.rewind(1, 55) == 6
    assert seqs(queue.window(8000, 64)) == list(range(41, 50)) + list(range(55, 61))


def test_history_goes_before_anything_that_waits():
    """Room comes from acked segments first: nothing is dropped while there are some."""
    queue = FlashQueue(RamFiles(), "/q", 1024, 256)
    for seq in range(1, 200):
        fill(queue, 1, seq, seq)
        queue.ack(1, seq - 3)
    assert (queue.dropped, queue.waiting) == (0, 3)


def test_records_are_small():
    """The format is fixed: mark, length, boot, seq, CRC in 15 bytes, keys of one byte."""
    files = RamFiles()
    fill(FlashQueue(files), 258, 1, 1)
    data = files.content["/q/s/00000000"]
    assert struct.unpack_from("<BHII", data) == (0xA7, len(data) - 15, 258, 1)
    assert data[15:] == b"{\x801,\x811795488752,\x83740,\x8b}"


def test_the_last_reading_of_any_boot_can_be_looked_up():
    """Also of a boot that is not the newest, in an older segment; None when flash has none of it."""
    queue = FlashQueue(RamFiles(), "/q", 4096, 256)
    fill(queue, 1, 1, 20)
    fill(queue, 2, 1, 20)
    assert queue.last_body(1) == body_of(20)
    queue.append(2, 21, body_of(21))
    assert queue.last_body(2) == body_of(21)
    assert queue.last_body(3) is None
