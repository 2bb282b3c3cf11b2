from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.queues import DOCUMENT_TASKS, ROUTES, Queue, TaskName, inflight_index_key, inflight_key


def test_names_are_what_messages_and_charts_say() -> None:
    assert [str(queue) for queue in Queue] == ["pdf", "ocr", "default"]
    assert [str(task) for task in TaskName] == ["pdf.process", "ocr.recognize", "ledger.reconcile"]


def test_every_task_has_a_queue_and_every_queue_a_task() -> None:
    assert ROUTES.keys() == set(TaskName)
    assert set(ROUTES.values()) == set(Queue)


@pytest.mark.parametrize(("queue", "task"), DOCUMENT_TASKS.items())
def test_documents_go_where_their_task_is_routed(queue: Queue, task: TaskName) -> None:
    assert ROUTES[task] is queue


def test_housekeeping_carries_no_document() -> None:
    assert DOCUMENT_TASKS.keys() == set(Queue) - {Queue.DEFAULT}


def test_keys_are_spelled_as_the_chart_spells_them() -> None:
    assert inflight_key("pdf", "fleet:") == "fleet:inflight:pdf"
    assert inflight_index_key("pdf", "fleet:") == "fleet:inflight-index:pdf"


def test_keys_take_the_queues_own_name() -> None:
    """An f-string of a StrEnum gives its value, not `Queue.PDF`: KEDA's trigger would watch no existing key."""
    assert inflight_key(Queue.PDF, "fleet:") == inflight_key("pdf", "fleet:")


@given(st.text(min_size=1))
def test_no_two_keys_are_the_same(prefix: str) -> None:
    keys = [key(queue, prefix) for key, queue in product((inflight_key, inflight_index_key), Queue)]
    assert len({*keys, *Queue}) == len(keys) + len(Queue)
    assert all(key.startswith(prefix) for key in keys)
