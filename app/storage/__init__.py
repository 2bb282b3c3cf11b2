"""Originals and results in an object store: the only room that imports obstore."""
