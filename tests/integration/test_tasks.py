"""The functions called by the tasks, without Celery, on a real server, folder and sandbox."""

import io
import time
from typing import Protocol

import msgspec
import pytest
from PIL import Image
from redis import Redis

from app.config import Settings
from app.documents.models import OcrMode, ResultKind
from app.errors import MalformedError, ServerError, StorageError
from app.ledger.message import new_id
from app.ledger.models import Document, Options, Outcome, State, Submission
from app.producer.models import Kind
from app.producer.synthesis import kind_of, synthesise
from app.queues import DOCUMENT_TASKS, ROUTES, Queue, TaskName
from app.sandbox.sandbox import Interrupted
from app.storage.layout import DocumentSummary, get_facts, original_key, result_keys
from app.worker.attempt import DocumentTask, attend, backoff_seconds
from app.worker.celery_app import app as celery_app
from app.worker.services import Services
from app.worker.tasks.ocr import recognize_document
from app.worker.tasks.pdf import process_document


def synthetic(kind: Kind) -> bytes:
    number = next(number for number in range(200) if kind_of(7, number) is kind)
    return synthesise(7, number).data


class Submit(Protocol):
    """Open a document of these bytes, or of none; return its id."""

    def __call__(
        self, data: bytes | None, *, ocr: OcrMode = OcrMode.AUTO, password: str | None = None
    ) -> str: ...


@pytest.fixture
def submit(services: Services) -> Submit:
    def put(data: bytes | None, *, ocr: OcrMode = OcrMode.AUTO, password: str | None = None) -> str:
        batch_id, document_id = new_id(), new_id()
        key = original_key(batch_id, document_id)
        if data is not None:
            services.store.put(key, data)
        options = Options(ocr=ocr, password=password)
        one = Submission(document_id=document_id, source="x.pdf", options=options)
        services.ledger.open(batch_id, Queue.PDF, [one])
        return document_id

    return put


def known(services: Services, document_id: str) -> Document:
    document = services.ledger.document(document_id)
    assert document is not None
    return document


def keys_of(document: Document) -> dict[ResultKind, str]:
    return result_keys(document.batch, document.document_id)


def test_a_text_document_succeeds_with_its_results(services: Services, submit: Submit) -> None:
    document_id = submit(synthetic(Kind.TEXT))
    attend(services, document_id, Queue.PDF, process_document)
    document = known(services, document_id)
    assert (document.state, document.starts) == (State.SUCCEEDED, 1)
    summary = msgspec.json.decode(document.summary, type=DocumentSummary)
    assert summary.pages >= 1
    assert summary.characters > 100
    assert document.results == tuple(ResultKind)
    keys = keys_of(document)
    assert services.store.get(keys[ResultKind.THUMBNAIL]).startswith(b"\xff\xd8")
    facts = get_facts(services.store, keys[ResultKind.DOCUMENT])
    text = services.store.get(keys[ResultKind.TEXT]).decode()
    assert text.count("\f") == facts.page_count - 1


def test_a_scan_is_forwarded_and_recognised(services: Services, submit: Submit, client: Redis) -> None:
    document_id = submit(synthetic(Kind.SCAN))
    attend(services, document_id, Queue.PDF, process_document)
    document = known(services, document_id)
    assert (document.state, document.queue) == (State.QUEUED, "ocr")
    assert client.llen("ocr") == 1
    attend(services, document_id, Queue.OCR, recognize_document)
    document = known(services, document_id)
    assert document.state is State.SUCCEEDED
    assert msgspec.json.decode(document.summary, type=DocumentSummary).ocr_pages == [1]
    assert len(services.store.get(keys_of(document)[ResultKind.TEXT])) > 200


def test_ocr_never_leaves_a_scan_without_text(services: Services, submit: Submit) -> None:
    document_id = submit(synthetic(Kind.SCAN), ocr=OcrMode.NEVER)
    attend(services, document_id, Queue.PDF, process_document)
    assert known(services, document_id).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.ENCRYPTED, "password_required"), (Kind.MALFORMED, "malformed")]
)
def test_a_permanent_error_settles_the_document_as_failed(
    services: Services, submit: Submit, kind: Kind, code: str
) -> None:
    document_id = submit(synthetic(kind))
    attend(services, document_id, Queue.PDF, process_document)
    document = known(services, document_id)
    assert (document.state, document.error) == (State.FAILED, code)
    assert document.message


