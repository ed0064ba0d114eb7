"""Which sources are read: content as it is, files below the roots and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.errors import InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge, WildgateError
from wildgate_server.settings import SourceSettings
from wildgate_server.sources import Sources


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


def resolved(sources: Sources, uri: str) -> bytes | Path:
    return sources.resolve(pb.ScoreRequest(uri=uri))


def test_content_is_passed_on(sources: Sources) -> None:
    assert sources.resolve(pb.ScoreRequest(content=b"x" * 100)) == b"x" * 100


def test_content_past_the_limit(sources: Sources) -> None:
    with pytest.raises(VideoTooLarge) as refusal:
        sources.resolve(pb.ScoreRequest(content=b"x" * 101))
    assert refusal.value.metadata == {"limit": "max_bytes", "max": "100", "value": "101"}


@pytest.mark.parametrize(
    ("request_", "field"), [(pb.ScoreRequest(), "source"), (pb.ScoreRequest(content=b""), "content")]
)
def test_no_source(sources: Sources, request_: pb.ScoreRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        sources.resolve(request_)
    assert refusal.value.field == field


@pytest.mark.parametrize("prefix", ["file://", "file://localhost", "FILE://", "file:"])
def test_a_file_below_a_root(sources: Sources, root: Path, prefix: str) -> None:
    assert resolved(sources, f"{prefix}{root}/a.mp4") == root / "a.mp4"


def test_a_name_that_needs_quoting(sources: Sources, root: Path) -> None:
    assert resolved(sources, f"file://{quote(str(root))}/sub/b%20c%2520.mp4") == root / "sub" / "b c%20.mp4"


def test_a_way_round_that_ends_below_a_root(sources: Sources, root: Path) -> None:
    assert resolved(sources, f"file://{root}/sub/../a.mp4") == root / "a.mp4"


def test_a_root_may_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    linked = Sources(SourceSettings(file_roots=(tmp_path / "link",)))
    assert resolved(linked, f"file://{tmp_path}/link/a.mp4") == root / "a.mp4"


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
        resolved(sources, "file://" + path.format(root=root, outside=root.parent))
    assert "secret" not in refusal.value.message
    assert refusal.value.field == "uri"


def test_a_symbolic_link_out_of_the_root_is_followed_before_the_check(sources: Sources, root: Path) -> None:
    (root / "link.mp4").symlink_to(root.parent / "secret.mp4")
    (root / "up").symlink_to(root.parent)
    for uri in (f"file://{root}/link.mp4", f"file://{root}/up/secret.mp4"):
        with pytest.raises(UriNotAllowed):
            resolved(sources, uri)


def test_no_file_there(sources: Sources, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to(root / "loop")
    for name in ("none.mp4", "sub", "pipe", "a.mp4/x", "loop", "x" * 300):
        with pytest.raises(UriNotFound):
            resolved(sources, f"file://{root}/{name}")


@pytest.mark.parametrize(
    "uri",
    ["http://host/a.mp4", "https://host/a", "s3://b/k", "gs://b/k", "data:,x", "ftp://h/a", "a.mp4", "/a.mp4", ""],
)
def test_other_schemes_are_not_allowed(sources: Sources, uri: str) -> None:
    with pytest.raises(UriNotAllowed) as refusal:
        resolved(sources, uri)
    assert refusal.value.metadata["scheme"] == (uri.split(":")[0] if ":" in uri else "")


@pytest.mark.parametrize("uri", ["file://host/a.mp4", "file://[::1/a", "file:///a%00.mp4", "file://user@localhost/a"])
def test_a_malformed_uri(sources: Sources, uri: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        resolved(sources, uri)
    assert refusal.value.field == "uri"


def test_without_roots_file_uris_are_off(root: Path) -> None:
    with pytest.raises(UriNotAllowed, match="turned off"):
        resolved(Sources(SourceSettings()), f"file://{root}/a.mp4")


@pytest.mark.parametrize(
    "uri", ["file:///\ufffd", "file:///%ff%fe", "file:///" + "a/" * 3000, "file:////a", "file:///~"]
)
def test_odd_uris_are_refused_as_any_other(sources: Sources, uri: str) -> None:
    with pytest.raises(WildgateError):
        resolved(sources, uri)
