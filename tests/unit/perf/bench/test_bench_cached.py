"""Videos that are the same to look at and new to a cache."""

from __future__ import annotations

import io

import av
from blake3 import blake3
from checkout import ROOT

from wildgate_perf.bench.cached import padded

SAMPLE = ROOT / "samples" / "tiger_passing.mp4"


def packets(content: bytes) -> list[bytes]:
    with av.open(io.BytesIO(content)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def test_padding_changes_the_digest_and_no_packet() -> None:
    content = SAMPLE.read_bytes()
    variants = [padded(content, number) for number in range(3)]
    assert len({blake3(variant).hexdigest() for variant in [content, *variants]}) == 4
    for variant in variants:
        assert packets(variant) == packets(content)
