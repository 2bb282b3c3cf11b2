"""The timeline of a run and the report made from it; pure, apart from the files it reads and writes."""