def test_a_password_opens_an_encrypted_document(services: Services, submit: Submit) -> None:
    document_id = submit(synthetic(Kind.ENCRYPTED), password="open sesame")
    attend(services, document_id, Queue.PDF, process_document)
    assert known(services, document_id).state is State.SUCCEEDED


def test_an_original_deleted_before_its_turn_is_document_missing(services: Services, submit: Submit) -> None:
    document_id = submit(None)
    attend(services, document_id, Queue.PDF, process_document)
    assert known(services, document_id).error == "document_missing"


def test_a_second_delivery_of_a_settled_document_does_nothing(services: Services, submit: Submit) -> None:
    document_id = submit(synthetic(Kind.TEXT))
    attend(services, document_id, Queue.PDF, process_document)
    finished = known(services, document_id).finished

    def must_not_run(_services: Services, _document: Document) -> Outcome:
        pytest.fail("it was worked on again")

    attend(services, document_id, Queue.PDF, must_not_run)
    assert known(services, document_id).finished == finished


def test_a_transient_error_is_tried_again_and_costs_no_attempt(services: Services, submit: Submit) -> None:
    document_id = submit(b"x")

    def away(_services: Services, _document: Document) -> Outcome:
        raise StorageError

    for retries in range(services.config.max_retries):
        attend(services, document_id, Queue.PDF, away)
        document = known(services, document_id)
        assert (document.state, document.attempts, document.retries) == (State.QUEUED, 0, retries + 1)
    assert services.ledger.depths([Queue.PDF])[Queue.PDF].delayed == 1
    attend(services, document_id, Queue.PDF, away)
    document = known(services, document_id)
    assert (document.state, document.error) == (State.QUARANTINED, "storage_unavailable")


def test_a_bug_ends_in_the_quarantine_and_not_in_a_loop(services: Services, submit: Submit) -> None:
    document_id = submit(b"x")

    def bug(_services: Services, _document: Document) -> Outcome:
        raise ZeroDivisionError("a bug")

    for _ in range(services.config.max_attempts):
        attend(services, document_id, Queue.PDF, bug)
    attend(services, document_id, Queue.PDF, bug)
    document = known(services, document_id)
    assert (document.state, document.error) == (State.QUARANTINED, "internal_error")
    assert "a bug" in (document.message or "")


def kill(services: Services, document_id: str, worker: str) -> None:
    """Start a document on a worker that it kills."""
    document = services.ledger.start(document_id, queue=Queue.PDF, worker=worker)
    assert isinstance(document, Document)
    assert services.ledger.requeue_lost(document_id, Queue.PDF, worker, refund=False)


def test_a_document_that_kills_its_worker_is_quarantined_after_its_attempts(
    services: Services, submit: Submit
) -> None:
    document_id = submit(b"x")
    for number in range(services.config.max_attempts):
        kill(services, document_id, f"killed-{number}")
    attend(services, document_id, Queue.PDF, process_document)
    document = known(services, document_id)
    assert (document.state, document.error, document.starts) == (State.QUARANTINED, "worker_lost", 3)
    assert services.ledger.quarantined() == [document_id]


def test_an_interruption_refunds_the_attempt(services: Services, submit: Submit) -> None:
    document_id = submit(b"x")

    def interrupted(_services: Services, _document: Document) -> Outcome:
        raise Interrupted

    attend(services, document_id, Queue.PDF, interrupted)
    document = known(services, document_id)
    assert (document.state, document.attempts) == (State.QUEUED, 0)
    assert not services.in_progress


def test_a_missing_ledger_changes_nothing_about_the_document(services: Services, submit: Submit) -> None:
    document_id = submit(b"x")

    def away(_services: Services, _document: Document) -> Outcome:
        raise ServerError

    with pytest.raises(ServerError):
        attend(services, document_id, Queue.PDF, away)
    assert known(services, document_id).state is State.RUNNING


