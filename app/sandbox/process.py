"""The sandbox's connection to one child process: starting it, exchanging messages within a deadline, reaping it.

A document may have taken over the child, so this module checks every length and never blocks on the socket.
"""

import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from app.documents.limits import Limits
from app.errors import SandboxError
from app.sandbox import wire

CHILD_MODULE = "app.sandbox.child"
START_SECONDS = 60.0
"""Timeout of a child's start; a busy machine with a cold disk takes ten seconds."""
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that the child inherits, because an unusual interpreter needs them to find its libraries."""
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "OMP_THREAD_LIMIT": "1",  # Tesseract's threads cost more than they gain
    "MALLOC_ARENA_MAX": "1",  # each arena of glibc takes 64 MiB of the limited address space
}
_BUFFER_BYTES = 1024 * 1024
_TICK_SECONDS = 1.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Bytes per unit of ru_maxrss: getrusage(2)."""


class ChildDiedError(Exception):
    """The child closed the connection, or sent an invalid reply."""


class ChildTimeoutError(Exception):
    """The child did not reply in time."""


class Exit(msgspec.Struct, frozen=True):
    """How a child ended."""

    signal: int | None
    """The signal that killed it; None if it exited, or if another part of this process reaped it."""
    cpu_seconds: float = 0.0
    """User and system time of its whole life."""
    peak_bytes: int = 0
    """Its peak resident memory; 0 if unknown."""
    stderr: str = ""
    """The last line that it wrote to stderr before it was ready."""


