"""The web server that remote videos are read from."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wildgate_perf.range_server import RangeServer, byte_range, range_server

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "video.mp4").write_bytes(CONTENT)
    with range_server(tmp_path) as server:
        yield server


def asked(web: RangeServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_file_comes_whole_or_in_part(web: RangeServer) -> None:
    assert asked(web, "/video.mp4")[::2] == (200, CONTENT)
    status, headers, body = asked(web, "/video.mp4", Range="bytes=1000-1999")
    assert (status, body) == (206, CONTENT[1000:2000])
    assert headers["Content-Range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert asked(web, "/video.mp4", Range="bytes=-10")[2] == CONTENT[-10:]
    status, headers, body = asked(web, "/video.mp4", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(CONTENT)), b"")


def test_what_was_sent_is_counted(web: RangeServer) -> None:
    asked(web, "/video.mp4", Range="bytes=0-99")
    asked(web, "/video.mp4", "HEAD")
    before = web.served.reset()
    assert (before.requests, before.body_bytes) == (2, 100)
    asked(web, "/video.mp4", Range="bytes=5-5")
    assert (web.served.requests, web.served.body_bytes) == (1, 1)


def test_what_is_not_there_is_refused(web: RangeServer) -> None:
    assert asked(web, "/other.mp4")[0] == 404
    assert asked(web, "/../video.mp4")[0] == 200  # only names count: nothing outside of the folder can be asked for
    status, headers, _ = asked(web, "/video.mp4", Range=f"bytes={len(CONTENT)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=90-", (90, 99)),
        ("bytes=90-1000", (90, 99)),
        ("bytes=-1000", (0, 99)),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("pages=0-1", None),
    ],
)
def test_ranges(header: str | None, wanted: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=5-4", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        byte_range(header, 100)
