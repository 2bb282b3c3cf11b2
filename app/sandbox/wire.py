"""What parent and child of the sandbox say to each other, and how it is framed.

The parent asks, the child answers once to each request. A request is two lengths, a msgpack header and the
document's bytes; an answer is one length and a msgpack body. Nothing is ever unpickled: after hostile bytes the
child is not to be trusted, and msgspec checks every field's type.
"""

import struct

import msgspec

from app.documents.limits import Limits
from app.documents.models import MediaType, OcrMode, Reading, Recognition

REQUEST_PREFIX = struct.Struct(">QQ")
"""Lengths in bytes of the header and of the document that follows it."""
REPLY_PREFIX = struct.Struct(">Q")
"""Length in bytes of the body."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """First request: the limits of this child's whole life."""

    limits: Limits
    max_documents: int


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Read the document that follows."""

    password: str | None
    ocr: OcrMode


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Keep the document that follows open, for the requests to recognise its pages."""

    media_type: MediaType
    password: str | None


class Recognize(msgspec.Struct, frozen=True, tag="recognize"):
    """Recognise one page (from 1) of the open document."""

    number: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Close the open document."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """`Begin`, `Open` or `Close` is done."""


class ReadingReply(msgspec.Struct, frozen=True, tag="reading"):
    """What reading gave."""

    reading: Reading


class RecognitionReply(msgspec.Struct, frozen=True, tag="recognition"):
    """What recognising gave."""

    recognition: Recognition


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The request ended in an error: its stable code and the sentence for a person."""

    code: str
    message: str


Request = Begin | Read | Open | Recognize | Close
Reply = Done | ReadingReply | RecognitionReply | Failure

encode = msgspec.msgpack.Encoder().encode
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
decode_request = _request_decoder.decode
decode_reply = _reply_decoder.decode
