import signal

import pytest

from app.documents.limits import Limits
from app.errors import PERMANENT_ERRORS, FleetError, MalformedError, ResourceLimitError, SandboxError
from app.sandbox.process import Exit
from app.sandbox.verdict import CrashError, KilledError, error_of_failure, timed_out, verdict
from app.sandbox.wire import Failure

LIMITS = Limits(memory_bytes=512 * 2**20, cpu_seconds=7, wall_seconds=9.5)


@pytest.mark.parametrize(
    ("ended", "elapsed", "kind", "says"),
    [
        (Exit(signal=signal.SIGXCPU, cpu_seconds=7), 8.0, ResourceLimitError, "7 s of CPU time"),
        (Exit(signal=signal.SIGKILL), 0.1, KilledError, "from outside"),
        (Exit(signal=signal.SIGSEGV, cpu_seconds=0.3), 0.1, CrashError, "crash"),
        (Exit(signal=signal.SIGSEGV, cpu_seconds=100.0), 0.1, CrashError, "crash"),  # an old child
        (Exit(signal=signal.SIGSEGV, cpu_seconds=0.3), 9.0, CrashError, "crash"),  # a busy machine
        (Exit(signal=signal.SIGABRT, cpu_seconds=0.3, peak_bytes=2**20), 0.3, CrashError, "crash"),
        (Exit(signal=signal.SIGABRT, cpu_seconds=0.3, stderr="free(): x"), 0.3, CrashError, "crash"),
        (Exit(signal=signal.SIGABRT, cpu_seconds=0.3), 0.3, ResourceLimitError, "for lack of memory"),
        (Exit(signal=None), 0.1, CrashError, "crash"),  # reaped by someone else
        (Exit(signal=signal.SIGTRAP, peak_bytes=300 * 2**20), 0.1, ResourceLimitError, "300 MiB in memory"),
        (Exit(signal=signal.SIGABRT, cpu_seconds=5.0), 5.0, ResourceLimitError, "after 5.0 s"),
    ],
)
def test_how_a_child_died_says_why(ended: Exit, elapsed: float, kind: type[FleetError], says: str) -> None:
    error = verdict(ended, elapsed_seconds=elapsed, limits=LIMITS)
    assert type(error) is kind
    assert says in error.message


def test_a_timeout_names_the_limit() -> None:
    assert "9.5 s" in timed_out(LIMITS).message


@pytest.mark.parametrize("code", sorted(PERMANENT_ERRORS))
def test_every_code_travels(code: str) -> None:
    error = error_of_failure(Failure(code, "the reason"))
    assert type(error) is PERMANENT_ERRORS[code]
    assert error.message == "the reason"


def test_unknown_codes_are_malformed_and_cut() -> None:
    error = error_of_failure(Failure("RecursionError" * 99, "x" * 10_000))
    assert type(error) is MalformedError
    assert "RecursionError" in error.message
    assert len(error.message) < 500


def test_what_is_not_the_documents_fault_is_no_permanent_error() -> None:
    assert type(error_of_failure(Failure("sandbox_unavailable", "no data"))) is SandboxError
