"""How things are shown: tables and a moving view for people, JSON for programs."""
