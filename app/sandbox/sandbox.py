"""The sandbox: reads documents in a child process with limits, and keeps the child between documents.

If a hostile document crashes the child, loops or fills memory, the sandbox replaces the child; the worker itself is
never affected. The sandbox checks the child's replies like any other input.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self, TypeVar

import msgspec

from app.documents.limits import Limits, check_bytes
from app.documents.models import MediaType, OcrMode, Reading, Recognition
from app.errors import FleetError, MalformedError, PermanentError, ResourceLimitError, SandboxError
from app.sandbox import wire
from app.sandbox.process import ChildDiedError, ChildProcess, ChildTimeoutError, Exit
from app.sandbox.verdict import CrashError, KilledError, error_of_failure, timed_out, verdict

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
HEARTBEAT_SECONDS = 1.0


class Interrupted(FleetError):  # noqa: N818  # an event that the caller requested, not a failure
    """The work on the document was interrupted."""


class Sandbox:
    """A child process that reads documents, one at a time. Any thread may use it; threads wait for each other.

    Build it in the process that uses it: a fork would share the child.

    Attributes:
        on_wait: Called about once a second while the child works on a document: the worker's heartbeat.
        documents: Number of documents and pages requested so far, over all children.
    """

    def __init__(
        self, limits: Limits, *, max_documents: int, on_wait: Callable[[], None] | None = None
    ) -> None:
        """Create the sandbox without starting a child.

        Args:
            limits: Limits on each document; those on memory, CPU and wall seconds hold for each page in OCR.
            max_documents: Documents after which the child is replaced, to bound memory leaks.
            on_wait: See the attribute.
        """
        self.on_wait = on_wait
        self.documents = 0
        self._started = 0
        self._last_heartbeat = time.monotonic()
        self._limits = limits
        self._max_documents = max_documents
        self._lock = threading.RLock()
        self._interrupted = False
        self._child: ChildProcess | None = None
        self._reaped_peak_bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def restarts(self) -> int:
        """Number of children that were replaced, for any reason."""
        return max(0, self._started - 1)

    @property
    def peak_child_rss(self) -> int:
        """Largest resident memory that any child had, in bytes."""
        child = self._child
        return max(self._reaped_peak_bytes, child.live_peak_bytes() if child is not None else 0)

    def start(self) -> None:
        """Start the child if there is none, without waiting for it: its imports overlap with the caller's.

        Raises:
            SandboxError: the system cannot start another process.
        """
        with self._lock:
            if self._child is None:
                self._child = ChildProcess(self._limits, max_documents=self._max_documents)
                self._started += 1

    def close(self) -> None:
        """End the child; a later call to `read` or `recognize` starts another."""
        with self._lock:
            self._reap()

    def interrupt(self) -> None:
        """Make the call in progress end its child and raise `Interrupted`; if there is none, the next call does.

        Safe in another thread, and in a signal handler of the thread that waits.
        """
        self._interrupted = True
        child = self._child
        if child is not None:
            child.disconnect()

    def read(self, data: bytes, *, password: str | None = None, ocr: OcrMode = OcrMode.AUTO) -> Reading:
        """Read a document as `app.documents.reading.read` does, within all limits.

        Raises:
            PermanentError: the document cannot be read; the subclass tells why.
            SandboxError: no child can be started.
            Interrupted: `interrupt` was called.
        """
        check_bytes(data, limits=self._limits)
        request = wire.Read(password=password, ocr=ocr)
        with self._lock:
            reply = self._try_twice(lambda: self._ask(request, data, wire.ReadingReply))
            self._replace_if_used_up()
        return reply.reading

    def recognize(
        self,
        data: bytes,
        pages: Sequence[int],
        *,
        media_type: MediaType,
        password: str | None = None,
        on_page: Callable[[Recognition], None] | None = None,
    ) -> list[Recognition]:
        """Recognise pages of a document that is sent and opened once.

        A page that cannot be recognised within its limits has the reason in `Recognition.error`; the pages after it
        are not affected.

        Args:
            data: The document's bytes.
            pages: Numbers (from 1) of the pages, in the desired order.
            media_type: The document's media type, as `read` found it.
            password: Opens an encrypted PDF.
            on_page: Called with each recognition as soon as it is complete.

        Raises:
            PermanentError: the document cannot be opened; the subclass tells why.
            SandboxError: no child can be started.
            Interrupted: `interrupt` was called.
        """
        check_bytes(data, limits=self._limits)
        found: list[Recognition] = []
        with self._lock:
            opened_in: ChildProcess | None = None
            for number in pages:

                def work(number: int = number) -> Recognition:
                    nonlocal opened_in
                    if opened_in is None or opened_in is not self._child:
                        opened_in = None
                        self._ask(wire.Open(media_type=media_type, password=password), data, wire.Done)
                        opened_in = self._child
                    reply = self._ask(wire.Recognize(number=number), b"", wire.RecognitionReply)
                    # The child must not put its text on another page.
                    return msgspec.structs.replace(reply.recognition, number=number)

                try:
                    recognition = self._try_twice(work)
                except PermanentError as error:
                    if opened_in is None:
                        raise
                    recognition = Recognition(number=number, error=error.message)
                found.append(recognition)
                if on_page is not None:
                    on_page(recognition)
            if opened_in is not None and opened_in is self._child:
                # The pages are recognised already; a child that fails to close the document has been replaced.
                with suppress(CrashError, KilledError, PermanentError):
                    self._ask(wire.Close(), b"", wire.Done)
            self._replace_if_used_up()
        return found

    def _replace_if_used_up(self) -> None:
        """Replace a child after `max_documents` at once, so that the next document finds a ready one."""
        if self._child is not None and self._child.documents >= self._max_documents:
            self._replace()

    def _try_twice(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`; run it once more in a fresh child if the child crashes at once or is killed."""
        try:
            return work()
        except (CrashError, KilledError):
            try:
                return work()
            except CrashError as again:
                raise MalformedError(again.message) from None
            except KilledError as again:
                raise ResourceLimitError(again.message) from None

    def _ask(self, request: wire.Request, document: bytes, expected: type[wire.Success]) -> wire.Success:
        """Return the reply to one request; after an error, no child is left in an unknown state.

        Raises:
            CrashError: the child died at once, and no limit explains it.
            KilledError: the child was killed from outside.
            PermanentError: the document cannot be read.
            SandboxError: the child cannot be started.
            Interrupted: `interrupt` was called.
        """
        self.start()
        starts_document = isinstance(request, wire.Read | wire.Open)
        if starts_document and self._child is not None and self._child.has_hung_up and not self._interrupted:
            self._replace()  # it died between two documents, so neither is the cause
        child = self._child
        if child is None:  # closed by `on_wait` or a signal handler
            raise Interrupted
        started = time.monotonic()
        try:
            child.await_ready(self._tick)
            if not isinstance(request, wire.Open | wire.Close):
                self.documents += 1
                child.documents += 1
            started = time.monotonic()
            reply = child.ask(
                request,
                document,
                expected,
                deadline=started + self._limits.wall_seconds,
                max_bytes=self._limits.output_bytes,
                tick=self._tick,
            )
        except (ChildDiedError, ChildTimeoutError) as reason:
            elapsed = time.monotonic() - started
            ended = self._reap()
            if ended is None or not child.is_ready:
                stderr = ended.stderr if ended is not None else ""
                raise SandboxError(
                    f"The process that reads documents did not start: {stderr or reason or 'no reply'}."
                ) from None
            self._replace()
            if isinstance(reason, ChildTimeoutError):
                raise timed_out(self._limits) from None
            logger.warning("a document ended the process that read it: %s", ended)
            raise verdict(ended, elapsed_seconds=elapsed, limits=self._limits) from None
        except BaseException:
            self._reap()
            raise
        if isinstance(reply, wire.Failure):
            error = error_of_failure(reply)
            if isinstance(error, ResourceLimitError | SandboxError):
                self._replace()  # its memory may be short or fragmented
            raise error
        return reply

    def _tick(self) -> None:
        """Raise `Interrupted` after `interrupt`; otherwise call `on_wait` if it is due."""
        if self._interrupted:
            self._interrupted = False
            raise Interrupted
        now = time.monotonic()
        if self.on_wait is not None and now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self.on_wait()

    def _replace(self) -> None:
        """Replace the child; if no child can be started, the next call raises the error."""
        self._reap()
        with suppress(SandboxError):
            self.start()

    def _reap(self) -> Exit | None:
        child, self._child = self._child, None
        if child is None:
            return None
        ended = child.reap()
        self._reaped_peak_bytes = max(self._reaped_peak_bytes, ended.peak_bytes)
        return ended
