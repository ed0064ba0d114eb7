"""A scored video, as the scorer hands it to the service."""

from __future__ import annotations

from typing import Any

import numpy as np
from releases_under_test import releases

from wildgate_server.blocks.fingerprint import FrameFingerprint, VideoFingerprint
from wildgate_server.inference.detections import Detection
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.inference.observation import SeenTrack, SeenWindow
from wildgate_server.media.letterbox import Letterbox
from wildgate_server.media.sampled_video import ClipWindow, Display, SampledTrack, SampledVideo
from wildgate_server.policy import Judgement, Policy, ShownFrame, Sighting, View
from wildgate_server.scoring import ScoredVideo
from wildgate_server.stages import Stage

POLICY = Policy.model_validate(
    {
        "version": "p1",
        "labels": {
            "rhino_horn": {
                "group": "product",
                "taxon": "Rhinocerotidae",
                "cites_appendix": "I/II",
                "review": {"score": 0.4, "seconds": 0},
                "block": {"score": 0.6, "seconds": 1.5},
            },
            "live_bear": {
                "group": "live_animal",
                "taxon": "Ursidae",
                "cites_appendix": "I/II",
                "review": {"score": 0.4, "seconds": 0},
            },
        },
    }
)

LOOKED_AT_S = (0.0, 2.0, 3.5)
FINGERPRINT = VideoFingerprint(
    tuple(
        FrameFingerprint(
            0, time_s, 90, (bytes([at]) * 32, *(np.random.default_rng([at, n]).bytes(32) for n in range(2)))
        )
        for at, time_s in enumerate(LOOKED_AT_S)
    ),
    4.25,
)


def sampled_video(**changes: Any) -> SampledVideo:
    """A video of one track; changes are those of the video or of its track."""
    track_fields = {
        "number": 0,
        "codec": "h264",
        "profile": "High",
        "width": 320,
        "height": 240,
        "display": Display(90, mirrored=True),
        "first_s": 0.0,
        "last_s": 4.25,
        "windows": (ClipWindow(b"clip", (0, 1, 2, 2), LOOKED_AT_S, 3),),
    }
    of_track = {name: changes.pop(name) for name in list(changes) if name in track_fields or name == "coding"}
    fields = {
        "format": "mov",
        "tracks": (SampledTrack(**{**track_fields, **of_track}),),
        "content_bytes": 1000,
        "content_digest": "blake3:00",
        "read_bytes": 300,
        "read_requests": 2,
        "read_ms": 0.5,
        "sample_ms": 4.0,
    }
    return SampledVideo(**{**fields, **changes})


def judgement() -> Judgement:
    """BLOCK for a horn in the last two looked-at frames; a bear in the first to be reviewed."""
    sightings = [
        Sighting("live_bear", 0.5, 0.0),
        Sighting("rhino_horn", 0.75, 2.0),
        Sighting("rhino_horn", 0.625, 3.5),
    ]
    return POLICY.judge(sightings, View(0.0, 4.25, tuple(map(ShownFrame, LOOKED_AT_S))))


def seen_track() -> SeenTrack:
    """All of the sampled video, with a horn in the second of three frames."""
    track = sampled_video().default_track
    [window] = track.windows
    letterbox = Letterbox.of(240, 320, 320)
    horn = Detection("rhino_horn", 0.75, 2.0, (0.125, 0.25, 0.5, 1.0))
    return SeenTrack(track, (SeenWindow(window, (letterbox,) * 3, (horn,)),))


def scored_video(**changes: Any) -> ScoredVideo:
    fields = {
        "video": sampled_video(),
        "tracks": (seen_track(),),
        "judgement": judgement(),
        "policy": POLICY,
        "release": releases(1).serving,
        "evidence": (EvidenceFrame(2.0, b"jpeg"),),
        "timings": {Stage.SAMPLE: 4.0, Stage.INFER: 20.0},
        "fingerprint": FINGERPRINT,
    }
    return ScoredVideo(**{**fields, **changes})
