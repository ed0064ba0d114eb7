"""Which videos the GPU's decoder gets right; all others go to the CPU decoder in the same Triton.

NVDEC's abilities are those that every data-centre and RTX GPU from Turing to Hopper and Ada has: NVIDIA's NVDEC
Application Note (Video Codec SDK 13.0, table "NVDEC Hardware Capabilities"), least sizes from its NVDEC Video Decoder
API Programming Guide. Later GPUs can more (AV1, H.264 High 10); `needs_cpu_decoder` takes other limits.

The other rules come from how DALI 2.4 drives it (`frames_decoder_gpu.cc`, `frames_decoder_base.cc`):

- It counts frames by the packets' presentation times and matches decoded pictures to packets by their number in
  decode order. So every packet must be one picture: a VP9 frame shown again (no picture) or a field (half of one)
  would shift all frames after it.
- It decodes a clip in one session across its gaps, where the CPU decoder starts afresh at each run. Only a keyframe
  that resets the decoder (IDR) makes that the same; an open GOP's (H.264 recovery points, HEVC's CRA) leaves it to
  what NVDEC's parser makes of missing references. An encoder that is told nothing may write open GOPs (x265 does).
- Sizes are the container's, pixels are taken as 8 bit 4:2:0 and the matrix as BT.601 (BT.709 is put right after it,
  see `dali.py`); full range is what NVDEC's parser says it is, which is known of H.264 alone. HDR (PQ, HLG) is mapped
  to what a viewer sees by the CPU decoder alone.
- It tells of no picture that is damaged or made from missing ones. So what `clean_keyframes` does not vouch for goes to
  the CPU decoder, which tells.
- To reach a frame more than ten places on, it seeks to the presentation time of a keyframe among decoding times; with
  frames that are coded long before their turn that could be the wrong keyframe.

Not yet tried on a GPU: whether the clips of IDR frames that had others between them, which may have the same
`idr_pic_id`, come out as separate pictures (the parameter sets that DALI puts before each should see to it); whether
what is sent to the CPU here for safety alone (10 bit HEVC, open GOPs, VP9 superframes) would do. tests/gpu has the
cases. What a header does not tell counts as wrong: a video on the CPU costs time, a wrong frame a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from wildgate_server.media.sampled_video import BT709, UNSPECIFIED, SampledTrack
from wildgate_server.repository.model_configs import CPU_PROFILE

__all__ = ["NVDEC", "DecoderLimits", "needs_cpu_decoder"]

# MatrixCoefficients (ITU-T H.273) that are BT.601, or are read as such, and the one that is put right.
_RIGHT_MATRICES = frozenset({5, 6, UNSPECIFIED, BT709})
# TransferCharacteristics of HDR: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67).
_HDR_TRANSFERS = frozenset({16, 18})
# DALI seeks when the next frame is more than 10 places on.
_MAX_DELAY = 8


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What a hardware decoder takes of one codec: FFmpeg's names of profiles, sizes in pixels of the stored picture."""

    profiles: frozenset[str]
    min_width: int
    min_height: int
    max_width: int
    max_height: int
    full_range: bool = False

    def take(self, track: SampledTrack) -> bool:
        """Whether profile, size and range are within the limits."""
        return (
            track.profile in self.profiles
            and self.min_width <= track.width <= self.max_width
            and self.min_height <= track.height <= self.max_height
            and (track.coding.full_range is False or (self.full_range and track.coding.full_range is True))
        )


NVDEC: Mapping[str, DecoderLimits] = {
    "h264": DecoderLimits(frozenset({"Constrained Baseline", "Main", "High"}), 48, 16, 4096, 4096, full_range=True),
    "hevc": DecoderLimits(frozenset({"Main"}), 144, 144, 8192, 8192),
    "vp9": DecoderLimits(frozenset({"Profile 0"}), 128, 128, 8192, 8192),
}
"""What NVDEC takes of each codec on any GPU from Turing on; a codec that is not here it may lack."""


def needs_cpu_decoder(track: SampledTrack, profile: str, limits: Mapping[str, DecoderLimits] = NVDEC) -> bool:
    """Whether `track` needs the CPU decoder beside the profile's own; never where that is a CPU decoder itself.

    `profile` is `cpu`, `gpu` or `rtx`; `limits` are those of the GPU's decoder, by codec.
    """
    if profile == CPU_PROFILE:
        return False
    decoder = limits.get(track.codec)
    return decoder is None or not decoder.take(track) or not _sound(track) or _continues(track)


def _continues(track: SampledTrack) -> bool:
    """Whether windows share a clip, which the CPU decoder alone decodes once for all of them."""
    return any(before.clip == after.clip for before, after in pairwise(track.windows))


def _sound(track: SampledTrack) -> bool:
    """Whether DALI's one session over a clip gives what separate runs would."""
    coding = track.coding
    return (
        coding.chroma == "4:2:0"
        and coding.bit_depth == 8
        and coding.interlaced is False
        and coding.matrix in _RIGHT_MATRICES
        and coding.transfer is not None
        and coding.transfer not in _HDR_TRANSFERS
        and coding.clean_keyframes is True
        and coding.plain_packets is True
        and coding.steady is True
        and coding.delay is not None
        and coding.delay <= _MAX_DELAY
        and track.width % 2 == 0
        and track.height % 2 == 0
    )
