"""The local fleet: server and workers as processes of this machine, for `fleet process` and `fleet demo`."""
