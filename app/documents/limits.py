"""The limits of one document, from the settings, and the one that is kept before anything is read."""

from app.config import GRACE_RESERVE_SECONDS, Settings
from app.documents.models import Limits
from app.errors import EmptyError, TooLargeError


def limits_of(config: Settings) -> Limits:
    """Return what one document may cost under `config`."""
    after_soft = config.grace_seconds - GRACE_RESERVE_SECONDS - config.soft_limit_seconds
    return Limits(
        document_bytes=config.max_document_bytes,
        pages=config.max_pages,
        text_characters=config.max_text_characters,
        thumbnail_pixels=config.thumbnail_pixels,
        image_pixels=config.max_image_pixels,
        ocr_dpi=config.ocr_dpi,
        ocr_pixels=config.ocr_max_pixels,
        memory_bytes=config.sandbox_memory_bytes,
        cpu_seconds=config.sandbox_cpu_seconds,
        wall_seconds=min(config.sandbox_wall_seconds, config.soft_limit_seconds, after_soft),
        output_bytes=config.sandbox_output_bytes,
    )


def check_bytes(data: bytes, *, limits: Limits) -> None:
    """Refuse a document for its mere size.

    Raises:
        EmptyError: of no bytes.
        TooLargeError: of more than `limits.document_bytes`.
    """
    if not data:
        raise EmptyError
    if len(data) > limits.document_bytes:
        raise TooLargeError(
            f"The document has {len(data)} bytes, and {limits.document_bytes} are allowed: split it, "
            "or raise FLEET_MAX_DOCUMENT_BYTES."
        )
