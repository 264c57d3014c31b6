"""CRCs and Sensirion words against published examples."""

from firmware.drivers import ds18b20, sensirion
from tests.firmware.both import driver_bench as bench


def test_sensirion_crc_of_the_datasheets():
    """0xBEEF gives 0x92 (SHT3x, SPS30); the default words of the SGP40 give 0xA2 and 0x93."""
    assert sensirion.crc8_31(b"\xbe\xef") == 0x92
    assert sensirion.crc8_31(b"\x80\x00") == 0xA2
    assert sensirion.crc8_31(b"\x66\x66") == 0x93


def test_maxim_crc_of_the_application_note():
    """The ROM code 02 1C B8 01 00 00 00 of Maxim's note 27 has the CRC A2; zeros have the CRC zero."""
    assert ds18b20.crc8_8c(b"\x02\x1c\xb8\x01\x00\x00\x00") == 0xA2
    assert ds18b20.crc8_8c(bytes(8)) == 0


def test_words_name_what_is_wrong():
    """An incomplete word and an empty answer are bad frames, a flipped bit is a bad CRC, in the last word too."""
    assert sensirion.words(b"\xbe\xef\x92\x80\x00\xa2") == [0xBEEF, 0x8000]
    assert bench.code_of(sensirion.words, b"") == "bad-frame"
    assert bench.code_of(sensirion.words, b"\xbe\xef") == "bad-frame"
    assert bench.code_of(sensirion.words, b"\xbe\xee\x92") == "bad-crc"
    assert bench.code_of(sensirion.words, b"\xbe\xef\x92\x80\x00\xa3") == "bad-crc"


def test_a_command_carries_the_crc_of_each_argument():
    """The SGP40 example of its datasheet: 26 0F 80 00 A2 66 66 93."""
    assert sensirion.command(0x260F, 0x8000, 0x6666) == b"\x26\x0f\x80\x00\xa2\x66\x66\x93"
    assert sensirion.command(0x2400) == b"\x24\x00"
