"""Which sources are read: content as it is, files below the roots and nothing else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from urllib.parse import quote

import pytest

from wildgate_server.errors import InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge, WildgateError
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.local_file import RootedFile
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.source_settings import SourceSettings
from wildgate_server.source.sources import Sources


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    (root / "sub").mkdir(parents=True)
    (root / "a.mp4").write_bytes(b"video")
    (root / "sub" / "b c%20.mp4").write_bytes(b"video")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "videos-of-others").mkdir()
    (tmp_path / "videos-of-others" / "c.mp4").write_bytes(b"secret")
    return root


@pytest.fixture
def sources(root: Path) -> Sources:
    return Sources(SourceSettings(file_roots=(root,), max_bytes=100))


def test_content_past_the_limit(sources: Sources) -> None:
    with pytest.raises(VideoTooLarge) as refusal:
        sources.of_content(b"x" * 101)
    assert refusal.value.metadata == {"limit": "max_bytes", "max": "100", "value": "101"}


def test_empty_content_is_refused(sources: Sources) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        sources.of_content(b"")
    assert refusal.value.field == "content"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        *((f"{prefix}{{root}}/a.mp4", "a.mp4") for prefix in ("file://", "file://localhost", "FILE://", "file:")),
        ("file://{root}/sub/../a.mp4", "a.mp4"),
        ("file://{root}/sub/b%20c%2520.mp4", "sub/b c%20.mp4"),
    ],
)
def test_a_file_below_a_root(sources: Sources, root: Path, uri: str, file: str) -> None:
    assert sources.of_uri(uri.format(root=quote(str(root)))) == RootedFile(root, file)


def test_a_root_may_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    linked = Sources(SourceSettings(file_roots=(tmp_path / "link",)))
    assert linked.of_uri(f"file://{tmp_path}/link/a.mp4") == RootedFile(root, "a.mp4")


@pytest.mark.parametrize(
    "path",
    [
        "{outside}/secret.mp4",
        "{root}/../secret.mp4",
        "{root}/sub/../../secret.mp4",
        "{root}/%2e%2e/secret.mp4",
        "{root}/..%2fsecret.mp4",
        "{root}%2F%2E%2E%2Fsecret.mp4",
        "{outside}/videos-of-others/c.mp4",
        "{root}/../none.mp4",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "",
        "/",
    ],
)
def test_outside_of_the_roots_nothing_is_read_or_told(sources: Sources, root: Path, path: str) -> None:
    with pytest.raises(UriNotAllowed) as refusal:
        sources.of_uri("file://" + path.format(root=root, outside=root.parent))
    assert "secret" not in refusal.value.message
    assert refusal.value.field == "uri"


def test_a_symbolic_link_out_of_the_root_is_not_followed(sources: Sources, root: Path) -> None:
    (root / "link.mp4").symlink_to(root.parent / "secret.mp4")
    (root / "up").symlink_to("..")
    for uri in (f"file://{root}/link.mp4", f"file://{root}/up/secret.mp4"):
        with pytest.raises(UriNotAllowed) as refusal, sources.of_uri(uri).opened(100):
            pass
        assert "secret" not in refusal.value.message


def test_a_symbolic_link_within_the_root_is(sources: Sources, root: Path) -> None:
    (root / "link").symlink_to("sub")
    (root / "sub" / "up.mp4").symlink_to("../a.mp4")
    with sources.of_uri(f"file://{root}/link/up.mp4").opened(100) as source:
        assert source.size == len(b"video")


def test_no_file_there(sources: Sources, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    for name in ("none.mp4", "sub", "pipe", "a.mp4/x", "loop", "x" * 300):
        with pytest.raises(UriNotFound), sources.of_uri(f"file://{root}/{name}").opened(100):
            pass


def test_nothing_is_looked_at_where_the_uri_is_parsed(tmp_path: Path) -> None:
    """The event loop does that, and a disk may be away."""
    sources = Sources(SourceSettings(file_roots=(tmp_path / "gone",)))
    assert sources.of_uri(f"file://{tmp_path}/gone/none.mp4") == RootedFile(tmp_path / "gone", "none.mp4")


@pytest.mark.parametrize("uri", ["data:,x", "ftp://h/a", "concat:a|b", "a.mp4", "/a.mp4", ""])
def test_other_schemes_are_not_allowed(sources: Sources, uri: str) -> None:
    with pytest.raises(UriNotAllowed) as refusal:
        sources.of_uri(uri)
    assert refusal.value.metadata["scheme"] == (uri.split(":")[0] if ":" in uri else "")


@pytest.mark.parametrize(
    "uri", ["http://host/a.mp4", "HTTPS://Host:443/a?b=c#d", "http://93.184.215.14/", "https://[2606:4700::1]/a"]
)
def test_what_lies_on_a_host_is_read_later(sources: Sources, uri: str) -> None:
    place = sources.of_uri(uri)
    assert isinstance(place, RemoteObject)
    assert place.key == uri
    assert pickle.loads(pickle.dumps(place)) == place, "it goes to a worker"


def test_schemes_can_be_turned_off() -> None:
    secure = Sources(SourceSettings(schemes=("https",)))
    assert secure.of_uri("https://host/a")
    with pytest.raises(UriNotAllowed, match="scheme 'http'"):
        secure.of_uri("http://host/a")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1:80", "169.254.169.254", "[::1]", "[fe80::1]", "[::ffff:10.0.0.1]"]
)
def test_an_address_that_is_not_public_is_refused_at_the_door(sources: Sources, host: str) -> None:
    with pytest.raises(UriNotAllowed, match="not public"):
        sources.of_uri(f"http://{host}/a")


@pytest.mark.parametrize(
    "uri",
    [
        *("http:///a", "http://user@host/a", "http://u:p@host/", "http://host:99999/", "http://[/"),
        *("file://host/a.mp4", "file://[::1/a", "file:///a%00.mp4", "file://user@localhost/a"),
    ],
)
def test_a_malformed_uri(sources: Sources, uri: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        sources.of_uri(uri)
    assert refusal.value.field == "uri"


@pytest.mark.parametrize("uri", ["s3://videos/a/b.mp4", "gs://films/c.mp4"])
def test_buckets_are_read_where_they_are_listed(uri: str) -> None:
    listed = Sources(SourceSettings(buckets=("s3://videos", "gs://films")))
    assert isinstance(listed.of_uri(uri), RemoteObject)
    with pytest.raises(UriNotAllowed, match="bucket"):
        Sources(SourceSettings()).of_uri(uri)
    for other in ("s3://films/c.mp4", "gs://videos/a", "s3://videos-of-others/a", "s3://videos@evil/a"):
        with pytest.raises(UriNotAllowed, match="bucket"):
            listed.of_uri(other)


def test_fetching_is_bounded_alike_with_and_without_settings() -> None:
    assert SourceSettings().fetching() == FetchConfig()


def test_a_bucket_alone_is_not_an_object() -> None:
    with pytest.raises(InvalidRequest, match="BUCKET/KEY"):
        Sources(SourceSettings(buckets=("s3://videos",))).of_uri("s3://videos/")


def test_without_roots_file_uris_are_off(root: Path) -> None:
    with pytest.raises(UriNotAllowed, match="turned off"):
        Sources(SourceSettings()).of_uri(f"file://{root}/a.mp4")


@pytest.mark.parametrize(
    "uri", ["file:///\ufffd", "file:///%ff%fe", "file:///" + "a/" * 3000, "file:////a", "file:///~"]
)
def test_odd_uris_are_refused_as_any_other(sources: Sources, uri: str) -> None:
    with pytest.raises(WildgateError):
        sources.of_uri(uri)


LONG = "a\n\x1b[31m" * 1000


@pytest.mark.parametrize(
    "uri",
    [
        LONG,
        f"{'a' * 8000}://host/",
        f"http://{'a' * 8000}/",
        f"http://{'é' * 8000}/",
        f"http://host:{'9' * 8000}/",
        f"http://[{'a' * 8000}]/",
        f"http://host/{LONG}",
        f"http://{LONG}/",
        f"http://a\u2100{'b' * 8000}/",
        f"s3://{'b' * 8000}/{LONG}",
        f"file:///{LONG}",
    ],
    ids=range(11),
)
def test_a_long_uri_is_refused_in_few_words(sources: Sources, uri: str) -> None:
    with pytest.raises(WildgateError) as refusal:
        sources.of_uri(uri)
    told = [refusal.value.message, *refusal.value.metadata.values()]
    assert all(len(text) <= 300 for text in told)
    assert all(text.isprintable() for text in told)
