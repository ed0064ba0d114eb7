"""From a video's bytes to clip windows: read the container's index, choose frames, copy their packets. No decoding.

Runs in a sampling worker, where hostile input can only harm its own sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from time import perf_counter

from blake3 import blake3

from wildgate_server.errors import CorruptVideo, VideoTooLarge
from wildgate_server.media.reading import WAYS_TO_READ, Way
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.media.sampled_video import (
    SAMPLED,
    UNKNOWN_CODING,
    ClipWindow,
    SampledTrack,
    SampledVideo,
    VideoLimits,
)
from wildgate_server.media.video import Clip, IndexedTrack, Reading, Video
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Scrutiny
from wildgate_server.sampling.plan import Pick, SamplingConfig, TrackKind, believed
from wildgate_server.sampling.random_draw import is_drawn
from wildgate_server.sampling.track_plans import TrackPlan, needed, plan_tracks
from wildgate_server.source.byte_source import ByteSource
from wildgate_server.source.video_source import OpenableVideo

__all__ = ["sample_video"]

# Keeps digests of samples apart from digests of anything else.
_SAMPLED_DIGEST = "wildgate 2026-11-28 what a verdict of a sampled video rests on"


def sample_video(
    source: OpenableVideo, config: SamplingConfig, limits: VideoLimits, look: Look = PLAIN_LOOK
) -> SampledVideo:
    """Samples the video in `source`, as `look` asks.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec, VideoTooLarge, and for what lies elsewhere
    UriNotAllowed, UriNotFound or FetchFailed.
    """
    started = perf_counter()
    with source.opened(limits.max_bytes) as file:
        try:
            video = _sampled_from(file, config, limits, look)
        finally:
            file.check()
        return replace(
            video,
            content_bytes=file.size,
            content_digest=source.content_digest or _sampled_digest(file.size, video),
            read_bytes=file.read_bytes,
            read_requests=file.read_requests,
            read_ms=file.waited_s * 1e3,
            sample_ms=(perf_counter() - started - file.waited_s) * 1e3,
        )


def _sampled_from(file: ByteSource, config: SamplingConfig, limits: VideoLimits, look: Look) -> SampledVideo:
    """The video as sampled by the first way to read it that works."""
    config = config.under(look)
    for way in _ways_to_read(config, look):
        with suppress(UnfitIndex), way(file, limits, config.max_gap_s, config.max_clip_bytes) as reading:
            return _sampled(reading, config, limits, look)
    raise AssertionError("the last way needs no index")


def _ways_to_read(config: SamplingConfig, look: Look) -> Sequence[Way]:
    """What to try: keyframes alone do not do where frames between them are asked for."""
    if look.sound_keyframes is not None:
        return WAYS_TO_READ[-1:]
    if look.near or look.scrutiny >= Scrutiny.HIGH or is_drawn(look.seed, config.random_share):
        return (WAYS_TO_READ[0], WAYS_TO_READ[-1])
    return WAYS_TO_READ


def _sampled(reading: Reading, config: SamplingConfig, limits: VideoLimits, look: Look) -> SampledVideo:
    """The video with its windows; what it cost to read is filled in later."""
    for track in reading.tracks:  # first: what is planned grows with the time that a file of some bytes may promise
        if (length_s := _length_s(track)) > limits.max_seconds:
            raise VideoTooLarge.past("max_seconds", limits.max_seconds, length_s)
    samples = [believed(track.samples, look, track.number) for track in reading.tracks]
    kinds = [TrackKind(track.number, track.codec, track.pixels, track.quantiser) for track in reading.tracks]
    plans = plan_tracks(samples, config, look, kinds)
    if not any(plans):
        raise CorruptVideo("the video stream holds no frame that can be shown", field="source")
    with reading.open([plan.needed() if plan is not None else [] for plan in plans]) as videos:
        for video, each in zip(videos, samples, strict=True):
            video.samples = each  # also in the clips a packet is a keyframe only where that is believed
        tracks = [
            _sampled_track(video, plan, track, config, limits)
            for video, plan, track in zip(videos, plans, reading.tracks, strict=True)
            if plan is not None
        ]
        # A player shows a still picture only where there is nothing else, as in an animated AVIF.
        moving_first = sorted(tracks, key=lambda track: track.first_s == track.last_s)
        return SampledVideo(videos[0].format, tuple(moving_first))


def _length_s(track: IndexedTrack) -> float:
    """From the first frame that is shown to the last, or to the end that a track declares which cannot be read."""
    shown_s = [sample.time_s for sample in track.samples if sample.displayed]
    return max(max(shown_s), track.declared_end_s or 0.0) - min(shown_s) if shown_s else 0.0


def _end_s(plan: TrackPlan, track: IndexedTrack) -> float:
    return plan.last_s if track.declared_end_s is None else max(plan.last_s, track.declared_end_s)


def _sampled_track(
    video: Video, plan: TrackPlan, track: IndexedTrack, config: SamplingConfig, limits: VideoLimits
) -> SampledTrack:
    if video.width * video.height > limits.max_pixels:
        raise VideoTooLarge.past("max_pixels", limits.max_pixels, video.width * video.height)
    windows, needs = plan.windows, plan.needs
    if video.is_joined:
        windows = [part for window in windows for part in _by_entry(window, video)]
        needs = [needed(video.samples, window) for window in windows]
    if not windows:
        raise CorruptVideo("the video begins anew where no frame can be decoded by itself", field="source")
    coding = video.coding(needs) if config.read_coding else UNKNOWN_CODING
    clips = [clip for places, same in groupby(needs) for clip in [video.clip(places, coding)] * len([*same])]
    return SampledTrack(
        number=video.number,
        codec=video.codec,
        profile=video.profile,
        width=video.width,
        height=video.height,
        display=clips[-1].display,
        first_s=plan.first_s,
        last_s=_end_s(plan, track),
        windows=tuple(
            _window(window, clip, config.frames_per_window, track.keyframes_only)
            for window, clip in zip(windows, clips, strict=True)
        ),
        coding=coding,
    )


def _by_entry(window: Sequence[Pick], video: Video) -> list[list[Pick]]:
    """A window's picks, parted where the decoder's parameters change; those that need packets of two entries go."""
    whole = [pick for pick in window if video.entry(pick.keyframe) == video.entry(pick.sample)]
    return [list(picks) for _, picks in groupby(whole, key=lambda pick: video.entry(pick.sample))]


def _window(picks: Sequence[Pick], clip: Clip, places: int, keyframes_only: bool) -> ClipWindow:
    index = [clip.rank[pick.sample] for pick in picks]
    index += [index[-1]] * (places - len(index))
    times_s, shown_s = (
        tuple(pick.time_s for pick in picks),
        tuple(0.0 if keyframes_only else pick.shown_s for pick in picks),
    )
    return ClipWindow(clip.data, tuple(index), times_s, len(clip.rank), shown_s)


def _sampled_digest(size: int, video: SampledVideo) -> str:
    """What the verdict on a file of `size` bytes rests on, where not all of it is read: all that was sampled of it."""
    digest = blake3(derive_key_context=_SAMPLED_DIGEST)
    digest.update(repr((video.format, size)).encode())
    for track in video.tracks:
        digest.update(repr(replace(track, windows=())).encode())
        for window in track.windows:
            digest.update(repr((window.frame_index, window.times_s, window.shown_s, len(window.clip))).encode())
            digest.update(window.clip)
    return f"{SAMPLED}{digest.hexdigest()}"
