"""Documents are parsed in a child process with limits, kept between documents: this is the parent's side.

A hostile document may crash, loop or fill memory; the child pays for it and is replaced. What the child says is
checked like any input. The worker itself never dies of a document.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self, TypeVar

from app.documents.limits import Limits, check_bytes
from app.documents.models import MediaType, OcrMode, Reading, Recognition
from app.errors import FleetError, MalformedError, PermanentError, ResourceLimitError, SandboxError
from app.sandbox import wire
from app.sandbox.process import ChildProcess, DiedError, Exit, OverrunError
from app.sandbox.verdict import CrashError, KilledError, error_of_failure, overran, verdict

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
HEARTBEAT_SECONDS = 1.0


class Interrupted(FleetError):  # noqa: N818  # an event that the caller asked for, not a failure
    """The work on the document was cut short from outside."""


class Sandbox:
    """A child process that reads documents, one at a time; it may be used by any thread, each waits its turn.

    Build it in the process that uses it: a fork would share the child.

    Attributes:
        on_wait: Called about every second while a document is in the child: the worker's heartbeat.
        documents: Documents and pages that the children were asked for.
    """

    def __init__(
        self, limits: Limits, *, max_documents: int, on_wait: Callable[[], None] | None = None
    ) -> None:
        """Describe the sandbox; nothing is started yet.

        Args:
            limits: What each document may cost; memory, CPU and wall seconds are each document's (each page's
                where pages are recognised), not the child's.
            max_documents: Documents after which the child is replaced: bounds what leaks.
            on_wait: See the attribute.
        """
        self.on_wait = on_wait
        self.documents = 0
        self._started = 0
        self._last_sign = time.monotonic()
        self._limits = limits
        self._max_documents = max_documents
        self._turn = threading.RLock()
        self._interrupted = False
        self._child: ChildProcess | None = None
        self._buried_peak_bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def restarts(self) -> int:
        """Children that were replaced, for whatever reason."""
        return max(0, self._started - 1)

    @property
    def peak_child_rss(self) -> int:
        """Largest resident memory in bytes that any child had."""
        child = self._child
        return max(self._buried_peak_bytes, child.live_peak_bytes() if child is not None else 0)

    def start(self) -> None:
        """Start the child if there is none, without waiting for it: its imports overlap with the caller's.

        Raises:
            SandboxError: when the system cannot start a process.
        """
        with self._turn:
            if self._child is None:
                self._child = ChildProcess(self._limits, max_documents=self._max_documents)
                self._started += 1

    def close(self) -> None:
        """End the child. A later call would start another."""
        with self._turn:
            self._bury()

    def interrupt(self) -> None:
        """Kill the child and make the call in progress raise `Interrupted`; without one, the next call does.

        For another thread, or a signal handler in the very thread that waits.
        """
        self._interrupted = True
        child = self._child
        if child is not None:
            child.disconnect()

    def read(self, data: bytes, *, password: str | None = None, ocr: OcrMode = OcrMode.AUTO) -> Reading:
        """Read a document as `app.documents.reading.read` does, within all limits.

        Raises:
            PermanentError: of the kind that tells what is wrong with the document.
            SandboxError: when no child can be started.
            Interrupted: after `interrupt()`.
        """
        check_bytes(data, limits=self._limits)

        def work() -> Reading:
            reply = self._ask(wire.Read(password=password, ocr=ocr), data)
            if not isinstance(reply, wire.ReadingReply):
                raise DiedError("not what was asked for")
            return reply.reading

        with self._turn:
            return self._done(self._attempt(work))

    def recognize(
        self,
        data: bytes,
        pages: Sequence[int],
        *,
        media_type: MediaType,
        password: str | None = None,
        on_page: Callable[[Recognition], None] | None = None,
    ) -> list[Recognition]:
        """Recognise pages (numbers from 1) of a document that is sent and opened once.

        A page that cannot be recognised within its limits is listed with the reason; the rest goes on in a
        fresh child.

        Args:
            data: The document's bytes.
            pages: Which pages, in the order wanted.
            media_type: What `read` found it to be.
            password: Opens an encrypted PDF.
            on_page: Called with each recognition as it comes.

        Raises:
            PermanentError: of the kind that tells why the document cannot be opened.
            SandboxError: when no child can be started.
            Interrupted: after `interrupt()`.
        """
        check_bytes(data, limits=self._limits)
        found: list[Recognition] = []
        with self._turn:
            opened_in: ChildProcess | None = None
            for number in pages:

                def work(number: int = number) -> Recognition:
                    nonlocal opened_in
                    if opened_in is None or opened_in is not self._child:
                        opened_in = None
                        self._ask(wire.Open(media_type=media_type, password=password), data)
                        opened_in = self._child
                    reply = self._ask(wire.Recognize(number=number), b"")
                    if not isinstance(reply, wire.RecognitionReply) or reply.recognition.number != number:
                        raise DiedError("not what was asked for")
                    return reply.recognition

                try:
                    recognition = self._attempt(work)
                except PermanentError as error:
                    if opened_in is None:
                        raise
                    recognition = Recognition(number=number, error=error.message)
                found.append(recognition)
                if on_page is not None:
                    on_page(recognition)
            if opened_in is not None and opened_in is self._child:
                self._attempt(lambda: self._ask(wire.Close(), b""))
            return self._done(found)

    def _done(self, result: Result) -> Result:
        """Replace a child that has had its number of documents, at once, so that the next finds it ready."""
        if self._child is not None and self._child.documents >= self._max_documents:
            self._replace()
        return result

    def _attempt(self, work: Callable[[], Result]) -> Result:
        """Do `work`; where the child crashes of it at once or is killed, once more in a fresh child."""
        try:
            return work()
        except (CrashError, KilledError):
            try:
                return work()
            except CrashError as again:
                raise MalformedError(again.message) from None
            except KilledError as again:
                raise ResourceLimitError(again.message) from None

    def _ask(self, request: wire.Request, document: bytes) -> wire.Reply:
        """Have one request answered; whatever goes wrong leaves no child behind that is in an unknown state.

        Raises:
            CrashError: the child died at once, of nothing that a limit explains.
            PermanentError: the document's fault.
            SandboxError: the child cannot be started.
            Interrupted: it was asked for.
        """
        self.start()
        begins = isinstance(request, wire.Read | wire.Open)
        if begins and self._child is not None and self._child.has_hung_up and not self._interrupted:
            self._replace()  # it died between two documents, so of neither
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
                deadline=started + self._limits.wall_seconds,
                bound=self._limits.output_bytes,
                tick=self._tick,
            )
        except (DiedError, OverrunError) as reason:
            elapsed = time.monotonic() - started
            ended = self._bury()
            if ended is None or not child.is_ready:
                words = ended.stderr if ended is not None else ""
                raise SandboxError(
                    f"The process that reads documents did not start: {words or reason or 'no answer'}."
                ) from None
            self._replace()
            if isinstance(reason, OverrunError):
                raise overran(self._limits) from None
            logger.warning("the process that read a document died of it: %s", ended)
            raise verdict(ended, elapsed_seconds=elapsed, limits=self._limits) from None
        except BaseException:
            self._bury()
            raise
        if isinstance(reply, wire.Failure):
            error = error_of_failure(reply)
            if isinstance(error, ResourceLimitError | SandboxError):
                self._replace()  # memory may be short in it, or in pieces
            raise error
        return reply

    def _tick(self) -> None:
        """Between two waits: give up where that was asked for, and give a sign of life."""
        if self._interrupted:
            self._interrupted = False
            raise Interrupted
        now = time.monotonic()
        if self.on_wait is not None and now - self._last_sign >= HEARTBEAT_SECONDS:
            self._last_sign = now
            self.on_wait()

    def _replace(self) -> None:
        """Put a fresh child in the place of this one; where none can be started, the next call says so."""
        self._bury()
        with suppress(SandboxError):
            self.start()

    def _bury(self) -> Exit | None:
        child, self._child = self._child, None
        if child is None:
            return None
        ended = child.bury()
        self._buried_peak_bytes = max(self._buried_peak_bytes, ended.peak_bytes)
        return ended
