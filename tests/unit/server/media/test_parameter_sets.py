"""Parameter sets that come in packets which a clip leaves out are put before the keyframes that need them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from av.packet import Packet
from clips import ClipSpec, frame_number, make_clip

from wildgate_server.media.container import open_video
from wildgate_server.media.nal_units import avcc_units, nal_units
from wildgate_server.media.parameter_sets import missing_parameter_sets
from wildgate_server.media.sampled_video import VideoLimits

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)
SETS = {7, 8}


def with_sets_in_second_packet(sps_id: int) -> bytes:
    """Two recordings in one; what sets up the second comes in the second packet of the first, and nowhere else."""
    parts = []
    for first, options in ((0, ":sps-id=0"), (10, f":sps-id={sps_id}:no-cabac=1")):
        x264 = "keyint=5:min-keyint=5:scenecut=0" + options
        spec = ClipSpec(width=160, height=96, seconds=1, first_frame=first, options={"x264-params": x264})
        parts.append(make_clip(spec))
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(parts[0])) as one,
        av.open(io.BytesIO(parts[1])) as two,
        av.open(buffer, "w", format="matroska") as target,
    ):
        track = target.add_stream_from_template(one.streams.video[0], opaque=True)
        record = two.streams.video[0].codec_context.extradata
        place = 0
        for part in (one, two):
            for packet in part.demux(video=0):
                if not packet.size:
                    continue
                units = [unit for unit in nal_units(bytes(packet), 4) or () if unit[0] & 31 not in SETS]
                if place == 1:
                    units = [*(avcc_units(record or b"") or ()), *units]
                joined = Packet(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))
                joined.stream, joined.time_base, joined.is_keyframe = track, Fraction(1, 10), packet.is_keyframe
                joined.pts = joined.dts = place
                target.mux(joined)
                place += 1
    return buffer.getvalue()


@pytest.mark.parametrize("sps_id", [1, 0], ids=["other sets", "the same sets anew"])
def test_every_keyframe_decodes_by_itself(sps_id: int) -> None:
    content = with_sets_in_second_packet(sps_id)
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        keyframes = [at for at, sample in enumerate(video.samples) if sample.is_keyframe]
        for place in keyframes:
            with av.open(io.BytesIO(video.clip([place]).data)) as clip:
                [frame] = clip.decode(video=0)
                shown = frame_number(frame.to_ndarray(format="rgb24"))
                assert place < 10 or shown == place
    assert keyframes == [0, 5, 10, 15]


def packets(*contents: tuple[bytes, bool]) -> list[Packet]:
    made = []
    for content, is_keyframe in contents:
        packet = Packet(content)
        packet.is_keyframe = is_keyframe
        made.append(packet)
    return made


def test_what_a_keyframe_has_itself_or_the_header_has_is_not_put_before_it() -> None:
    header, other, slice_unit = b"\x67\1\2", b"\x67\3\4", b"\x65\x88\x84"
    start = b"\0\0\0\1"
    extradata = start + header
    keyframe, between = start + slice_unit, start + b"\x41\x9a\x24"
    assert missing_parameter_sets("h264", extradata, packets((keyframe, True), (keyframe, True))) == {}
    repeats = (start + header + keyframe, True)
    assert missing_parameter_sets("h264", extradata, packets(repeats, (between, False), repeats)) == {}
    brings = (start + other + between, False)
    assert missing_parameter_sets("h264", extradata, packets((keyframe, True), brings, (keyframe, True))) == {
        2: start + other
    }
    has_it = (start + other + keyframe, True)
    assert missing_parameter_sets("h264", extradata, packets((keyframe, True), brings, has_it)) == {}
    assert missing_parameter_sets("vp9", b"", packets(brings, (keyframe, True))) == {}
