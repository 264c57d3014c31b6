"""The label of a node, rendered and read as a phone would."""

import pypdfium2
import pytest
import zxingcpp

from resik.label import HEIGHT_MM, WIDTH_MM, label_pdf

POINTS_PER_MM = 72 / 25.4
DEVICE = {"device": "rsk-b049", "kind": "bin", "site": "alun-alun-pasuruan", "asset": "bin-049"}
LONG = "Tempat sampah organik di sebelah selatan gerbang utama dekat pangkalan becak dan warung kopi"


def page_of(**names):
    return pypdfium2.PdfDocument(label_pdf(**DEVICE | names))[0]


@pytest.mark.parametrize("name", ["Gerbang utara, organik", LONG])
def test_the_code_reads_and_names_square_and_node(name):
    """At 300 dpi one QR code is found; its text is site and device, and nothing else is in it."""
    page = page_of(name_id=name, name_en="North gate")
    image = page.render(scale=300 / 72).to_pil()
    codes = zxingcpp.read_barcodes(image)
    assert [code.text for code in codes] == ["resik:alun-alun-pasuruan/rsk-b049"]


def test_the_code_survives_a_phone_at_arms_length():
    """At 100 dpi, a coarse picture, it still reads."""
    image = page_of(name_id="Satu", name_en="One").render(scale=100 / 72).to_pil()
    assert zxingcpp.read_barcodes(image)[0].text.endswith("/rsk-b049")


def test_people_read_device_place_and_kind():
    """The text holds the id, the place in both languages, Indonesian first, the asset, the kind and the square."""
    text = page_of(name_id="Gerbang utara", name_en="North gate").get_textpage().get_text_range()
    for words in ("rsk-b049", "Gerbang utara", "North gate", "bin-049", "tempat sampah", "alun-alun-pasuruan"):
        assert words in text
    assert text.index("Gerbang utara") < text.index("North gate")


def test_the_page_is_the_label():
    """One page of 62 x 29 mm."""
    page = page_of(name_id="Satu", name_en="One")
    assert page.get_size() == pytest.approx((WIDTH_MM * POINTS_PER_MM, HEIGHT_MM * POINTS_PER_MM), abs=0.1)


def test_long_names_stay_on_the_label():
    """A name of 90 characters is cut with dots, and no ink reaches the right edge."""
    page = page_of(name_id=LONG, name_en=LONG)
    assert "..." in page.get_textpage().get_text_range()
    image = page.render(scale=4).to_pil().convert("L")
    edge = image.crop((image.width - int(1.5 * 4 * POINTS_PER_MM), 0, image.width, image.height))
    assert edge.getextrema() == (255, 255)


def test_the_same_node_gives_the_same_file():
    """A label printed again is the same label, byte for byte."""
    names = {"name_id": "Satu", "name_en": "One"}
    assert label_pdf(**DEVICE, **names) == label_pdf(**DEVICE, **names)
