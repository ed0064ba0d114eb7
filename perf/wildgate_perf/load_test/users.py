"""The users: each has a connection of its own and asks about videos, one by one or in a stream.

Only the locustfile imports this, after gevent has patched the standard library and grpc was told of it.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import blake3
import grpc
from gevent.pool import Group
from locust import User, tag, task
from locust.user.task import LOCUST_STATE_STOPPING

from wildgate_client._status import error_from_status, error_from_trailers
from wildgate_client.errors import Overloaded, ScoringError
from wildgate_perf.load_test.kinds import REFUSED, Kind
from wildgate_perf.load_test.options import LoadOptions, target_of
from wildgate_perf.load_test.videos import FreshFile, VideoSource
from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1 import scoring_pb2_grpc

_NOT_CACHED = "VERDICT_NOT_CACHED"
_WHEN_CACHED = {Kind.FIRST: Kind.CACHED, Kind.URI: Kind.URI_CACHED}
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # else all users of a process would share one connection
    ("grpc.max_receive_message_length", -1),
]


class NotScored(Exception):
    """What locust's tables call a request that was refused or failed: its status and reason."""


@dataclass(frozen=True)
class _Sent:
    """A request in flight."""

    method: str
    kind: Kind
    began: float = field(default_factory=time.time)
    began_s: float = field(default_factory=time.perf_counter)


class ScoringUser(User):
    """A caller with a connection of its own; asks for no more than its rate, if it has one."""

    abstract = True
    options: ClassVar[LoadOptions]
    videos: ClassVar[VideoSource]
    """Both of the run in progress; the listener of locust's `test_start` sets them in every process."""
    makes: ClassVar[tuple[Kind, ...]] = ()
    """The kinds of request that it makes."""
    _numbers = itertools.count()

    def on_start(self) -> None:
        """Connects, and starts at a moment of its own: users who start together would ask together for ever."""
        self._random = random.Random(os.urandom(16))  # of the process's own after a fork
        self._connection, target = self.options.connection, target_of(self.host)
        self._channel = (
            grpc.secure_channel(target, self._connection.credentials, options=_CHANNEL_OPTIONS)
            if self._connection.credentials
            else grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        )
        self._stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._back_off_s = 0.0
        self._under_way = Group()
        time.sleep(self._random.random() * self.options.pause_s)
        self._due_s = time.perf_counter()

    def on_stop(self) -> None:
        """Disconnects, when what is under way has ended."""
        self._under_way.join()
        self._channel.close()

    def wait_time(self) -> float:
        """Seconds until its next request: as its rate has it, and not at once after one that was refused or failed.

        A request that is late is sent at once, and nothing is caught up on, as in locust's constant throughput. In an
        open loop nothing but the draw counts, and all is caught up on.
        """
        now, pause_s = time.perf_counter(), self.options.pause_s
        is_open = self.options.arrivals == "poisson"
        self._due_s += self._random.expovariate(1 / pause_s) if is_open else pause_s
        if pause_s:
            self._log_row(Kind.SENT_LATE.value, "pacing", max(0.0, now - self._due_s) * 1e3)
        if not is_open:
            self._due_s = max(self._due_s, now + self._back_off_s)
        self._back_off_s = 0.0
        return max(0.0, self._due_s - now)

    def _score(self, kind: Kind, request: pb.ScoreRequest) -> ScoringError | None:
        """Asks, and reports what came of it; returns why there is no verdict, where there is none."""
        sent = _Sent("Score", kind)
        try:
            response = self._stub.Score(
                request, timeout=self.options.deadline_s, metadata=self._connection.call_metadata()
            )
        except grpc.RpcError as failure:
            self._report(sent, error := _error_of(failure))
            return error
        self._report(sent, response.verdict, response.ByteSize())
        return None

    def _report(self, sent: _Sent, result: pb.Verdict | ScoringError, response_bytes: int = 0) -> None:
        """Fires locust's request event, under a name that tells cached and refused ones apart, and logs the stages."""
        name, exception = sent.kind.value, None
        if isinstance(result, pb.Verdict):
            name = _WHEN_CACHED.get(sent.kind, sent.kind).value if result.cached else name
            for timing in result.timings:
                self._log_row(timing.stage, "stage", timing.duration_ms)
        elif sent.kind == Kind.DIGEST and result.reason == _NOT_CACHED:
            name = Kind.UNKNOWN_DIGEST.value
        else:
            self._back_off_s = max(self.options.failure_pause_s, result.retry_after_s or 0.0)
            name += REFUSED if isinstance(result, Overloaded) else ""
            exception = NotScored(_reason(result))
        self.environment.events.request.fire(
            request_type=sent.method,
            name=name,
            response_time=(time.perf_counter() - sent.began_s) * 1e3,
            response_length=response_bytes,
            exception=exception,
            start_time=sent.began,
            context={},
        )

    def _log_row(self, name: str, method: str, took_ms: float) -> None:
        """Adds to a row of locust's statistics; fired as a request, it would count in the totals, too."""
        self.environment.stats.get(name, method).log(took_ms, 0)

    @classmethod
    def _video_id(cls, kind: str) -> str:
        return f"{kind}-{os.getpid()}-{next(cls._numbers)}"


def _when_due(task_of_user: Callable[[Any], None]) -> Callable[[Any], None]:
    """In an open loop a task begins beside those that are under way."""

    @functools.wraps(task_of_user)
    def run(user: ScoringUser) -> None:
        if user.options.arrivals == "poisson":
            user._under_way.spawn(task_of_user, user)
        else:
            task_of_user(user)

    return run


