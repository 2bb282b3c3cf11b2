"""One synthetic document: what document number `index` of a seed is, and its bytes."""

from collections.abc import Callable
from io import BytesIO
from random import Random

from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from app.documents.models import MediaType
from app.errors import MalformedError, PasswordRequiredError
from app.producer import business, pictures
from app.producer.models import PASSWORD, Content, Kind
from app.producer.vocabulary import chance

# Pictures as they are, not spelled in ASCII, whatever a user's own settings of reportlab say: no option of a
# single document reaches this, and it must hold before the first is made.
rl_config.useA85 = 0

SUCCEEDED = "succeeded"
_SHARES = (32, 32, 36)
"""Of letters, invoices and reports among the documents with text, in per cent."""
_HALF = 50
"""The mix is exact in a hundred and even in each half of it, so that a short demo sees every kind too."""


_ODD_ONES = (
    (Kind.SCAN, Kind.SCAN, Kind.ENCRYPTED, Kind.MALFORMED, Kind.IMAGE),
    (Kind.SCAN, Kind.ENCRYPTED, Kind.MALFORMED),
)
"""What is not plain text in the first and in the second fifty of a hundred."""


def kind_of(seed: int, index: int) -> Kind:
    """What document `index` (from 0) of the seed is.

    Of each hundred, 92 have text, 3 are scans, 2 encrypted, 2 malformed, and 1 is an image.
    """
    half, place = divmod(index, _HALF)
    odd_ones = _ODD_ONES[half % 2]
    # random() is the one draw that Python promises to keep between versions; a sample may change.
    random = Random(f"{seed}/mix/{half}")  # noqa: S311 - documents, not secrets
    places = sorted(range(_HALF), key=lambda _: random.random())
    taken = places.index(place)
    return odd_ones[taken] if taken < len(odd_ones) else Kind.TEXT


def synthesise(seed: int, index: int) -> Content:
    """Make document `index` (from 0) of the seed: the same bytes every time, whatever else is made."""
    random = Random(f"{seed}/document/{index}")  # noqa: S311 - documents, not secrets
    return _MAKERS[kind_of(seed, index)](random)


def _text(random: Random) -> Content:
    story = random.choices((business.letter, business.invoice, business.report), _SHARES)[0]
    data, pages = business.render(story, random)
    return _pdf(Kind.TEXT, data, pages, SUCCEEDED)


def _scan(random: Random) -> Content:

    picture, _ = pictures.scan(random)
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=0)
    canvas.drawImage(ImageReader(BytesIO(picture)), 0, 0, *A4)
    canvas.save()
    return _pdf(Kind.SCAN, buffer.getvalue(), 1, SUCCEEDED)


def _encrypted(random: Random) -> Content:

    encryption = StandardEncryption(PASSWORD, strength=128)
    data, _ = business.render(business.letter, random, encrypt=encryption)
    return _pdf(Kind.ENCRYPTED, data, 0, PasswordRequiredError.code)


def _malformed(random: Random) -> Content:
    whole, _ = business.render(business.invoice, random)
    if chance(random, 0.5):
        # An upload that broke off: no catalogue, no cross-reference table, no trailer.
        data = whole[: whole.index(b"/Type /Catalog") - random.randrange(16, 200)]
    else:
        # A disk that gave back zeros for all but the first sector.
        data = whole[:512].ljust(len(whole), b"\0")
    return _pdf(Kind.MALFORMED, data, 0, MalformedError.code)


def _image(random: Random) -> Content:
    width, height = random.randrange(420, 640), random.randrange(280, 420)
    as_png = chance(random, 0.5)
    make = pictures.png if as_png else pictures.photograph
    return Content(
        kind=Kind.IMAGE,
        media_type=MediaType.PNG if as_png else MediaType.JPEG,
        data=make(random, width, height),
        pages=1,
        expected=SUCCEEDED,
    )


def _pdf(kind: Kind, data: bytes, pages: int, expected: str) -> Content:
    return Content(kind=kind, media_type=MediaType.PDF, data=data, pages=pages, expected=expected)


_MAKERS: dict[Kind, Callable[[Random], Content]] = {
    Kind.TEXT: _text,
    Kind.SCAN: _scan,
    Kind.ENCRYPTED: _encrypted,
    Kind.MALFORMED: _malformed,
    Kind.IMAGE: _image,
}
