"""What one video may cost, whatever is done for it: all its samplings and decodings count together.

Its time by the clock is bounded by `sampling.timeout_s` for each sampling and by the deadline for all; its memory by
`sampling.worker_memory_mb` and, in the decoder, by the pixels of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import VideoTooCostly
from wildgate_server.repository.model_configs import CPU_PROFILE

__all__ = ["Budget", "BudgetSettings"]


class BudgetSettings(ConfigSection):
    """What one video may cost."""

    processor_s: float = Field(30.0, gt=0)
    """Processor seconds that reading and decoding a video may take, all threads and all attempts together."""
    decoded_megapixels: int = Field(20_000, ge=1)
    """Pixels that may be decoded of a video, in millions."""
    usual_megapixels: int = Field(300, ge=0)
    """A video of which more has to be decoded goes to the decoder that gives way to all other work; on the CPU only."""

    def for_profile(self, profile: str) -> BudgetSettings:
        """What holds where the models are run as `profile` says: a GPU's decoder costs the others nothing."""
        return self if profile == CPU_PROFILE else self.model_copy(update={"usual_megapixels": self.decoded_megapixels})


_DEFAULTS = BudgetSettings()


@dataclass(slots=True)
class Budget:
    """What a video has cost so far, and what it may.

    What is done within `aside` takes long, and gives way to all other work: others may have the video's turn meanwhile.
    """

    settings: BudgetSettings = field(default_factory=lambda: _DEFAULTS)
    processor_s: float = 0.0
    pixels: float = 0.0
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext

    @property
    def left_s(self) -> float:
        """Processor seconds that the video may still take."""
        return max(self.settings.processor_s - self.processor_s, 0.0)

    def spend(self, processor_s: float, pixels: float = 0.0) -> None:
        """Counts what has been done. Raises VideoTooCostly, also from then on, once that is too much."""
        self.processor_s += processor_s
        self.pixels += pixels
        if self.processor_s > self.settings.processor_s:
            raise VideoTooCostly.past("budget.processor_s", self.settings.processor_s, self.processor_s)
        if self.pixels > self.settings.decoded_megapixels * 1e6:
            raise VideoTooCostly.past("budget.decoded_megapixels", self.settings.decoded_megapixels, self.pixels / 1e6)

    def is_usual(self, pixels: float) -> bool:
        """Whether a video of which so many pixels are to be decoded is like most."""
        return pixels <= self.settings.usual_megapixels * 1e6
