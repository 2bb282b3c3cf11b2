"""Object stores for originals and results, and the layout of their keys."""
