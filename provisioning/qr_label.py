"""QR codes and labels (pure but for what segno and reportlab do in memory): SVG for pages, PDF for a label printer.

    gateway label   QR of https://cloud/claim#CODE · the code in letters · asset code
    device label    QR of the asset code · device id · place · zone
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import segno
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

FONT = "STSong-Light"  # of Adobe's Asian set: every PDF reader and printer has it, no font file travels
WIDTH_MM, HEIGHT_MM = 62.0, 29.0  # the commonest endless label
QR_MM = 24.0


class Label(msgspec.Struct, frozen=True):
    """One label. qr: what is scanned; title: the large line; lines: below it."""

    qr: str
    title: str
    lines: tuple[str, ...] = ()


def qr_svg(text: str, scale: int = 6) -> bytes:
    """The QR code as SVG."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=scale, border=2, xmldecl=False, dark="#000", light="#fff")
    return out.getvalue()


def qr_png(text: str, scale: int = 6) -> bytes:
    """The QR code as PNG."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="png", scale=scale, border=2)
    return out.getvalue()


def qr_terminal(text: str) -> str:
    """The QR code in characters, for a terminal."""
    out = io.StringIO()
    segno.make(text, error="l").terminal(out, compact=True, border=1)
    return out.getvalue()


def labels_pdf(labels: Sequence[Label]) -> bytes:
    """One label a page, 62 × 29 mm."""
    use_chinese()
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH_MM * mm, HEIGHT_MM * mm), invariant=True)
    for label in labels:
        draw_qr(canvas, label.qr, 2 * mm, (HEIGHT_MM - QR_MM) / 2 * mm, QR_MM * mm)
        left, top = (QR_MM + 4) * mm, (HEIGHT_MM - 7) * mm
        canvas.setFont(FONT, fitted(label.title, 11, (WIDTH_MM - QR_MM - 6) * mm))
        canvas.drawString(left, top, label.title)
        for n, line in enumerate(label.lines[:4], 1):
            canvas.setFont(FONT, fitted(line, 7.5, (WIDTH_MM - QR_MM - 6) * mm))
            canvas.drawString(left, top - n * 4.2 * mm, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def label_svg(label: Label) -> str:
    """One label as SVG, 62 × 29 mm."""
    import base64
    from xml.sax.saxutils import escape

    picture = base64.b64encode(qr_svg(label.qr)).decode()
    lines = "".join(f'<text x="28" y="{9 + 4.2 * n}" font-size="2.8">{escape(line)}</text>'
                    for n, line in enumerate(label.lines[:4], 1))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM}mm" height="{HEIGHT_MM}mm" '
            f'viewBox="0 0 {WIDTH_MM} {HEIGHT_MM}" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="#fff"/>'
            f'<image x="2" y="2.5" width="{QR_MM}" height="{QR_MM}" href="data:image/svg+xml;base64,{picture}"/>'
            f'<text x="28" y="8" font-size="4" font-weight="bold">{escape(label.title)}</text>{lines}</svg>')


def draw_qr(canvas: Canvas, text: str, x: float, y: float, size: float) -> None:
    """Draw a QR code into a PDF as squares, sharp at any size."""
    matrix = [list(row) for row in segno.make(text, error="m").matrix]
    cell = size / len(matrix)
    for row, bits in enumerate(matrix):
        for column, bit in enumerate(bits):
            if bit:
                canvas.rect(x + column * cell, y + size - (row + 1) * cell, cell, cell, stroke=0, fill=1)


def use_chinese() -> None:
    """Make the Chinese font known to reportlab, once."""
    if FONT not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(FONT))


def fitted(text: str, size: float, width: float) -> float:
    """The font size at which a text fits the width, at least 4."""
    wanted: float = pdfmetrics.stringWidth(text, FONT, size)
    return max(4.0, min(size, size * width / max(1.0, wanted)))
