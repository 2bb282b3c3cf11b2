"""Limits on one document, derived from the settings."""

from app.config import GRACE_RESERVE_SECONDS, Settings
from app.documents.limits import Limits


def limits_of(config: Settings) -> Limits:
    """Return the limits on one document; none lets a document outlast the worker's termination grace period."""
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
