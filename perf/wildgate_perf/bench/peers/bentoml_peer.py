"""BentoML: a service with one worker process per core; the body is the one ("root") argument of its API."""

import bentoml

from wildgate_perf.bench.peers.peer_setup import PeerSetup
from wildgate_perf.bench.peers.scorer import Answer

_SETUP = PeerSetup.from_environment()


@bentoml.service(
    workers=_SETUP.workers,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class VideoScorer:
    """The detector behind one API."""

    def __init__(self) -> None:
        self._scorer = _SETUP.scorer()

    @bentoml.api(route="/score")  # type: ignore[untyped-decorator]
    def score(self, video: bytes, /) -> Answer:
        """The answer to one video."""
        return self._scorer.score(video)