def test_an_ocr_page_that_fails_leaves_the_document_succeeded(
    services: Services, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = submit(synthetic(Kind.SCAN))
    attend(services, document_id, Queue.PDF, process_document)

    def refuse(*_: object, **__: object) -> None:
        raise MalformedError("this page only")

    monkeypatch.setattr(services.sandbox, "recognize", refuse)
    attend(services, document_id, Queue.OCR, recognize_document)
    document = known(services, document_id)
    assert document.state is State.SUCCEEDED
    facts = get_facts(services.store, keys_of(document)[ResultKind.DOCUMENT])
    assert facts.pages[0].error == "this page only"
    assert facts.ocr_pages == []


def test_ocr_stops_when_its_time_is_up_and_keeps_what_it_has(services: Services, submit: Submit) -> None:
    pages = io.BytesIO()
    scan = Image.new("L", (200, 100), 255)
    scan.save(pages, "TIFF", save_all=True, append_images=[scan] * 3)
    document_id = submit(pages.getvalue(), ocr=OcrMode.ALWAYS)
    attend(services, document_id, Queue.PDF, process_document)
    services.config = msgspec.structs.replace(services.config, soft_limit_seconds=1e-6)
    attend(services, document_id, Queue.OCR, recognize_document)
    document = known(services, document_id)
    assert document.state is State.SUCCEEDED
    facts = get_facts(services.store, keys_of(document)[ResultKind.DOCUMENT])
    assert facts.ocr_pages == [1]
    assert [page.error is not None and "used up" in page.error for page in facts.pages] == [
        False,
        *[True] * 3,
    ]
    # The sandbox is as good as before for the next document.
    another = submit(synthetic(Kind.TEXT))
    attend(services, another, Queue.PDF, process_document)
    assert known(services, another).state is State.SUCCEEDED


def test_an_interruption_long_past_is_not_what_quarantines_a_document(
    services: Services, submit: Submit
) -> None:
    document_id = submit(b"x")
    document = services.ledger.start(document_id, queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    services.ledger.requeue(document, code="interrupted", message="The worker was shut down.")
    for number in range(services.config.max_attempts):
        kill(services, document_id, f"killed-{number}")
    attend(services, document_id, Queue.PDF, process_document)
    assert known(services, document_id).error == "worker_lost"


def test_backoff_doubles_up_to_its_limit_and_is_never_at_once() -> None:
    config = Settings(retry_backoff_seconds=0.5, retry_backoff_max_seconds=8.0)
    for retries in range(12):
        ceiling = min(8.0, 0.5 * 2**retries)
        for _ in range(20):
            assert ceiling / 2 <= backoff_seconds(config, retries) <= ceiling


def test_every_task_states_its_queue_acknowledgement_and_results() -> None:
    celery_app.loader.import_default_modules()
    for name in TaskName:
        task = celery_app.tasks[name.value]
        assert celery_app.conf.task_routes[name.value] == {"queue": ROUTES[name].value}
        assert task.acks_late
        assert task.ignore_result
    for name in DOCUMENT_TASKS.values():
        task = celery_app.tasks[name.value]
        assert isinstance(task, DocumentTask)
        assert task.reject_on_worker_lost


def test_the_tasks_of_the_archive_archive_and_expire(
    services: Services, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.worker.tasks import upkeep

    monkeypatch.setattr(upkeep, "worker_services", lambda: services)
    document = services.ledger.start(submit(None), queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    services.ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
    upkeep.archive_settled()
    assert services.store.keys("archive") == []
    now = time.time()
    services.ledger.clock = lambda: now + 7_200
    upkeep.archive_settled()
    assert len(services.store.keys("archive")) == 2
    upkeep.expire_archive()
    assert len(services.store.keys("archive")) == 2
    services.ledger.clock = lambda: now + 8 * 24 * 3_600
    upkeep.expire_archive()
    assert services.store.keys("archive") == []
