from dataclasses import dataclass, field

import pytest
import redis

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Options, Submission
from app.queues import Queue
from app.storage.store import ObjectStore


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(client: redis.Redis, clock: Clock) -> Ledger:
    config = Settings(
        key_prefix="t:",
        window="1000",
        max_attempts=3,
        archive_after_seconds=100.0,
        retention_seconds=1_000,
        presence_seconds=30.0,
        flood_chunk=7,
    )
    return Ledger(client, config, clock)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore("memory://", timeout_seconds=5.0)


@dataclass
class Batch:
    ledger: Ledger
    batch_id: str = field(default_factory=new_id)

    def open(
        self, count: int = 1, password: str | None = None, *, weight: int = 1, express: bool = False
    ) -> list[str]:
        submissions = [
            Submission(
                document_id=new_id(),
                source=f"{number}.pdf",
                options=Options(password=password),
            )
            for number in range(count)
        ]
        self.ledger.open(self.batch_id, Queue.PDF, submissions, weight=weight, express=express)
        return [submission.document_id for submission in submissions]


@pytest.fixture
def batch(ledger: Ledger) -> Batch:
    return Batch(ledger)
