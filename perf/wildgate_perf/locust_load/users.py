"""Locust's users: each has a connection of its own and asks about videos, one by one or in a stream.

To be imported by locust alone, after gevent has patched the standard library and grpc was told of it.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import blake3
import grpc
from locust import User, task
from locust.user.task import LOCUST_STATE_STOPPING

from wildgate_client._status import error_from_status, error_from_trailers
from wildgate_client.errors import Overloaded, ScoringError
from wildgate_perf.locust_load.asked_videos import AskedVideos, FreshFile
from wildgate_perf.locust_load.collecting import Collector
from wildgate_perf.locust_load.kinds import (
    CACHED,
    CONTENT,
    DIGEST,
    FIRST,
    REPEATED,
    STREAM,
    UNKNOWN_DIGEST,
    URI,
    URI_CACHED,
)
from wildgate_perf.locust_load.options import LoadOptions
from wildgate_perf.locust_load.tally import Answer, Came
from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1 import scoring_pb2_grpc

__all__ = [
    "USER_CLASSES",
    "ContentUser",
    "Load",
    "NotAnswered",
    "RepeatedUser",
    "ScoringUser",
    "StreamUser",
    "UriUser",
    "put_to_work",
]

_NOT_CACHED = "VERDICT_NOT_CACHED"
_WHEN_CACHED = {FIRST: CACHED, URI: URI_CACHED}
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # else all users of a process would share one connection
    ("grpc.max_receive_message_length", -1),
]


class NotAnswered(Exception):
    """How locust's own tables call a request that was refused or failed: by status and reason."""


@dataclass(frozen=True)
class Load:
    """What all users of a process share."""

    options: LoadOptions
    asked: AskedVideos
    collector: Collector


class ScoringUser(User):
    """A caller with a connection of its own; asks for no more than its rate, if it has one."""

    abstract = True
    load: ClassVar[Load]
    _numbers = itertools.count()

    def on_start(self) -> None:
        """Connects, and begins at a moment of its own, or users who come together would ask together for ever."""
        self._chance = random.Random(os.urandom(16))  # of the process's own after a fork
        self._channel = grpc.insecure_channel(self.host or "", options=_CHANNEL_OPTIONS)
        self._stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)  # type: ignore[no-untyped-call]
        time.sleep(self._chance.random() * self.load.options.pause_s)
        self._due_s = time.perf_counter()

    def wait_time(self) -> float:
        """Seconds until its next turn, locust's constant throughput: who is late goes on at once and catches up on
        nothing."""
        self._due_s = max(self._due_s + self.load.options.pause_s, time.perf_counter())
        return self._due_s - time.perf_counter()

    def on_stop(self) -> None:
        """Disconnects."""
        self._channel.close()

    def _score(self, kind: str, request: pb.ScoreRequest) -> ScoringError | None:
        """Asks and tells what came of it; returns why there is no verdict, where there is none."""
        began, asked_s = time.time(), time.perf_counter()
        try:
            response = self._stub.Score(request, timeout=self.load.options.deadline_s)
        except grpc.RpcError as failure:
            error = _error_of(failure)
            self._tell("Score", kind, began, asked_s, request, error=error)
            return error
        self._tell("Score", kind, began, asked_s, request, response.verdict, response_bytes=response.ByteSize())
        return None

    def _tell(
        self,
        request_type: str,
        kind: str,
        began: float,
        asked_s: float,
        request: pb.ScoreRequest,
        verdict: pb.Verdict | None = None,
        *,
        error: ScoringError | None = None,
        response_bytes: int = 0,
    ) -> None:
        """Tells locust and the tally of a request's end; refusals have a name of their own in locust's tables."""
        if kind == DIGEST and error is not None and error.reason == _NOT_CACHED:
            kind, error = UNKNOWN_DIGEST, None
        answer = Answer(
            came=_came(error),
            took_ms=(time.perf_counter() - asked_s) * 1e3,
            response_bytes=response_bytes,
            request_bytes=request.ByteSize(),
            cached=bool(verdict and verdict.cached),
            stages_ms={timing.stage: timing.duration_ms for timing in verdict.timings} if verdict else {},
            reason=_reason(error),
        )
        if answer.cached:
            kind = _WHEN_CACHED.get(kind, kind)
        self.load.collector.add(kind, answer)
        refused = answer.came is Came.REFUSED
        self.environment.events.request.fire(
            request_type=request_type,
            name=f"{kind} (refused)" if refused else kind,
            response_time=answer.took_ms,
            response_length=response_bytes,
            exception=None if answer.came is Came.ANSWERED else NotAnswered(answer.reason),
            start_time=began,
            context={},
        )

    @classmethod
    def _video_id(cls, kind: str) -> str:
        return f"{kind}-{os.getpid()}-{next(cls._numbers)}"


class ContentUser(ScoringUser):
    """Sends files that the server has not seen."""

    @task
    def score(self) -> None:
        """Scores one."""
        content = self.load.asked.fresh(self._chance)
        self._score(CONTENT, pb.ScoreRequest(video_id=self._video_id(CONTENT), content=content))


