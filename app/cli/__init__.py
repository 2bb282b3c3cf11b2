"""The command line: words only; what they do is elsewhere."""
