"""One child process of the sandbox, from the parent's side: start, talk with a deadline, bury.

Nothing here knows documents. The child may be hostile, so every length is checked before it is believed, and
the socket never blocks.
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
from contextlib import suppress
from pathlib import Path

import msgspec

from app.documents.limits import Limits
from app.errors import SandboxError
from app.sandbox.wire import (
    REPLY_PREFIX,
    REQUEST_PREFIX,
    Begin,
    Reply,
    Request,
    decode_reply,
    encode,
)

CHILD_MODULE = "app.sandbox.child"
START_SECONDS = 60.0
"""How long a child may take to be ready: a busy machine with a cold disk takes ten."""
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where an unusual interpreter finds its libraries; nothing else of our environment is the child's business."""
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "OMP_THREAD_LIMIT": "1",  # Tesseract's threads cost more than they give
    "MALLOC_ARENA_MAX": "1",  # each arena of glibc's takes 64 MiB of the address space we limit
}
_BUFFER_BYTES = 1024 * 1024
_TICK_SECONDS = 1.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Unit of ru_maxrss: getrusage(2)."""


class DiedError(Exception):
    """The child hung up, or sent what no honest child sends."""


class OverrunError(Exception):
    """The child did not answer in time."""


class Exit(msgspec.Struct, frozen=True):
    """How a child ended."""

    signal: int | None
    """The signal that ended it; None where it exited, or where someone else reaped it."""
    cpu_seconds: float = 0.0
    """User and system time of its whole life."""
    peak_bytes: int = 0
    """Its peak resident memory; 0 where unknown."""
    stderr: str = ""
    """The end of what it wrote before it was ready."""


class ChildProcess:
    """A started child. One thread at a time may talk with it; `disconnect` is for any."""

    def __init__(self, limits: Limits, *, max_documents: int) -> None:
        """Start the child without waiting for its imports.

        Raises:
            SandboxError: when the system has no process or descriptor left.
        """
        # The child begins with the peak memory of the process it was cloned from: getrusage(2), "ru_maxrss".
        self._inherited_peak_bytes = _peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        # The kernel signals the end of the thread that started the child: only the main one ends with the process.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-m", CHILD_MODULE, str(theirs.fileno()), str(parent)],
                    stdin=subprocess.PIPE,  # never written: its end of file tells the child that we are gone
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=_ENVIRONMENT
                    | {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                    cwd="/",
                    start_new_session=True,  # a Ctrl-C at the terminal is ours to deal with
                )
        except OSError as error:
            raise SandboxError(f"The process that reads documents cannot be started: {error}.") from error
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._ready = False
        self._limits = limits
        self._max_documents = max_documents
        self.documents = 0
        """Documents and pages that it was asked for."""

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def await_ready(self, tick: Callable[[], None]) -> None:
        """Wait until the child has imported what it needs and has confined itself; a no-op afterwards.

        Raises:
            DiedError: when it ended instead.
            OverrunError: after a minute.
        """
        if not self._ready:
            deadline = time.monotonic() + START_SECONDS
            begin = Begin(limits=self._limits, max_documents=self._max_documents)
            self.ask(begin, b"", deadline=deadline, bound=_BUFFER_BYTES, tick=tick)
            self._ready = True

    @property
    def is_ready(self) -> bool:
        """Whether it got as far as answering."""
        return self._ready

    @property
    def has_hung_up(self) -> bool:
        """Whether it ended, or speaks unasked: either way it is of no more use. To be asked between requests."""
        self._poll.modify(self._socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def ask(
        self, request: Request, document: bytes, *, deadline: float, bound: int, tick: Callable[[], None]
    ) -> Reply:
        """Send a request and wait for its answer.

        Args:
            request: What is asked.
            document: The bytes that follow it.
            deadline: When it must be answered, by time.monotonic().
            bound: Longest answer in bytes that is received.
            tick: Called before each wait, so about every second; what it raises ends the wait.

        Raises:
            DiedError: when the child hangs up or answers nonsense.
            OverrunError: when it does not answer in time.
        """
        header = encode(request)
        prefix = REQUEST_PREFIX.pack(len(header), len(document))
        try:
            self._send([memoryview(prefix + header), memoryview(document)], deadline, tick)
            body = self._receive(bound, deadline, tick)
        except OSError as error:  # EPIPE or ECONNRESET: it is gone
            tick()
            raise DiedError(str(error)) from error
        try:
            return decode_reply(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DiedError(f"nonsense: {error}") from error

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

    def _receive(self, bound: int, deadline: float, tick: Callable[[], None]) -> memoryview:
        buffer, filled, wanted = self._buffer, 0, None
        while wanted is None or filled < wanted:
            self._wait(select.POLLIN, deadline, tick)
            count = self._socket.recv_into(buffer[filled:])
            if count == 0:
                tick()
                raise DiedError("it hung up")
            filled += count
            if wanted is None and filled >= REPLY_PREFIX.size:
                (length,) = REPLY_PREFIX.unpack_from(buffer)
                if length > bound:
                    raise DiedError(f"an answer of {length} bytes, {bound} are allowed")
                wanted = REPLY_PREFIX.size + length
                if wanted > len(buffer):
                    longer = memoryview(bytearray(wanted))
                    longer[:filled] = buffer[:filled]
                    buffer = longer
        if filled > wanted:
            raise DiedError("more than one answer")
        return buffer[REPLY_PREFIX.size : wanted]

    def _wait(self, events: int, deadline: float, tick: Callable[[], None]) -> None:
        """Wait until the socket can be used, in steps, so that `tick` is called meanwhile."""
        self._poll.modify(self._socket, events)
        while True:
            tick()
            left = deadline - time.monotonic()
            if left <= 0:
                raise OverrunError
            if self._poll.poll(min(left, _TICK_SECONDS) * 1_000):
                return

    def disconnect(self) -> None:
        """Make the call that is waiting end, from another thread or a signal handler; the child hangs up too."""
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def live_peak_bytes(self) -> int:
        """Peak resident memory of the living child, in bytes; 0 where the system does not tell (not on Linux)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(peak[1]) * 1024 if peak else 0

    def bury(self) -> Exit:
        """Kill the child if it still lives, reap it, and close all that belongs to it."""
        if self._process.returncode is not None:
            return Exit(signal=None)
        peak = self.live_peak_bytes()
        with suppress(ProcessLookupError):
            # A child that is dead already keeps the status it died with.
            os.kill(self.pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:  # someone else's handler of SIGCHLD was faster
            ended = Exit(signal=None, peak_bytes=peak, stderr=self._last_words())
            self._process.returncode = 0
        else:
            died_with_peak = _peak_bytes(usage)
            if died_with_peak > self._inherited_peak_bytes:
                peak = max(peak, died_with_peak)
            ended = Exit(
                signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                peak_bytes=peak,
                stderr=self._last_words(),
            )
            self._process.returncode = os.waitstatus_to_exitcode(status)
        self._socket.close()
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None:
                stream.close()
        return ended

    def _last_words(self) -> str:
        """The last line it wrote to stderr, which is at most what a pipe holds."""
        stream = self._process.stderr
        if self._ready or stream is None:
            return ""
        os.set_blocking(stream.fileno(), False)
        lines = (stream.read() or b"").decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * _MAXRSS_BYTES
