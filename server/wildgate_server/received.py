"""Requests as they come in, with the video apart from its message: copied once, and let go of as soon as possible.

A parsed protobuf message holds its content until the message itself goes, whatever fields are cleared, and gRPC holds
the message for as long as the call lasts; each look at the content is one more copy. So the content is cut out of the
encoded message before the rest is parsed. The rest is small, or it is not parsed: a URI of 4 MB, or millions of unknown
fields, must not cost more than looking at their length.

Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.errors import InvalidRequest

__all__ = ["Received", "received_item", "received_request"]

_CONTENT = pb.ScoreRequest.CONTENT_FIELD_NUMBER
_REQUEST = pb.ScoreStreamRequest.REQUEST_FIELD_NUMBER
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_NO_CONTENT = bytes((_CONTENT << 3 | _LENGTH, 0))
_MAX_FIELDS = 64  # a request has eight; millions of them, walked through here, would hold up the event loop
_MAX_BESIDES = 8 << 10  # bytes besides the content
_MAX_BYTES = {"uri": 2048, "video_id": 256, "content_digest": 128}


@dataclass(slots=True)
class Received:
    """A request of `size` bytes; `message` is all of it but the content, whose place is taken by an empty one.

    `fault` is what is wrong with it as it was sent: it is no request, or a field is too long, and then `message` lacks
    that field, or all. Raising it while gRPC still decodes would end the call, or the stream with all its other
    videos, as UNKNOWN.
    """

    message: pb.ScoreRequest
    size: int
    _content: bytes = b""
    fault: InvalidRequest | None = None

    def take_content(self) -> bytes:
        """The content, which is not held here any more."""
        content, self._content = self._content, b""
        return content


def received_request(data: bytes) -> Received:
    """An encoded `ScoreRequest`."""
    return _received(data, lambda: _cut(data, 0, len(data)))


def received_item(data: bytes) -> Received:
    """The request in an encoded `ScoreStreamRequest`."""
    return _received(data, lambda: _cut_item(data))


def _received(data: bytes, cut: Callable[[], Received]) -> Received:
    try:
        received = cut()
    except DecodeError:
        malformed = InvalidRequest("the message is not an encoded ScoreRequest")
        return Received(pb.ScoreRequest(), len(data), fault=malformed)
    except InvalidRequest as fault:
        return Received(pb.ScoreRequest(), len(data), fault=fault)
    for name, most in _MAX_BYTES.items():
        if (length := len(getattr(received.message, name).encode())) > most:
            received.fault = InvalidRequest(f"{name} has {length} bytes, at most {most} are taken", field=name)
            received.message.ClearField(name)
    return received


def _cut_item(data: bytes) -> Received:
    try:
        fields = list(_fields(data, 0, len(data)))
    except (ValueError, LookupError):
        fields = []
    requests = [
        (start, end) for number, wire_type, _, start, end in fields if (number, wire_type) == (_REQUEST, _LENGTH)
    ]
    if len(requests) == 1:
        [(start, end)] = requests
        _check_besides(len(data) - (end - start))
        return _cut(data, start, end)
    # Nothing, or more than is known here: left to protobuf, which merges repeated fields.
    _check_besides(len(data))
    whole = pb.ScoreStreamRequest.FromString(data).request.SerializeToString()
    return _cut(whole, 0, len(whole))


def _cut(data: bytes, start: int, end: int) -> Received:
    """Raises DecodeError where there is no `ScoreRequest` between two places, InvalidRequest where it has too much."""
    rest: list[bytes] = []
    content = (0, 0)
    besides, kept_from = end - start, start
    try:
        for number, wire_type, field, payload, field_end in _fields(data, start, end):
            if (number, wire_type) == (_CONTENT, _LENGTH):
                rest += (data[kept_from:field], _NO_CONTENT)
                content, kept_from = (payload, field_end), field_end
                besides -= field_end - payload
    except (ValueError, LookupError):  # nothing that is walked through here; protobuf's parser has the last word
        _check_besides(end - start)
        message = pb.ScoreRequest.FromString(data[start:end])
        whole = message.content
        if message.WhichOneof("source") == "content":
            message.content = b""
        return Received(message, end - start, whole)
    _check_besides(besides)
    rest.append(data[kept_from:end])
    message = pb.ScoreRequest.FromString(b"".join(rest))
    if message.WhichOneof("source") != "content":  # another source came after it
        content = (0, 0)
    return Received(message, end - start, data[slice(*content)])


def _check_besides(size: int) -> None:
    if size > _MAX_BESIDES:
        raise InvalidRequest(
            f"the message has more than {_MAX_BESIDES} bytes besides its content, or more fields than any request has"
        )


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, start, start of the payload and end of each field between two places.

    Raises ValueError or LookupError where they are not encoded as they should be, or as groups, or where there are more
    than any request has.
    """
    at = start
    for _ in range(_MAX_FIELDS):
        if at >= end:
            return
        field = at
        tag, at = _varint(data, at)
        wire_type = tag & 7
        payload = at
        if wire_type == _LENGTH:
            length, payload = _varint(data, at)
            at = payload + length
        elif wire_type == _VARINT:
            _, at = _varint(data, at)
        else:
            at += _FIXED_BYTES[wire_type]
        if at > end:
            raise ValueError("a field reaches beyond its message")
        yield tag >> 3, wire_type, field, payload, at
    if at < end:
        raise ValueError(f"more than {_MAX_FIELDS} fields")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without an end")
