"""A scoring server that looks at nothing, as a program: prints its port, serves until it is ended.

It holds each request for a while, remembers the content it has seen, and refuses or fails some at random: by turns,
it would always be the same users. URIs that do not begin with file:/// are not allowed. It keeps the names of all
videos in a file, one a line.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1 import scoring_pb2_grpc


class Scoring(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chance = random.Random(1)
        self._seen: set[str] = set()
        self._log = threading.Lock()

    def Score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        result = self._result(request)
        if isinstance(result, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(result))
        return pb.ScoreResponse(video_id=request.video_id, verdict=result)

    def ScoreStream(
        self, request_iterator: Iterator[pb.ScoreStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ScoreStreamResponse]:
        for message in request_iterator:
            result = self._result(message.request)
            response = pb.ScoreStreamResponse(video_id=message.request.video_id)
            if isinstance(result, status_pb2.Status):
                response.error.CopyFrom(result)
            else:
                response.verdict.CopyFrom(result)
            yield response

    def _result(self, request: pb.ScoreRequest) -> pb.Verdict | status_pb2.Status:
        options = self._options
        if options.log:
            with self._log, options.log.open("a") as log:
                print(request.video_id, request.WhichOneof("source"), file=log)
        luck = self._chance.random()
        if luck < options.refuse_share:
            return status(code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED")
        if luck < options.refuse_share + options.fail_share:
            return status(code_pb2.UNAVAILABLE, "BACKEND_UNAVAILABLE")
        if request.uri and not request.uri.startswith("file:///"):
            return status(code_pb2.PERMISSION_DENIED, "URI_NOT_ALLOWED")
        digest = request.content_digest or f"blake3:{blake3.blake3(request.content).hexdigest()}"
        cached = digest in self._seen and not request.uri
        if request.content_digest and not cached:
            return status(code_pb2.NOT_FOUND, "VERDICT_NOT_CACHED")
        self._seen.add(digest)
        if not cached:
            time.sleep(options.hold_s)
        return pb.Verdict(
            action=pb.ACTION_ALLOW,
            cached=cached,
            content_digest=digest,
            timings=[
                pb.StageTiming(stage="infer", duration_ms=options.hold_s * 1e3),
                pb.StageTiming(stage="total", duration_ms=options.hold_s * 1e3 + 1),
            ],
        )


def status(code: int, reason: str) -> status_pb2.Status:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="wildgate"))
    return status_pb2.Status(code=code, message=f"scripted: {reason}", details=[detail])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hold-s", type=float, default=0.01)
    parser.add_argument("--refuse-share", type=float, default=0)
    parser.add_argument("--fail-share", type=float, default=0)
    parser.add_argument("--log", type=Path)
    server = grpc.server(ThreadPoolExecutor(max_workers=64))
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(Scoring(parser.parse_args()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
