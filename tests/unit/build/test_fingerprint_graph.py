"""Fingerprints of pictures against PDQ's reference implementation, and what borders do to them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pdqhash
import pytest

from wildgate_build.fingerprint.graph import fingerprint_graph
from wildgate_build.onnx_session import run
from wildgate_server.blocks.fingerprint import HASH_BYTES, MIN_QUALITY
from wildgate_server.repository.manifest import HASHES_PER_FRAME, load_manifest
from wildgate_server.repository.model_configs import FRAME_FINGERPRINT

Picture = npt.NDArray[np.uint8]
F, S = 4, 320
REPOSITORY = Path("model_repository")
REGIONAL_BITS = 45  # by which hashes of regions may differ
WITHOUT_FILL = 18  # the place of the first hash without what is blurred around the picture
MOST_BITS = 20
"""By which a hash may differ from the reference's of the same picture before it was made small."""


def picture(seed: int, height: int = 720, width: int = 1280) -> Picture:
    """Cloudy shapes of all sizes, as photographs have them."""
    draw, shapes = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for scale in (4, 8, 16, 32):
        shapes += cv2.resize(draw.normal(0, 90 / scale**0.7, (scale, scale, 3)).astype(np.float32), (width, height))
    return (shapes + 128).clip(0, 255).astype(np.uint8)


def squares(*pictures: Picture) -> tuple[Picture, npt.NDArray[np.int32]]:
    """FRAMES and PICTURE_SIZE of one window, letterboxed as the decoder does; places left over have no picture."""
    frames, sizes = np.full((1, F, S, S, 3), 114, np.uint8), np.zeros((1, F, 2), np.int32)
    for at, shown in enumerate(pictures):
        height, width = shown.shape[:2]
        small = [max(1, round(side * S / max(height, width))) for side in (width, height)]
        left, top = (S - small[0]) // 2, (S - small[1]) // 2
        frames[0, at, top : top + small[1], left : left + small[0]] = cv2.resize(
            shown, small, interpolation=cv2.INTER_AREA
        )
        sizes[0, at] = width, height
    return frames, sizes


def fingerprints(*pictures: Picture, of: int | None = None) -> tuple[Picture, npt.NDArray[np.int32]]:
    frames, sizes = squares(*pictures)
    [outputs] = run(fingerprint_graph(of, S), {"FRAMES": frames, "PICTURE_SIZE": sizes})
    return outputs["FINGERPRINT"][0], outputs["FINGERPRINT_QUALITY"][0]


def bits_apart(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> int:
    return int(np.unpackbits(one ^ other).sum())


@pytest.mark.parametrize("shape", [(720, 1280), (1280, 720), (480, 480), (240, 320), (90, 160)])
def test_the_hash_of_a_full_picture_is_nearly_that_of_the_reference(shape: tuple[int, int]) -> None:
    pictures = [picture(seed, *shape) for seed in range(F)]
    hashes, qualities = fingerprints(*pictures)
    assert hashes.shape == (F, HASHES_PER_FRAME, HASH_BYTES)
    for ours, quality, shown in zip(hashes[:, 0], qualities[:, 0], pictures, strict=True):
        reference, reference_quality = pdqhash.compute(shown)
        assert bits_apart(ours, np.packbits(reference.astype(np.uint8))) <= MOST_BITS
        assert abs(int(quality) - reference_quality) <= 10


def test_both_graphs_give_the_same() -> None:
    for one, other in zip(*(fingerprints(*map(picture, range(F)), of=frames) for frames in (None, F)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 40, 90)])
@pytest.mark.parametrize(("above", "beside"), [(200, 0), (0, 300), (60, 90), (800, 0)])
def test_uniform_borders_change_nothing(above: int, beside: int, colour: tuple[int, int, int]) -> None:
    plain = [picture(seed) for seed in range(F)]
    framed = [
        cv2.copyMakeBorder(shown, above, above, beside, beside, cv2.BORDER_CONSTANT, value=colour) for shown in plain
    ]
    for one, other in zip(fingerprints(*plain)[0], fingerprints(*framed)[0], strict=True):
        assert bits_apart(one[0], other[0]) <= 31


