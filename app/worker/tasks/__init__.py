"""The Celery tasks: three lines each around a function that tests call without Celery."""
