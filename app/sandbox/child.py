"""The sandbox's child: `python -I -m app.sandbox.child SOCKET PARENT`, started by `app.sandbox.process`."""

import gc
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import BinaryIO

import msgspec
from PIL import Image

from app.documents.limits import Limits
from app.documents.ocr import OcrUnavailableError, Recognizer
from app.documents.reading import read
from app.errors import PermanentError, ResourceLimitError, SandboxError
from app.sandbox import wire
from app.sandbox.confine import confine, die_with_parent, grant_cpu


def receive(stream: BinaryIO) -> tuple[wire.Request, bytes] | None:
    """Return the next request and its document, or None after the parent has closed the connection.

    Raises:
        msgspec.DecodeError: the request is invalid.
    """
    prefix = stream.read(wire.REQUEST_PREFIX.size)
    if len(prefix) < wire.REQUEST_PREFIX.size:
        return None
    header_size, document_size = wire.REQUEST_PREFIX.unpack(prefix)
    header, document = stream.read(header_size), stream.read(document_size)
    if len(header) + len(document) < header_size + document_size:
        return None
    return wire.decode_request(header), document


class RequestHandler:
    """Handler of the parent's requests, with the document that stays open between them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open = ExitStack()
        self._recognizer: Recognizer | None = None

    def handle(self, request: wire.Request, document: bytes) -> wire.Reply:
        """Carry out a request and return the reply; every error becomes a `Failure`."""
        try:
            return self._reply(request, document)
        except PermanentError as error:
            return wire.Failure(error.code, error.message)
        except OcrUnavailableError as error:
            return wire.Failure(SandboxError.code, error.message)
        except MemoryError:
            allowed = self._limits.memory_bytes // 2**20
            message = (
                f"The document needs more than the allowed {allowed} MiB of memory: simplify it, "
                "or raise FLEET_SANDBOX_MEMORY_BYTES."
            )
            return wire.Failure(ResourceLimitError.code, message)
        except Exception as error:  # noqa: BLE001,RUF100  # a hostile document may provoke any error
            return wire.Failure(type(error).__name__, str(error))

    def _reply(self, request: wire.Request, document: bytes) -> wire.Reply:
        if isinstance(request, wire.Read):
            return wire.ReadingReply(
                read(document, limits=self._limits, password=request.password, ocr=request.ocr)
            )
        if isinstance(request, wire.Recognize):
            if self._recognizer is None:
                raise ValueError("no document is open")
            return wire.RecognitionReply(self._recognizer.page(request.number))
        self._recognizer = None
        self._open.close()
        if isinstance(request, wire.Open):
            recognizer = Recognizer(
                document, media_type=request.media_type, limits=self._limits, password=request.password
            )
            self._recognizer = self._open.enter_context(recognizer)
        return wire.Done()


def frame(reply: wire.Reply, *, limits: Limits) -> bytes:
    """Return the bytes of a reply; a `Failure` replaces a reply longer than `limits.output_bytes`."""
    body = wire.encode(reply)
    if len(body) > limits.output_bytes:
        message = (
            f"The results of the document have {len(body)} bytes; the limit is {limits.output_bytes}: "
            "split it, or raise FLEET_SANDBOX_OUTPUT_BYTES."
        )
        body = wire.encode(wire.Failure(ResourceLimitError.code, message))
    return wire.REPLY_PREFIX.pack(len(body)) + body


def serve(
    channel: socket.socket, *, prepare: Callable[[wire.Begin], None], grant: Callable[[int], None]
) -> None:
    """Reply to requests until the parent closes the connection.

    Args:
        channel: The connection to the parent.
        prepare: Called with the first request; confines the process.
        grant: Called before each further request with the CPU seconds that it may take.
    """
    with channel.makefile("rb") as stream:
        first = receive(stream)
        if first is None or not isinstance(first[0], wire.Begin):
            return
        limits = first[0].limits
        prepare(first[0])
        channel.sendall(frame(wire.Done(), limits=limits))
        handler = RequestHandler(limits)
        while (received := receive(stream)) is not None:
            grant(limits.cpu_seconds)
            channel.sendall(frame(handler.handle(*received), limits=limits))


def _prepare(begin: wire.Begin) -> None:
    Image.preinit()  # loads the JPEG plugin for thumbnails while the parent is starting too
    confine(begin.limits, max_documents=begin.max_documents)
    # From here on the messages of C libraries are dropped; before, stderr tells the parent why a start failed.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    gc.freeze()  # imported modules live as long as the process


def main() -> int:
    """Run the child and return its exit code; its arguments are the socket's descriptor and the parent's id or 0."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(sys.stdin.fileno(), parent=parent or None)
    with socket.socket(fileno=descriptor) as channel:
        try:
            serve(channel, prepare=_prepare, grant=grant_cpu)
        except (OSError, msgspec.DecodeError):
            return 1  # the parent is gone, or its request is invalid
    return 0


if __name__ == "__main__":
    sys.exit(main())