def filled(shown: Picture, above: int, beside: int) -> Picture:
    """The picture within itself, enlarged and blurred, as apps make it of bars."""
    height, width = shown.shape[:2]
    whole = height + 2 * above, width + 2 * beside
    scale = max(whole[0] / height, whole[1] / width)
    large = cv2.resize(shown, None, fx=scale, fy=scale)
    top, left = (large.shape[0] - whole[0]) // 2, (large.shape[1] - whole[1]) // 2
    fill = cv2.GaussianBlur(large[top : top + whole[0], left : left + whole[1]], (0, 0), max(whole) / 40)
    fill[above : above + height, beside : beside + width] = shown
    return fill


@pytest.mark.parametrize("bars", [0, 600])
@pytest.mark.parametrize(
    ("shape", "above", "beside"),
    [((720, 1280), 778, 0), ((1280, 720), 0, 778), ((600, 800), 411, 0), ((480, 480), 0, 187)],
)
def test_of_a_picture_in_a_blurred_fill_there_is_a_hash_without_it(
    shape: tuple[int, int], above: int, beside: int, bars: int
) -> None:
    plain = [picture(seed, *shape) for seed in range(F)]
    framed = [filled(shown, above, beside) for shown in plain]
    if bars:  # along the other axis
        sides = (0, 0, bars, bars) if above else (bars, bars, 0, 0)
        framed = [cv2.copyMakeBorder(shown, *sides, cv2.BORDER_CONSTANT) for shown in framed]
    for one, other in zip(fingerprints(*plain)[0], fingerprints(*framed)[0], strict=True):
        assert bits_apart(one[0], other[WITHOUT_FILL]) <= REGIONAL_BITS


def test_of_a_picture_without_a_fill_there_is_none() -> None:
    for shape in ((720, 1280), (1280, 720), (480, 480)):
        _, qualities = fingerprints(*(picture(seed, *shape) for seed in range(F)))
        assert (qualities[:, WITHOUT_FILL:] == 0).all()


def test_what_is_uniform_in_one_frame_alone_stays() -> None:
    half_black = picture(0)
    half_black[:300] = 0
    with_company, _ = fingerprints(half_black, picture(1))
    alone, _ = fingerprints(half_black)
    assert bits_apart(with_company[0, 0], alone[0, 0]) > 31


def test_a_place_without_a_picture_is_worth_nothing_and_takes_no_borders_away() -> None:
    framed = cv2.copyMakeBorder(picture(0), 200, 200, 0, 0, cv2.BORDER_CONSTANT)
    hashes, qualities = fingerprints(framed)
    assert (qualities[1:] == 0).all()
    assert bits_apart(hashes[0, 0], fingerprints(picture(0))[0][0, 0]) <= 31


def test_a_region_keeps_its_hash_where_only_the_others_change() -> None:
    plain, covered = picture(0), picture(0)
    covered[-200:] = (250, 250, 250)
    covered[-150:-100, 200:900] = 0
    before, after = (fingerprints(shown)[0][0] for shown in (plain, covered))
    assert bits_apart(before[0], after[0]) > 31
    # Part of what covers the picture is uniform and passes for its border; the regions with borders find it.
    assert min(bits_apart(one, other) for one in before[1:] for other in after) <= 10


@pytest.mark.parametrize("shown", [np.zeros((360, 640, 3), np.uint8), np.full((360, 640, 3), 200, np.uint8)])
def test_a_plain_picture_has_too_little_quality_to_match(shown: Picture) -> None:
    _, qualities = fingerprints(shown)
    assert qualities.max() < MIN_QUALITY


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (2, 3)])
def test_the_smallest_pictures_have_a_fingerprint_too(shape: tuple[int, int]) -> None:
    hashes, qualities = fingerprints(picture(0, *shape))
    assert hashes.shape == (F, HASHES_PER_FRAME, HASH_BYTES)
    assert ((qualities >= 0) & (qualities <= 100)).all()


@pytest.mark.parametrize(("name", "is_static"), [("model.onnx", False), ("gpu.onnx", True)])
def test_the_committed_graph_is_the_generated_one(name: str, is_static: bool) -> None:
    manifest = load_manifest(REPOSITORY)
    generated = fingerprint_graph(manifest.frames_per_window if is_static else None, manifest.frame_side_px)
    committed = (REPOSITORY / FRAME_FINGERPRINT / "1" / name).read_bytes()
    assert generated.SerializeToString(deterministic=True) == committed