class ContentUser(ScoringUser):
    """Sends files that the server has not seen."""

    weight = 2
    makes = (Kind.CONTENT,)

    @tag("content")
    @task
    @_when_due
    def score(self) -> None:
        """Scores one."""
        content = self.videos.fresh(self._random)
        self._score(Kind.CONTENT, pb.ScoreRequest(video_id=self._video_id(Kind.CONTENT), content=content))


class UriUser(ScoringUser):
    """Asks about files by URI: where there is a folder for it, files of its own that it changes each time."""

    makes = (Kind.URI, Kind.URI_CACHED)

    def on_start(self) -> None:
        """Connects."""
        super().on_start()
        self._files: list[FreshFile] = []  # those that nobody reads

    def on_stop(self) -> None:
        """Disconnects, and removes its files."""
        super().on_stop()
        for file in self._files:
            file.remove()

    @tag("uri")
    @task
    @_when_due
    def score(self) -> None:
        """Scores one."""
        if not self.options.uri_folder:
            self._ask(self._random.choice(self.videos.videos).name)
            return
        file = self._files.pop() if self._files else self._new_file()
        file.renew(self._random)
        self._ask(file.path.name)
        self._files.append(file)

    def _ask(self, name: str) -> None:
        self._score(Kind.URI, pb.ScoreRequest(video_id=self._video_id(Kind.URI), uri=self.options.uri_base + name))

    def _new_file(self) -> FreshFile:
        video = self._random.choice(self.videos.videos)
        return FreshFile(Path(self.options.uri_folder), video, uuid.uuid4().hex)


class RepeatedUser(ScoringUser):
    """Sends files of which some are popular, so that others have sent them before."""

    weight = 2
    makes = (Kind.FIRST, Kind.CACHED, Kind.DIGEST, Kind.UNKNOWN_DIGEST)

    @tag("repeated")
    @task
    @_when_due
    def score(self) -> None:
        """Scores one, by its digest first where that is wanted."""
        content, video_id = self.videos.mixed(self._random), self._video_id(Kind.FIRST.partition(",")[0])
        if self.options.digest_first:
            digest = f"blake3:{blake3.blake3(content).hexdigest()}"
            error = self._score(Kind.DIGEST, pb.ScoreRequest(video_id=video_id, content_digest=digest))
            if error is None or error.reason != _NOT_CACHED:
                return
        self._score(Kind.FIRST, pb.ScoreRequest(video_id=video_id, content=content))


class StreamUser(ScoringUser):
    """Sends files that the server has not seen in streams, a few of each in flight at a time.

    Its rate is that of videos within the stream. After a stream that broke it waits like any other user.
    """

    makes = (Kind.STREAM,)

    def wait_time(self) -> float:
        """Only what a failure asks for: within a stream, each video is paced."""
        pause_s, self._back_off_s = self._back_off_s, 0.0
        return pause_s

    @tag("stream")
    @task
    def stream(self) -> None:
        """One stream of videos."""
        options = self.options
        places = threading.BoundedSemaphore(options.stream_window)
        in_flight: dict[str, _Sent] = {}
        over = threading.Event()
        requests = self._requests(places, in_flight, over)
        whole = _Sent("ScoreStream", Kind.STREAM)
        # A stream that ends without an error must have answered everything.
        error = ScoringError("no result in the stream", code=None, reason="RESULT_MISSING")
        try:
            # The stream may wait for its own pace, so its deadline is for being stuck, not for a video.
            timeout_s = options.stream_videos * (options.deadline_s + options.pause_s)
            metadata = self._connection.call_metadata()
            for response in self._stub.ScoreStream(requests, timeout=timeout_s, metadata=metadata):
                failed = response.WhichOneof("result") == "error"
                result = error_from_status(response.error) if failed else response.verdict
                self._report(in_flight.pop(response.video_id), result, response.ByteSize())
                places.release()
        except grpc.RpcError as failure:
            error = _error_of(failure)
            in_flight = in_flight or {"": whole}
        finally:
            over.set()
        for sent in in_flight.values():
            self._report(sent, error)

    def _requests(
        self, places: threading.BoundedSemaphore, in_flight: dict[str, _Sent], over: threading.Event
    ) -> Iterator[pb.ScoreStreamRequest]:
        """Videos as their turn comes: when there is a place, when they are due, and as long as the user stays."""
        options = self.options
        for _ in range(options.stream_videos):
            if not places.acquire(timeout=options.deadline_s):
                return
            over.wait(super().wait_time())
            if over.is_set() or self._state == LOCUST_STATE_STOPPING:
                return
            video_id = self._video_id(Kind.STREAM)
            request = pb.ScoreRequest(video_id=video_id, content=self.videos.fresh(self._random))
            in_flight[video_id] = _Sent("ScoreStream", Kind.STREAM)
            yield pb.ScoreStreamRequest(request=request)


def _error_of(failure: grpc.RpcError) -> ScoringError:
    """The client's own error for a failed call; what the synchronous stub raises is a call, too."""
    call: Any = failure
    return error_from_trailers(call.code(), call.details(), call.trailing_metadata())


def _reason(error: ScoringError) -> str:
    code = error.code.name if error.code else ""
    return code if error.reason == code else f"{code} {error.reason}".strip()
