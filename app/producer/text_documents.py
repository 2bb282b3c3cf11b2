"""Makes PDFs with a text layer with reportlab: letters, invoices and reports.

Page streams are not compressed: the output of zlib differs between builds, and a seed must give the same bytes
everywhere.
"""

from collections.abc import Callable
from io import BytesIO
from random import Random

from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer

from app.producer import page_elements, vocabulary

_MAXIMUM_PAGES = 12


def render(
    story: Callable[[Random], list[Flowable]], random: Random, encrypt: StandardEncryption | None = None
) -> tuple[bytes, int]:
    """Lay out a story on A4 pages.

    Args:
        story: `letter`, `invoice` or `report`.
        random: Source of all random choices.
        encrypt: Encryption of the document; None for no encryption.

    Returns:
        The PDF, and its number of pages.
    """
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        title=vocabulary.title(random),
        author=vocabulary.person(random),
        invariant=1,
        pageCompression=0,
        encrypt=encrypt,
    )
    ink = random.choice(page_elements.INKS)

    def first_page(canvas: Canvas, template: SimpleDocTemplate) -> None:
        page_elements.security_print(canvas, ink)
        page_elements.footer(canvas, template)

    document.build(story(random), onFirstPage=first_page, onLaterPages=page_elements.footer)
    return buffer.getvalue(), document.page


def letter(random: Random) -> list[Flowable]:
    """Return the content of a letter of one or two pages, sometimes with a picture above the signature."""
    styles = page_elements.styles()
    body = _paragraphs(random, random.randrange(5, 11))
    closing = [page_elements.Photograph(random, 192, 120)] if vocabulary.chance(random, 0.5) else []
    return [
        *page_elements.letterhead(random),
        Paragraph(f"Dear {vocabulary.person(random)},", styles["BodyText"]),
        *body,
        *closing,
        Spacer(1, 18),
        Paragraph("Yours sincerely,", styles["BodyText"]),
        Paragraph(vocabulary.person(random), styles["BodyText"]),
    ]


def invoice(random: Random) -> list[Flowable]:
    """Return the content of an invoice of one to three pages: a table of items, sometimes with a picture."""
    styles = page_elements.styles()
    rows = [["Item", "Description", "Quantity", "Price", "Amount"]]
    total = 0
    for item in range(1, random.randrange(8, 56)):
        quantity, cents = random.randrange(1, 40), random.randrange(150, 90_000)
        total += quantity * cents
        name = vocabulary.noun_phrase(random).capitalize()
        rows.append([str(item), name, str(quantity), _money(cents), _money(quantity * cents)])
    rows.append(["", "Total (EUR)", "", "", _money(total)])
    return [
        *page_elements.letterhead(random),
        *([page_elements.Photograph(random, 160, 100)] if vocabulary.chance(random, 0.5) else []),
        Paragraph(f"Invoice {vocabulary.reference(random, 'RE')}", styles["Heading1"]),
        Paragraph(f"Your order {vocabulary.reference(random, 'PO')}", styles["BodyText"]),
        Spacer(1, 8),
        page_elements.table(random, rows, widths=(34, 210, 56, 76, 82)),
        Spacer(1, 10),
        Paragraph(vocabulary.paragraph(random, 3), styles["BodyText"]),
    ]


def report(random: Random) -> list[Flowable]:
    """Return the content of a report of two to twelve pages: text, tables, charts and photographs."""
    styles = page_elements.styles()
    story: list[Flowable] = [
        Paragraph(vocabulary.title(random), styles["Title"]),
        Paragraph(f"{vocabulary.company(random)}, {vocabulary.date(random)}", styles["BodyText"]),
        page_elements.Photograph(random, 320, 200),
    ]
    # A chapter takes one page (the first, with the title and its picture, two), so there are at most twelve pages.
    chapters = min(_MAXIMUM_PAGES - 1, 2 + int(random.expovariate(0.35)))
    for chapter in range(1, chapters + 1):
        story.append(Paragraph(f"{chapter}. {vocabulary.title(random)}", styles["Heading1"]))
        story += _paragraphs(random, 2)
        story.append(_exhibit(random))
        story.append(Paragraph(f"{chapter}.1 {vocabulary.title(random)}", styles["Heading2"]))
        story += _paragraphs(random, random.randrange(2, 4))
        if chapter < chapters:
            story.append(PageBreak())
    return story


def _exhibit(random: Random) -> Flowable:
    kind = random.choice(("table", "bars", "lines", "pie", "photograph"))
    if kind == "photograph":
        return page_elements.Photograph(random, 320, 200)
    if kind == "table":
        head = ["Region", *(f"Q{quarter}" for quarter in range(1, 5))]
        body = [
            [
                vocabulary.noun(random).capitalize(),
                *(_money(random.randrange(10_000, 9_000_000)) for _ in range(4)),
            ]
            for _ in range(random.randrange(4, 11))
        ]
        return page_elements.table(random, [head, *body], widths=(120, 80, 80, 80, 80))
    return page_elements.chart(random, kind)


def _paragraphs(random: Random, count: int) -> list[Flowable]:
    style = page_elements.styles()["BodyText"]
    return [Paragraph(vocabulary.paragraph(random, random.randrange(3, 6)), style) for _ in range(count)]


def _money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}"
