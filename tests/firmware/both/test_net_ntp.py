"""Answers of time servers: what is believed, what is ignored and what is refused."""

import struct

from firmware.net import LinkError, ntp

COOKIE = b"\x01\x02\x03\x04\x05\x06\x07\x08"
FLOOR_S = 1795000000
NOW_S = 1795488752


def reply(unix_s=NOW_S, fraction=0, cookie=COOKIE, head=0x24, stratum=2, reference=b"GPS\x00"):
    """Encode an answer of a server; NTP counts from 1900 and wraps after 2^32 s."""
    stamp = struct.pack(">II", (unix_s + 2208988800) % 4294967296, fraction)
    return bytes((head, stratum, 6, 0xEC)) + bytes(8) + reference + stamp + cookie + stamp + stamp


def refused(data, floor_s=FLOOR_S):
    """Return why an answer was refused, or what came out."""
    try:
        return ntp.answer(data, COOKIE, floor_s)
    except LinkError as error:
        assert error.step == "ntp"
        return error.why


def test_the_request_is_a_client_of_version_4_with_our_cookie():
    """48 bytes: leap 0, version 4, mode 3, zeros, and the cookie where the server looks for our time."""
    made = ntp.request(COOKIE)
    assert len(made) == 48
    assert made[0] == 0x23
    assert made[40:] == COOKIE
    assert made[1:40] == bytes(39)


def test_a_good_answer_is_the_time_to_the_nearest_second():
    """Half a second and more counts up."""
    assert ntp.answer(reply(), COOKIE, FLOOR_S) == NOW_S
    assert ntp.answer(reply(fraction=0x7FFFFFFF), COOKIE, FLOOR_S) == NOW_S
    assert ntp.answer(reply(fraction=0x80000000), COOKIE, FLOOR_S) == NOW_S + 1


def test_what_is_no_answer_to_us_is_ignored():
    """Another cookie, another mode, a cut packet: the true answer may still come."""
    assert ntp.answer(reply(cookie=b"\x01\x02\x03\x04\x05\x06\x07\x09"), COOKIE, FLOOR_S) is None
    for mode in (0, 1, 2, 3, 5, 6, 7):
        assert ntp.answer(reply(head=0x20 | mode), COOKIE, FLOOR_S) is None
    for size in range(48):
        assert ntp.answer(reply()[:size], COOKIE, FLOOR_S) is None


def test_unfit_servers_are_refused():
    """Kiss of death, no stratum, not synchronised, another version, no time at all."""
    assert refused(reply(stratum=0, reference=b"RATE")) == "kiss RATE"
    assert refused(reply(stratum=0, reference=b"\x00\xff\nX")) == "kiss X"
    assert refused(reply(stratum=15)) == NOW_S
    assert refused(reply(stratum=16)) == "not in step"
    assert refused(reply(head=0xE4)) == "not in step"
    assert refused(reply(head=0x1C)) == NOW_S
    assert refused(reply(head=0x14)) == "version"
    assert refused(reply(head=0x2C)) == "version"
    assert refused(reply(unix_s=-2208988800)) == "no time"  # 0.0 says that the server has none


def test_the_floor_holds():
    """A second before the floor is a lie, the floor itself is not; 2020 and 1970 are lies too."""
    assert refused(reply(FLOOR_S)) == FLOOR_S
    assert refused(reply(FLOOR_S - 1)) == "implausible"
    assert refused(reply(1577836800)) == "implausible"
    assert refused(reply(0)) == "implausible"


def test_the_far_future_is_a_lie():
    """20 years after the floor is the end."""
    assert refused(reply(FLOOR_S + 630720000)) == FLOOR_S + 630720000
    assert refused(reply(FLOOR_S + 630720001)) == "implausible"


def test_the_era_of_2036_is_understood():
    """NTP seconds wrap on 2036-02-07 06:28:16 UTC = 2085978496: times go on without a step."""
    for unix_s in (2085978495, 2085978496, 2085978497, 2085978496 + 86400):
        assert refused(reply(unix_s, fraction=1)) == unix_s
    assert refused(reply(2085978495, fraction=0x80000000)) == 2085978496
    # a firmware with a floor in the new era
    assert refused(reply(2100000000), floor_s=2090000000) == 2100000000
