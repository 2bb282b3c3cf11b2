"""The exception types of the fleet; the docstring of each class is its default message.

Three families, and their consequence for a document:

* `PermanentError`: the document itself is at fault; it is settled as *failed* with `code`, and never retried.
* `TransientError`: the cause is not the document; the task is retried with backoff.
* any other `FleetError`: the fleet cannot run; the command prints the message and exits with `exit_code`.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the commands; a command that a signal stopped exits with 128 + the signal's number."""

    OK = 0
    FLEET_FAILED = 1
    USAGE_ERROR = 2
    SOME_DOCUMENTS_FAILED = 3


class FleetError(Exception):
    """The fleet failed."""

    exit_code: ClassVar[ExitCode] = ExitCode.FLEET_FAILED

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self)


class UsageError(FleetError):
    """The command cannot use one of its arguments."""

    exit_code = ExitCode.USAGE_ERROR


class SettingsError(UsageError):
    """A setting has a value that cannot be used."""


class ServerError(FleetError):
    """The Redis server cannot be reached."""


class ServerRefusedError(ServerError):
    """The Redis server refuses a command: another try will not help."""


class ServerFullError(FleetError):
    """The Redis server has too little memory left: raise maxmemory, or wait until documents are archived."""


class TransientError(FleetError):
    """Something around the document failed; the task is tried again."""

    code: ClassVar[str] = "transient"


class StorageError(TransientError):
    """The object store did not answer as it should; the task is tried again."""

    code = "storage_unavailable"


class StorageFullError(StorageError):
    """The object store has no room left: free some space, then retry the document."""

    code = "storage_full"


class SandboxError(TransientError):
    """The process that reads documents cannot be started: check that memory and process slots are free."""

    code = "sandbox_unavailable"


class PermanentError(FleetError):
    """The document cannot be processed."""

    code: ClassVar[str] = "permanent"
    exit_code = ExitCode.SOME_DOCUMENTS_FAILED


class PasswordRequiredError(PermanentError):
    """The document is encrypted: give its password, or check the one that was given."""

    code = "password_required"


class MalformedError(PermanentError):
    """The document is damaged beyond reading: open it in a viewer and save it again, or ask for a new copy."""

    code = "malformed"


class PageUnreadableError(PermanentError):
    """The document opens, but none of its pages can be read: save it again from the program that made it."""

    code = "page_unreadable"


class TooLargeError(PermanentError):
    """The document is larger than the limit: split it, or raise FLEET_MAX_DOCUMENT_BYTES."""

    code = "too_large"


class TooManyPagesError(PermanentError):
    """The document has more pages than the limit: split it, or raise FLEET_MAX_PAGES."""

    code = "too_many_pages"


class ResourceLimitError(PermanentError):
    """The document needs more memory, time or output than it is allowed: simplify it, or raise the limits."""

    code = "resource_limit"


class UnsupportedSecurityError(PermanentError):
    """The document is protected by a scheme that cannot be opened here: save a copy without protection."""

    code = "unsupported_security"


class NotADocumentError(PermanentError):
    """This is neither a PDF nor a JPEG, PNG, TIFF or WebP image."""

    code = "not_a_document"


class EmptyError(PermanentError):
    """The file is empty: it has no bytes at all."""

    code = "empty"


class DocumentMissingError(PermanentError):
    """The original was deleted before its turn came: submit the document again."""

    code = "document_missing"


PERMANENT_ERRORS: dict[str, type[PermanentError]] = {
    kind.code: kind for kind in PermanentError.__subclasses__()
}
"""Every permanent error by its stable code."""
