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
from wildgate_client._source import Content, Source, StreamItem, check_size, read_source
from wildgate_client._status import error_from_rpc
from wildgate_client._stream import StreamResult, run_stream
from wildgate_client._verdict import Verdict
from wildgate_client._wire import digest_request, score_request, verdict_from
from wildgate_client.errors import InvalidRequest, UnexpectedAnswer, VerdictNotCached
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc

__all__ = ["ClientOptions", "ScoringClient"]

MIB = 1024 * 1024
# What a message holds beside the video: names, fields, and in answers detections and evidence frames.
MESSAGE_SLACK_BYTES = MIB


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How the client speaks to its server.

    `deadline_s` holds where a call names none. `credentials` turn TLS on; `metadata` goes along with every
    call (credentials of the caller, tracing). Videos past `max_content_bytes` are refused before they are
    sent. `stream_in_flight` bounds the unanswered videos of one stream, and with them the memory it takes.
    """

    deadline_s: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_content_bytes: int = 64 * MIB
    stream_in_flight: int = 8
    credentials: grpc.ChannelCredentials | None = None
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name in ("deadline_s", "max_content_bytes", "stream_in_flight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name):g} is not positive")

    def channel_options(self) -> tuple[tuple[str, int], ...]:
        """The gRPC channel arguments that follow from these options."""
        message_bytes = self.max_content_bytes + MESSAGE_SLACK_BYTES
        return (
            ("grpc.max_send_message_length", message_bytes),
            ("grpc.max_receive_message_length", message_bytes),
            # A lost peer is noticed during a call; an idle channel stays silent. At most two pings without
            # data (grpc's default) keeps within what servers tolerate.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # The default of 1 s would let every retry of a call fall into one reconnect pause.
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
        arguments = self._options.channel_options()
        if self._options.credentials is None:
            self._channel = grpc.aio.insecure_channel(self._target, arguments)
        else:
            self._channel = grpc.aio.secure_channel(self._target, self._options.credentials, arguments)
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
    ) -> Verdict:
        """Scores one video; UNAVAILABLE and RESOURCE_EXHAUSTED are tried again as `RetryPolicy` says.

        `deadline_s` is one for all attempts and their pauses. At most `max_evidence_frames` looked-at frames
        come back as JPEG. Raises a `ScoringError`; cancelling the caller cancels the call in the server.

        With `digest_first` the server is asked for the verdict it may have on the content, and the bytes are sent only
        where it has none, or is too old to know digests: worth it where many videos are sent more than once. It needs
        blake3 (`wildgate-client[digest]`; `ModuleNotFoundError` without it), and has no effect on a `Uri` or where
        evidence frames are asked for.
        """
        within_s = self._options.deadline_s if deadline_s is None else deadline_s
        self._stub()
        if digest_first and isinstance(source, Content | Path) and not max_evidence_frames:
            ends_s = self._clock.now_s() + within_s
            digest = await asyncio.to_thread(_bounded_digest, source, self._options.max_content_bytes)
            try:
                return await self.score_digest(digest, video_id=video_id, deadline_s=ends_s - self._clock.now_s())
            except (VerdictNotCached, InvalidRequest):  # an older server takes a digest for a request without a source
                within_s = ends_s - self._clock.now_s()
        sent = await read_source(source, max_content_bytes=self._options.max_content_bytes)
        return await self._asked(score_request(video_id, sent, max_evidence_frames=max_evidence_frames), within_s)

    async def score_digest(
        self, content_digest: str, *, video_id: str = "", deadline_s: float | None = None
    ) -> Verdict:
        """The verdict that the server's cache has on content whose digest, "blake3:<hex>", the caller knows.

        Nothing of the video is sent. Raises `VerdictNotCached` where the server has none (any more), by its present
        model and policy: the video is to be sent then; otherwise as `score` does.
        """
        within_s = self._options.deadline_s if deadline_s is None else deadline_s
        return await self._asked(digest_request(video_id, content_digest), within_s)

    async def _asked(self, request: scoring_pb2.ScoreRequest, deadline_s: float) -> Verdict:
        stub = self._stub()

        async def attempt(left_s: float) -> scoring_pb2.ScoreResponse:
            try:
                response: scoring_pb2.ScoreResponse = await stub.Score(
                    request, timeout=left_s, metadata=self._options.metadata
                )
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error) from error
            return response

        response = await with_retry(
            attempt,
            policy=self._options.retry,
            deadline_s=deadline_s,
            clock=self._clock,
        )
        if not response.HasField("verdict"):
            raise UnexpectedAnswer("the answer holds no verdict", code=grpc.StatusCode.OK, reason="NO_VERDICT")
        return verdict_from(response.verdict)

    async def score_stream(
        self,
        items: AsyncIterable[StreamItem] | Iterable[StreamItem],
        *,
        deadline_s: float | None = None,
        max_evidence_frames: int = 0,
    ) -> AsyncGenerator[StreamResult, None]:
        """Scores many videos over one call; results come as they finish, not in the order asked.

        Every item gives one result, with a verdict or with its typed error. Nothing is tried again here: the
        caller sees `result.error.retryable` and decides whether to send that item anew. At most
        `stream_in_flight` items are unanswered at any time; a path is read when its turn comes, so a long
        stream takes bounded memory, and a consumer that stops taking results stops the stream.

        Raises a `ScoringError` when the stream itself fails (items without a result were then not scored),
        and whatever `items` raises. `deadline_s` is for the whole stream; by default it has none. Leaving the
        loop early cancels the call at once only under `contextlib.aclosing`.
        """
        call = self._stub().ScoreStream(timeout=deadline_s, metadata=self._options.metadata)

        async def requests_of(item: StreamItem) -> scoring_pb2.ScoreStreamRequest:
            sent = await read_source(item.source, max_content_bytes=self._options.max_content_bytes)
            return scoring_pb2.ScoreStreamRequest(
                request=score_request(item.video_id, sent, max_evidence_frames=max_evidence_frames)
            )

        results = run_stream(call, items, requests_of, in_flight=self._options.stream_in_flight)
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
    """The source's digest; what is too large to be sent is refused before it is read."""
    check_size(source, max_content_bytes)
    return content_digest(source)