class UriUser(ScoringUser):
    """Asks about files by URI: about one of its own that is another each time, where there is a folder for it."""

    def on_start(self) -> None:
        """Connects, and lays out its file."""
        super().on_start()
        self._file: FreshFile | None = None
        if folder := self.load.options.uri_folder:
            self._file = FreshFile(Path(folder), self._chance.choice(self.load.asked.videos), uuid.uuid4().hex)

    def on_stop(self) -> None:
        """Disconnects, and takes its file away."""
        super().on_stop()
        if self._file is not None:
            self._file.remove()

    @task
    def score(self) -> None:
        """Scores one."""
        if self._file is None:
            name = self._chance.choice(self.load.asked.videos).name
        else:
            self._file.renew(self._chance)
            name = self._file.path.name
        self._score(URI, pb.ScoreRequest(video_id=self._video_id(URI), uri=self.load.options.uri_base + name))


class RepeatedUser(ScoringUser):
    """Sends files of which some are popular, so that others have sent them before."""

    @task
    def score(self) -> None:
        """Scores one, by its digest first where that is wanted."""
        content = self.load.asked.mixed(self._chance)
        video_id = self._video_id(REPEATED)
        if self.load.options.digest_first:
            digest = f"blake3:{blake3.blake3(content).hexdigest()}"
            error = self._score(DIGEST, pb.ScoreRequest(video_id=video_id, content_digest=digest))
            if error is None or error.reason != _NOT_CACHED:
                return
        self._score(FIRST, pb.ScoreRequest(video_id=video_id, content=content))


class StreamUser(ScoringUser):
    """Sends files that the server has not seen in streams, a few of each under way at a time."""

    def wait_time(self) -> float:
        """None: a stream is paced video by video."""
        return 0.0

    @task
    def stream(self) -> None:
        """One stream of videos."""
        options = self.load.options
        places = threading.BoundedSemaphore(options.stream_window)
        under_way: dict[str, tuple[float, float, pb.ScoreRequest]] = {}
        over = threading.Event()
        requests = self._requests(places, under_way, over)
        error: ScoringError | None = None
        began, asked_s = time.time(), time.perf_counter()
        try:
            # The stream may wait for its own pace, so its deadline is for being stuck, not for a video.
            timeout_s = options.stream_videos * (options.deadline_s + options.pause_s)
            for response in self._stub.ScoreStream(requests, timeout=timeout_s):
                self._take(response, under_way)
                places.release()
        except grpc.RpcError as failure:
            error = _error_of(failure)
        finally:
            over.set()
        if error is not None and not under_way:
            self._tell("ScoreStream", STREAM, began, asked_s, pb.ScoreRequest(), error=error)
        # A stream that ends as if all were well must have answered everything.
        lost = error or ScoringError("no result in the stream", code=None, reason="RESULT_MISSING")
        for sent, sent_s, request in under_way.values():
            self._tell("ScoreStream", STREAM, sent, sent_s, request, error=lost)

    def _requests(
        self,
        places: threading.BoundedSemaphore,
        under_way: dict[str, tuple[float, float, pb.ScoreRequest]],
        over: threading.Event,
    ) -> Iterator[pb.ScoreStreamRequest]:
        """Videos as their turn comes: when there is a place, when they are due, and as long as the user stays."""
        options = self.load.options
        for _ in range(options.stream_videos):
            if not places.acquire(timeout=options.deadline_s):
                return
            over.wait(super().wait_time())
            if over.is_set() or self._state == LOCUST_STATE_STOPPING:
                return
            video_id = self._video_id(STREAM)
            request = pb.ScoreRequest(video_id=video_id, content=self.load.asked.fresh(self._chance))
            under_way[video_id] = (time.time(), time.perf_counter(), request)
            yield pb.ScoreStreamRequest(request=request)

    def _take(
        self, response: pb.ScoreStreamResponse, under_way: dict[str, tuple[float, float, pb.ScoreRequest]]
    ) -> None:
        sent, sent_s, request = under_way.pop(response.video_id)
        failed = response.WhichOneof("result") == "error"
        self._tell(
            "ScoreStream",
            STREAM,
            sent,
            sent_s,
            request,
            None if failed else response.verdict,
            error=error_from_status(response.error) if failed else None,
            response_bytes=response.ByteSize(),
        )


USER_CLASSES: dict[str, type[ScoringUser]] = {
    CONTENT: ContentUser,
    STREAM: StreamUser,
    URI: UriUser,
    REPEATED: RepeatedUser,
}


def put_to_work(load: Load) -> list[type[ScoringUser]]:
    """Gives all users their load, and returns those that its mix has, weighted."""
    ScoringUser.load = load
    for kind, user in USER_CLASSES.items():
        user.weight = load.options.mix[kind]
    return [user for user in USER_CLASSES.values() if user.weight]


def _error_of(failure: grpc.RpcError) -> ScoringError:
    """The client's own error for a failed call; what the synchronous stub raises is a call, too."""
    call: Any = failure
    return error_from_trailers(call.code(), call.details(), call.trailing_metadata())


def _came(error: ScoringError | None) -> Came:
    if error is None:
        return Came.ANSWERED
    return Came.REFUSED if isinstance(error, Overloaded) else Came.FAILED


def _reason(error: ScoringError | None) -> str:
    if error is None:
        return ""
    code = error.code.name if error.code else ""
    return code if error.reason == code else f"{code} {error.reason}".strip()
