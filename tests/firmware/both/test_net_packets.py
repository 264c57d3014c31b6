"""The MQTT codec, byte by byte, on both interpreters; expected bytes are written by hand from MQTT 3.1.1."""

from firmware.net import LinkError, packets


def cut(data, size):
    """Feed a stream in pieces of `size` and return what came out."""
    cutter = packets.Cutter()
    found = []
    for at in range(0, len(data), size):
        for first, body in cutter.feed(data[at : at + size]):
            found.append((first, bytes(body), cutter.whole))
    return found


def refused(call, *arguments):
    """Return why a call raised LinkError("packet"), or None when it did not."""
    try:
        call(*arguments)
    except LinkError as error:
        assert error.step == "packet"
        return error.why
    return None


def test_connect_has_every_field_in_its_place():
    """CONNECT with will, user and password: flags C4 + 08, then id, will, user, password."""
    made = packets.connect("n1", 300, "n1", "pw", ("a/w", b"{}"))
    assert made == b"\x10\x1f\x00\x04MQTT\x04\xcc\x01\x2c\x00\x02n1\x00\x03a/w\x00\x02{}\x00\x02n1\x00\x02pw"


def test_connect_without_extras_keeps_the_session():
    """CONNECT with an id alone has no flag set; `clean` sets only 02."""
    assert packets.connect("n1", 60) == b"\x10\x0e\x00\x04MQTT\x04\x00\x00\x3c\x00\x02n1"
    assert packets.connect("n1", 60, clean=True) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02n1"


def test_publish_and_its_repeat_differ_in_one_bit():
    """PUBLISH is 32, the repeat 3A with the same id; nothing else changes."""
    once = packets.publish("a/b", b"hi", 258)
    again = packets.publish("a/b", b"hi", 258, True)
    assert once == b"\x32\x09\x00\x03a/b\x01\x02hi"
    assert again == b"\x3a" + once[1:]


def test_subscribe_asks_for_qos_1():
    """SUBSCRIBE is 82 and ends each filter with 01."""
    assert packets.subscribe(["a/+", "b"], 7) == b"\x82\x0c\x00\x07\x00\x03a/+\x01\x00\x01b\x01"


def test_lengths_of_one_and_two_bytes():
    """127 and 128 are where the length field grows."""
    for payload, field in ((122, b"\x7f"), (123, b"\x80\x01")):
        made = packets.publish("a", bytes(payload), 1)
        assert made[1 : 1 + len(field)] == field
        assert len(made) == 1 + len(field) + payload + 5


def test_ids_wrap_and_are_never_zero():
    """1, 2, .. 65535, 1: the id 0 is not allowed."""
    assert [packets.next_id(number) for number in (0, 1, 65534, 65535)] == [1, 2, 65535, 1]


def test_answers_are_read():
    """CONNACK, PUBACK, SUBACK and both kinds of PUBLISH."""
    assert packets.read_connack(b"\x01\x00") == (True, 0)
    assert packets.read_connack(b"\x00\x05") == (False, 5)
    assert packets.read_puback(b"\x01\x02") == 258
    assert packets.read_suback(b"\x00\x07\x01\x80") == (7, b"\x01\x80")
    assert packets.read_publish(0x32, bytearray(b"\x00\x03a/b\x00\x09hi")) == ("a/b", 9, b"hi")
    assert packets.read_publish(0x30, bytearray(b"\x00\x03a/bhi")) == ("a/b", 0, b"hi")
    assert packets.read_publish(0x3B, bytearray(b"\x00\x01a\x00\x09")) == ("a", 9, b"")


def test_bodies_cut_at_every_byte_are_refused_or_shorter():
    """No truncation raises anything but LinkError; what is read is a prefix of the payload."""
    whole = bytearray(b"\x00\x03a/b\x00\x09hi")
    for size in range(7):
        assert refused(packets.read_publish, 0x32, whole[:size]) == "publish", size
    for size in range(7, 9):
        assert packets.read_publish(0x32, whole[:size]) == ("a/b", 9, b"hi"[: size - 7])
    for size in (0, 1, 3):
        assert refused(packets.read_connack, bytes(size)) == "connack"
        assert refused(packets.read_puback, bytes(size)) == "puback"
    for size in range(3):
        assert refused(packets.read_suback, bytes(size)) == "suback"


def test_publishes_that_no_broker_may_send():
    """QoS 2 and 3, an id of 0, an empty topic, a topic that is not UTF-8."""
    assert refused(packets.read_publish, 0x34, b"\x00\x01a\x00\x09") == "publish"
    assert refused(packets.read_publish, 0x36, b"\x00\x01a\x00\x09") == "publish"
    assert refused(packets.read_publish, 0x32, b"\x00\x01a\x00\x00") == "id 0"
    assert refused(packets.read_publish, 0x30, b"\x00\x00hi") == "publish"
    assert refused(packets.read_publish, 0x30, b"\x00\x02\xff\xfehi") == "topic"


def test_the_cutter_does_not_care_how_bytes_arrive():
    """In pieces of 1, 2, 3, 7 bytes or at once the same packets come out, in order."""
    stream = (
        packets.publish("a/b", bytes(range(200)), 5) + b"\xd0\x00" + packets.puback(3) + packets.publish("c", b"", 6)
    )
    expect = cut(stream, len(stream))
    assert [item[0] for item in expect] == [0x32, 0xD0, 0x40, 0x32]
    assert packets.read_publish(expect[0][0], bytearray(expect[0][1])) == ("a/b", 5, bytes(range(200)))
    for size in (1, 2, 3, 7):
        assert cut(stream, size) == expect


def test_a_stream_cut_anywhere_gives_no_half_packet():
    """Of a packet that lacks its last byte, nothing comes out."""
    stream = packets.publish("a/b", b"hello", 5)
    for size in range(len(stream)):
        assert cut(stream[:size], 4) == []


def test_malformed_and_huge_lengths_are_refused_before_memory_is_taken():
    """Five length bytes, a long SUBACK and a PUBLISH beyond the limit of skipping end the link."""
    for stream in (b"\x30\xff\xff\xff\xff", b"\x90\x81\x60", b"\x30\x81\x80\x10", b"\x30\xff\xff\xff\x7f"):
        cutter = packets.Cutter()
        try:
            for _ in cutter.feed(stream):
                raise AssertionError("a packet came out")
        except LinkError as error:
            assert error.step == "packet"
        else:
            raise AssertionError("accepted")


def test_a_long_publish_is_skipped_and_can_be_acknowledged():
    """3,073 bytes come out as their first 256 and not whole; the packet behind is untouched; 3,072 are whole."""
    for head, size, whole in ((b"\x32\x80\x18", 3072, True), (b"\x32\x81\x18", 3073, False)):
        cutter = packets.Cutter()
        found = []
        pieces = [head + b"\x00\x03a/b\x00\x09", bytes(size % 1000 + 993)] + [bytes(1000)] * (size // 1000 - 1)
        pieces.append(packets.puback(3))
        for piece in pieces:
            for first, body in cutter.feed(piece):
                found.append((first, len(body), packets.read_publish(first, body)[:2] if first == 0x32 else body[1]))
                assert cutter.whole == (whole or first == 0x40)
        assert found == [(0x32, size if whole else 256, ("a/b", 9)), (0x40, 2, 3)]
