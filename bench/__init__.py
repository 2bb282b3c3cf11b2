"""Benchmarks of the fleet against its own parts and plain Celery: one file per figure; `make bench` runs them all."""
