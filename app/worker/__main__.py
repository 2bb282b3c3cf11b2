"""`python -m app.worker QUEUE`: the command of a container, and of each worker of a local fleet."""

import sys

from app.worker.main import main

if __name__ == "__main__":
    sys.exit(main())
