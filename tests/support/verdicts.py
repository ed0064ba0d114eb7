"""Verdicts for tests of what is done with them."""

from __future__ import annotations

import io

from fake_gateway import a_verdict
from PIL import Image

from wildgate_client import Action, LabelGroup, LabelVerdict, TimeSpan, Verdict
from wildgate_client._wire import verdict_from
from wildgate_proto.v1 import scoring_pb2

TIGER_VERDICT = verdict_from(a_verdict())


def label(name: str, *spans: tuple[float, float], action: Action = Action.BLOCK) -> LabelVerdict:
    return LabelVerdict(
        label=name,
        action=action,
        score=0.9,
        group=LabelGroup.PRODUCT,
        taxon="",
        cites_appendix="",
        frames=len(spans),
        spans=tuple(TimeSpan(*span) for span in spans),
        seconds=1.0,
        track=0,
    )


def black_jpeg(width: int = 240, height: int = 240) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG")
    return out.getvalue()


def with_evidence(*times_s: float) -> scoring_pb2.Verdict:
    return a_verdict(evidence=[scoring_pb2.EvidenceFrame(time_s=time_s, jpeg=black_jpeg()) for time_s in times_s])


def tiger_with_evidence(*times_s: float) -> Verdict:
    return verdict_from(with_evidence(*times_s))
