"""What a run looked like: its timeline, and the report made of it. Pure but for the files it reads and writes."""
