from functools import partial
from pathlib import Path

import pytest

from app.client.submit import await_batch
from app.config import Settings
from app.ledger.ledger import Ledger


class Waited(Exception):  # noqa: N818  # no error
    """Raised instead of the wait."""


def test_a_server_that_is_away_at_the_first_poll_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def wait(_why: str) -> None:
        raise Waited

    config = Settings(redis_url=f"unix://{tmp_path / 'none.sock'}", store_url="memory://")
    for module in ("submit", "connect"):
        monkeypatch.setattr(f"app.client.{module}.settings", lambda: config)
    monkeypatch.setattr(Ledger, "of", partial(Ledger.of, retries=0))
    with pytest.raises(Waited):
        await_batch("b", timeout=60.0, on_counts=lambda _counts: None, on_absence=wait)
