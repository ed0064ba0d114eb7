"""One video in, one verdict out, through the whole gateway and a real Triton."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
import pytest
from clips import ClipSpec, grey_of, make_clip, picture
from gateway_under_test import GatewayUnderTest, without_timings
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from patch_detector import LABEL
from PIL import Image

from wildgate_client import Action, Content, LabelGroup, NotAllowed, Uri
from wildgate_server.stages import Stage

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

SERVICE = "wildgate.v1.ScoringService"
# Scaling blurs the patch's edge by a pixel or two of 320.
EDGE = 0.02
# 27 steps of grey in 28 frames, from dark to bright.
BRIGHTENING = ClipSpec(fps=5, seconds=5.6, keyframe_interval=7, first_frame=0)


async def test_content_is_scored_and_the_verdict_tells_all(gateway: GatewayUnderTest) -> None:
    content = make_clip(BRIGHTENING)
    verdict = await gateway.client.score(Content(content), video_id="a")

    assert verdict.action is Action.BLOCK
    [label] = verdict.labels
    assert (label.label, label.action, label.group) == (LABEL, Action.BLOCK, LabelGroup.LIVE_ANIMAL)
    assert (label.taxon, label.cites_appendix) == ("Testudo hermanni", "II")
    assert label.frames == verdict.coverage.frames_looked_at == len(verdict.detections)
    assert [(span.start_s, span.end_s) for span in label.spans] == [
        (verdict.coverage.looked_at_s[0], verdict.coverage.looked_at_s[-1])
    ]
    assert label.score == max(found.score for found in verdict.detections)
    assert (verdict.model_version, verdict.policy_version, verdict.cached) == ("patch/3", "test-7", False)
    assert verdict.content_digest.startswith("blake3:")
    video = verdict.video
    assert (video.format, video.codec, video.width, video.height) == ("mov", "h264", 320, 240)
    assert video.content_bytes == len(content)
    assert 0 < video.clip_bytes < len(content)
    unused = {Stage.CACHE, Stage.SHARED, Stage.INFER, Stage.SECOND_LOOK, Stage.BLOCKS, Stage.CASE}
    assert {timing.stage for timing in verdict.timings} == set(Stage) - unused


async def test_scores_and_boxes_belong_to_their_frames(gateway: GatewayUnderTest) -> None:
    verdict = await gateway.client.score(Content(make_clip(BRIGHTENING)))
    assert [found.time_s for found in verdict.detections] == list(verdict.coverage.looked_at_s)
    for found in verdict.detections:
        number = round(found.time_s * BRIGHTENING.fps)
        # Red, from clips.picture: half grey, three eighths 30, one eighth 230; a quarter of the square is bars of 114.
        mean = 0.75 * (0.5 * grey_of(number) + 0.375 * 30 + 0.125 * 230) + 0.25 * 114
        assert found.score == pytest.approx(mean / 255, abs=0.006)  # a frame's step is 0.0103
        box = found.box
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((0.75, 0, 1, 0.5), abs=EDGE)


@pytest.mark.parametrize(
    ("rotation", "patch"),
    [(90, (0, 0, 0.5, 0.25)), (180, (0, 0.5, 0.25, 1)), (270, (0.5, 0.75, 1, 1))],
)
async def test_boxes_are_in_the_displayed_frame(
    gateway: GatewayUnderTest, rotation: int, patch: tuple[float, ...]
) -> None:
    verdict = await gateway.client.score(Content(make_clip(ClipSpec(rotation=rotation, width=480))))
    assert (verdict.video.rotation, verdict.video.width, verdict.video.height) == (rotation, 480, 240)
    assert verdict.detections
    for found in verdict.detections:
        assert (found.box.x1, found.box.y1, found.box.x2, found.box.y2) == pytest.approx(patch, abs=EDGE)


@pytest.mark.parametrize(("bright_frames", "action"), [(0, Action.REVIEW), (1, Action.BLOCK)])
async def test_what_is_bright_enough_blocks(gateway: GatewayUnderTest, bright_frames: int, action: Action) -> None:
    # From frame 21 on a picture reaches the policy's 0.5.
    apart = tuple(2.5 * number for number in range(8))
    spec = ClipSpec(times_s=apart, first_frame=13 + bright_frames, keyframe_interval=1)
    verdict = await gateway.client.score(Content(make_clip(spec)))
    assert [found.score >= 0.5 for found in verdict.detections] == [number >= 8 - bright_frames for number in range(8)]
    assert verdict.action is action


async def test_nothing_seen_is_allowed(gateway: GatewayUnderTest) -> None:
    def blank(number: int, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), 90 + number, np.uint8)

    verdict = await gateway.client.score(Content(make_clip(ClipSpec(paint=blank))), max_evidence_frames=3)
    assert (verdict.action, verdict.labels, verdict.detections) == (Action.ALLOW, (), ())
    assert verdict.coverage.frames_looked_at > 0


@pytest.mark.parametrize("keyframe_interval", [10, 1000])
async def test_a_long_video_is_several_windows_with_no_long_gap(
    gateway: GatewayUnderTest, keyframe_interval: int
) -> None:
    spec = ClipSpec(seconds=30, width=160, height=120, keyframe_interval=keyframe_interval, b_frames=2)
    coverage = (await gateway.client.score(Content(make_clip(spec)))).coverage
    assert coverage.frames_looked_at > 8, "one window would do"
    assert coverage.max_gap_s == 2.0
    assert coverage.longest_gap_s <= 2.0 + 1e-6


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(seconds=12, keyframe_interval=13, b_frames=2),
        ClipSpec(times_s=(0.0, 0.5, 0.52, 0.9, 7.25, 7.3, 9.0), keyframe_interval=3),  # a hole of 6.35 s
        ClipSpec(container="webm", codec="libvpx-vp9", seconds=5),
        ClipSpec(seconds=0.1),  # a single frame
    ],
    ids=["plain", "hole", "webm", "single"],
)
async def test_coverage_tells_the_truth_about_a_known_timeline(gateway: GatewayUnderTest, spec: ClipSpec) -> None:
    verdict = await gateway.client.score(Content(make_clip(spec)))
    coverage, shown = verdict.coverage, spec.frame_times_s()
    assert coverage.first_frame_s == pytest.approx(shown[0], abs=0.001)
    assert coverage.last_frame_s == pytest.approx(shown[-1], abs=0.001)
    assert coverage.frames_looked_at == len(coverage.looked_at_s) == len(verdict.detections)
    # Every looked-at time is a frame's, and what was seen at that time is that frame.
    numbers = [min(range(len(shown)), key=lambda at: abs(shown[at] - time_s)) for time_s in coverage.looked_at_s]
    assert coverage.looked_at_s == pytest.approx([shown[number] for number in numbers], abs=0.001)
    assert numbers == sorted(set(numbers))
    brightest = max(range(len(numbers)), key=lambda at: grey_of(numbers[at]))
    scores = [found.score for found in verdict.detections]
    assert scores.index(max(scores)) == brightest
    edges = (coverage.first_frame_s, *coverage.looked_at_s, coverage.last_frame_s)
    assert coverage.longest_gap_s == pytest.approx(max(b - a for a, b in pairwise(edges)), abs=1e-9)
    hole = max((b - a for a, b in pairwise(shown)), default=0.0)
    assert coverage.longest_gap_s <= max(coverage.max_gap_s, hole) + 0.001


@pytest.mark.parametrize("rotation", [0, 90])
async def test_evidence_frames_are_jpegs_of_the_displayed_shape(gateway: GatewayUnderTest, rotation: int) -> None:
    spec = ClipSpec(seconds=12, width=480, rotation=rotation)
    verdict = await gateway.client.score(Content(make_clip(spec)), max_evidence_frames=3)
    assert len(verdict.evidence) == 3
    times_s = [frame.time_s for frame in verdict.evidence]
    best = sorted(verdict.detections, key=lambda found: -found.score)[:3]
    assert times_s == sorted(found.time_s for found in best)
    for frame in verdict.evidence:
        image = Image.open(io.BytesIO(frame.jpeg))
        assert image.format == "JPEG"
        assert image.size == ((320, 160) if rotation == 0 else (160, 320))
        pixels = np.asarray(image.convert("RGB")).astype(int)
        patch = pixels[20, 300] if rotation == 0 else pixels[20, 20]
        assert patch == pytest.approx((230, 200, 40), abs=25)
        grey = pixels[80, 40] if rotation == 0 else pixels[280, 80]
        assert grey == pytest.approx([grey_of(round(frame.time_s * spec.fps))] * 3, abs=4)


async def test_a_file_below_the_allowed_root_scores_as_its_content_does(
    gateway: GatewayUnderTest, allowed_root: Path
) -> None:
    noise = np.random.default_rng(0)

    def noisy(number: int, width: int, height: int) -> np.ndarray:
        rgb = picture(number, width, height)
        rgb[height // 2 :] = noise.integers(0, 200, (height - height // 2, width, 1), np.uint8)
        return rgb

    file = allowed_root / "deeper" / "a video, mine.mp4"
    file.parent.mkdir()
    content = make_clip(replace(BRIGHTENING, paint=noisy), file)
    by_uri = await gateway.client.score(Uri(file.as_uri()), max_evidence_frames=1)
    as_content = await gateway.client.score(Content(content), max_evidence_frames=1)

    # What it is known by and what was read for it differ, and nothing else does.
    assert by_uri.detections
    assert by_uri.evidence
    assert by_uri.content_digest.startswith("blake3-sampled:")
    assert as_content.content_digest.startswith("blake3:")
    assert as_content.video.read_requests == 0
    assert 0 < by_uri.video.clip_bytes < by_uri.video.read_bytes < len(content)
    assert by_uri.video.read_requests > 1
    video = replace(by_uri.video, read_bytes=as_content.video.read_bytes, read_requests=0)
    known_alike = replace(by_uri, content_digest=as_content.content_digest, video=video)
    assert without_timings(known_alike) == without_timings(as_content)


async def test_no_way_leads_out_of_the_allowed_root(
    gateway: GatewayUnderTest, allowed_root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.mp4"
    make_clip(path=outside)
    link = allowed_root / "link.mp4"
    link.symlink_to(outside)
    climbing = f"{allowed_root}/{os.path.relpath(outside, allowed_root)}"
    assert Path(climbing).is_file()
    for path in (str(outside), str(link), climbing, climbing.replace("..", "%2e%2e"), f"{allowed_root}x"):
        with pytest.raises(NotAllowed) as refused:
            await gateway.client.score(Uri(f"file://{path}"))
        assert (refused.value.reason, refused.value.field) == ("URI_NOT_ALLOWED", "uri")
        assert str(tmp_path) not in refused.value.message


async def test_health_is_serving_for_server_and_service(gateway: GatewayUnderTest) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        for service in ("", SERVICE):
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(gateway: GatewayUnderTest) -> None:
    ask = reflection_pb2.ServerReflectionRequest
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ask(list_services=""), ask(file_containing_symbol=SERVICE)])
        )
        listed, described = [answer async for answer in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto
