"""Topics and limits of the wire module."""

from firmware import wire


def test_topics_survive_parsing():
    """A topic made by the module is read back into its parts."""
    for kind in wire.UP_KINDS:
        topic = wire.topic_up("pasuruan", "rsk-b001", kind)
        assert wire.parse_topic(topic) == ("pasuruan", "rsk-b001", "up", kind)


def test_unset_clock_needs_an_uptime():
    """A reading without ts is refused unless both it and its message carry up_s."""
    try:
        wire.decode_envelope(b'{"v":1,"boot":1,"r":[{"seq":1,"fill_pct":5}]}')
    except wire.WireError as error:
        assert error.code == "bad-reading"
    else:
        raise AssertionError("was accepted")


def test_a_key_that_is_no_text_is_refused():
    """MicroPython's JSON takes numbers and null for keys: a configuration with one must not end in a crash."""
    for key in (b"5", b"null", b"true"):
        try:
            wire.decode_config(b'{"v":1,"cfg":1,"set":{' + key + b":1}}")
        except wire.WireError:
            continue
        raise AssertionError(key)


def test_a_part_of_an_update_is_read_as_json_would():
    """Cutting the block out changes nothing: the last of two keys counts."""
    head = b'{"v":1,"ver":5,"at":0,"of":9,'
    assert wire.decode_ota_down(head + b'"data":"QUJD"}')["data"] == b"ABC"
    assert wire.decode_ota_down(head + b'"data":"QUJD","data":"QUI="}')["data"] == b"AB"
    for rest in (b'"data":"QUJD","data":""}', b'"data":"QUJD","data":7}'):
        try:
            wire.decode_ota_down(head + rest)
        except wire.WireError:
            continue
        raise AssertionError(rest[:30])
