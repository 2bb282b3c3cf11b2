from dataclasses import dataclass, field

import pytest
import redis

from app.ledger.ledger import Ledger
from app.ledger.message import flood, new_id
from app.ledger.models import Options, Submission


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
    return Ledger(
        client, prefix="t:", max_attempts=3, retention_seconds=100, presence_seconds=30.0, clock=clock
    )


@dataclass
class Batch:
    ledger: Ledger
    batch_id: str = field(default_factory=new_id)

    def open(self, count: int = 1, password: str | None = None) -> list[str]:
        submissions = [
            Submission(
                document_id=new_id(),
                source=f"{number}.pdf",
                object_key=f"b/{number}/original",
                options=Options(password=password),
            )
            for number in range(count)
        ]
        flood(self.ledger, submissions, batch_id=self.batch_id, chunk=7)
        return [submission.document_id for submission in submissions]


@pytest.fixture
def batch(ledger: Ledger) -> Batch:
    return Batch(ledger)
