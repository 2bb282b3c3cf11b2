"""Reading of documents in a child process with limits: a hostile document harms only the child."""
