"""The sandbox's child: `python -I -m app.sandbox.child SOCKET PARENT`, started by `app.sandbox.sandbox`."""

import gc
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
from PIL import Image

from app.documents.limits import Limits
from app.documents.ocr import OcrUnavailableError, Recognizer
from app.documents.reading import read
from app.errors import PermanentError, ResourceLimitError, SandboxError
from app.sandbox import wire
from app.sandbox.confine import confine, die_with_parent, grant_cpu

_SMALL_BYTES = 1024 * 1024


def receive(channel: socket.socket) -> tuple[wire.Request, bytes] | None:
    """Wait for the next request and its document; None when the parent has hung up.

    Raises:
        msgspec.DecodeError: of a request that is none.
    """
    prefix = _receive_exactly(channel, wire.REQUEST_PREFIX.size)
    if prefix is None:
        return None
    header_size, document_size = wire.REQUEST_PREFIX.unpack(prefix)
    header = _receive_exactly(channel, header_size)
    document = _receive_exactly(channel, document_size)
    if header is None or document is None:
        return None
    return wire.decode_request(header), document


def _receive_exactly(channel: socket.socket, size: int) -> bytes | None:
    """Receive `size` bytes; None when they end before."""
    if size == 0:
        return b""
    data = channel.recv(size, socket.MSG_WAITALL)
    if len(data) == size:
        return data
    # A signal, or a system whose MSG_WAITALL gives less: go on by hand.
    parts = [data]
    missing = size - len(data)
    while missing and parts[-1]:
        parts.append(channel.recv(min(missing, _SMALL_BYTES)))
        missing -= len(parts[-1])
    return None if missing else b"".join(parts)


class Servant:
    """Answers requests; holds the document that is kept open between them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = ExitStack()
        self._recognizer: Recognizer | None = None

    def answer(self, request: wire.Request, document: bytes) -> wire.Reply:
        """Do what is asked; every error becomes a `Failure`."""
        try:
            return self._do(request, document)
        except PermanentError as error:
            return wire.Failure(error.code, error.message)
        except OcrUnavailableError as error:
            return wire.Failure(SandboxError.code, error.message)
        except MemoryError:
            return wire.Failure(ResourceLimitError.code, out_of_memory(self._limits))
        except Exception as error:  # noqa: BLE001,RUF100  # whatever hostile bytes provoke must travel as an answer
            return wire.Failure(type(error).__name__, str(error))

    def _do(self, request: wire.Request, document: bytes) -> wire.Reply:
        if isinstance(request, wire.Read):
            return wire.ReadingReply(
                read(document, limits=self._limits, password=request.password, ocr=request.ocr)
            )
        if isinstance(request, wire.Recognize):
            if self._recognizer is None:
                raise ValueError("no document is open")
            return wire.RecognitionReply(self._recognizer.page(request.number))
        self._recognizer = None
        self._kept.close()
        if isinstance(request, wire.Open):
            recognizer = Recognizer(
                document, media_type=request.media_type, limits=self._limits, password=request.password
            )
            self._recognizer = self._kept.enter_context(recognizer)
        return wire.Done()


def out_of_memory(limits: Limits) -> str:
    """The sentence for a document that met the memory limit."""
    return (
        f"The document needs more memory than the {limits.memory_bytes // 2**20} MiB it is allowed: simplify it, "
        "or raise FLEET_SANDBOX_MEMORY_BYTES."
    )


def frame(reply: wire.Reply, *, limits: Limits) -> bytes:
    """Return the reply as it is sent; one beyond `limits.output_bytes` is replaced by that failure."""
    body = wire.encode(reply)
    if len(body) > limits.output_bytes:
        message = (
            f"What was read from the document has {len(body)} bytes, and {limits.output_bytes} are allowed: "
            "split it, or raise FLEET_SANDBOX_OUTPUT_BYTES."
        )
        body = wire.encode(wire.Failure(ResourceLimitError.code, message))
    return wire.REPLY_PREFIX.pack(len(body)) + body


def serve(
    channel: socket.socket, *, prepare: Callable[[wire.Begin], None], grant: Callable[[int], None]
) -> None:
    """Answer requests until the parent hangs up.

    Args:
        channel: The connection to the parent.
        prepare: Called with the first request; confines the process.
        grant: Called before each request with the CPU seconds that it may take.
    """
    first = receive(channel)
    if first is None or not isinstance(first[0], wire.Begin):
        return
    limits = first[0].limits
    prepare(first[0])
    channel.sendall(frame(wire.Done(), limits=limits))
    servant = Servant(limits)
    while (asked := receive(channel)) is not None:
        grant(limits.cpu_seconds)
        channel.sendall(frame(servant.answer(*asked), limits=limits))


def _prepare(begin: wire.Begin) -> None:
    # Nearly every document gets a thumbnail: what that needs is loaded while the parent is still starting too.
    Image.preinit()
    confine(begin.limits, max_documents=begin.max_documents)
    # Complaints of C libraries about documents go nowhere; until here stderr told the parent why a start failed.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    gc.freeze()  # what is imported lives as long as the process


def main() -> int:
    """Run the child; the arguments are the socket's descriptor and the parent's process id, or 0."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(sys.stdin.fileno(), parent=parent or None)
    with socket.socket(fileno=descriptor) as channel:
        try:
            serve(channel, prepare=_prepare, grant=grant_cpu)
        except (OSError, msgspec.DecodeError):
            return 1  # the parent is gone or talks nonsense
    return 0


if __name__ == "__main__":
    sys.exit(main())
