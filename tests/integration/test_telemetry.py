"""What a gateway with an embedded Triton tells of itself: metrics, pages, and one trace from its caller into Triton."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from gateway_under_test import PATIENCE_S, GatewayUnderTest, running, until
from opentelemetry import trace
from span_collector import SpanCollector, span_collector
from traffic import samples

from wildgate_client import Content
from wildgate_server.settings import ServerSettings

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

VIDEO = Content(make_clip(ClipSpec(seconds=2, first_frame=20)))
TRACE_ID, CALLERS_SPAN = 0xA0B0 << 96 | 7, 0xC0 << 56 | 9


@pytest.fixture(scope="module")
def collector() -> Iterator[SpanCollector]:
    with span_collector() as taking:
        yield taking


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(collector: SpanCollector, patch_models: Path, policy_file: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway that has scored a video; of callers that do not ask for it, nothing is traced."""
    settings = ServerSettings(
        endpoint={"address": "127.0.0.1:0"},
        sampling={"workers": 1, "timeout_s": 60},
        backend={"model_repository": patch_models, "instances": 1},
        cache={"max_entries": 0},
        tracing={"endpoint": collector.url, "share": 0.0},
        policy=policy_file,
        log_level="warning",
    )
    async with running(settings) as started:
        await started.client.score(VIDEO)
        yield started


def page(gateway: GatewayUnderTest, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{gateway.metrics}{path}", timeout=PATIENCE_S) as answer:
        return answer.read()


async def test_a_traced_caller_finds_gateway_and_triton_in_its_trace(
    gateway: GatewayUnderTest, collector: SpanCollector
) -> None:
    context = trace.SpanContext(TRACE_ID, CALLERS_SPAN, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        await gateway.client.score(VIDEO)
    trace_id = f"{TRACE_ID:032x}"

    def came() -> bool:
        came = {span.name for span in collector.of_trace(trace_id)}
        return {"wildgate.v1.ScoringService/Score", "video_scorer"} <= came  # of each, the last that ends

    await until(came, "spans of the gateway and of Triton")
    spans = collector.of_trace(trace_id)
    by_id = {span.span_id: span for span in spans}
    own = {span.name: span for span in spans if span.service == "wildgate-gateway"}
    assert set(own) == {"wildgate.v1.ScoringService/Score", "receive", "sample", "queue", "infer", "answer"}
    root = own.pop("wildgate.v1.ScoringService/Score")
    assert root.parent_id == f"{CALLERS_SPAN:016x}"
    assert {span.parent_id for span in own.values()} == {root.span_id}
    tritons = [span for span in spans if span.service == "triton"]
    assert {"clip_decoder", "wildlife_detector", "frame_fingerprint"} <= {span.name for span in tritons}
    entered = [span for span in tritons if by_id[span.parent_id].service != "triton"]
    assert [by_id[span.parent_id].name for span in entered] == ["infer"]
    assert {span.trace_id for span in collector.spans} == {trace_id}, "nobody else asked"


async def test_what_triton_does_is_told_apart(gateway: GatewayUnderTest) -> None:
    verdict = await gateway.client.score(VIDEO)
    timings = {timing.stage: timing.duration_ms for timing in verdict.timings}
    assert "infer" not in timings
    assert min(timings["decode"], timings["detect"]) > 0
    told = samples(gateway.metrics, "wildgate_stage_seconds_count")
    assert told["decode",] == told["detect",] == told["total",]
    text = (await asyncio.to_thread(page, gateway, "/metrics/triton")).decode()
    for model in ("clip_decoder", "wildlife_detector"):
        assert f'nv_inference_queue_duration_us{{model="{model}"' in text
        assert f'nv_inference_compute_infer_duration_us{{model="{model}"' in text
    used = samples(gateway.metrics, "wildgate_process_cpu_seconds_total")
    parts = {"gateway", "sampling_workers", "tritonserver", "clip_decoder", "wildlife_detector"}
    assert min(used[part,] for part in parts) > 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
async def test_promtool_has_nothing_to_say_of_a_running_gateway(gateway: GatewayUnderTest) -> None:
    metrics = await asyncio.to_thread(page, gateway, "/metrics")
    promtool = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert await promtool.communicate(metrics) == (b"", None)
