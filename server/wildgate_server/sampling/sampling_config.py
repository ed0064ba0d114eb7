"""How densely the sampler looks, and what that may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wildgate_server.sampling.look import Look, Scrutiny

__all__ = ["SamplingConfig"]


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How densely to look, and how much at most.

    `max_gap_s` is the longest stretch, in seconds, to leave without a looked-at frame, and `cheap_gap_s` where that
    costs little; `frames_per_window` is the places F of one clip window. What a video may cost: `max_frames` looked at,
    and for these `max_decoded_frames` decoded and `max_clip_bytes` sent on, counted over all windows. The figures that
    begin with `high` hold at Scrutiny.HIGH. Of the videos looked at with Scrutiny.NORMAL, `random_share` get a frame
    more that nobody can foretell. `read_coding` is whether to find out how the clips are coded, which only a GPU's
    decoder needs to know.
    """

    frames_per_window: int
    max_gap_s: float = 2.0
    max_frames: int = 64
    max_decoded_frames: int = 2000
    max_clip_bytes: int = 64 << 20
    read_coding: bool = True
    high_max_gap_s: float = 1.0
    high_max_frames: int = 192
    high_max_decoded_frames: int = 4000
    random_share: float = 0.05
    cheap_gap_s: float = 1.0
    high_cheap_gap_s: float = 0.5

    def under(self, look: Look) -> SamplingConfig:
        """What holds for this look."""
        if look.scrutiny < Scrutiny.HIGH:
            return self
        return replace(
            self,
            max_gap_s=min(self.max_gap_s, self.high_max_gap_s),
            cheap_gap_s=min(self.cheap_gap_s, self.high_cheap_gap_s),
            max_frames=max(self.max_frames, self.high_max_frames),
            max_decoded_frames=max(self.max_decoded_frames, self.high_max_decoded_frames),
        )
