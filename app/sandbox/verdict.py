"""What it says about a document that the child which read it failed, died or did not answer."""

import signal

from app.documents.limits import Limits
from app.errors import PERMANENT_ERRORS, FleetError, MalformedError, ResourceLimitError, SandboxError
from app.sandbox.process import Exit
from app.sandbox.wire import Failure

AT_ONCE_SECONDS = 2.0
"""A crash sooner than this is the parser's answer to damage, not to size."""
MEMORY_SHARE = 0.5
"""A crash with more of the allowed memory resident than this is taken for a lack of memory: address space is
always larger than what is resident."""
_MESSAGE_CHARACTERS = 300
_MIB = 2**20


class CrashError(FleetError):
    """The document makes the parser crash: open it in a viewer and save it again, or ask for a new copy."""


class KilledError(FleetError):
    """The process reading the document was killed twice from outside, as when memory runs short: give it more."""


def overran(limits: Limits) -> ResourceLimitError:
    """The error of a document (or page) that was not done in time."""
    return ResourceLimitError(
        f"The document was not read within {limits.wall_seconds:g} s: simplify it, "
        "or raise FLEET_SANDBOX_WALL_SECONDS."
    )


def verdict(ended: Exit, *, elapsed_seconds: float, limits: Limits) -> FleetError:
    """Judge a child that died of a document.

    Args:
        ended: How it ended.
        elapsed_seconds: How long it had worked on the document.
        limits: What it was allowed.

    Returns:
        A `CrashError` where it crashed at once and no limit explains it, or a `KilledError` where it may not
        have been the document at all, so that it is worth another try; else a `ResourceLimitError`.
    """
    if ended.signal == signal.SIGXCPU:
        return ResourceLimitError(
            f"The document needs more than the {limits.cpu_seconds} s of CPU time it is allowed: simplify it, "
            "or raise FLEET_SANDBOX_CPU_SECONDS."
        )
    if ended.signal == signal.SIGKILL:
        return KilledError()
    # The peak is not known where the parent's own was larger (`sandbox_process`). Then this tells: PDFium ends itself
    # without a word where it gets no memory, while glibc and C++ say why they abort.
    gave_up = ended.signal == signal.SIGABRT and not ended.stderr and not ended.peak_bytes
    short_of_memory = gave_up or ended.peak_bytes > MEMORY_SHARE * limits.memory_bytes
    # The CPU time is the whole life's, the elapsed time counts a busy machine: the lesser is nearer the truth.
    if not short_of_memory and min(elapsed_seconds, ended.cpu_seconds) < AT_ONCE_SECONDS:
        return CrashError()
    return ResourceLimitError(
        f"The parser gave up on the document after {elapsed_seconds:.1f} s{_in_memory(ended.peak_bytes)} "
        f"({limits.memory_bytes // _MIB} MiB are allowed): simplify it, "
        "or raise FLEET_SANDBOX_MEMORY_BYTES."
    )


def _in_memory(peak_bytes: int) -> str:
    return f" with {peak_bytes // _MIB} MiB in memory" if peak_bytes else " for want of memory"


def error_of_failure(failure: Failure) -> FleetError:
    """Return the error that the child answered with; a code that is none of ours is `malformed`."""
    message = failure.message[:_MESSAGE_CHARACTERS]
    if failure.code == SandboxError.code:
        return SandboxError(message)
    kind = PERMANENT_ERRORS.get(failure.code)
    if kind is None:
        return MalformedError(
            f"The document cannot be parsed ({failure.code[:50]}): {message or 'no reason'}"
        )
    return kind(message)
