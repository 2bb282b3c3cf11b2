"""A document in a child process with limits: a hostile one harms the child and nothing else."""
