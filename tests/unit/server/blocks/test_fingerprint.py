"""Hashes of pictures, without the pictures."""

from __future__ import annotations

import av
import numpy as np
import pdqhash
import pytest
from checkout import SAMPLES

from wildgate_server.blocks.fingerprint import MIN_QUALITY, distance, mirrored


@pytest.mark.parametrize("name", ["tiger_passing.mp4", "coffee_photograph.mp4", "fruit_and_horns.mp4"])
def test_a_mirrored_hash_is_near_that_of_the_mirrored_picture(name: str) -> None:
    with av.open(str(SAMPLES / name)) as clip:
        picture = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    (one, quality), (turned, _) = (pdqhash.compute(np.ascontiguousarray(each)) for each in (picture, picture[:, ::-1]))
    hashes = [np.packbits(bits.astype(np.uint8)).tobytes() for bits in (one, turned)]
    assert quality >= MIN_QUALITY
    assert distance(*hashes) > 90
    assert distance(mirrored(hashes[0]), hashes[1]) <= 20
    assert mirrored(mirrored(hashes[0])) == hashes[0]
