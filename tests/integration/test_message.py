"""The ledger's messages are Celery's own: an ordinary worker, which knows nothing of the fleet, takes them."""

import json
import os
import subprocess
import sys
import uuid
from base64 import b64decode
from pathlib import Path

import msgspec
import redis
from celery import Celery

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Submission
from app.queues import Queue
from app.worker.celery_app import broker_url
from tests.support.ledger import message

ORDINARY = """
import os, redis
from celery import Celery

app = Celery("ordinary", broker=os.environ["BROKER"])
app.conf.update(worker_enable_remote_control=False)

@app.task(name="pdf.process", bind=True)
def process(self, document_id):
    assert self.request.id == document_id, "the task id is the document's"
    redis.Redis.from_url(os.environ["SEEN"]).rpush("seen", document_id)
"""


def test_an_ordinary_worker_understands_a_flood(tmp_path: Path, redis_url: str, config: Settings) -> None:
    # Such a worker starts nothing in the ledger, so nothing would fill a window.
    ledger = Ledger.of(msgspec.structs.replace(config, window="all"))
    (tmp_path / "ordinary.py").write_text(ORDINARY)
    ids = [new_id() for _ in range(25)]
    one = [Submission(document_id=document_id, source="x") for document_id in ids]
    assert ledger.open(new_id(), Queue.PDF, one) == 25
    command = [sys.executable, "-m", "celery", "-A", "ordinary", "worker", "-Q", "pdf", "-P", "solo"]
    log = tmp_path / "worker.log"
    environment = {
        **os.environ,
        "BROKER": broker_url(redis_url),
        "SEEN": redis_url,
        "PYTHONPATH": str(tmp_path),
    }
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        seen: list[str] = []
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            while len(seen) < len(ids):
                assert worker.poll() is None, log.read_text()
                pair = client.blpop("seen", timeout=1)
                seen += [pair[1]] if pair else []
    finally:
        worker.terminate()
        worker.wait(timeout=20)
    assert sorted(seen) == sorted(ids)


def test_a_message_has_the_fields_that_celery_itself_sends(redis_url: str, client: redis.Redis) -> None:
    plain = Celery("plain", broker=broker_url(redis_url), set_as_current=False)
    document_id = new_id()
    plain.send_task("pdf.process", args=(document_id,), task_id=document_id, queue="pdf", ignore_result=True)
    sent = client.rpop("pdf")
    assert isinstance(sent, str)
    theirs = json.loads(sent)
    ours = json.loads(message(document_id, Queue.PDF))
    assert ours.keys() == theirs.keys()
    assert ours["properties"].keys() == theirs["properties"].keys()
    assert ours["headers"].keys() == theirs["headers"].keys()
    assert json.loads(ours["body"]) == json.loads(b64decode(theirs["body"]))
    same = set(ours["headers"]) - {"origin"}
    assert {name: ours["headers"][name] for name in same} == {name: theirs["headers"][name] for name in same}


def test_ids_differ_and_read_as_uuids() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(uuid.UUID(one).version == 4 for one in ids)
