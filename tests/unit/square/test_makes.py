"""Identities that other makers give, as the site folder writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from ingest.makers import DECODERS
from square.makes import CODEC_KINDS, MARK, foreign_of


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("70B3D57ED0001234", "70b3d57ed0001234"),
        ("84fce612f5b8", "84fce612f5b8"),
        ("urn:dev:mac:0024befffe804ff1", "0024befffe804ff1"),
        ("urn:dev:ow:10e2073a01080063:", "10e2073a01080063"),
        ("Tong 7/", "tong-7"),
        ("a_b.c", "a-b-c"),
        ("", None),
        ("ab", None),
        ("::", None),
        ("x" * 33, None),
    ],
)
def test_an_identity_is_written_in_one_way(text, foreign):
    """Capitals, name spaces and separators make no second sensor of the same one; too short or long is none."""
    assert foreign_of(text) == foreign


@given(st.text(max_size=60))
def test_an_identity_is_an_id_and_writing_it_again_changes_nothing(text):
    """What comes out can stand in devices.toml, and marked it can never be taken for a device of ours."""
    foreign = foreign_of(text)
    if foreign is not None:
        assert wire.is_id(foreign)
        assert foreign_of(foreign) == foreign
        assert not wire.is_id(MARK + foreign)


def test_every_codec_that_may_be_registered_exists():
    """The names in the site format are those of the codecs; the people counter has no place in the wire."""
    assert set(DECODERS) - set(CODEC_KINDS) == {"milesight-vs350"}
    assert set(CODEC_KINDS) < set(DECODERS)
