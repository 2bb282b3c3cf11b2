"""How fast the fleet is, measured beside what it stands on; one file a figure, `make bench` runs them all."""
