import pytest

from app.errors import MalformedError, ServerError, ServerRefusedError, StorageError, StorageFullError
from app.sandbox.sandbox import Interrupted
from app.worker.attempt import Action, Decision, decide

DAMAGED = "The scan is damaged."


@pytest.mark.parametrize(
    ("error", "retries", "expected"),
    [
        (MalformedError(DAMAGED), 0, Decision(action=Action.FAIL, code="malformed", message=DAMAGED)),
        (MalformedError(DAMAGED), 9, Decision(action=Action.FAIL, code="malformed", message=DAMAGED)),
        (StorageError("away"), 0, Decision(action=Action.RETRY, code="storage_unavailable", message="away")),
        (StorageError("away"), 2, Decision(action=Action.RETRY, code="storage_unavailable", message="away")),
        (
            StorageError("away"),
            3,
            Decision(action=Action.QUARANTINE, code="storage_unavailable", message="away"),
        ),
        (
            StorageFullError("full"),
            3,
            Decision(action=Action.QUARANTINE, code="storage_full", message="full"),
        ),
        (
            Interrupted(),
            3,
            Decision(action=Action.REQUEUE, code="interrupted", message="The worker was shut down."),
        ),
        (ServerError(), 3, Decision(action=Action.LEAVE)),
        (ServerRefusedError(), 0, Decision(action=Action.LEAVE)),
        (
            ZeroDivisionError("a bug"),
            3,
            Decision(
                action=Action.RETRY,
                code="internal_error",
                message="ZeroDivisionError: a bug",
                refund=False,
            ),
        ),
    ],
)
def test_what_an_error_means_for_its_document(error: Exception, retries: int, expected: Decision) -> None:
    assert decide(error, retries=retries, max_retries=3) == expected
