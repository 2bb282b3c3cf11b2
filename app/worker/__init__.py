"""A worker of the fleet: the Celery application, its transport, and the tasks. The only room that imports Celery."""
