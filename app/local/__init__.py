"""A fleet of processes on this machine: its server, its workers, and one run from files to results."""
