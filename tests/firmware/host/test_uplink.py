"""The conversation with the gateway: order, acks, repeats, and what a strange gateway cannot do to it."""

import asyncio
import json
import time

from firmware import uplink, wire
from firmware.progress import Progress
from firmware.settings import Values

SITE = "pasuruan"
DEVICE = "rsk-b001"
ACK_TOPIC = wire.topic_down(SITE, DEVICE, "ack")


class ListQueue:
    """The interface of the flash queue over a list of (boot, seq, body)."""

    def __init__(self, entries):
        self.entries = list(entries)

    @property
    def waiting(self):
        return len(self.entries)

    def window(self, max_bytes, max_count, newest=False):
        if not self.entries:
            return None
        first = self.entries[-1] if newest else self.entries[0]
        boot = first[0]
        mine = [entry for entry in self.entries if entry[0] == boot]
        oldest = mine[0][1]
        if newest:
            return boot, [first[2]], oldest
        bodies = []
        size = 0
        for entry in mine[:max_count]:
            size += len(entry[2]) + 1
            if size > max_bytes:
                break
            bodies.append(entry[2])
        return boot, bodies, oldest

    def ack(self, boot, upto, also):
        def covered(entry):
            if entry[0] != boot:
                return False
            for low, high in also:
                if low <= entry[1] <= high:
                    return True
            return entry[1] <= upto

        before = len(self.entries)
        self.entries = [entry for entry in self.entries if not covered(entry)]
        return before - len(self.entries)

    def is_past(self, boot, seq):
        return not self.entries or self.entries[0][:2] > (boot, seq)

    def last_body(self, boot):
        return [entry[2] for entry in self.entries if entry[0] == boot][-1]


class Gateway:
    """A client connected to a gateway in memory; `answers` are what it does to each publish, the last for ever."""

    def __init__(self, answers=("ack",)):
        self.answers = list(answers)
        self.published = []
        self.repeats = []
        self.link = None
        self.watermark = {}

    async def publish(self, topic, payload, again=False):
        self.published.append((topic, payload))
        self.repeats.append(again)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "break":
            raise OSError(104)
        if not topic.endswith("/up/bin") or answer == "silent":
            return
        envelope = wire.decode_envelope(payload)
        boot = envelope["boot"]
        taken = self.watermark.setdefault(boot, set())
        for reading in envelope["readings"]:
            taken.add(reading["seq"])
        upto = (envelope["oldest_seq"] or 1) - 1
        while upto + 1 in taken:
            upto += 1
        also = [(seq, seq) for seq in sorted(taken) if seq > upto]
        if answer == "stranger":
            boot += 1
        for _ in range(2 if answer == "twice" else 1):
            self.link.on_message(ACK_TOPIC, wire.encode_ack(boot, upto, also).encode())


class Record:
    def __init__(self):
        self.boot = 7
        self.no_ack = 0
        self.again_boot = self.again_to = 0


class Settings:
    version = 0
    trial = False

    def __init__(self, values):
        self.active = Values(values)


class Orders:
    def __init__(self):
        self.taken = []

    def take(self, kind, payload):
        self.taken.append((kind, payload))


def body(seq, **fields):
    fields["seq"] = seq
    if "up_s" not in fields:
        fields["ts"] = 1795488000 + seq
    fields["distance_mm"] = 700
    return json.dumps(fields).replace(" ", "").encode()


def entries(count, boot=7):
    return [(boot, seq, body(seq)) for seq in range(1, count + 1)]


class Keeper:
    """An uptime that stands still, and a wake that lasts."""

    def __init__(self):
        self.start_s = time.time()

    def up_s(self):
        return 5000

    def elapsed_ms(self):
        return int((time.time() - self.start_s) * 1000)


def make(queue, gateway, fed=None, record=None):
    values = {"site": SITE, "device": DEVICE, "kind": "bin"}
    settings = Settings(values)
    progress = Progress(lambda: fed.append(1) if fed is not None else None)
    link = uplink.Uplink(None, None, settings, queue, Orders(), record or Record(), Keeper(), progress)
    gateway.link = link
    link.link._client = gateway
    return link


async def send(link, ack_wait_s, until_ms):
    return await link.send_newest(ack_wait_s, until_ms) and await link.send_backlog(ack_wait_s, until_ms)


def deliver(queue, gateway, *, ack_wait_s=0.01, until_ms=2000, fed=None, record=None):
    link = make(queue, gateway, fed, record)
    kept = uplink.PAUSE_S
    uplink.PAUSE_S = 0.001
    try:
        return asyncio.run(send(link, ack_wait_s, until_ms)), link
    finally:
        uplink.PAUSE_S = kept


