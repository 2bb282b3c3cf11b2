"""The file by which a process shows that it lives; a probe looks at its age."""

from pathlib import Path


class Heartbeat:
    """A file that appears when a process has begun its work, and is touched while it goes on.

    Args:
        name: The file's path; empty for none.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name) if name else None
        self._begun = False

    def begin(self) -> None:
        """Say that the work has begun."""
        self._begun = True
        self.beat()

    def beat(self) -> None:
        """Say that it goes on."""
        if self._path is not None and self._begun:
            self._path.touch()
