"""The web server that remote videos are read from."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wildgate_perf.range_server import RangeServer, range_server

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "video.mp4").write_bytes(CONTENT)
    (tmp_path / "secret.txt").write_bytes(b"secret")
    with range_server(tmp_path / "videos") as server:
        yield server


def asked(web: RangeServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_file_comes_whole_or_in_part(web: RangeServer) -> None:
    assert asked(web, "/video.mp4")[::2] == (200, CONTENT)
    status, headers, body = asked(web, "/video.mp4", Range="bytes=1000-1999")
    assert (status, body) == (206, CONTENT[1000:2000])
    assert headers["Content-Range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert "ETag" in headers
    assert asked(web, "/video.mp4", "HEAD")[1]["Content-Length"] == str(len(CONTENT))


def test_what_was_sent_is_counted(web: RangeServer) -> None:
    asked(web, "/video.mp4", Range="bytes=0-99")
    asked(web, "/video.mp4", Range="bytes=-10")
    assert (web.requests, web.body_bytes) == (2, 110)
    web.reset()
    asked(web, "/video.mp4", Range="bytes=5-5")
    assert (web.requests, web.body_bytes) == (1, 1)


@pytest.mark.parametrize("path", ["/other.mp4", "/../secret.txt", "/%2e%2e/secret.txt"])
def test_nothing_outside_of_the_folder_is_served(web: RangeServer, path: str) -> None:
    assert asked(web, path)[0] == 404
