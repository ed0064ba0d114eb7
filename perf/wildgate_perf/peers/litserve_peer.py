"""LitServe: a LitAPI with one worker process per core.

Bodies are raw: the documented ways to send files are multipart and base64; a FastAPI dependency that reads the body is
lighter, and LitServe passes the annotation of `decode_request` on to FastAPI.
"""

# No postponed annotations: LitServe reads `decode_request`'s as they are.
from typing import Annotated, Any

import litserve
from fastapi import Depends, Request

from wildgate_perf.peers.detector import Answer, open_detector
from wildgate_perf.peers.peer_setup import PeerSetup


async def whole_body(request: Request) -> bytes:
    """The request's body as it came."""
    body: bytes = await request.body()
    return body


class VideoScorer(litserve.LitAPI):  # type: ignore[misc]
    """Bytes in, answer out, one at a time."""

    def setup(self, device: str) -> None:
        """Opens the detector in the worker process."""
        setup = PeerSetup.from_environment()
        self.scorer = open_detector(setup.graph, setup.letterbox_value, setup.tuning.intra_threads)

    def decode_request(self, request: Annotated[bytes, Depends(whole_body)]) -> bytes:
        """The body as it came."""
        return request

    def predict(self, videos: Any) -> Any:
        """The answer, or the answers of a batch."""
        return self.scorer.score_all(videos) if isinstance(videos, list) else self.scorer.score(videos)

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """A list of videos stays one."""
        return inputs

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """So does a list of answers."""
        return output

    def encode_response(self, output: Answer) -> Answer:
        """FastAPI makes JSON of it."""
        return output


def serve(setup: PeerSetup) -> None:
    """Serves until it is ended."""
    api = VideoScorer(
        api_path="/score", max_batch_size=setup.tuning.max_batch, batch_timeout=setup.tuning.batch_wait_ms / 1e3
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=setup.tuning.workers,
        timeout=60,
        fast_queue="fast_queue" in setup.tuning.switches,
    )
    server.run(
        host="127.0.0.1",
        port=setup.port,
        num_api_servers=setup.tuning.front_ends,
        log_level="warning",
        generate_client_file=False,
    )


if __name__ == "__main__":
    serve(PeerSetup.from_environment())
