"""Reads PDFs and images within limits: text, thumbnail, facts and OCR, free of I/O and settings."""
