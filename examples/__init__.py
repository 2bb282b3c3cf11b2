"""A tutorial for people who are new to Celery: `make tutorial` runs it.

* `math_tasks` holds the tasks; `celery -A examples.math_tasks worker` runs them.
* `client` sends them, in a process of its own, and shows their results.
* `by_name` sends one from a program without the tasks' code.
* `serving` starts and stops a server and a worker; `run`, or `python -m examples`, runs all of this.
"""
