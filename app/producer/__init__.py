"""Makes the synthetic documents for demonstrations, tests and measurements."""
