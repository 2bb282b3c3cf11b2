"""Output: tables and live views for people, JSON for programs."""
