"""The Celery tasks: shells of a few lines around functions that a test calls without Celery."""

from app.tasks import ocr, pdf, upkeep

__all__ = ["ocr", "pdf", "upkeep"]
