"""A tutorial for people who are new to Celery: `make tutorial` runs it.

* `math_tasks` holds the tasks; `celery -A examples.math_tasks worker` runs them.
* `client` sends them, in a process of its own, and shows what comes back.
* `by_name` sends one from a program that does not have the tasks' code.
* `serving` starts and ends a server and a worker; `run`, or `python -m examples`, puts all of this together.
"""
