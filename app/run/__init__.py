"""One run of the local fleet: from files to results, with everything it needs started and ended."""
