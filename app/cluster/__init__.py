"""A fleet on Kubernetes, watched from outside: its Deployments, pods and nodes, and what the fleet tells of itself."""
