from __future__ import annotations

from dataclasses import replace

import pytest
from clips import ClipSpec, make_clip

from wildgate_server.inference.decoder_routing import NVDEC, DecoderLimits, needs_cpu_decoder
from wildgate_server.media.sampled_video import ClipWindow, Coding, Display, SampledTrack, VideoLimits
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig

PLAIN = Coding("4:2:0", 8, False, 2, False, True, True, True, 0, 1)


def video(codec: str = "h264", profile: str = "High", width: int = 1280, height: int = 720, **coding) -> SampledTrack:
    return SampledTrack(
        number=0,
        codec=codec,
        profile=profile,
        width=width,
        height=height,
        display=Display(),
        first_s=0.0,
        last_s=1.0,
        windows=(),
        coding=replace(PLAIN, **coding),
    )


ON_GPU = {
    "h264": video(),
    "h264 main": video(profile="Main"),
    "h264 baseline": video(profile="Constrained Baseline"),
    "h264 full range": video(full_range=True),
    "h264 bt709": video(matrix=1),
    "h264 bt601": video(matrix=6),
    "h264 with B-frames": video(delay=2),
    "h264 largest": video(width=4096, height=4096),
    "hevc": video("hevc", "Main"),
    "hevc 8k": video("hevc", "Main", 8192, 4320),
    "vp9": video("vp9", "Profile 0"),
}
BY_SOFTWARE = {
    "av1": video("av1", "Main"),
    "vp8": video("vp8", "unknown"),
    "mpeg4": video("mpeg4", "Simple Profile"),
    "mpeg2": video("mpeg2video", "Main"),
    "mjpeg": video("mjpeg", "Baseline"),
    "h264 10 bit": video(profile="High 10", bit_depth=10),
    "h264 4:2:2": video(profile="High 4:2:2", chroma="4:2:2"),
    "h264 grey": video(chroma="4:0:0"),
    "h264 flexible macroblocks": video(profile="Baseline"),
    "h264 without a known profile": video(profile="unknown"),
    "h264 too wide": video(width=4098),
    "h264 too small": video(width=46, height=32),
    "h264 interlaced": video(interlaced=True),
    "h264 open gop": video(clean_keyframes=False),
    "h264 that changes": video(steady=False),
    "h264 in BT.2020": video(matrix=9),
    "h264 in PQ": video(transfer=16),
    "h264 in HLG": video(transfer=18),
    "hevc in HLG of 8 bit": video("hevc", "Main", transfer=18),
    "h264 in RGB": video(matrix=0),
    "h264 far reordered": video(delay=9),
    "odd width": video(width=641),
    "odd height": video(height=361),
    "hevc 10 bit": video("hevc", "Main 10", bit_depth=10),
    "hevc open gop": video("hevc", "Main", clean_keyframes=False),
    "hevc full range": video("hevc", "Main", full_range=True),
    "hevc too small": video("hevc", "Main", 128, 128),
    "vp9 10 bit": video("vp9", "Profile 2", bit_depth=10),
    "vp9 superframes": video("vp9", "Profile 0", plain_packets=False),
    "vp9 full range": video("vp9", "Profile 0", full_range=True),
    "vp9 too small": video("vp9", "Profile 0", 126, 128),
    **{f"unknown {name}": video(**{name: None}) for name in Coding.__slots__},
}


@pytest.mark.parametrize("profile", ["gpu", "rtx"])
@pytest.mark.parametrize("name", ON_GPU)
def test_what_nvdec_decodes_goes_to_the_gpu(profile: str, name: str) -> None:
    assert not needs_cpu_decoder(ON_GPU[name], profile)


@pytest.mark.parametrize("profile", ["gpu", "rtx"])
@pytest.mark.parametrize("name", BY_SOFTWARE)
def test_everything_else_goes_to_the_cpu(profile: str, name: str) -> None:
    assert needs_cpu_decoder(BY_SOFTWARE[name], profile)


def test_windows_that_share_a_clip_go_to_the_cpu() -> None:
    """The GPU's decoder would decode it anew for each of them."""
    window = ClipWindow(b"clip", (0, 1), (0.0, 1.0), 4)
    apart = replace(video(), windows=(window, replace(window, clip=b"other")))
    assert not needs_cpu_decoder(apart, "gpu")
    assert needs_cpu_decoder(replace(apart, windows=(window, replace(window, frame_index=(2, 3)))), "gpu")


def test_in_profile_cpu_nothing_needs_another_decoder() -> None:
    assert not any(needs_cpu_decoder(video, "cpu") for video in [*ON_GPU.values(), *BY_SOFTWARE.values()])


def test_a_gpu_that_can_more_gets_more() -> None:
    wider = {**NVDEC, "h264": DecoderLimits(frozenset({"High"}), 48, 16, 8192, 8192)}
    large = video(width=7680, height=4320)
    assert needs_cpu_decoder(large, "gpu")
    assert not needs_cpu_decoder(large, "gpu", wider)


def sampled(spec: ClipSpec) -> SampledTrack:
    limits = VideoLimits(max_bytes=1 << 24, max_pixels=1 << 22, max_seconds=60.0)
    return sample_content(make_clip(spec), SamplingConfig(8, 0.5), limits).default_track


@pytest.mark.parametrize(
    ("spec", "software"),
    [
        (ClipSpec(), False),
        (ClipSpec(b_frames=3, container="matroska"), False),
        (ClipSpec(container="mpegts", b_frames=2), False),
        (ClipSpec(options={"x264-params": "colormatrix=bt709:fullrange=on"}), False),
        (ClipSpec(codec="libx265", options={"x265-params": "log-level=none:open-gop=0"}), False),
        (ClipSpec("libvpx-vp9", "webm"), False),
        (ClipSpec(options={"x264-params": "open-gop=1:keyint=5:min-keyint=5:bframes=2"}), True),
        (ClipSpec(codec="libx265", options={"x265-params": "log-level=none:open-gop=1:keyint=5"}), True),
        (ClipSpec(options={"x264-params": "interlaced=1"}), True),
        (ClipSpec(pix_fmt="yuv420p10le"), True),
        (ClipSpec(pix_fmt="yuv422p"), True),
        (ClipSpec("libvpx", "webm", options={"b": "1M"}), True),
        (ClipSpec("mpeg4", "avi"), True),
        (ClipSpec("mpeg2video", "mpegts", fps=25), True),
        (ClipSpec("mjpeg", "mov", pix_fmt="yuvj420p"), True),
    ],
    ids=lambda value: f"{value.codec}-{value.container}-{value.pix_fmt}" if isinstance(value, ClipSpec) else "",
)
def test_real_videos(spec: ClipSpec, software: bool) -> None:
    assert needs_cpu_decoder(sampled(spec), "gpu") is software
