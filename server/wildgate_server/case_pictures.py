"""What a REVIEW or BLOCK shows to people: what called for it, each label in turn, and what matches a blocked video."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice, zip_longest
from time import monotonic

import structlog

from wildgate_server.blocking import Findings
from wildgate_server.errors import WildgateError
from wildgate_server.inference.detections import Detection
from wildgate_server.inference.evidence import EvidenceFrame, as_evidence, strongest
from wildgate_server.policy import Action
from wildgate_server.scoring import ScoredVideo, Scorer

__all__ = ["case_pictures"]

_log = structlog.get_logger()


async def case_pictures(
    scorer: Scorer, scored: ScoredVideo, blocks: Findings | None, count: int, deadline: float
) -> tuple[EvidenceFrame, ...]:
    """The pictures that the case of a scored video gets: `count` at most, or as many as the caller asked for; none of
    an ALLOW.

    A verdict waits for them for half of the time that it has until `deadline`, and goes on without them after that.
    """
    matches = blocks.matches if blocks else ()
    if max([scored.judgement.action, *(match.action for match in matches)]) < Action.REVIEW:
        return ()
    count = max(count, len(scored.evidence))
    matching = ((frame.track, frame.time_s) for match in matches for frame in match.frames)
    wanted = set(islice(dict.fromkeys(chain(_telling(scored, count), matching)), count))
    if wanted <= set(strongest(_detections(scored), len(scored.evidence))):  # the caller has asked for just these
        return scored.evidence
    now = monotonic()
    try:
        return await as_evidence(await scorer.pictures(scored, wanted, deadline=now + (deadline - now) / 2))
    except WildgateError as error:
        _log.warning("no_pictures_for_case", error=str(error))
        return ()


def _detections(scored: ScoredVideo) -> list[Detection]:
    return [found for seen in scored.tracks for found in seen.detections]


def _telling(scored: ScoredVideo, count: int) -> Iterable[tuple[int, float]]:
    """Frames, those that tell most first: the best of each label, gravest first, then each one's second best."""
    detections = _detections(scored)
    by_label = (
        strongest((found for found in detections if found.label == judged.label), count)
        for judged in scored.judgement.labels
    )
    in_turn = chain.from_iterable(zip_longest(*by_label))
    return chain((frame for frame in in_turn if frame), strongest(detections, count))
