"""How many replicas each queue has: the arithmetic, the processes under it, and what a run looked like."""