def seqs(payload):
    return [reading["seq"] for reading in wire.decode_envelope(payload)["readings"]]


def test_one_reading_is_one_message():
    """A reading alone goes up once and is forgotten after its ack."""
    queue, gateway = ListQueue(entries(1)), Gateway()
    done, _link = deliver(queue, gateway)
    assert done
    assert not queue.entries
    assert [seqs(payload) for _topic, payload in gateway.published] == [[1]]


def test_the_newest_goes_ahead_of_a_backlog_of_several_messages():
    """With more than one message waiting, the newest value is on the map first, then the backlog from its old end."""
    queue, gateway = ListQueue(entries(100)), Gateway()
    done, _link = deliver(queue, gateway)
    sent = [seqs(payload) for _topic, payload in gateway.published]
    assert done
    assert not queue.entries
    assert sent[0] == [100]
    rest = [seq for window in sent[1:] for seq in window]
    assert rest == list(range(1, 100))


def test_a_backlog_of_one_message_needs_no_extra_one():
    """What fits one message goes in one."""
    queue, gateway = ListQueue(entries(4)), Gateway()
    deliver(queue, gateway)
    assert [seqs(payload) for _topic, payload in gateway.published] == [[1, 2, 3, 4]]


def test_messages_respect_both_limits_of_the_protocol():
    """No message has more than 64 readings or 8,192 bytes."""
    queue, gateway = ListQueue(entries(500)), Gateway()
    deliver(queue, gateway)
    for _topic, payload in gateway.published:
        assert len(payload) <= wire.MAX_PAYLOAD_BYTES
        assert len(seqs(payload)) <= wire.MAX_READINGS


def test_a_gateway_that_never_acks_gets_three_sends_then_one_a_wake():
    """Nothing is forgotten without an ack; deaf sends are counted, and the battery is spared once that is known."""
    queue, gateway = ListQueue(entries(2)), Gateway(["silent"])
    done, link = deliver(queue, gateway)
    assert not done
    assert len(queue.entries) == 2
    assert len(gateway.published) == 3
    link._record.no_ack = 4
    again = Gateway(["silent"])
    _done, link = deliver(queue, again, record=link._record)
    assert len(again.published) == 1
    done, link = deliver(queue, Gateway(), record=link._record)
    assert done
    assert link._record.no_ack == 0


def test_a_lost_ack_is_answered_by_a_second_send():
    """One ack lost on the way costs one repeat and nothing else."""
    queue, gateway = ListQueue(entries(1)), Gateway(["silent", "ack"])
    done, link = deliver(queue, gateway)
    assert done
    assert not queue.entries
    assert len(gateway.published) == 2
    assert link._record.no_ack == 0


def test_an_ack_that_comes_twice_frees_once():
    """Repeated acks are harmless."""
    queue, gateway = ListQueue(entries(3)), Gateway(["twice"])
    done, _link = deliver(queue, gateway)
    assert done
    assert len(gateway.published) == 1


def test_an_ack_for_another_boot_frees_nothing():
    """A stale ack of another boot is no ack."""
    queue, gateway = ListQueue(entries(3)), Gateway(["stranger"])
    done, link = deliver(queue, gateway)
    assert not done
    assert len(queue.entries) == 3
    assert link._record.no_ack == 3


def test_an_ack_beside_the_point_does_not_loop():
    """A gateway that acks the end of a window but never its beginning is not asked for ever."""
    queue = ListQueue(entries(3))
    gateway = Gateway(["ack"])
    queue.ack = lambda *_: 0
    done, _link = deliver(queue, gateway)
    assert not done
    assert len(gateway.published) == 1


def test_a_repeat_after_a_broken_link_is_marked():
    """The same payload after a broken connection carries the mark of a repeat, another one does not."""
    queue, gateway = ListQueue(entries(1)), Gateway(["break", "ack"])
    link = make(queue, gateway)

    async def both():
        try:
            await send(link, 0.01, 2000)
        except OSError:
            return await send(link, 0.5, 100000)
        raise AssertionError("the broken link was hidden")

    assert asyncio.run(both())
    assert gateway.repeats == [False, True]


def test_boots_never_share_a_message():
    """Readings of an ended boot and of this one travel apart, the old ones first."""
    queue, gateway = ListQueue(entries(2, boot=3) + entries(2)), Gateway()
    deliver(queue, gateway)
    boots = [wire.decode_envelope(payload)["boot"] for _topic, payload in gateway.published]
    assert boots == [3, 7]


