"""Watching a fleet on Kubernetes from outside: its Deployments, pods and nodes, and the news of the fleet itself."""
