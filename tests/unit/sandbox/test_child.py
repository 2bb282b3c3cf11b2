"""The child's request loop in a thread, over a socket pair and without limits on the test's own process."""

import socket
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest

from app.documents.limits import Limits
from app.documents.models import MediaType, OcrMode
from app.documents.ocr import OcrUnavailableError
from app.sandbox import child, wire
from tests.support.documents import Objects, build_pdf, one_page

Ask = Callable[..., wire.Reply]


def send(channel: socket.socket, request: wire.Request, document: bytes = b"") -> None:
    header = wire.encode(request)
    channel.sendall(wire.REQUEST_PREFIX.pack(len(header), len(document)) + header + document)


def receive(channel: socket.socket) -> wire.Reply:
    (length,) = wire.REPLY_PREFIX.unpack(channel.recv(wire.REPLY_PREFIX.size, socket.MSG_WAITALL))
    return wire.decode_reply(channel.recv(length, socket.MSG_WAITALL))


@pytest.fixture
def granted() -> list[int]:
    return []


@pytest.fixture
def ask(granted: list[int]) -> Iterator[Ask]:
    ours, theirs = socket.socketpair()
    prepared: list[wire.Begin] = []
    thread = threading.Thread(
        target=child.serve,
        args=(theirs,),
        kwargs={"prepare": prepared.append, "grant": granted.append},
    )
    thread.start()
    begin = wire.Begin(limits=Limits(output_bytes=100_000, cpu_seconds=11), max_documents=5)
    send(ours, begin)
    assert receive(ours) == wire.Done()
    assert prepared == [begin]

    def exchange(request: wire.Request, document: bytes = b"") -> wire.Reply:
        send(ours, request, document)
        return receive(ours)

    yield exchange
    ours.close()
    thread.join(timeout=10)
    theirs.close()
    assert not thread.is_alive()


READ = wire.Read(password=None, ocr=OcrMode.AUTO)


def test_a_document_is_read_and_each_request_is_granted_its_cpu(
    ask: Ask, granted: list[int], good_pdf: bytes
) -> None:
    for _ in range(2):
        reply = ask(READ, good_pdf)
        assert isinstance(reply, wire.ReadingReply)
        assert reply.reading.texts == ["Hello fleet"]
    assert granted == [11, 11]


def test_errors_travel_as_code_and_message(ask: Ask) -> None:
    reply = ask(READ, b"%PDF-1.4")
    assert isinstance(reply, wire.Failure)
    assert reply.code == "malformed"
    assert isinstance(ask(READ, b"<html>"), wire.Failure)


def test_pages_are_recognised_between_open_and_close(ask: Ask, scan_objects: Objects) -> None:
    assert ask(wire.Recognize(number=1)) == wire.Failure("ValueError", "no document is open")
    opening = wire.Open(media_type=MediaType.PDF, password=None)
    assert ask(opening, build_pdf(scan_objects)) == wire.Done()
    reply = ask(wire.Recognize(number=1))
    assert isinstance(reply, wire.RecognitionReply)
    assert (reply.recognition.number, reply.recognition.error) == (1, None)
    assert ask(wire.Close()) == wire.Done()
    assert isinstance(ask(wire.Recognize(number=1)), wire.Failure)


def test_an_answer_beyond_the_limit_is_a_resource_limit(ask: Ask) -> None:
    lines = b" ".join(b"(%s) Tj 0 -1 Td" % (b"x" * 100) for _ in range(1_200))
    reply = ask(READ, build_pdf(one_page(b"BT /F1 .5 Tf 1 1 Td " + lines + b" ET", box=b"0 -2000 595 842")))
    assert isinstance(reply, wire.Failure)
    assert reply.code == "resource_limit"
    assert "FLEET_SANDBOX_OUTPUT_BYTES" in reply.message


@pytest.mark.parametrize(
    ("raised", "code"), [(MemoryError(), "resource_limit"), (RecursionError("deep"), "RecursionError")]
)
def test_whatever_is_raised_is_an_answer(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    def read(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(child, "read", read)
    reply = ask(READ, b"x")
    assert isinstance(reply, wire.Failure)
    assert reply.code == code


def test_missing_ocr_data_is_not_the_documents_fault(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, scan_objects: Objects
) -> None:
    def engine() -> None:
        raise OcrUnavailableError

    monkeypatch.setattr("app.documents.ocr.engine", engine)
    ask(wire.Open(media_type=MediaType.PDF, password=None), build_pdf(scan_objects))
    reply = ask(wire.Recognize(number=1))
    assert isinstance(reply, wire.Failure)
    assert reply.code == "sandbox_unavailable"


def test_a_request_cut_off_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(wire.REQUEST_PREFIX.pack(5, 5) + b"abc")
        assert child.receive(theirs.makefile("rb")) is None


def test_a_request_that_is_none_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(wire.REQUEST_PREFIX.pack(3, 0) + b"\x93\x01\x02")
        with pytest.raises(msgspec.DecodeError):
            child.receive(theirs.makefile("rb"))
