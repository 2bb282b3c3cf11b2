"""`celery -A app.celery_app worker -Q pdf`: Celery's own command line finds the application here."""

from app.worker.celery_app import app

__all__ = ["app"]
