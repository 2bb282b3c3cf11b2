"""Process-level services without domain knowledge: atomic files, heartbeat, lifeline, signals."""
