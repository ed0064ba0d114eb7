"""The async client: one video in, one verdict out, or a stream of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from wildgate_client._digest import content_digest
from wildgate_client._retry import Clock, RetryPolicy, with_retry
from wildgate_client._source import Content, PlatformContext, Source, StreamItem, check_size, read_source
from wildgate_client._status import error_from_rpc
from wildgate_client._stream import StreamResult, run_stream
from wildgate_client._trace_context import trace_context
from wildgate_client._verdict import Scrutiny, Verdict
from wildgate_client._wire import digest_request, score_request, verdict_from
from wildgate_client.errors import InvalidRequest, SourceUnreadable, UnexpectedAnswer, VerdictNotCached
from wildgate_client.token_file import TokenUnreadable, bearer
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc

__all__ = ["ClientOptions", "ScoringClient", "tls_credentials"]

MIB = 1024 * 1024
# What a message holds besides the video: names and fields, and in answers detections and evidence frames.
MESSAGE_OVERHEAD_BYTES = MIB


def tls_credentials(
    ca: Path | None, cert: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials | None:
    """What `ClientOptions.credentials` takes, from PEM files: the server's CA, the caller's certificate and its key.

    None without `ca`. Raises OSError, and ValueError where a part is missing.
    """
    if (cert is None) != (key is None) or (cert and not ca):
        raise ValueError("a certificate, its key and the server's CA go together")
    if ca is None:
        return None
    if cert is None or key is None:
        return grpc.ssl_channel_credentials(ca.read_bytes())
    return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes())


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How the client talks to its server.

    `deadline_s` applies where a call gives none. `credentials` turn TLS on (see `tls_credentials`). `metadata` is sent
    with every call (such as `x-request-id`, which the server's log then has), and so is the token in `token_file`, read
    anew for each call: without `credentials` in the clear. The caller's span goes along where it uses OpenTelemetry.
    Videos over `max_content_bytes` are refused before they are sent. `stream_in_flight` bounds the unanswered videos of
    one stream, and so the memory it takes.
    """

    deadline_s: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_content_bytes: int = 64 * MIB
    stream_in_flight: int = 8
    credentials: grpc.ChannelCredentials | None = None
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    token_file: Path | None = None

    def __post_init__(self) -> None:
        for name in ("deadline_s", "max_content_bytes", "stream_in_flight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name):g} is not positive")

    def call_metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with a call. Raises SourceUnreadable where the token's file cannot be read."""
        metadata = (*self.metadata, *trace_context())
        try:
            return (*metadata, *bearer(self.token_file))
        except TokenUnreadable as error:
            raise SourceUnreadable(str(error), code=None, reason="SOURCE_UNREADABLE") from error

    def channel(self, target: str) -> grpc.aio.Channel:
        """A channel with these options."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(target, self.channel_options())
        return grpc.aio.secure_channel(target, self.credentials, self.channel_options())

    def channel_options(self) -> tuple[tuple[str, int | str], ...]:
        """These options as gRPC channel arguments."""
        message_bytes = self.max_content_bytes + MESSAGE_OVERHEAD_BYTES
        return (
            ("grpc.max_send_message_length", message_bytes),
            ("grpc.max_receive_message_length", message_bytes),
            # A lost peer is noticed during a call; an idle channel stays silent. Servers tolerate the two pings
            # without data that grpc sends by default.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.use_local_subchannel_pool", 1),  # a new client does not begin with the failures of another
            ("grpc.lb_policy_name", "round_robin"),  # all servers behind a dns:/// name take part
            # With the default of 1 s, all retries of a call would fall within one reconnect pause.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        )


class ScoringClient:
    """Scores videos with the server at `target` (any gRPC target, such as `host:port` or `dns:///name:port`).

    An async context manager; one client serves any number of concurrent calls.

        async with ScoringClient("localhost:8100") as client:
            verdict = await client.score(Path("clip.mp4"))
    """

    def __init__(self, target: str, options: ClientOptions | None = None, *, clock: Clock | None = None) -> None:
        self._target = target
        self._options = options or ClientOptions()
        self._clock = clock or Clock()
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = self._options.channel(self._target)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def score(
        self,
        source: Source,
        *,
        video_id: str = "",
        deadline_s: float | None = None,
        max_evidence_frames: int = 0,
        digest_first: bool = False,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        explain_blocks: bool = False,
        context: PlatformContext | None = None,
    ) -> Verdict:
        """Scores one video; UNAVAILABLE, RESOURCE_EXHAUSTED and a server's CANCELLED are retried as `RetryPolicy` says.

        `deadline_s` covers all attempts and the pauses between them. At most `max_evidence_frames` of the frames that
        were looked at come back as JPEG. `scrutiny` HIGH looks more closely, at several times the cost. With
        `explain_blocks`, frames that match those of blocked videos come with pictures. `context` goes on to people
        with a REVIEW or BLOCK. Raises a `ScoringError`; cancelling the caller cancels the call in the server.

        With `digest_first` the server is asked first whether it holds a verdict on this content, and the bytes are sent
        only if it does not, or is too old to know digests: worth it where many videos are sent more than once. It needs
        blake3 (`wildgate-client[digest]`; `ModuleNotFoundError` without it), and has no effect on a `Uri` or when
        evidence frames are requested.
        """
        within_s = self._options.deadline_s if deadline_s is None else deadline_s
        self._stub()
        if digest_first and isinstance(source, Content | Path) and not max_evidence_frames and not explain_blocks:
            ends_s = self._clock.now_s() + within_s
            digest = await asyncio.to_thread(_bounded_digest, source, self._options.max_content_bytes)
            try:
                return await self.score_digest(
                    digest,
                    video_id=video_id,
                    deadline_s=ends_s - self._clock.now_s(),
                    scrutiny=scrutiny,
                    context=context,
                )
            except (VerdictNotCached, InvalidRequest):  # to an older server, a digest is a request without a source
                within_s = ends_s - self._clock.now_s()
        sent = await read_source(source, max_content_bytes=self._options.max_content_bytes)
        request = score_request(
            video_id,
            sent,
            max_evidence_frames=max_evidence_frames,
            scrutiny=scrutiny,
            explain_blocks=explain_blocks,
            context=context,
        )
        return await self._call(request, within_s)

    async def score_digest(
        self,
        content_digest: str,
        *,
        video_id: str = "",
        deadline_s: float | None = None,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        context: PlatformContext | None = None,
    ) -> Verdict:
        """The verdict that the server's cache holds on the content with this digest, "blake3:<hex>".

        Nothing of the video is sent. Raises `VerdictNotCached` if the server has none made by its present model and
        policy with this scrutiny: send the video then. Otherwise raises what `score` does.
        """
        within_s = self._options.deadline_s if deadline_s is None else deadline_s
        return await self._call(digest_request(video_id, content_digest, scrutiny, context), within_s)

    async def _call(self, request: scoring_pb2.ScoreRequest, deadline_s: float) -> Verdict:
        stub = self._stub()

        async def attempt(left_s: float) -> scoring_pb2.ScoreResponse:
            try:
                response: scoring_pb2.ScoreResponse = await stub.Score(
                    request, timeout=left_s, metadata=self._options.call_metadata()
                )
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error) from error
            return response

        response = await with_retry(attempt, policy=self._options.retry, deadline_s=deadline_s, clock=self._clock)
        if not response.HasField("verdict"):
            raise UnexpectedAnswer("the answer holds no verdict", code=grpc.StatusCode.OK, reason="NO_VERDICT")
        return verdict_from(response.verdict)

    async def score_stream(
        self,
        items: AsyncIterable[StreamItem] | Iterable[StreamItem],
        *,
        deadline_s: float | None = None,
        max_evidence_frames: int = 0,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
    ) -> AsyncGenerator[StreamResult, None]:
        """Scores many videos over one call; results come as they finish, in any order.

        Each item gives one result: a verdict or its typed error. Nothing is retried here: the caller sees
        `result.error.retryable` and decides whether to send that item again. At most `stream_in_flight` items are
        unanswered at any time, and a path is read only when its turn comes, so a long stream takes bounded memory;
        a consumer that stops taking results stops the stream.

        Raises a `ScoringError` when the stream itself fails (items without a result were not scored), and whatever
        `items` raises. `deadline_s` covers the whole stream; by default there is none. To cancel the call at once when
        leaving the loop early, wrap the stream in `contextlib.aclosing`.
        """
        call = self._stub().ScoreStream(timeout=deadline_s, metadata=self._options.call_metadata())

        async def request_for(item: StreamItem) -> scoring_pb2.ScoreStreamRequest:
            sent = await read_source(item.source, max_content_bytes=self._options.max_content_bytes)
            return scoring_pb2.ScoreStreamRequest(
                request=score_request(
                    item.video_id,
                    sent,
                    max_evidence_frames=max_evidence_frames,
                    scrutiny=scrutiny,
                    context=item.context,
                )
            )

        results = run_stream(call, items, request_for, in_flight=self._options.stream_in_flight)
        try:
            async for result in results:
                yield result
        finally:
            await results.aclose()

    def _stub(self) -> scoring_pb2_grpc.ScoringServiceStub:
        if self._channel is None:
            raise RuntimeError("ScoringClient is used outside of its `async with` block")
        return scoring_pb2_grpc.ScoringServiceStub(self._channel)  # type: ignore[no-untyped-call]


def _bounded_digest(source: Content | Path, max_content_bytes: int) -> str:
    """The source's digest; a video too large to be sent is refused before it is read."""
    check_size(source, max_content_bytes)
    return content_digest(source)
