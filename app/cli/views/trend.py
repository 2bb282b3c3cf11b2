"""The trend of a number: its rate over the last seconds, and its history as a sparkline."""

from collections import deque
from itertools import pairwise

BARS = "▂▃▄▅▆▇█"
EMPTY_BAR = "▁"
RATE_SECONDS = 3.0
MOST_VALUES = 4_096


class Rate:
    """The rate of a counter over the last `RATE_SECONDS`."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Add the value `count` at the time `now`, in seconds."""
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[1][0] >= RATE_SECONDS:  # noqa: PLR2004  # a rate needs two points
            self._points.popleft()

    @property
    def per_second(self) -> float:
        """The present rate; 0 until it has two points."""
        if not self._points:
            return 0.0
        (then, before), (now, count) = self._points[0], self._points[-1]
        return (count - before) / (now - then) if now > then else 0.0


class History:
    """All values of a number so far; above `MOST_VALUES`, each pair is replaced by its maximum."""

    def __init__(self) -> None:
        self._values: list[int] = []

    def add(self, value: int) -> None:
        """Add a value."""
        self._values.append(value)
        if len(self._values) > MOST_VALUES:
            pairs = zip(self._values[::2], [*self._values[1::2], 0], strict=False)
            self._values = [max(pair) for pair in pairs]

    def bars(self, width: int) -> str:
        """Return a sparkline of `width` characters over all values; the largest value is a full block, 0 a line.

        Up to `width` values have a character each; of more, each character shows the maximum of its share.
        """
        values = self._values
        count = len(values)
        if count > width:
            edges = [position * count // width for position in range(width + 1)]
            values = [max(values[start:end]) for start, end in pairwise(edges)]
        top = max(values, default=0)
        line = "".join(BARS[round(value / top * (len(BARS) - 1))] if value else EMPTY_BAR for value in values)
        return line.ljust(width)