class ChildProcess:
    """A running child and the connection to it. One thread at a time may use it; any may call `disconnect`."""

    def __init__(self, limits: Limits, *, max_documents: int) -> None:
        """Start the child without waiting for its imports.

        Args:
            limits: Limits on each document.
            max_documents: Documents that the child may read in its whole life.

        Raises:
            SandboxError: the system cannot start another process.
        """
        # The child starts with the peak memory of the process it was cloned from: getrusage(2), "ru_maxrss".
        self._inherited_peak_bytes = _peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        # PR_SET_PDEATHSIG reports the end of the thread that started the child; only the main thread lasts as long as
        # the process.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        try:
            self._socket, theirs = socket.socketpair()
            with theirs, ExitStack() as on_failure:
                on_failure.callback(self._socket.close)
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-m", CHILD_MODULE, str(theirs.fileno()), str(parent)],
                    stdin=subprocess.PIPE,  # never written to: the child reads end of file when this process ends
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=_ENVIRONMENT
                    | {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                    cwd="/",
                    start_new_session=True,  # so that Ctrl-C at the terminal does not reach it
                )
                on_failure.pop_all()
        except OSError as error:
            raise SandboxError(f"The process that reads documents cannot be started: {error}.") from error
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._begin = wire.Begin(limits=limits, max_documents=max_documents)
        self.is_ready = False
        """Whether the child has replied to its first request."""
        self.documents = 0
        """Number of documents and pages requested so far."""

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def await_ready(self, tick: Callable[[], None]) -> None:
        """Wait until the child has finished its imports and confined itself; return at once if it already has.

        Raises:
            ChildDiedError: the child ended instead.
            ChildTimeoutError: it was not ready within `START_SECONDS`.
        """
        if not self.is_ready:
            deadline = time.monotonic() + START_SECONDS
            self.ask(self._begin, b"", wire.Done, deadline=deadline, max_bytes=_BUFFER_BYTES, tick=tick)
            self.is_ready = True

    @property
    def has_hung_up(self) -> bool:
        """Whether the child closed the connection or sent data without a request; valid between requests only."""
        self._poll.modify(self._socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def ask(
        self,
        request: wire.Request,
        document: bytes,
        expected: type[wire.Success],
        *,
        deadline: float,
        max_bytes: int,
        tick: Callable[[], None],
    ) -> wire.Success | wire.Failure:
        """Send a request and return its reply.

        Args:
            request: The request.
            document: The document that follows it.
            expected: Type of the reply, unless it is a `Failure`.
            deadline: Time of time.monotonic() by which the reply must be complete.
            max_bytes: Longest reply that is accepted, in bytes.
            tick: Called before each wait, so about once a second; an exception that it raises ends the wait.

        Raises:
            ChildDiedError: the child closed the connection or sent an invalid reply.
            ChildTimeoutError: the child did not reply in time.
        """
        header = wire.encode(request)
        prefix = wire.REQUEST_PREFIX.pack(len(header), len(document))
        try:
            self._send([memoryview(prefix + header), memoryview(document)], deadline, tick)
            body = self._receive(max_bytes, deadline, tick)
        except OSError as error:  # EPIPE or ECONNRESET: the child is gone
            tick()
            raise ChildDiedError(str(error)) from error
        try:
            reply = wire.decode_reply(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ChildDiedError(f"an invalid reply: {error}") from error
        if not isinstance(reply, expected | wire.Failure):
            raise ChildDiedError(f"a reply of another type: {type(reply).__name__}")
        return reply

    def _send(self, parts: list[memoryview], deadline: float, tick: Callable[[], None]) -> None:
        while parts:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline, tick)
                continue
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][sent:]

    def _receive(self, max_bytes: int, deadline: float, tick: Callable[[], None]) -> memoryview:
        buffer, filled, wanted = self._buffer, 0, None
        while wanted is None or filled < wanted:
            self._wait(select.POLLIN, deadline, tick)
            count = self._socket.recv_into(buffer[filled:])
            if count == 0:
                tick()
                raise ChildDiedError("it closed the connection")
            filled += count
            if wanted is None and filled >= wire.REPLY_PREFIX.size:
                (length,) = wire.REPLY_PREFIX.unpack_from(buffer)
                if length > max_bytes:
                    raise ChildDiedError(f"a reply of {length} bytes; the limit is {max_bytes}")
                wanted = wire.REPLY_PREFIX.size + length
                if wanted > len(buffer):
                    longer = memoryview(bytearray(wanted))
                    longer[:filled] = buffer[:filled]
                    buffer = longer
        if filled > wanted:
            raise ChildDiedError("more than one reply")
        return buffer[wire.REPLY_PREFIX.size : wanted]

    def _wait(self, events: int, deadline: float, tick: Callable[[], None]) -> None:
        """Wait until the socket is ready for `events`, calling `tick` about once a second."""
        self._poll.modify(self._socket, events)
        while True:
            tick()
            left = deadline - time.monotonic()
            if left <= 0:
                raise ChildTimeoutError
            if self._poll.poll(min(left, _TICK_SECONDS) * 1_000):
                return

    def disconnect(self) -> None:
        """End the connection, and so a pending `ask`; safe in another thread and in a signal handler."""
        with suppress(OSError):  # closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def live_peak_bytes(self) -> int:
        """Return the peak resident memory of the running child in bytes; 0 if unknown, as on macOS."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(peak[1]) * 1024 if peak else 0

    def reap(self) -> Exit:
        """Kill the child if it still runs, reap it, close the connection, and return how the child ended."""
        if self._process.returncode is not None:
            return Exit(signal=None)
        peak = self.live_peak_bytes()
        with suppress(ProcessLookupError):
            # A child that has ended already keeps its exit status.
            os.kill(self.pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:  # a SIGCHLD handler of this process reaped it before
            ended = Exit(signal=None, peak_bytes=peak, stderr=self._last_error_line())
            self._process.returncode = 0
        else:
            final_peak = _peak_bytes(usage)
            if final_peak > self._inherited_peak_bytes:
                peak = max(peak, final_peak)
            ended = Exit(
                signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                peak_bytes=peak,
                stderr=self._last_error_line(),
            )
            self._process.returncode = os.waitstatus_to_exitcode(status)
        self._socket.close()
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None:
                stream.close()
        return ended

    def _last_error_line(self) -> str:
        """Return the last line that a child which never became ready wrote to stderr."""
        stream = self._process.stderr
        if self.is_ready or stream is None:
            return ""
        os.set_blocking(stream.fileno(), False)
        return (stream.read() or b"").decode("utf-8", "replace").strip().rpartition("\n")[2].strip()


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * _MAXRSS_BYTES
