"""A fleet's parts on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.ledger.ledger import Ledger
from app.storage import ObjectStore
from app.tasks.services import Services, ledger_of


@pytest.fixture
def config(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, store_url=f"file://{tmp_path / 'store'}")


@pytest.fixture
def ledger(config: Settings) -> Ledger:
    return ledger_of(config)


@pytest.fixture
def store(config: Settings) -> ObjectStore:
    return ObjectStore(config.store_url, timeout_seconds=5.0)


@pytest.fixture
def services(config: Settings, ledger: Ledger, store: ObjectStore) -> Iterator[Services]:
    on = Services(config=config, ledger=ledger, store=store, worker="test/1")
    yield on
    on.close()
