"""Reading over HTTP from a real server that keeps to the rules, or does not."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from media_host import Handler, MediaHost, serving

from wildgate_server.errors import FetchFailed, UriNotAllowed, UriNotFound, VideoTooLarge, WildgateError
from wildgate_server.source import checked_network
from wildgate_server.source.byte_source import ByteRange, ReadingBounds
from wildgate_server.source.fetching import FetchConfig, TransientFailure
from wildgate_server.source.http_fetcher import HttpFetcher
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl

CONTENT = os.urandom(200_000)
MAX_BYTES = 1 << 20
CHUNKED = {"Transfer-Encoding": "chunked"}
SPANS = [ByteRange(50_000, 60_000), ByteRange(100_000, 110_000), ByteRange(190_000, 200_000)]
BOUNDS = ReadingBounds(step_bytes=1000, max_gap_bytes=100, max_requests=50)
HERE = FetchConfig(timeout_s=5.0, stall_s=1.0, bounds=BOUNDS, private_networks=(ip_network("127.0.0.0/8"),))


def at(uri: str, config: FetchConfig = HERE) -> RemoteObject:
    return RemoteObject(HttpUrl.parsed(uri), config)


def read_spans(uri: str, config: FetchConfig = HERE, max_bytes: int = MAX_BYTES) -> list[bytes]:
    with at(uri, config).opened(max_bytes) as source:
        assert source.size == len(CONTENT)
        return [bytes(content) for content in source.read(SPANS)]


def right(contents: list[bytes]) -> bool:
    return contents == [CONTENT[span.start : span.end] for span in SPANS]


def once(number: int, act: object) -> object:
    """Misbehaviour at one request only."""

    def misbehave(seen: int, handler: Handler) -> bool:
        if seen != number:
            return False
        act(handler)
        return True

    return misbehave


def refused(
    misbehave: object, error: type[WildgateError] = FetchFailed, match: str | None = None, config: FetchConfig = HERE
) -> tuple[WildgateError, int]:
    """How reading fails, and after how many requests."""
    with serving(MediaHost(CONTENT, misbehave=misbehave)) as host, pytest.raises(error, match=match) as failure:
        read_spans(host.uri, config)
    return failure.value, len(host.asked)


def test_only_what_is_asked_for_is_read() -> None:
    with serving(MediaHost(CONTENT)) as host, at(host.uri).opened(MAX_BYTES) as source:
        assert right([bytes(content) for content in source.read(SPANS)])
        assert (source.read_bytes, source.read_requests) == (31_000, 4)
        assert source.waited_s > 0
        assert source.content is None
        assert [bytes(content) for content in source.read([ByteRange(50_100, 50_200)])] == [CONTENT[50_100:50_200]]
    assert sorted(host.ranges) == ["bytes=0-999", "bytes=100000-109999", "bytes=190000-199999", "bytes=50000-59999"]
    assert host.connections <= 3, "the first is used again"


@pytest.mark.parametrize(("content", "serves_ranges"), [(b"short", True), (b"", False), (CONTENT, False)])
def test_a_file_shorter_than_a_step_or_without_ranges_takes_one_request(content: bytes, serves_ranges: bool) -> None:
    with serving(MediaHost(content, serves_ranges)) as host, at(host.uri).opened(MAX_BYTES) as source:
        assert source.size == len(content)
        assert bytes(source.read([ByteRange(0, len(content))])[0]) == content
    assert len(host.asked) == 1


def test_chunks_without_a_length() -> None:
    def chunked(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(CONTENT), 7777):
            chunk = CONTENT[start : start + 7777]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\n\r\n")

    with serving(MediaHost(CONTENT, misbehave=once(0, chunked))) as host:
        assert right(read_spans(host.uri))
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    ("status", "fields", "begins", "error", "max_bytes"),
    [
        (200, {}, b"", VideoTooLarge, MAX_BYTES),
        (200, {"Transfer-Encoding": "chunked"}, b"-5\r\n", UriNotFound, 1000),
        (
            206,
            {"Transfer-Encoding": "chunked", "Content-Range": "bytes 0-999/200000"},
            b"-5\r\n",
            UriNotFound,
            MAX_BYTES,
        ),
    ],
    ids=["without a length", "with a chunk of less than nothing", "with such a chunk as a part"],
)
def test_endless_content_is_read_up_to_the_limit_only(
    status: int, fields: dict[str, str], begins: bytes, error: type[WildgateError], max_bytes: int
) -> None:
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(status)
        for name, value in fields.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(begins)
        with suppress(OSError):  # the other side has gone
            while sent < 1 << 30:
                sent += handler.wfile.write(bytes(1 << 16))

    with serving(MediaHost(CONTENT, misbehave=once(0, endless))) as host:
        with pytest.raises(error, match="chunk" if begins else "max_bytes"):
            read_spans(host.uri, max_bytes=max_bytes)
        assert len(host.asked) == 1, "nor tried again"
    assert sent < 64 << 20, "no more than socket buffers hold"


@pytest.mark.parametrize("serves_ranges", [True, False])
def test_a_file_past_the_limit_is_not_read(serves_ranges: bool) -> None:
    with serving(MediaHost(CONTENT, serves_ranges=serves_ranges)) as host, pytest.raises(VideoTooLarge) as refusal:
        read_spans(host.uri, max_bytes=100_000)
    assert refusal.value.metadata == {"limit": "max_bytes", "max": "100000", "value": "200000"}
    assert len(host.asked) == 1


TRANSIENT = {
    "server error": lambda handler: handler.say(500, b"oops"),
    "busy": lambda handler: handler.say(503, b""),
    "too many": lambda handler: handler.say(429, b""),
    "reset": Handler.reset,
    "silence": lambda handler: time.sleep(1.5),
    "cut short": lambda handler: (handler.answer(cut=500), handler.reset()),
    "no http": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"),
}


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("failure", TRANSIENT)
def test_what_may_pass_is_tried_again(failure: str, number: int) -> None:
    with serving(MediaHost(CONTENT, misbehave=once(number, TRANSIENT[failure]))) as host:
        assert right(read_spans(host.uri))
    assert len(host.asked) == 5


@pytest.mark.parametrize("failure", ["server error", "reset"])
def test_what_does_not_pass_is_given_up(failure: str) -> None:
    def always(number: int, handler: Handler) -> bool:
        TRANSIENT[failure](handler)
        return True

    assert refused(always)[1] == HERE.attempts


@pytest.mark.parametrize("number", [0, 1])
def test_bytes_that_drip_end_in_time(number: int) -> None:
    """Each byte comes before the request counts as stalled; all of them would take hours."""
    gone = threading.Event()

    def drip(handler: Handler) -> None:
        try:
            for byte in b"HTTP/1.1 206 OK\r\nX-Long: " + b"x" * 60_000:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            gone.set()

    with serving(MediaHost(CONTENT, misbehave=once(number, drip))) as host:
        with pytest.raises(FetchFailed, match=r"longer than 0\.5 s"):
            read_spans(host.uri, replace(HERE, timeout_s=0.5))
        assert gone.wait(10), "the connection was ended"


def deaf(wire: socket.socket) -> None:
    """Says nothing until the other side goes."""
    with suppress(OSError):
        while wire.recv(1 << 16):
            pass


def late_and_dripping(wire: socket.socket, certificate: Path) -> None:
    """Finishes the TLS handshake past the deadline, then sends bytes that never end."""
    time.sleep(0.6)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with suppress(OSError), context.wrap_socket(wire, server_side=True) as secure:
        secure.sendall(b"HTTP/1.1 206 Partial Content\r\nX: ")
        while True:
            secure.sendall(b"a")
            time.sleep(0.1)


@pytest.mark.parametrize("late", [False, True], ids=["never shakes hands", "shakes hands too late"])
def test_a_host_that_keeps_a_connection_waiting_is_left_at_the_deadline(certificate: Path, late: bool) -> None:
    """Whatever the wait, the thread and the descriptor are free again."""
    before = set(threading.enumerate())
    left = threading.Event()

    def serve(listener: socket.socket) -> None:
        wire, _ = listener.accept()
        with wire:
            late_and_dripping(wire, certificate) if late else deaf(wire)
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        config = replace(HERE, timeout_s=0.3, stall_s=60.0)
        with pytest.raises(FetchFailed, match=r"longer than 0\.3 s"):
            read_spans(f"https://localhost:{listener.getsockname()[1]}/video", config)
        for thread in set(threading.enumerate()) - before - {server}:
            thread.join(5)
            assert not thread.is_alive(), thread.name
        assert left.wait(10), "the connection was ended"


def test_a_connection_that_is_not_taken_is_given_up_at_the_deadline() -> None:
    before = set(threading.enumerate())
    with socket.socket() as listener, ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):  # they fill the queue, and Linux then lets others wait
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(FetchFailed, match=r"longer than 0\.3 s"):
            read_spans(
                f"http://127.0.0.1:{listener.getsockname()[1]}/video", replace(HERE, timeout_s=0.3, stall_s=60.0)
            )
        for thread in set(threading.enumerate()) - before:
            thread.join(5)
            assert not thread.is_alive(), thread.name


def fetcher_of(uri: str) -> HttpFetcher:
    return HttpFetcher(HttpUrl.parsed(uri), replace(HERE, stall_s=60.0))


def test_a_handshake_ends_when_reading_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fetcher = fetcher_of(f"https://localhost:{listener.getsockname()[1]}/video")

        def fetch() -> None:
            with suppress(TransientFailure):
                fetcher.beginning(10, MAX_BYTES)

        fetching = threading.Thread(target=fetch, daemon=True)
        fetching.start()
        wire, _ = listener.accept()
        with wire:
            assert wire.recv(1), "the handshake has begun"
            fetcher.close()
            fetching.join(5)
            assert not fetching.is_alive()


def test_nothing_is_connected_to_once_reading_has_ended() -> None:
    with serving(MediaHost(CONTENT)) as host:
        fetcher = fetcher_of(host.uri)
        fetcher.close()
        with pytest.raises(TransientFailure, match="ended"):
            fetcher.beginning(10, MAX_BYTES)
        assert host.connections == 0


def test_redirects_are_followed() -> None:
    def there(number: int, handler: Handler) -> bool:
        if handler.path == "/video":
            handler.say(302, b"", Location="/a?b=c")
        elif handler.path == "/a?b=c":
            handler.say(307, b"look there", Location=f"http://127.0.0.1:{handler.host.port}/final")
        else:
            return False
        return True

    with serving(MediaHost(CONTENT, misbehave=there)) as host:
        assert right(read_spans(host.uri))
    assert [path for path, _ in host.asked] == ["/video", "/a?b=c", "/final", "/final", "/final", "/final"]


def test_a_loop_of_redirects_ends() -> None:
    def loop(number: int, handler: Handler) -> bool:
        handler.say(301, b"", Location="/video")
        return True

    assert refused(loop, UriNotFound, "redirect")[1] <= 5


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://10.0.0.1/", UriNotAllowed),
        ("http://[::1]/", UriNotAllowed),
        ("http://169.254.169.254/latest/meta-data", UriNotAllowed),
        ("file:///etc/passwd", UriNotAllowed),
        ("https://127.0.0.1/", UriNotAllowed),  # not among the schemes
        ("gopher://127.0.0.1/", UriNotAllowed),
        ("http://user@127.0.0.1/", UriNotFound),
        ("http://:80/", UriNotFound),
        ("http://[", UriNotFound),
        ("//[x]/", UriNotFound),
        ("http://a:99999/", UriNotFound),
        ("http://93.184.215.14:22/", UriNotAllowed),
        (None, UriNotFound),
    ],
)
def test_a_redirect_is_checked_as_the_uri_was(location: str | None, error: type[WildgateError]) -> None:
    say = once(0, lambda handler: handler.say(302, b"", Location=location))
    assert refused(say, error, config=replace(HERE, schemes=("http",)))[1] == 1


def test_a_host_that_is_not_public_is_not_even_connected_to() -> None:
    with serving(MediaHost(CONTENT)) as host:
        for name in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0"):
            with pytest.raises(UriNotAllowed, match="not public"):
                read_spans(f"http://{name}:{host.port}/video", replace(HERE, private_networks=()))
        assert host.connections == 0


def test_a_name_that_leads_elsewhere_by_the_next_connection_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, leads_to = socket.getaddrinfo, iter(["127.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"])
    with serving(MediaHost(CONTENT)) as host:
        monkeypatch.setattr(socket, "getaddrinfo", lambda name, *rest, **more: resolve(next(leads_to), *rest, **more))
        with pytest.raises(UriNotAllowed, match="not public"):
            read_spans(f"http://rebound.example:{host.port}/video")
        assert host.connections == 1


def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, addresses = socket.getaddrinfo, ("127.0.0.2", "127.0.0.1")
    with serving(MediaHost(CONTENT)) as host:  # at the second alone
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda name, *rest, **more: [found for at in addresses for found in resolve(at, *rest, **more)],
        )
        assert right(read_spans(f"http://media.example:{host.port}/video"))


def test_nobody_there_and_a_name_that_does_not_exist() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed, match="does not answer"):
        read_spans(f"http://127.0.0.1:{port}/video")
    with pytest.raises((UriNotFound, FetchFailed), match="name"):  # the second where no name can be resolved
        read_spans("http://no-such-host.invalid/")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A certificate for localhost that is trusted, with its key."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("no openssl to make a certificate with")
    file = tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [openssl, "req", *kind, "-keyout", file, "-out", tmp_path / "c", *subject], check=True, capture_output=True
    )
    file.write_text(file.read_text() + (tmp_path / "c").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    checked_network.tls_context.cache_clear()
    yield file
    checked_network.tls_context.cache_clear()


def test_a_certificate_is_checked_against_the_name_though_an_address_is_connected_to(certificate: Path) -> None:
    with serving(MediaHost(CONTENT), certificate) as host:
        assert right(read_spans(f"https://localhost:{host.port}/video"))
        with pytest.raises(UriNotFound, match="name"):
            read_spans(f"https://127.0.0.1:{host.port}/video")


def test_a_host_that_does_not_speak_tls(certificate: Path) -> None:
    with serving(MediaHost(CONTENT)) as host, pytest.raises(UriNotFound, match="TLS"):
        read_spans(f"https://localhost:{host.port}/video")


def test_near_parts_are_read_as_one_and_the_number_of_requests_is_bounded() -> None:
    near = [ByteRange(start, start + 50) for start in range(50_000, 60_000, 100)]
    far = [ByteRange(start, start + 50) for start in range(50_000, 190_000, 1000)]
    with serving(MediaHost(CONTENT)) as host, at(host.uri).opened(MAX_BYTES) as source:
        source.read(near)
        assert source.read_requests == 2
        contents = source.read(far)
        assert [bytes(content) for content in contents] == [CONTENT[span.start : span.end] for span in far]
        assert source.read_requests <= BOUNDS.max_requests
    assert len(host.asked) <= BOUNDS.max_requests
