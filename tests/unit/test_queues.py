import pytest

from app.queues import DOCUMENT_TASKS, ROUTES, Queue, TaskName


def test_names_are_what_messages_and_charts_say() -> None:
    assert [str(queue) for queue in Queue] == ["pdf", "ocr", "default"]
    assert [str(task) for task in TaskName] == [
        "pdf.process",
        "ocr.recognize",
        "ledger.reconcile",
        "ledger.archive",
        "ledger.expire",
    ]


def test_every_task_has_a_queue_and_every_queue_a_task() -> None:
    assert ROUTES.keys() == set(TaskName)
    assert set(ROUTES.values()) == set(Queue)


@pytest.mark.parametrize(("queue", "task"), DOCUMENT_TASKS.items())
def test_documents_go_where_their_task_is_routed(queue: Queue, task: TaskName) -> None:
    assert ROUTES[task] is queue


def test_housekeeping_carries_no_document() -> None:
    assert DOCUMENT_TASKS.keys() == set(Queue) - {Queue.DEFAULT}
