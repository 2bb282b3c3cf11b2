"""The protocol between the sandbox and its child: requests, replies and their framing.

The child sends one reply to each request. A request is two lengths, a msgpack header and the document's bytes; a reply
is one length and a msgpack body. Neither side unpickles anything: a hostile document may have taken over the child, so
msgspec checks the type of every field.
"""

import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec

from app.documents.limits import Limits
from app.documents.models import MediaType, OcrMode, Reading, Recognition

REQUEST_PREFIX = struct.Struct(">QQ")
"""Length of the header and length of the document after it, in bytes."""
REPLY_PREFIX = struct.Struct(">Q")
"""Length in bytes of the body."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first request: limits for the whole life of the child."""

    limits: Limits
    max_documents: int


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Request to read the document that follows."""

    password: str | None
    ocr: OcrMode


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Request to open the document that follows and keep it open for `Recognize` requests."""

    media_type: MediaType
    password: str | None


class Recognize(msgspec.Struct, frozen=True, tag="recognize"):
    """Request to recognise one page of the open document, by its number from 1."""

    number: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Request to close the open document."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Reply to `Begin`, `Open` and `Close`."""


class ReadingReply(msgspec.Struct, frozen=True, tag="reading"):
    """Reply to `Read`."""

    reading: Reading


class RecognitionReply(msgspec.Struct, frozen=True, tag="recognition"):
    """Reply to `Recognize`."""

    recognition: Recognition


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """Reply to a request that failed: the error's stable code and its message."""

    code: str
    message: str


Request = Begin | Read | Open | Recognize | Close
Reply = Done | ReadingReply | RecognitionReply | Failure
Success = TypeVar("Success", Done, ReadingReply, RecognitionReply)

encode = msgspec.msgpack.Encoder().encode
decode_request: Callable[[bytes | memoryview], Request] = msgspec.msgpack.Decoder(Request).decode
decode_reply: Callable[[bytes | memoryview], Reply] = msgspec.msgpack.Decoder(Reply).decode
