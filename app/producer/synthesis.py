"""Makes one synthetic document: the kind and the bytes of document number `index` of a seed."""

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
from app.producer import pictures, text_documents
from app.producer.models import PASSWORD, Content, Kind
from app.producer.vocabulary import chance

# Store pictures as binary, not as ASCII, whatever a user's reportlab settings say. reportlab has no option for this
# per document, and it must be set before the first document is made.
rl_config.useA85 = 0

SUCCEEDED = "succeeded"
_SHARES = (32, 32, 36)
"""Shares of letters, invoices and reports among the text documents, in per cent."""
_HALF = 50
"""Half of the hundred documents over which the mix is exact; each half has every kind, for short demos."""
_SPECIAL_KINDS = (
    (Kind.SCAN, Kind.SCAN, Kind.ENCRYPTED, Kind.MALFORMED, Kind.IMAGE),
    (Kind.SCAN, Kind.ENCRYPTED, Kind.MALFORMED),
)
"""Documents other than text in the first and in the second half of each hundred."""


def kind_of(seed: int, index: int) -> Kind:
    """Return the kind of document `index` (from 0) of the seed.

    Of each hundred, 92 have text, 3 are scans, 2 encrypted, 2 malformed, and 1 is an image.
    """
    half, position = divmod(index, _HALF)
    special = _SPECIAL_KINDS[half % 2]
    # Python guarantees the sequence of random() in all versions, but not that of sample() or shuffle().
    random = Random(f"{seed}/mix/{half}")  # noqa: S311 - documents, not secrets
    shuffled = sorted(range(_HALF), key=lambda _: random.random())
    rank = shuffled.index(position)
    return special[rank] if rank < len(special) else Kind.TEXT


def synthesise(seed: int, index: int) -> Content:
    """Make document `index` (from 0) of the seed; its bytes depend on nothing else."""
    random = Random(f"{seed}/document/{index}")  # noqa: S311 - documents, not secrets
    return _MAKERS[kind_of(seed, index)](random)


def _text(random: Random) -> Content:
    story = random.choices((text_documents.letter, text_documents.invoice, text_documents.report), _SHARES)[0]
    data, pages = text_documents.render(story, random)
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
    data, _ = text_documents.render(text_documents.letter, random, encrypt=encryption)
    return _pdf(Kind.ENCRYPTED, data, 0, PasswordRequiredError.code)


def _malformed(random: Random) -> Content:
    whole, _ = text_documents.render(text_documents.invoice, random)
    if chance(random, 0.5):
        # An interrupted upload: no catalogue, no cross-reference table, no trailer.
        data = whole[: whole.index(b"/Type /Catalog") - random.randrange(16, 200)]
    else:
        # A damaged disk: zeros after the first sector.
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
