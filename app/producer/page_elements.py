"""Elements of the pages of text documents: letterhead, tables, charts, photographs, security print, footer."""

import math
from functools import cache
from io import BytesIO
from random import Random
from typing import Any

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.charts.piecharts import Pie
from reportlab.graphics.shapes import Circle, Drawing, Rect
from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import StyleSheet1, getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

from app.producer import pictures, vocabulary

INKS = ("#1f3a5f", "#7a1f2b", "#1e5945", "#4a3b76", "#5c4a1e")
_STOCK = 12
"""Number of photographs that all documents share."""


def letterhead(random: Random) -> list[Flowable]:
    """Return a logo, the addresses of sender and receiver, and the date."""
    sheet = styles()
    ink = HexColor(random.choice(INKS))
    logo = Drawing(440, 36)
    logo.add(Rect(0, 0, 440, 3, fillColor=ink, strokeColor=None))
    for step in range(random.randrange(2, 5)):
        logo.add(Circle(14 + 17 * step, 20, 11, fillColor=ink, strokeColor=None, fillOpacity=1 - 0.2 * step))
    sender = "<br/>".join([f"<b>{vocabulary.company(random)}</b>", *vocabulary.address(random)])
    receiver = "<br/>".join([vocabulary.company(random), *vocabulary.address(random)])
    date = Paragraph(vocabulary.date(random), sheet["BodyText"])
    parts = [Paragraph(sender, sheet["BodyText"]), Spacer(1, 14), Paragraph(receiver, sheet["BodyText"])]
    return [logo, *parts, Spacer(1, 14), date, Spacer(1, 10)]


def table(random: Random, rows: list[list[str]], widths: tuple[int, ...]) -> Flowable:
    """Return a table, `widths` in points, whose coloured head is repeated on each page."""
    ink = HexColor(random.choice(INKS))
    style = [
        ("FONT", (0, 0), (-1, -1), "Helvetica", 9),
        ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 9),
        ("BACKGROUND", (0, 0), (-1, 0), ink),
        ("TEXTCOLOR", (0, 0), (-1, 0), white),
        ("ALIGN", (2, 0), (-1, -1), "RIGHT"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#b8bec6")),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return Table(rows, colWidths=widths, style=style, repeatRows=1, spaceBefore=6, spaceAfter=8)


def chart(random: Random, kind: str) -> Drawing:
    """Return a chart of a few random numbers; `kind` is `bars`, `lines` or `pie`."""
    drawing = Drawing(440, 190)
    values = [random.randrange(12, 96) for _ in range(random.randrange(4, 8))]
    names = [vocabulary.noun(random) for _ in values]
    if kind == "pie":
        diagram: Any = Pie(x=140, y=20, width=150, height=150, data=values, labels=names)
    else:
        diagram = VerticalBarChart() if kind == "bars" else HorizontalLineChart()
        diagram.x, diagram.y, diagram.width, diagram.height = 40, 30, 380, 145
        diagram.data = [values, [value * 3 // 4 for value in values]]
        marks = diagram.bars if kind == "bars" else diagram.lines
        for row, shade in enumerate((INKS[0], "#7fa3cc")):
            marks[row].strokeColor = marks[row].fillColor = HexColor(shade)
        diagram.categoryAxis.categoryNames = names
        diagram.valueAxis.valueMin, diagram.valueAxis.valueMax = 0, 100
    drawing.add(diagram)
    return drawing


class Photograph(Flowable):  # type: ignore[misc] # reportlab is untyped
    """A centred photograph of the collection; reportlab's own Image would decode it again for each document."""

    def __init__(self, random: Random, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height, self.hAlign = width, height, "CENTER"
        self.number = random.randrange(_STOCK)

    def draw(self) -> None:
        """Draw the picture; reportlab calls this when it lays out the page."""
        self.canv.drawImage(_stock(self.number), 0, 0, self.width, self.height)


@cache
def _stock(number: int) -> ImageReader:
    return ImageReader(BytesIO(pictures.stock_photograph(number)))


def security_print(canvas: Canvas, ink: str) -> None:
    """Draw a rosette behind the text, as on company paper: one curve, repeated at many angles."""
    turns, points, radius = 40, 160, 210
    canvas.beginForm("rosette", -radius, -radius, radius, radius)
    path = canvas.beginPath()
    for step in range(points + 1):
        angle = math.tau * step / points
        reach = radius * (0.62 + 0.38 * math.cos(5 * angle))
        place = path.lineTo if step else path.moveTo
        place(round(reach * math.cos(angle), 1), round(reach * math.sin(angle), 1))
    canvas.drawPath(path)
    canvas.endForm()
    canvas.saveState()
    canvas.setStrokeColor(HexColor(ink))
    canvas.setStrokeAlpha(0.18)
    canvas.setLineWidth(0.2)
    canvas.translate(A4[0] / 2, A4[1] / 2)
    for _ in range(turns):
        canvas.doForm("rosette")
        canvas.rotate(72 / turns)
    canvas.restoreState()


def footer(canvas: Canvas, document: SimpleDocTemplate) -> None:
    """Draw the page number."""
    canvas.setFont("Helvetica", 8)
    canvas.drawCentredString(document.pagesize[0] / 2, 36, f"Page {document.page}")


@cache
def styles() -> StyleSheet1:
    """Return reportlab's sample styles, changed to keep headings on the page of the text below them."""
    sheet = getSampleStyleSheet()
    for heading in ("Heading1", "Heading2"):
        sheet[heading].keepWithNext = 1
    return sheet
