"""A stream in which every fifth video is garbage: the others do not notice."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from clips import ClipSpec, make_clip
from gateway_under_test import GatewayUnderTest, without_timings
from hostile_videos import audio_only, garbage_packets, random_bytes, truncated_mp4

from wildgate_client import Content, InvalidVideo, StreamItem, StreamResult

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

VIDEOS = 50
GARBAGE = {
    random_bytes: "NOT_A_VIDEO",
    truncated_mp4: "NOT_A_VIDEO",
    audio_only: "NO_VIDEO_STREAM",
    garbage_packets: "CORRUPT_VIDEO",
}


def is_garbage(number: int) -> bool:
    return number % 5 == 4


def good_video(number: int) -> bytes:
    """Fifty different ones, and different in kind."""
    kinds = (
        ClipSpec(seconds=2.5, width=160, height=120),
        ClipSpec(seconds=9, width=128, height=96, keyframe_interval=90, b_frames=2),
        ClipSpec(seconds=2, codec="libvpx-vp9", container="webm"),
        ClipSpec(seconds=1.2, width=120, height=200, rotation=90),
        ClipSpec(seconds=22, width=96, height=64, keyframe_interval=10),
    )
    kind = kinds[number // 2 % len(kinds)]
    return make_clip(replace(kind, first_frame=number))


@pytest.fixture(scope="module")
def videos() -> dict[str, bytes]:
    """By id, in the order of the stream."""
    makers = list(GARBAGE)
    return {
        f"video {number}": makers[number // 5 % len(makers)](number) if is_garbage(number) else good_video(number)
        for number in range(VIDEOS)
    }


async def test_every_video_of_a_mixed_stream_gets_what_it_gets_alone(
    gateway: GatewayUnderTest, videos: dict[str, bytes]
) -> None:
    items = [StreamItem(video_id, Content(content)) for video_id, content in videos.items()]
    results = [result async for result in gateway.client.score_stream(items, max_evidence_frames=1)]

    assert sorted(result.video_id for result in results) == sorted(videos)
    by_id = {result.video_id: result for result in results}
    failed = {video_id: result.error for video_id, result in by_id.items() if result.error}
    verdicts = {video_id: result.unwrap() for video_id, result in by_id.items() if not result.error}
    assert (len(verdicts), len(failed)) == (40, 10)

    makers = list(GARBAGE)
    for number in filter(is_garbage, range(VIDEOS)):
        error = failed[f"video {number}"]
        assert isinstance(error, InvalidVideo)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.reason == GARBAGE[makers[number // 5 % len(makers)]]
        assert error.field == "source"

    for video_id, verdict in verdicts.items():
        alone = await gateway.client.score(Content(videos[video_id]), max_evidence_frames=1)
        assert without_timings(verdict) == without_timings(alone), video_id
    # The verdicts tell the videos apart: a swapped one would have been noticed.
    assert len({verdict.detections for verdict in verdicts.values()}) == 40
    assert all(verdict.evidence for verdict in verdicts.values())


@pytest.mark.parametrize("make", GARBAGE)
async def test_garbage_alone_is_refused_likewise(gateway: GatewayUnderTest, make) -> None:
    with pytest.raises(InvalidVideo) as refused:
        await gateway.client.score(Content(make(3)))
    assert refused.value.reason == GARBAGE[make]


async def test_garbage_does_not_harm_its_batch_mates(gateway: GatewayUnderTest, videos: dict[str, bytes]) -> None:
    # All at once, so that noise that only the decoder notices shares Triton requests with the good ones.
    contents = [*(garbage_packets(seed) for seed in range(3)), videos["video 0"], videos["video 1"]]
    items = [StreamItem(str(at), Content(content)) for at, content in enumerate(contents)]
    results: dict[str, StreamResult] = {result.video_id: result async for result in gateway.client.score_stream(items)}
    reasons = [result.error.reason if result.error else "" for _, result in sorted(results.items())]
    assert reasons == ["CORRUPT_VIDEO"] * 3 + ["", ""]
