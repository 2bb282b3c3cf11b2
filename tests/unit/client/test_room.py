import pytest

from app.client.room import RoomWait
from app.errors import ServerFullError

FULL = ServerFullError("The server is full.")


class Waiting:
    def __init__(self, seconds: float) -> None:
        self.lines: list[str] = []
        self.pauses = 0
        self.wait = RoomWait(seconds, batch_id="b", on_line=self.lines.append, pause=self._pause)

    def _pause(self) -> None:
        self.pauses += 1


def test_a_wait_says_once_that_it_begins_and_once_that_it_ends() -> None:
    waiting = Waiting(60.0)
    waiting.wait.opened(1)
    for _ in range(3):
        waiting.wait.refused(FULL)
    for _ in range(2):
        waiting.wait.opened(500)
    assert waiting.pauses == 3
    assert waiting.lines == [
        "The server is full. Waiting for room; 1 document is open in batch b.",
        "The Redis server has room again after 0 s; 501 documents are open in batch b.",
    ]


def test_a_flood_that_never_waits_says_nothing() -> None:
    waiting = Waiting(60.0)
    waiting.wait.opened(500)
    assert waiting.lines == []


def test_all_waits_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("app.client.room.time.monotonic", lambda: now)
    waiting = Waiting(10.0)
    waiting.wait.refused(FULL)
    now = 6.0
    waiting.wait.opened(7)
    waiting.wait.refused(FULL)
    now = 9.0
    waiting.wait.refused(FULL)
    now = 10.0
    with pytest.raises(ServerFullError) as ended:
        waiting.wait.refused(FULL)
    assert ended.value.message == (
        "The server is full. This command has waited 10 s for room (FLEET_FULL_SERVER_TIMEOUT_SECONDS); "
        "7 documents are open in batch b."
    )
