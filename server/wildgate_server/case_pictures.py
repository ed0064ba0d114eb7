"""What a REVIEW or BLOCK shows to people: the highest scores, and what matches a blocked video."""

from __future__ import annotations

from itertools import islice
from time import monotonic

import structlog

from wildgate_server.blocking import Findings
from wildgate_server.errors import WildgateError
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
    if len(scored.evidence) >= count:
        return scored.evidence
    wanted = strongest((found for seen in scored.tracks for found in seen.detections), count)
    matching = ((frame.track, frame.time_s) for match in matches for frame in match.frames)
    wanted |= set(islice(matching, count - len(wanted)))
    now = monotonic()
    try:
        return await as_evidence(await scorer.pictures(scored, wanted, deadline=now + (deadline - now) / 2))
    except WildgateError as error:
        _log.warning("no_pictures_for_case", error=str(error))
        return ()
