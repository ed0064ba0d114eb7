"""Requests cut apart as protobuf would have parsed them, whatever a client's encoder makes of them."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.received import Received, received_item, received_request

VIDEO = bytes(range(256)) * 300
REQUESTS = {
    "nothing": pb.ScoreRequest(),
    "content": pb.ScoreRequest(video_id="v", content=VIDEO, max_evidence_frames=3),
    "empty content": pb.ScoreRequest(video_id="v", content=b""),
    "content alone": pb.ScoreRequest(content=b"\x12\x00\xff"),
    "uri": pb.ScoreRequest(video_id="v", uri="s3://bucket/a", max_evidence_frames=-1),
    "digest": pb.ScoreRequest(video_id="v", content_digest="blake3:00"),
}


def whole(received: Received) -> pb.ScoreRequest:
    """The request put together again. Raises DecodeError where it was none."""
    if received.fault:
        raise DecodeError(received.fault.message)
    request = pb.ScoreRequest()
    request.CopyFrom(received.message)
    content = received.take_content()
    if request.WhichOneof("source") == "content":
        assert request.content == b""
        request.content = content
    else:
        assert content == b""
    return request


def length_delimited(number: int, payload: bytes) -> bytes:
    size, encoded = len(payload), b""
    while size > 0x7F:
        encoded += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((number << 3 | 2,)) + encoded + bytes((size,)) + payload


def by_score(data: bytes) -> pb.ScoreRequest:
    return whole(received_request(data))


def by_stream(data: bytes) -> pb.ScoreRequest:
    return whole(received_item(length_delimited(1, data)))


WAYS = pytest.mark.parametrize("cut", [by_score, by_stream])
Cut = Callable[[bytes], pb.ScoreRequest]


@WAYS
@pytest.mark.parametrize("name", REQUESTS)
def test_what_was_sent_is_what_was_received(cut: Cut, name: str) -> None:
    assert cut(REQUESTS[name].SerializeToString()) == REQUESTS[name]


@WAYS
@pytest.mark.parametrize("names", [("content", "uri"), ("uri", "content"), ("content", "digest", "content alone")])
def test_of_several_sources_the_last_one_counts(cut: Cut, names: tuple[str, ...]) -> None:
    data = b"".join(REQUESTS[name].SerializeToString() for name in names)
    assert cut(data) == pb.ScoreRequest.FromString(data)


@WAYS
def test_fields_of_a_newer_client_are_passed_over(cut: Cut) -> None:
    fields = (length_delimited(9, b"new"), b"\x50\x96\x01", b"\x59" + bytes(8), b"\x65" + bytes(4))
    group = b"\x6b\x08\x01\x6c"  # as protobuf's own languages no longer write them
    for name, newer in (("content", fields), ("uri", (*fields, group))):
        known = REQUESTS[name].SerializeToString()
        for data in (data for field in newer for data in (field + known, known + field)):
            received = cut(data)
            received.DiscardUnknownFields()
            assert received == REQUESTS[name]


@WAYS
def test_what_protobuf_refuses_is_refused(cut: Cut) -> None:
    good = REQUESTS["content"].SerializeToString()
    broken = [good[:-1], good + b"\x12\xff", good + b"\x12" + b"\xff" * 10 + b"\x01", b"\x00", b"\x0a\x01\xff", b"\x0f"]
    for data in broken:
        with pytest.raises(DecodeError):
            pb.ScoreRequest.FromString(data)
        with pytest.raises(DecodeError):
            cut(data)


@WAYS
def test_any_bytes_are_taken_as_protobuf_takes_them(cut: Cut) -> None:
    chance = random.Random(4)
    seeds = [request.SerializeToString()[:40] for request in REQUESTS.values()]
    accepted = 0
    for _ in range(5000):
        data = bytearray(b"".join(chance.choices(seeds, k=2)) or b"\x12")
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            expected = pb.ScoreRequest.FromString(bytes(data))
        except DecodeError:
            with pytest.raises(DecodeError):
                cut(bytes(data))
        else:
            assert cut(bytes(data)) == expected
            accepted += 1
    assert accepted > 500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        length_delimited(9, b"new"),
        length_delimited(1, b"") * 2,
        length_delimited(1, REQUESTS["uri"].SerializeToString()) + length_delimited(1, b"\x12\x03abc"),
        length_delimited(9, b"new") + length_delimited(1, REQUESTS["content"].SerializeToString()),
    ],
)
def test_a_stream_s_message_is_merged_as_protobuf_does(data: bytes) -> None:
    assert whole(received_item(data)) == pb.ScoreStreamRequest.FromString(data).request


@WAYS
@pytest.mark.parametrize("count", [63, 64, 65, 200])
def test_more_fields_than_any_request_has(cut: Cut, count: int) -> None:
    for data in (REQUESTS["uri"].SerializeToString() + b"\x20\x07" * count, b"\x20\x00" * count + b"\x12\x01v"):
        assert cut(data) == pb.ScoreRequest.FromString(data)


class Counted(bytes):
    """Counts how often one of its bytes is looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += isinstance(place, int)
        return super().__getitem__(place)


@pytest.mark.parametrize(
    "besides",
    [
        b"\x20\x00" * (1 << 20),
        length_delimited(15, bytes(4 << 20)),
        length_delimited(3, b"h" * (4 << 20)),
        REQUESTS["content"].SerializeToString() + length_delimited(1, b"v" * (1 << 20)),
        REQUESTS["content"].SerializeToString() + b"\x20\x00" * 65,
    ],
)
def test_megabytes_besides_the_content_are_neither_walked_through_nor_parsed(besides: bytes) -> None:
    """The event loop would stand still for seconds: in Python's loop, in IDNA, or in realpath."""
    for receive, sent in ((received_request, besides), (received_item, length_delimited(1, besides))):
        counted = Counted(sent)
        received = receive(counted)
        assert received.fault
        assert "besides its content" in received.fault.message
        assert received.message == pb.ScoreRequest()
        assert 0 < counted.looks < 1000


@pytest.mark.parametrize(("name", "most"), [("uri", 2048), ("video_id", 256), ("content_digest", 128)])
def test_a_field_that_is_too_long_is_named_and_left_out(name: str, most: int) -> None:
    for text, taken in (("ü" * (most // 2), True), ("ü" * (most // 2) + "x", False)):
        data = pb.ScoreRequest(**{"video_id": "v", name: text}).SerializeToString()
        for request in (received_request(data), received_item(length_delimited(1, data))):
            assert getattr(request.message, name) == (text if taken else "")
            assert (request.fault and request.fault.field) == (None if taken else name)
            assert request.message.video_id or name == "video_id", "an item of a stream is told by it"


def test_the_message_is_light_and_the_content_is_given_away() -> None:
    data = REQUESTS["content"].SerializeToString()
    for request in (received_request(data), received_item(length_delimited(1, data))):
        assert request.size == len(data)
        assert request.message.ByteSize() < 20
        assert [request.take_content(), request.take_content()] == [VIDEO, b""]


def test_holding_a_request_without_its_content_holds_no_video() -> None:
    data = pb.ScoreRequest(content=bytes(8 << 20)).SerializeToString()
    before = resident_mb()
    held = []
    for _ in range(40):
        held.append(received_request(data))
        held[-1].take_content()
    assert resident_mb() - before < 100, "40 times 8 MB would be 320"


def resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20
