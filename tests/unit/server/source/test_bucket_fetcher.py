"""Reading from buckets, through obstore, from a server that answers as theirs do."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import unquote

import pytest
from media_host import Handler, MediaHost, serving

from wildgate_server.errors import FetchFailed, InvalidRequest, UriNotFound, VideoTooLarge
from wildgate_server.source.bucket_fetcher import BucketFetcher, store_of
from wildgate_server.source.byte_source import ByteRange, ReadingBounds
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import BucketUri

CONTENT = os.urandom(100_000)
SPANS = [ByteRange(10_000, 11_000), ByteRange(50_000, 60_000)]
CONFIG = FetchConfig(timeout_s=10.0, stall_s=2.0, bounds=ReadingBounds(1000, 100, 20))
LAST_MODIFIED = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}


def at(uri: str, config: FetchConfig = CONFIG) -> RemoteObject:
    return RemoteObject(BucketUri.parsed(uri), config)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MediaHost]:
    def answer(number: int, handler: Handler) -> bool:
        if handler.headers.get("If-Match") not in (None, handler.host.etag):
            handler.say(412, b"")
        elif "none" in handler.path:
            handler.say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            handler.answer(**LAST_MODIFIED)
        return True

    store_of.cache_clear()
    with serving(MediaHost(CONTENT, misbehave=answer)) as host:
        url = f"http://127.0.0.1:{host.port}"
        aws = {"ENDPOINT_URL": url, "ALLOW_HTTP": "true", "REGION": "x", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}
        google = {"BASE_URL": url, "ALLOW_HTTP": "true", "SKIP_SIGNATURE": "true"}
        for cloud, variables in (("AWS", aws), ("GOOGLE", google)):
            for name, value in variables.items():
                monkeypatch.setenv(f"{cloud}_{name}", value)
        yield host
    store_of.cache_clear()


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_object_is_read_in_parts(scheme: str, bucket: MediaHost) -> None:
    with at(f"{scheme}://videos/some/video 1.mp4").opened(1 << 20) as source:
        assert source.size == len(CONTENT)
        assert [bytes(content) for content in source.read(SPANS)] == [CONTENT[span.start : span.end] for span in SPANS]
        assert (source.read_bytes, source.read_requests) == (12_000, 3)
    assert sorted(bucket.ranges) == ["bytes=0-999", "bytes=10000-10999", "bytes=50000-59999"]
    assert {unquote(path) for path, _ in bucket.asked} == {"/videos/some/video 1.mp4"}


@pytest.mark.parametrize("scheme", ["s3", "gs"])
@pytest.mark.parametrize("key", ["a?b=c", "a#b", "100%.mp4", "a%20b", "a%2Fb", "a;b&c=d+e", "a\\b", "é/ü"])
def test_a_key_is_taken_as_it_is_written(key: str, scheme: str, bucket: MediaHost) -> None:
    with at(f"{scheme}://videos/{key}").opened(1 << 20):
        pass
    assert [unquote(path) for path, _ in bucket.asked] == [f"/videos/{key}"]


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "../a", "a/./b", "a\tb", "a\x7fb", "", "/"])
def test_a_key_that_cannot_be_asked_for(key: str, bucket: MediaHost) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        at(f"s3://videos/{key}")
    assert refusal.value.field == "uri"
    assert not bucket.asked


def test_a_key_that_obstore_refuses_is_not_tried_again(bucket: MediaHost) -> None:
    fetcher = BucketFetcher(BucketUri("s3://videos/a//b", "s3", "videos", "a//b"), CONFIG)
    with pytest.raises(InvalidRequest, match="key"):
        fetcher.beginning(10, 1 << 20)


def test_bytes_that_drip_end_in_time(bucket: MediaHost) -> None:
    """Each byte comes before the request counts as stalled; all of them would take hours."""
    gone = threading.Event()

    def drip(number: int, handler: Handler) -> bool:
        handler.send_response(206)
        fields = {"Content-Range": "bytes 0-999/100000", "Content-Length": "1000", "ETag": '"1"', **LAST_MODIFIED}
        for name, value in fields.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            gone.set()
        return True

    bucket.misbehave = drip
    with (
        pytest.raises(FetchFailed, match=r"longer than 0\.5 s"),
        at("s3://videos/video", replace(CONFIG, timeout_s=0.5)).opened(1 << 20),
    ):
        pass
    assert gone.wait(10), "the request was ended"


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_object_that_does_not_exist(scheme: str, bucket: MediaHost) -> None:
    with pytest.raises(UriNotFound), at(f"{scheme}://videos/none").opened(1 << 20):
        pass


def test_an_object_past_the_limit_is_not_read(bucket: MediaHost) -> None:
    with pytest.raises(VideoTooLarge), at("s3://videos/video").opened(1000):
        pass
    assert len(bucket.asked) == 1


@pytest.mark.parametrize("change", [b"more", b""])
def test_an_object_that_changes_meanwhile_is_read_whole_and_compared(bucket: MediaHost, change: bytes) -> None:
    with at("s3://videos/video").opened(1 << 20) as source:
        bucket.etag = '"2"'
        bucket.content = CONTENT + change
        if change:
            with pytest.raises(FetchFailed, match="changed"):
                source.read(SPANS)
        else:
            assert [bytes(part) for part in source.read(SPANS)] == [CONTENT[span.start : span.end] for span in SPANS]
    assert None in bucket.ranges  # a range that was asked for at the same time may come after it


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_an_object_that_is_kept_encoded(scheme: str, bucket: MediaHost) -> None:
    bucket.content = gzip.compress(CONTENT)
    bucket.misbehave = lambda number, handler: handler.answer(**LAST_MODIFIED, Content_Encoding="gzip") or True
    with at(f"{scheme}://videos/video").opened(1 << 20) as source:
        assert source.content == CONTENT


def test_an_error_that_passes_is_tried_again(bucket: MediaHost) -> None:
    answer = bucket.misbehave

    def once(number: int, handler: Handler) -> bool:
        if number:
            return answer(number, handler)
        handler.say(503, b"<Error><Code>SlowDown</Code></Error>")
        return True

    bucket.misbehave = once
    with at("s3://videos/video").opened(1 << 20) as source:
        assert bytes(source.read(SPANS)[0]) == CONTENT[10_000:11_000]


def test_credentials_that_are_refused(bucket: MediaHost) -> None:
    bucket.misbehave = lambda number, handler: handler.say(403, b"<Error><Code>AccessDenied</Code></Error>") or True
    with pytest.raises(UriNotFound, match="credentials"), at("s3://videos/video").opened(1 << 20):
        pass
    assert len(bucket.asked) == 1


def to_ranges(answer: Callable[[Handler], None]) -> Callable[[int, Handler], bool]:
    def misbehave(number: int, handler: Handler) -> bool:
        answer(handler) if "Range" in handler.headers else handler.answer(**LAST_MODIFIED)
        return True

    return misbehave


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.say(200, CONTENT, ETag='"1"', **LAST_MODIFIED),
        lambda handler: handler.say(400, b"no"),
        lambda handler: handler.say(416, b"no"),
        lambda handler: handler.answer(Content_Range=None, **LAST_MODIFIED),
        lambda handler: handler.answer(Content_Range="bytes 0-999/*", **LAST_MODIFIED),
        lambda handler: handler.answer(Content_Range="bytes 5-1004/100000", **LAST_MODIFIED),
    ],
    ids=["200", "400", "416", "no place", "no size", "another place"],
)
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_bucket_without_ranges_is_asked_for_the_whole_object(
    answer: Callable[[Handler], None], scheme: str, bucket: MediaHost
) -> None:
    bucket.misbehave = to_ranges(answer)
    with at(f"{scheme}://videos/video").opened(1 << 20) as source:
        assert source.content == CONTENT
    assert bucket.ranges == ["bytes=0-999", None]


@pytest.mark.parametrize("status", [400, 405, 410, 451])
def test_a_refusal_of_a_bucket_is_final(status: int, bucket: MediaHost) -> None:
    bucket.misbehave = lambda number, handler: handler.say(status, b"<Error/>") or True
    with pytest.raises(UriNotFound) as refusal, at("s3://videos/video").opened(1 << 20):
        pass
    assert refusal.value.metadata == {"http_status": str(status)}
    assert len(bucket.asked) == (2 if status == 400 else 1)
