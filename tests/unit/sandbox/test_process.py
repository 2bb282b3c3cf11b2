"""The parent's side against a child that says what no honest child says."""

import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.documents.limits import Limits
from app.documents.models import OcrMode
from app.sandbox import wire
from app.sandbox.process import ChildProcess, DiedError, OverrunError

READ = wire.Read(password=None, ocr=OcrMode.AUTO)
PREFIX = wire.REPLY_PREFIX.pack
Wired = tuple[ChildProcess, socket.socket]


@pytest.fixture
def wired() -> Iterator[Wired]:
    """A child process whose connection is in the test's hands."""
    child = ChildProcess(Limits(), max_documents=1)
    child._socket.close()
    child._socket, theirs = socket.socketpair()
    child._socket.setblocking(False)
    child._poll = select.poll()
    child._poll.register(child._socket, select.POLLIN)
    with theirs:
        yield child, theirs
    child.bury()


def ask(
    child: ChildProcess, document: bytes = b"", *, seconds: float = 10.0, bound: int = 1_000
) -> wire.Reply:
    return child.ask(READ, document, deadline=time.monotonic() + seconds, bound=bound, tick=lambda: None)


def frame(body: bytes) -> bytes:
    return PREFIX(len(body)) + body


DONE = frame(wire.encode(wire.Done()))


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
        (PREFIX(2**63), "answer of"),
        (PREFIX(1_001), "answer of 1001 bytes, 1000 are allowed"),
        (DONE + DONE, "more than one"),
        (frame(b""), "nonsense"),
        (frame(b"\xff" * 100), "nonsense"),
        (frame(b"\x91" * 900), "nonsense"),
        (frame(b"\xdd\xff\xff\xff\xff"), "nonsense"),
        (frame(wire.encode({"type": "reading", "reading": {"facts": 1}})), "nonsense"),
        (frame(wire.encode({"type": "exec", "command": "id"})), "nonsense"),
        (frame(wire.encode(wire.encode(wire.Done()))), "nonsense"),
    ],
)
def test_nonsense_is_a_crash(wired: Wired, said: bytes, reason: str) -> None:
    child, theirs = wired
    theirs.sendall(said)
    with pytest.raises(DiedError, match=reason):
        ask(child)


def test_hanging_up_in_the_middle(wired: Wired) -> None:
    child, theirs = wired
    theirs.sendall(DONE[:-1])
    theirs.close()
    with pytest.raises(DiedError):
        ask(child)


def test_hanging_up_while_a_large_document_is_sent(wired: Wired) -> None:
    child, theirs = wired

    def hang_up() -> None:
        theirs.recv(1_000)
        theirs.close()

    closer = threading.Thread(target=hang_up)
    closer.start()
    with pytest.raises(DiedError):
        ask(child, b"x" * 50_000_000)
    closer.join()


def test_a_child_that_does_not_read_does_not_block_the_parent(wired: Wired) -> None:
    child, _ = wired
    with pytest.raises(OverrunError):
        ask(child, b"x" * 50_000_000, seconds=0.3)


def test_a_child_that_does_not_answer(wired: Wired) -> None:
    child, _ = wired
    with pytest.raises(OverrunError):
        ask(child, seconds=0.1)


def test_burying_twice_is_harmless() -> None:
    child = ChildProcess(Limits(), max_documents=1)
    assert child.bury().signal == 9
    assert child.bury().signal is None
    assert child.live_peak_bytes() == 0
    child.disconnect()
