"""pdf-fleet: a fleet of Celery workers that grows and shrinks by queue length and loses no document."""

__version__ = "0.1.0"
