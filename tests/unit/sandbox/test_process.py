"""`ChildProcess` against a child that sends invalid replies."""

import gc
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from app.documents.limits import Limits
from app.documents.models import OcrMode, Recognition
from app.errors import SandboxError
from app.sandbox import wire
from app.sandbox.process import ChildDiedError, ChildProcess, ChildTimeoutError

READ = wire.Read(password=None, ocr=OcrMode.AUTO)
PREFIX = wire.REPLY_PREFIX.pack
Wired = tuple[ChildProcess, socket.socket]


@pytest.fixture
def wired() -> Iterator[tuple[ChildProcess, socket.socket]]:
    """A child process, and the other end of its connection."""
    child = ChildProcess(Limits(), max_documents=1)
    child._socket.close()
    child._socket, theirs = socket.socketpair()
    child._socket.setblocking(False)
    child._poll = select.poll()
    child._poll.register(child._socket, select.POLLIN)
    with theirs:
        yield child, theirs
    child.reap()


def ask(
    child: ChildProcess, document: bytes = b"", *, seconds: float = 10.0, max_bytes: int = 1_000
) -> wire.Done | wire.Failure:
    return child.ask(
        READ, document, wire.Done, deadline=time.monotonic() + seconds, max_bytes=max_bytes, tick=lambda: None
    )


def frame(body: bytes) -> bytes:
    return PREFIX(len(body)) + body


DONE = frame(wire.encode(wire.Done()))


def test_a_failed_start_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/there/is/no/such/interpreter")
    gc.collect()
    before = psutil.Process().num_fds()
    with pytest.raises(SandboxError, match="cannot be started"):
        ChildProcess(Limits(), max_documents=1)
    assert psutil.Process().num_fds() == before


def test_an_honest_answer_in_small_pieces(wired: Wired) -> None:
    child, theirs = wired

    def dribble() -> None:
        for byte in DONE:
            theirs.sendall(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    assert ask(child) == wire.Done()
    thread.join()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PREFIX(2**63), "reply of"),
        (PREFIX(1_001), "reply of 1001 bytes; the limit is 1000"),
        (DONE + DONE, "more than one"),
        (frame(b""), "invalid"),
        (frame(b"\xff" * 100), "invalid"),
        (frame(b"\x91" * 900), "invalid"),
        (frame(b"\xdd\xff\xff\xff\xff"), "invalid"),
        (frame(wire.encode({"type": "reading", "reading": {"facts": 1}})), "invalid"),
        (frame(wire.encode({"type": "exec", "command": "id"})), "invalid"),
        (frame(wire.encode(wire.encode(wire.Done()))), "invalid"),
        (frame(wire.encode(wire.RecognitionReply(Recognition(number=1)))), "another type"),
    ],
)
def test_an_invalid_reply_is_a_crash(wired: Wired, said: bytes, reason: str) -> None:
    child, theirs = wired
    theirs.sendall(said)
    with pytest.raises(ChildDiedError, match=reason):
        ask(child)


def test_hanging_up_in_the_middle(wired: Wired) -> None:
    child, theirs = wired
    theirs.sendall(DONE[:-1])
    theirs.close()
    with pytest.raises(ChildDiedError):
        ask(child)


def test_hanging_up_while_a_large_document_is_sent(wired: Wired) -> None:
    child, theirs = wired

    def hang_up() -> None:
        theirs.recv(1_000)
        theirs.close()

    closer = threading.Thread(target=hang_up)
    closer.start()
    with pytest.raises(ChildDiedError):
        ask(child, b"x" * 50_000_000)
    closer.join()


def test_a_child_that_does_not_read_does_not_block_the_parent(wired: Wired) -> None:
    child, _ = wired
    with pytest.raises(ChildTimeoutError):
        ask(child, b"x" * 50_000_000, seconds=0.3)


def test_a_child_that_does_not_answer(wired: Wired) -> None:
    child, _ = wired
    with pytest.raises(ChildTimeoutError):
        ask(child, seconds=0.1)


def test_reaping_twice_is_harmless() -> None:
    child = ChildProcess(Limits(), max_documents=1)
    assert child.reap().signal == 9
    assert child.reap().signal is None
    assert child.live_peak_bytes() == 0
    child.disconnect()
