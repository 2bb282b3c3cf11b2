"""The Celery tasks: shells of a few lines around functions that a test calls without Celery."""