def test_readings_without_a_time_get_the_uptime_of_the_message():
    """Without ts the message says the uptime; with ts it does not need to."""
    queue, gateway = ListQueue([(7, 1, body(1, up_s=100))]), Gateway()
    deliver(queue, gateway)
    assert wire.decode_envelope(gateway.published[0][1])["up_s"] == 5000
    queue, gateway = ListQueue(entries(1)), Gateway()
    deliver(queue, gateway)
    assert wire.decode_envelope(gateway.published[0][1])["up_s"] is None


def test_an_ended_boot_without_a_time_is_dated_after_its_last_reading():
    """Its uptime at sending is at least that of its last reading and ours since."""
    old = [(3, seq, body(seq, up_s=seq * 600)) for seq in range(1, 100)]
    queue, gateway = ListQueue([*old, (7, 1, body(1, up_s=100))]), Gateway()
    deliver(queue, gateway)
    first_of_old = next(p for _topic, p in gateway.published if wire.decode_envelope(p)["boot"] == 3)
    assert wire.decode_envelope(first_of_old)["up_s"] == 99 * 600 + 5000


def test_time_ends_a_conversation():
    """No window is begun after the time of the wake is over; what is left stays in the queue."""
    queue, gateway = ListQueue(entries(120)), Gateway()
    done, _link = deliver(queue, gateway, until_ms=-1)
    assert not done
    assert len(gateway.published) == 1
    assert len(queue.entries) == 119


def test_a_flood_of_strange_messages_feeds_nothing():
    """Messages from above are no progress, bad ones are counted, those of others ignored."""
    fed = []
    queue, gateway = ListQueue([]), Gateway()
    link = make(queue, gateway, fed)
    for _ in range(50):
        link.on_message(ACK_TOPIC, b"{")
    link.on_message(wire.topic_down(SITE, "rsk-b002", "ack"), b'{"v":1,"boot":7,"upto":9}')
    assert link.bad == 50
    assert not fed
    assert not link._orders.taken


def test_other_messages_go_to_the_orders():
    """Configuration, commands and updates are handed on by their kind."""
    link = make(ListQueue([]), Gateway())
    link.on_message(wire.topic_down(SITE, DEVICE, "cmd"), b"{}")
    assert link._orders.taken == [("cmd", b"{}")]


def test_a_step_that_repeats_without_end_stops_feeding():
    """One named step feeds only so often in a round; a new round begins with a durable reading."""
    fed = []
    progress = Progress(lambda: fed.append(1))
    for _ in range(1000):
        progress("publish")
    assert len(fed) == 100
    progress("ack")
    assert len(fed) == 101
    progress.new_round()
    progress("publish")
    assert len(fed) == 102


def test_a_resend_frees_only_what_came_again():
    """The gateway has all of it and says so at the first ack; each reading is sent again all the same, and once."""
    queue = ListQueue(entries(10))
    gateway = Gateway()
    gateway.watermark[7] = set(range(1, 11))
    record = Record()
    record.again_boot, record.again_to = 7, 10
    link = make(queue, gateway, record=record)
    assert asyncio.run(link.send_newest(0.05, 10000))
    assert asyncio.run(link.send_backlog(0.05, 10000))
    sent = [reading["seq"] for _, payload in gateway.published for reading in json.loads(payload)["r"]]
    assert sorted(sent) == list(range(1, 11))
    assert (queue.waiting, record.again_to) == (0, 0)


def test_after_a_resend_acks_mean_what_they_say():
    """Behind the readings that were asked for, an ack of everything frees everything again."""
    queue = ListQueue(entries(9))
    gateway = Gateway()
    record = Record()
    record.again_boot, record.again_to = 7, 2
    link = make(queue, gateway, record=record)
    gateway.watermark[7] = set(range(1, 10))
    assert asyncio.run(link.send_backlog(0.05, 10000))
    sent = [reading["seq"] for _, payload in gateway.published for reading in json.loads(payload)["r"]]
    assert sent == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (queue.waiting, record.again_to) == (0, 0)


def test_an_ack_that_comes_late_does_not_shorten_a_resend():
    """The ack of what was sent before the order comes once more after it: it frees nothing."""
    queue, gateway = ListQueue(entries(3)), Gateway()
    record = Record()
    done, link = deliver(queue, gateway, record=record)
    assert done
    queue.entries = entries(3)
    record.again_boot, record.again_to = 7, 3
    link.on_message(ACK_TOPIC, wire.encode_ack(7, 3).encode())
    assert (queue.waiting, record.again_to) == (3, 3)
