"""A client of any fleet: submit documents, follow them, manage the quarantine. It imports no worker code."""
