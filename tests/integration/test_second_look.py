"""What is seen once is looked at again, what is distrusted more closely: in a whole gateway, with a real Triton."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip, picture
from gateway_under_test import GatewayUnderTest, MakeSettings, running
from patch_detector import POLICY

from wildgate_client import Action, Content, Scrutiny, Uri
from wildgate_server.stages import Stage

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

BRIGHT, DARK = 20, 8  # frames of `picture` with a score above and below 0.45


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(
    make_settings: MakeSettings, allowed_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayUnderTest]:
    """A gateway that keeps verdicts, and whose policy blocks what is bright for a second."""
    policy = tmp_path_factory.mktemp("patient") / "policy.yaml"
    policy.write_text(re.sub(r"block: {.*}", "block: {score: 0.45, seconds: 1}", POLICY))
    settings = make_settings(cache={"max_entries": 1000}, source={"file_roots": (allowed_root,)})
    async with running(settings.model_copy(update={"policy": policy})) as gateway:
        yield gateway


def lit(first: int, last: int, **fields: object) -> Content:
    """A video that is bright from frame `first` to frame `last`, of 25 a second."""

    def paint(number: int, width: int, height: int) -> np.ndarray:
        return picture(BRIGHT if first <= number <= last else DARK, width, height)

    return Content(make_clip(ClipSpec(**{"seconds": 6, "fps": 25, "keyframe_interval": 50, "paint": paint, **fields})))


@pytest.mark.parametrize(("last", "action"), [(50, Action.REVIEW), (80, Action.BLOCK)])
async def test_more_frames_tell_for_how_long_it_is_shown(patient: GatewayUnderTest, last: int, action: Action) -> None:
    content = lit(50, last)
    verdict = await patient.client.score(content, max_evidence_frames=64)
    assert (verdict.action, verdict.coverage.second_look) == (action, True)
    looked_at_s = list(verdict.coverage.looked_at_s)
    assert len([time_s for time_s in looked_at_s if 1.4 < time_s < 2.6]) > 3
    assert [found.time_s for found in verdict.detections] == looked_at_s == sorted(looked_at_s)
    assert [frame.time_s for frame in verdict.evidence] == looked_at_s
    assert Stage.SECOND_LOOK in {timing.stage for timing in verdict.timings}
    assert (await patient.client.score(content)).cached


async def test_a_file_that_took_a_second_look_is_looked_at_anew(patient: GatewayUnderTest, allowed_root: Path) -> None:
    content, file = lit(50, 79), allowed_root / "lit.mp4"
    file.write_bytes(content.data)
    first, second = [await patient.client.score(Uri(file.as_uri())) for _ in range(2)]
    assert (first.action, first.coverage.second_look, second.cached) == (Action.BLOCK, True, False)
    assert first.content_digest == second.content_digest
    assert first.content_digest.startswith("blake3-sampled:")


async def test_a_slide_that_stands_for_long_enough_needs_none(patient: GatewayUnderTest) -> None:
    slides = tuple(2.5 * number for number in range(8))
    verdict = await patient.client.score(lit(7, 7, times_s=slides, keyframe_interval=1))
    assert (verdict.action, verdict.coverage.second_look) == (Action.BLOCK, False)


async def test_with_high_scrutiny_a_video_is_looked_at_more_closely(patient: GatewayUnderTest) -> None:
    content = lit(1000, 1000)
    normal = await patient.client.score(content)
    high = await patient.client.score(content, scrutiny=Scrutiny.HIGH)
    assert (normal.cached, high.cached) == (False, False)
    assert (normal.coverage.longest_gap_s, normal.coverage.second_look) == (1.0, False)
    assert high.coverage.longest_gap_s <= 0.5
    assert high.coverage.frames_looked_at > normal.coverage.frames_looked_at
