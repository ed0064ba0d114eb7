from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_gateway import NOT_CACHED, OVERLOADED, FakeGateway, Refusal

from wildgate_client import (
    Action,
    ClientOptions,
    Clock,
    Content,
    InvalidVideo,
    ScoringClient,
    SourceUnreadable,
    Uri,
    VerdictNotCached,
    content_digest,
)
from wildgate_client._source import Source

VIDEO = b"abc"
# printf abc | b3sum
DIGEST = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


@pytest.fixture(params=["content", "path"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO)
    return path if request.param == "path" else Content(VIDEO)


def sent(gateway: FakeGateway) -> list[str | None]:
    return [request.WhichOneof("source") for request in gateway.requests]


def test_the_digest_is_the_one_that_servers_compute(source: Content | Path):
    assert content_digest(source) == DIGEST


async def test_a_missing_file_has_no_digest_and_is_not_asked_about(gateway: FakeGateway, target: str, tmp_path: Path):
    with pytest.raises(SourceUnreadable, match=r"missing\.mp4: No such file"):
        content_digest(tmp_path / "missing.mp4")
    async with ScoringClient(target) as client:
        with pytest.raises(SourceUnreadable, match=r"missing\.mp4: No such file"):
            await client.score(tmp_path / "missing.mp4", digest_first=True)
    assert sent(gateway) == []


async def test_a_digest_alone_gets_the_cached_verdict(gateway: FakeGateway, target: str):
    gateway.known = {DIGEST}
    async with ScoringClient(target) as client:
        verdict = await client.score_digest(DIGEST, video_id="v1")
        with pytest.raises(VerdictNotCached) as missing:
            await client.score_digest("blake3:00")
    assert verdict.action is Action.BLOCK
    assert (gateway.requests[0].video_id, gateway.requests[0].content_digest) == ("v1", DIGEST)
    assert (missing.value.reason, missing.value.field) == ("VERDICT_NOT_CACHED", "content_digest")
    assert len(gateway.requests) == 2, "asking again would not help"


async def test_what_the_server_knows_is_not_sent(gateway: FakeGateway, target: str, source: Source):
    gateway.known = {DIGEST}
    async with ScoringClient(target) as client:
        await client.score(source, video_id="v1", digest_first=True)
    assert sent(gateway) == ["content_digest"]
    assert gateway.requests[0].video_id == "v1"


NO_SOURCE = Refusal("INVALID_ARGUMENT", "no source", "INVALID_REQUEST", field_at_fault="source")


@pytest.mark.parametrize("answer", [NOT_CACHED, NO_SOURCE], ids=["not cached", "server too old for digests"])
async def test_what_the_server_does_not_know_is_sent(
    gateway: FakeGateway, target: str, source: Source, answer: Refusal
):
    gateway.answers.append(answer)
    async with ScoringClient(target) as client:
        verdict = await client.score(source, video_id="v1", digest_first=True)
    assert verdict.action is Action.BLOCK
    assert sent(gateway) == ["content_digest", "content"]
    assert (gateway.requests[1].video_id, gateway.requests[1].content) == ("v1", VIDEO)


async def test_a_video_too_large_to_send_is_not_asked_about(gateway: FakeGateway, target: str, source: Source):
    gateway.known = {DIGEST}
    async with ScoringClient(target, ClientOptions(max_content_bytes=2)) as client:
        with pytest.raises(InvalidVideo) as refusal:
            await client.score(source, digest_first=True)
    assert (refusal.value.reason, refusal.value.metadata["value"]) == ("VIDEO_TOO_LARGE", "3")
    assert sent(gateway) == []


async def test_by_default_and_for_evidence_and_uris_no_digest_is_sent(gateway: FakeGateway, target: str):
    async with ScoringClient(target) as client:
        await client.score(Content(VIDEO))
        await client.score(Content(VIDEO), digest_first=True, max_evidence_frames=1)
        await client.score(Uri("s3://bucket/clip.mp4"), digest_first=True)
    assert sent(gateway) == ["content", "content", "uri"]


async def test_one_deadline_covers_both_calls(gateway: FakeGateway, target: str):
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    gateway.answers.append(OVERLOADED)  # asks for 1.5 s
    clock = Clock(now_s=lambda: now[0], sleep=sleep, uniform=lambda low, high: 8.5)
    async with ScoringClient(target, clock=clock) as client:
        await client.score(Content(VIDEO), digest_first=True, deadline_s=10.5)
        assert (now[0], sent(gateway)) == (10.0, ["content_digest", "content_digest", "content"])


def test_without_blake3_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['blake3'] = None\n"
        "import wildgate_client\n"
        "try: wildgate_client.content_digest(wildgate_client.Content(b''))\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "digests need blake3; install it with: pip install 'wildgate-client[digest]'"
