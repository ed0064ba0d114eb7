"""HDR pictures of clip_decoder, against the formulas of the recommendations in double precision."""

from __future__ import annotations

import io
from types import ModuleType

import av
import numpy as np
import pytest
from clips import ClipSpec, grey_of, make_clip
from triton_seam import load_model

PQ, HLG, BT709, BT2020 = 16, 18, 1, 9
SDR_WHITE, HDR_PEAK = 203.0, 1000.0


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("clip_decoder")


def pq_light(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, cd/m²."""
    power = signal ** (32 / 2523)
    return 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (8192 / 1305)


def pq_signal(light: np.ndarray) -> np.ndarray:
    power = (light / 10_000) ** (1305 / 8192)
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)


def hlg_light(signal: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, table 5, on a screen of 1000 cd/m²."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    luma = scene @ [0.2627, 0.6780, 0.0593]
    return 1000 * luma[..., None] ** 0.2 * scene


def as_seen(light: np.ndarray, primaries: int) -> np.ndarray:
    """ITU-R BT.2390's roll-off by the brightest channel, BT.709's primaries, gamma 2.4."""
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-6)
    peak = pq_signal(np.array(HDR_PEAK))
    e, most = np.minimum(pq_signal(brightest) / peak, 1), pq_signal(np.array(SDR_WHITE)) / peak
    ks = 1.5 * most - 0.5
    t = np.maximum((e - ks) / (1 - ks), 0)
    e2 = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * most
    light = light * np.where(e < ks, 1, pq_light(e2 * peak) / brightest) / SDR_WHITE
    if primaries == BT2020:
        light = light @ np.array([[1.6605, -0.1246, -0.0182], [-0.5876, 1.1329, -0.1006], [-0.0728, -0.0083, 1.1187]])
    return 255 * np.clip(light, 0, 1) ** (1 / 2.4)


@pytest.mark.parametrize("primaries", [BT2020, BT709])
@pytest.mark.parametrize(("transfer", "light_of"), [(PQ, pq_light), (HLG, hlg_light)])
def test_every_colour_is_that_of_the_formulas(module: ModuleType, transfer: int, light_of, primaries: int) -> None:
    signal = np.random.default_rng(3).integers(0, 1 << 16, (64, 64, 3)).astype(np.uint16)
    found = module._tone_mapping.to_sdr(signal, transfer, primaries)
    assert np.abs(found - as_seen(light_of(signal / 65535), primaries)).max() <= 1.5


@pytest.mark.parametrize(("transfer", "light_of"), [(PQ, pq_light), (HLG, hlg_light)])
def test_greys_stay_grey_and_brighter_stays_brighter(module: ModuleType, transfer: int, light_of) -> None:
    ramp = np.arange(0, 1 << 16, 64).astype(np.uint16)[:, None, None].repeat(3, 2)
    found = module._tone_mapping.to_sdr(ramp, transfer, BT2020).astype(int)
    assert np.ptp(found, axis=2).max() <= 1
    assert (np.diff(found[:, 0, 0]) >= -1).all(), "but for the tables' last step"
    assert found[0].max() == 0
    assert found[-1].min() == 255
    white = np.abs(light_of(ramp / 65535)[:, 0, 0] - SDR_WHITE).argmin()
    assert 220 < found[white, 0, 0] < 240, "white paper is nearly white, and what is brighter still has room"


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("matrix", [9, 2, 14])
def test_a_frame_is_mapped_after_scaling_with_all_its_bits(module: ModuleType, transfer: int, matrix: int) -> None:
    """A matrix that is not told, or that swscale lacks, is BT.2020's in HDR."""
    y, cb, cr = 500, 470, 560
    frame = av.VideoFrame(640, 360, "yuv420p10le")
    for plane, value in zip(frame.planes, (y, cb, cr), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
    frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range = matrix, transfer, BT2020, 1
    square = module.FrameScaler(320, 114).square(frame, module.Display())
    luma, blue, red = (y - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    r, b = luma + 1.4746 * red, luma + 1.8814 * blue
    signal = np.array([r, (luma - 0.2627 * r - 0.0593 * b) / 0.6780, b])
    expected = as_seen({PQ: pq_light, HLG: hlg_light}[transfer](signal[None])[0], BT2020)
    assert np.abs(square[160, 160] - expected).max() <= 2
    assert (square[0] == 114).all()


def test_what_a_clip_says_of_its_colours_reaches_the_mapping(module: ModuleType) -> None:
    hdr = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    options = {"x265-params": f"log-level=none:keyint=10:pools=1:{hdr}"}
    video = make_clip(ClipSpec(codec="libx265", pix_fmt="yuv420p10le", seconds=1, options=options))
    with av.open(io.BytesIO(video)) as container:
        assert next(container.decode(video=0)).color_trc == PQ
    [frame] = module.decode_window(
        video, [9], (0, 0, 1, 1), module.FrameScaler(320, 114), module.Limits(1 << 24)
    ).frames
    grey = frame[100:220, 40:120].mean()
    expected = as_seen(pq_light(np.full((1, 3), grey_of(9) / 255)), BT2020)[0, 0]
    assert abs(grey - expected) < 4
    assert abs(grey - grey_of(9)) > 4, "else nothing was mapped"
