"""Errors for a document whose child failed, died or did not reply in time."""

import signal

from app.documents.limits import Limits
from app.errors import PERMANENT_ERRORS, FleetError, MalformedError, ResourceLimitError, SandboxError
from app.sandbox.process import Exit
from app.sandbox.wire import Failure

AT_ONCE_SECONDS = 2.0
"""A crash within this time points to a damaged document rather than to a large one."""
MEMORY_SHARE = 0.5
"""A crash with more than this share of the allowed memory resident counts as a lack of memory. The limit is on the
address space, which is always larger."""
_MESSAGE_CHARACTERS = 300
_MIB = 2**20


class CrashError(FleetError):
    """The document crashes the parser: open it in a viewer and save it again, or ask for a new copy."""


class KilledError(FleetError):
    """The process that read the document was killed twice from outside, usually for lack of memory: add memory."""


def timed_out(limits: Limits) -> ResourceLimitError:
    """Return the error for a document (or a page) that exceeded the wall limit."""
    return ResourceLimitError(
        f"The document was not read within {limits.wall_seconds:g} s: simplify it, "
        "or raise FLEET_SANDBOX_WALL_SECONDS."
    )


def verdict(ended: Exit, *, elapsed_seconds: float, limits: Limits) -> FleetError:
    """Return the error for a document whose child died.

    Args:
        ended: How the child ended.
        elapsed_seconds: Seconds since it was sent the document or page.
        limits: The limits on the document.

    Returns:
        A `CrashError` if the child crashed at once and no limit explains it, or a `KilledError` if the document may
        not be the cause: both are worth a second attempt. Otherwise a `ResourceLimitError`.
    """
    if ended.signal == signal.SIGXCPU:
        return ResourceLimitError(
            f"The document needs more than the allowed {limits.cpu_seconds} s of CPU time: simplify it, "
            "or raise FLEET_SANDBOX_CPU_SECONDS."
        )
    if ended.signal == signal.SIGKILL:
        return KilledError()
    # The peak is unknown if the parent's own was larger (`ChildProcess.reap`). The message on stderr tells then: glibc
    # and C++ print why they abort, but PDFium aborts without a message when it gets no memory.
    gave_up = ended.signal == signal.SIGABRT and not ended.stderr and not ended.peak_bytes
    short_of_memory = gave_up or ended.peak_bytes > MEMORY_SHARE * limits.memory_bytes
    # The CPU time covers the child's whole life, and the elapsed time grows on a busy machine: the lesser is closer.
    if not short_of_memory and min(elapsed_seconds, ended.cpu_seconds) < AT_ONCE_SECONDS:
        return CrashError()
    memory = f"with {ended.peak_bytes // _MIB} MiB in memory" if ended.peak_bytes else "for lack of memory"
    return ResourceLimitError(
        f"The parser gave up on the document after {elapsed_seconds:.1f} s {memory} "
        f"({limits.memory_bytes // _MIB} MiB are allowed): simplify it, "
        "or raise FLEET_SANDBOX_MEMORY_BYTES."
    )


def error_of_failure(failure: Failure) -> FleetError:
    """Return the error that the child replied with; an unknown code becomes `MalformedError`."""
    message = failure.message[:_MESSAGE_CHARACTERS]
    if failure.code == SandboxError.code:
        return SandboxError(message)
    kind = PERMANENT_ERRORS.get(failure.code)
    if kind is None:
        return MalformedError(
            f"The document cannot be parsed ({failure.code[:50]}): {message or 'no reason'}"
        )
    return kind(message)
