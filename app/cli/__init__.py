"""The command line `fleet`: arguments, output and exit codes; the rooms below do the work."""
