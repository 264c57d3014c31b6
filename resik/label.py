"""The label of a node: 62 x 29 mm, for a label printer or to cut out. It holds no secret."""

import io

WIDTH_MM = 62.0
HEIGHT_MM = 29.0
QR_MM = 23.0
MARGIN_MM = 2.0
_REGULAR, _BOLD = "Helvetica", "Helvetica-Bold"

KIND_TEXT = {"bin": "Sensor tempat sampah / bin sensor", "air": "Sensor udara / air sensor"}


def qr_text(site: str, device: str) -> str:
    """Return the text of the QR code: which node of which square."""
    return f"resik:{site}/{device}"


def label_pdf(*, device: str, kind: str, site: str, asset: str, name_id: str, name_en: str) -> bytes:
    """Draw the label of a node as a PDF of one page.

    Parameters
    ----------
    device, kind, site : str
        Who it is.
    asset : str
        Id of the bin or air station.
    name_id, name_en : str
        Its names; long ones are set smaller, and cut where even that does not help.
    """
    from reportlab.graphics import renderPDF
    from reportlab.graphics.barcode.qr import QrCodeWidget
    from reportlab.graphics.shapes import Drawing
    from reportlab.lib.units import mm
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(WIDTH_MM * mm, HEIGHT_MM * mm), invariant=1)
    canvas.setTitle(f"Resik {device}")
    code = QrCodeWidget(qr_text(site, device), barLevel="M", barBorder=2)
    left, bottom, right, top = code.getBounds()
    drawing = Drawing(QR_MM * mm, QR_MM * mm)
    drawing.transform = [QR_MM * mm / (right - left), 0, 0, QR_MM * mm / (top - bottom), 0, 0]
    drawing.add(code)
    renderPDF.draw(drawing, canvas, MARGIN_MM * mm, (HEIGHT_MM - QR_MM) / 2 * mm)

    x_mm = MARGIN_MM + QR_MM + 1.5
    room = (WIDTH_MM - MARGIN_MM - x_mm) * mm
    lines = (
        (device, _BOLD, 14.0, 21.5),
        (name_id, _BOLD, 8.0, 16.5),
        (name_en, _REGULAR, 7.0, 13.0),
        (asset, _REGULAR, 7.0, 9.8),
        (KIND_TEXT[kind], _REGULAR, 6.5, 6.6),
        (f"Resik - {site}", _REGULAR, 6.0, 3.4),
    )
    for text, font, size, y_mm in lines:
        shown = text
        fitting = min(size, size * room / max(stringWidth(shown, font, size), 0.01))
        if fitting < 0.7 * size:  # smaller is not readable at arm's length
            fitting = 0.7 * size
            while shown and stringWidth(shown + "...", font, fitting) > room:
                shown = shown[:-1]
            shown = shown.rstrip() + "..."
        canvas.setFont(font, fitting)
        canvas.drawString(x_mm * mm, y_mm * mm, shown)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()
