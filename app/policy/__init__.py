"""How many replicas a queue gets: the arithmetic of KEDA and of the HorizontalPodAutoscaler. Pure."""
