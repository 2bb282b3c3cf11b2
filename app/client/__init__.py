"""Any fleet, from outside: hand documents in, follow them, decide about the quarantine. It loads no worker."""
