"""The Celery tasks: shells of a few lines around functions that a test calls without Celery."""

from app.celery_app import app
from app.config import settings
from app.tasks import lifecycle, ocr, pdf, upkeep

lifecycle.install(app, settings())

__all__ = ["ocr", "pdf", "upkeep"]
