"""The heartbeat file of a process; a liveness probe checks its age."""

from pathlib import Path


class Heartbeat:
    """A file that a process creates when it starts to work and touches while it works.

    Args:
        name: Path of the file; empty for no heartbeat.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name) if name else None
        self._begun = False

    def begin(self) -> None:
        """Create the file."""
        self._begun = True
        self.beat()

    def beat(self) -> None:
        """Touch the file, if `begin` was called."""
        if self._path is not None and self._begun:
            self._path.touch()
