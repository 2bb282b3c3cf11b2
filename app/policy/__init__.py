"""The arithmetic of KEDA and of the HorizontalPodAutoscaler: how many replicas a queue gets. Pure."""
