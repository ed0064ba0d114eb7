"""The service behind a real in-process server, with scripted verdicts at the seam."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import grpc
import pytest
import structlog
from fake_pipeline import PATIENCE_S, FakePipeline
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from structlog.testing import capture_logs

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1.scoring_pb2_grpc import ScoringServiceStub
from wildgate_server.access.tenants import Tenants
from wildgate_server.admission import Admission, AdmissionSettings
from wildgate_server.enforcement.handoff import HandedOver, Handoff
from wildgate_server.errors import InternalError
from wildgate_server.interceptor import ErrorInterceptor
from wildgate_server.metrics import Metrics
from wildgate_server.sampling.look import Scrutiny
from wildgate_server.service import SERVICE_NAME, ScoringService


@dataclass
class FakeCases:
    """Opens a case of whatever is no ALLOW; keeps what it was given."""

    given: list[tuple[pb.ScoreRequest, pb.Verdict, pb.Verdict]] = field(default_factory=list)

    async def hand_over(
        self, request: pb.ScoreRequest, verdict: pb.Verdict, for_case: Callable[[], pb.Verdict]
    ) -> HandedOver | None:
        self.given.append((request, verdict, for_case()))
        return None if verdict.action == pb.ACTION_ALLOW else HandedOver(Handoff.OPENED, "case 7", 4.0)


@dataclass
class Served:
    address: str
    channel: grpc.aio.Channel
    pipeline: FakePipeline
    admission: Admission
    metrics: Metrics

    @property
    def stub(self) -> ScoringServiceStub:
        return ScoringServiceStub(self.channel)

    def counted(self) -> Counter[str]:
        samples = (sample for family in self.metrics.registry.collect() for sample in family.samples)
        videos = (each for each in samples if each.name == "wildgate_videos_total")
        return Counter({each.labels["outcome"]: int(each.value) for each in videos})


@asynccontextmanager
async def serving(
    cases: FakeCases | None = None, tenants: Tenants | None = None, **admission_settings: float
) -> AsyncIterator[Served]:
    settings = AdmissionSettings(**admission_settings)
    pipeline, admission, metrics = FakePipeline(), Admission(settings), Metrics()
    service = ScoringService(pipeline, admission, metrics, settings, cases, tenants)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(SERVICE_NAME)])
    service.join(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Served(address, channel, pipeline, admission, metrics)
    await server.stop(None)


def video(content: bytes, video_id: str = "", **fields: object) -> pb.ScoreRequest:
    return pb.ScoreRequest(video_id=video_id or content.decode(), content=content, **fields)


async def refusal(call: grpc.aio.UnaryUnaryCall) -> status_pb2.Status:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return rpc_status.from_call(raised.value)


def reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


def field_at_fault(status: status_pb2.Status) -> str:
    fault = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(fault)
    return fault.field_violations[0].field


async def streamed(served: Served, *requests: pb.ScoreRequest) -> dict[str, pb.ScoreStreamResponse]:
    """All answers of a stream, by their videos."""
    answers = served.stub.ScoreStream(items(*requests))
    return {answer.video_id: answer async for answer in answers}


def items(*requests: pb.ScoreRequest) -> Iterator[pb.ScoreStreamRequest]:
    return (pb.ScoreStreamRequest(request=request) for request in requests)


async def test_a_video_is_scored_and_answered() -> None:
    async with serving(max_deadline_s=60) as served:
        before = monotonic()
        response = await served.stub.Score(video(b"fine", "my id", max_evidence_frames=3))
        (call,) = served.pipeline.calls
        assert served.counted() == {"block": 1}
        assert served.metrics.registry.get_sample_value("wildgate_stage_seconds_sum", {"stage": "total"}) == 0.25
    assert (response.video_id, response.verdict.model_version) == ("my id", "fine")
    assert response.verdict.action == pb.ACTION_BLOCK
    assert (call.source, call.max_evidence_frames) == (b"fine", 3)
    assert before + 60 <= call.deadline <= monotonic() + 60


async def test_a_digest_alone_is_asked_for_and_holds_a_place_like_any_other() -> None:
    async with serving(max_in_flight=1) as served:
        known = pb.ScoreRequest(video_id="a", content_digest="blake3:known")
        response = await served.stub.Score(known)
        assert (response.video_id, response.verdict.cached) == ("a", True)
        error = await refusal(served.stub.Score(pb.ScoreRequest(content_digest="blake3:other")))
        assert (error.code, reason(error)) == (code_pb2.NOT_FOUND, "VERDICT_NOT_CACHED")
        held = served.stub.Score(video(b"hold"))
        await served.pipeline.until(1)
        assert reason(await refusal(served.stub.Score(known))) == "OVERLOADED"
        served.pipeline.held.set()
        await held
        counted = served.counted()
    assert counted == {"review": 1, "block": 1, "overloaded": 1}, "what is not kept is no video that failed"


async def test_an_answer_is_handed_over_before_it_goes_out_alone_and_in_a_stream() -> None:
    cases = FakeCases()
    async with serving(cases) as served:
        context = pb.PlatformContext(account="a", views=3)
        response = await served.stub.Score(video(b"fine", "v1", context=context))
        answers = await streamed(served, video(b"known"), video(b"harmless"))
        taken_s = served.metrics.registry.get_sample_value("wildgate_stage_seconds_sum", {"stage": "case"})
    told = [response.verdict, answers["known"].verdict]
    assert {(each.case_id, each.case_handoff) for each in told} == {("case 7", pb.CASE_HANDOFF_OPENED)}
    assert answers["harmless"].verdict.case_handoff == pb.CASE_HANDOFF_UNSPECIFIED
    request, verdict, for_case = cases.given[0]
    assert (request.video_id, request.context, verdict.model_version) == ("v1", context, "fine")
    assert [frame.jpeg for frame in for_case.evidence] == [b"jpeg"]
    assert not verdict.evidence, "pictures of a case are not the answer's"
    assert taken_s == 0.008


@pytest.mark.parametrize(
    ("request_fields", "at_fault"),
    [
        ({"context": pb.PlatformContext(account="a" * 513)}, "context.account"),
        ({"context": pb.PlatformContext(listing="\0")}, "context.listing"),
        ({"context": pb.PlatformContext(language="e" * 36)}, "context.language"),
        ({"context": pb.PlatformContext(views=-1)}, "context.views"),
    ],
)
async def test_what_the_platform_says_is_bounded(request_fields: dict[str, object], at_fault: str) -> None:
    async with serving() as served:
        error = await refusal(served.stub.Score(video(b"fine", **request_fields)))
    assert (reason(error), field_at_fault(error)) == ("INVALID_REQUEST", at_fault)


async def test_a_name_that_no_case_could_have_is_refused_where_cases_are_opened() -> None:
    async with serving(FakeCases()) as served:
        error = await refusal(served.stub.Score(video(b"fine", "v\0")))
    assert (reason(error), field_at_fault(error)) == ("INVALID_REQUEST", "video_id")
    async with serving() as served:
        assert (await served.stub.Score(video(b"fine", "v\0"))).video_id == "v\0"


async def test_a_full_server_refuses_at_once() -> None:
    async with serving(max_in_flight=2, retry_after_ms=750) as served:
        held = [served.stub.Score(video(b"hold")) for _ in range(2)]
        await served.pipeline.until(2)
        error = await refusal(served.stub.Score(video(b"fine")))
        assert (error.code, reason(error)) == (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED")
        retry = error_details_pb2.RetryInfo()
        assert error.details[1].Unpack(retry)
        assert retry.retry_delay.nanos == 750_000_000
        assert len(served.pipeline.calls) == 2, "no work was done for it"
        served.pipeline.held.set()
        await asyncio.gather(*held)
        assert (await served.stub.Score(video(b"fine"))).verdict.model_version == "fine"
        assert served.counted() == {"block": 3, "overloaded": 1}


async def test_bad_requests_are_refused_before_any_work() -> None:
    async with serving() as served:
        beyond = [video(b"x", max_evidence_frames=count) for count in (-1, 65)]
        unknown = pb.ScoreRequest.FromString(video(b"x").SerializeToString() + b"\x30\x07")  # field 6, 7
        for request in (pb.ScoreRequest(), *beyond, unknown):
            assert reason(await refusal(served.stub.Score(request))) == "INVALID_REQUEST"
        assert served.pipeline.calls == []
        assert served.admission.in_flight == 0
        await served.stub.Score(video(b"x", max_evidence_frames=64))


MALFORMED = [b"\xff\xff", video(b"good").SerializeToString()[:-1], b"\x0a\x01\xff"]


@pytest.mark.parametrize("sent", MALFORMED)
async def test_bytes_that_are_no_request_are_refused_with_a_reason(sent: bytes) -> None:
    async with serving() as served:
        refused = await refusal(served.channel.unary_unary(f"/{SERVICE_NAME}/Score")(sent))
        assert (refused.code, reason(refused)) == (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert served.counted() == {"invalid_request": 1}
        assert served.admission.in_flight == 0


@pytest.mark.parametrize("sent", [*MALFORMED, b"\x0a" + bytes([len(MALFORMED[1])]) + MALFORMED[1]])
async def test_bytes_that_are_no_request_are_one_failed_item_of_a_stream(sent: bytes) -> None:
    good = next(items(video(b"good"))).SerializeToString()
    async with serving() as served:
        answers = served.channel.stream_stream(f"/{SERVICE_NAME}/ScoreStream")(iter([sent, good]))
        by_video = {(one := pb.ScoreStreamResponse.FromString(answer)).video_id: one async for answer in answers}
    assert reason(by_video[""].error) == "INVALID_REQUEST"
    assert by_video["good"].verdict.action == pb.ACTION_BLOCK


@pytest.mark.parametrize(
    ("asked", "scrutiny"),
    [
        (pb.SCRUTINY_UNSPECIFIED, Scrutiny.NORMAL),
        (pb.SCRUTINY_NORMAL, Scrutiny.NORMAL),
        (pb.SCRUTINY_HIGH, Scrutiny.HIGH),
    ],
)
async def test_scrutiny_is_normal_unless_more_is_asked_for(asked: int, scrutiny: Scrutiny) -> None:
    async with serving() as served:
        await served.stub.Score(video(b"x", scrutiny=asked))
        await served.stub.Score(pb.ScoreRequest(uri="https://host/a", scrutiny=asked))
        assert [call.scrutiny for call in served.pipeline.calls] == [scrutiny] * 2


async def test_a_video_that_fails_leaves_a_line_that_names_request_trace_and_video() -> None:
    trace_id = f"{7:032x}"
    metadata = (("x-request-id", "r1"), ("traceparent", f"00-{trace_id}-{9:016x}-00"))
    async with serving() as served:
        with capture_logs([structlog.contextvars.merge_contextvars]) as log:
            await refusal(served.stub.Score(video(b"bad", "v1"), metadata=metadata))
            await streamed(served, video(b"bad", "v2"))
    first, second = (line for line in log if line["event"] == "video_failed")
    assert (first["request_id"], first["trace_id"], first["video_id"]) == ("r1", trace_id, "v1")
    assert (second["video_id"], second["reason"]) == ("v2", "NOT_A_VIDEO")
    assert len(second["request_id"]) == 16, "made up where the caller names none"
    assert "trace_id" not in second


async def test_errors_and_surprises_of_scoring() -> None:
    async with serving() as served:
        error = await refusal(served.stub.Score(video(b"bad")))
        assert (error.code, reason(error)) == (code_pb2.INVALID_ARGUMENT, "NOT_A_VIDEO")
        with capture_logs() as log:
            error = await refusal(served.stub.Score(video(b"bug")))
        assert (error.code, error.message) == (code_pb2.INTERNAL, InternalError().message)
        assert [line["event"] for line in log] == ["video_failed", "surprise"]
        assert served.counted() == {"not_a_video": 1, "internal": 1}
        assert served.admission.in_flight == 0


async def test_the_server_s_own_cap_on_time() -> None:
    async with serving(max_deadline_s=0.05) as served:
        error = await refusal(served.stub.Score(video(b"hold")))
        assert (error.code, reason(error)) == (code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        await served.pipeline.until(0)
        assert served.pipeline.cancelled == 1


async def test_the_caller_s_deadline_goes_to_the_scorer_and_ends_it() -> None:
    async with serving(max_deadline_s=1000) as served:
        sent = monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await served.stub.Score(video(b"hold"), timeout=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await served.pipeline.until(0)
        assert served.pipeline.cancelled == 1
        assert served.pipeline.calls[0].deadline < sent + 500, "not the server's cap"
        assert served.admission.in_flight == 0


async def test_a_caller_that_leaves_ends_the_work() -> None:
    async with serving() as served:
        call = served.stub.Score(video(b"hold"))
        await served.pipeline.until(1)
        call.cancel()
        await served.pipeline.until(0)
        assert served.pipeline.cancelled == 1
        async with asyncio.timeout(PATIENCE_S):
            await served.admission.drained()
        assert served.counted() == {"cancelled": 1}


async def test_a_draining_server_sends_callers_elsewhere() -> None:
    async with serving() as served:
        held = served.stub.Score(video(b"hold"))
        await served.pipeline.until(1)
        served.admission.close()
        error = await refusal(served.stub.Score(video(b"fine")))
        assert (error.code, reason(error)) == (code_pb2.UNAVAILABLE, "SHUTTING_DOWN")
        served.pipeline.held.set()
        assert (await held).verdict.model_version == "hold", "work under way is finished"


async def test_a_stream_answers_every_video_and_one_bad_one_is_one_failed_item() -> None:
    contents = [b"bad %d" % at if at % 5 == 0 else b"bug" if at == 7 else b"fine %d" % at for at in range(20)]
    async with serving(stream_concurrency=4) as served:
        answers = await streamed(served, *(video(content, str(at)) for at, content in enumerate(contents)))
        assert served.counted() == {"block": 15, "not_a_video": 4, "internal": 1}
        assert await streamed(served) == {}, "and an empty one ends"
    assert set(answers) == {str(at) for at in range(20)}
    for at, content in enumerate(contents):
        answer = answers[str(at)]
        if content.startswith(b"fine"):
            assert answer.verdict.model_version == content.decode()
        elif content == b"bug":
            assert (answer.error.code, answer.error.message) == (13, InternalError().message)
            assert reason(answer.error) == "INTERNAL"
        else:
            assert (answer.error.code, reason(answer.error)) == (3, "NOT_A_VIDEO")


async def test_an_item_s_error_is_what_score_would_have_failed_with() -> None:
    async with serving() as served:
        assert (await streamed(served, video(b"bad")))["bad"].error == await refusal(served.stub.Score(video(b"bad")))


async def test_answers_come_as_they_finish() -> None:
    async with serving() as served:
        call = served.stub.ScoreStream(items(video(b"hold"), video(b"fine")))
        first = await call.read()
        assert first.video_id == "fine"
        served.pipeline.held.set()
        assert (await call.read()).video_id == "hold"
        assert await call.read() is grpc.aio.EOF


async def test_a_stream_is_read_no_faster_than_it_is_worked_on() -> None:
    async with serving(stream_concurrency=3, max_in_flight=10) as served:
        call = served.stub.ScoreStream(items(*(video(b"hold", str(at)) for at in range(12))))
        await served.pipeline.until(3)
        served.pipeline.held.set()
        assert len([answer async for answer in call]) == 12
        assert served.pipeline.most_inside == 3


async def test_a_stream_waits_for_places_where_a_single_video_is_refused() -> None:
    async with serving(stream_concurrency=8, max_in_flight=2) as served:
        call = served.stub.ScoreStream(items(*(video(b"hold", str(at)) for at in range(6))))
        await served.pipeline.until(2)
        assert reason(await refusal(served.stub.Score(video(b"fine")))) == "OVERLOADED"
        served.pipeline.held.set()
        answers = [answer async for answer in call]
        assert len(answers) == 6
        assert all(answer.HasField("verdict") for answer in answers)
        assert served.pipeline.most_inside == 2


async def test_a_stream_that_its_caller_leaves_ends_all_its_work() -> None:
    async with serving(stream_concurrency=4) as served:
        call = served.stub.ScoreStream(items(*(video(b"hold", str(at)) for at in range(9))))
        await served.pipeline.until(4)
        call.cancel()
        await served.pipeline.until(0)
        assert served.pipeline.cancelled == 4
        async with asyncio.timeout(PATIENCE_S):
            await served.admission.drained()
        assert len(served.pipeline.calls) == 4, "nothing was begun after it left"


async def test_each_video_of_a_stream_has_its_own_time() -> None:
    """A stream may live for days; the server's cap is for one video."""
    async with serving(max_deadline_s=40) as served:
        call = served.stub.ScoreStream()
        await call.write(pb.ScoreStreamRequest(request=video(b"first")))
        await call.read()
        between = monotonic()
        await call.write(pb.ScoreStreamRequest(request=video(b"second")))
        await call.read()
        await call.done_writing()
        first, second = (call.deadline for call in served.pipeline.calls)
    assert first <= between + 40 <= second


async def test_what_finds_no_place_is_not_taken_from_the_tenant_s_share(tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text("default: {requests_per_s: 1, burst_s: 2}")
    tenants = Tenants(tmp_path / "tenants.yaml", clock=lambda: 0.0)
    async with serving(tenants=tenants, max_in_flight=1) as served:
        holding = asyncio.ensure_future(served.stub.Score(video(b"hold")))
        await served.pipeline.until(1)
        for _ in range(5):
            assert reason(await refusal(served.stub.Score(video(b"fine")))) == "OVERLOADED"
        served.pipeline.held.set()
        await holding
        for _ in range(2):
            await served.stub.Score(video(b"fine"))
        assert reason(await refusal(served.stub.Score(video(b"fine")))) == "QUOTA_EXCEEDED"


async def test_who_has_no_tenant_shares_turns_by_connection() -> None:
    async with (
        serving() as served,
        grpc.aio.insecure_channel(served.address, options=[("grpc.use_local_subchannel_pool", 1)]) as other,
    ):
        await served.stub.Score(video(b"one"))
        await ScoringServiceStub(other).Score(video(b"two"))
        await streamed(served, video(b"three"))
    one, two, three = (call.standing.tenant for call in served.pipeline.calls)
    assert one == three != two
