"""The outcome of a change of precision: whether it is refused, and what is printed and reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from blake3 import blake3

from wildgate_build.precision.conversion import Converted
from wildgate_build.precision.exclusions import LEAST_IN_INT8
from wildgate_build.standard_file import StandardFile

__all__ = ["Outcome"]

_MB: Final = 1e6


@dataclass(frozen=True)
class Outcome:
    """A converted detector, held against the largest loss allowed; `facts` say how it was made, for the report.

    `same_videos` says whether it was compared on frames of the videos that calibrated it, None where nothing did.
    """

    detector: StandardFile
    converted: Converted
    facts: Mapping[str, object]
    max_loss: float
    same_videos: bool | None

    @cached_property
    def content(self) -> bytes:
        """The file to write."""
        return bytes(self.converted.model.SerializeToString())

    @property
    def refusals(self) -> list[str]:
        """Why it must not be used, with values and limits; empty if it may be."""
        loss, coverage = self.converted.cost.differences.loss, self.converted.coverage
        refusals = [f"the loss is {loss:.4f}, at most {self.max_loss:g} is allowed"] if loss > self.max_loss else []
        if coverage and not coverage.enough:
            share = f"{coverage.in_int8} of {coverage.operators} operators are in INT8"
            refusals.append(f"{share}, at least {LEAST_IN_INT8:.0%} have to be")
        return refusals

    def report(self) -> dict[str, object]:
        """All figures, for JSON; `output_digest` is that of the file, where one is written."""
        coverage, refusals = self.converted.coverage, self.refusals
        return {
            "detector": str(self.detector.path),
            "detector_digest": self.detector.digest,
            **({} if refusals else {"output_digest": f"blake3:{blake3(self.content).hexdigest()}"}),
            **self.facts,
            "compared_on": self._compared_on,
            **({"operators": {"int8": coverage.in_int8, "all": coverage.operators}} if coverage else {}),
            "left_in_fp32": list(self.converted.excluded),
            "loss": self.converted.cost.differences.loss,
            "max_loss": self.max_loss,
            "refused": bool(refusals),
            "refusals": refusals,
            **self.converted.cost.summary(),
        }

    def lines(self) -> dict[str, str]:
        """Cost and gain in words, by name."""
        cost, coverage = self.converted.cost, self.converted.coverage
        figures = cost.differences.summary()
        lines = {
            "compared": f"{figures['frames']} {self._compared_on}",
            "detected": f"{figures['pairs']} by both, {figures['missing']} only by fp32, "
            f"{figures['extra']} only by the new one",
            "loss": f"{figures['loss']:.4f} (one detection makes {cost.resolution:.4f})",
            "score difference": f"largest {figures['score_largest']:.4f}, mean {figures['score_mean']:.4f}",
            "box difference": f"largest {figures['box_largest']:.4f}, 99 % below {figures['box_p99']:.4f}",
            "same best label": f"{figures['same_best_share']:.1%} of the frames",
            "speed on this CPU": f"{cost.speed_ratio:.2f} times fp32's "
            f"({cost.new_ms:.1f} ms against {cost.fp32_ms:.1f} ms a window, one thread)",
            "size": f"{cost.new_bytes / _MB:.2f} MB against {cost.old_bytes / _MB:.2f} MB",
        }
        if coverage:
            lines["operators"] = f"{coverage.in_int8} of {coverage.operators} operators in INT8"
        if self.converted.excluded:
            lines["left in fp32"] = ", ".join(self.converted.excluded)
        return lines

    @property
    def _compared_on(self) -> str:
        if self.same_videos is None:
            return "frames"
        return f"held-out frames of {'the videos that calibrated' if self.same_videos else 'other videos'}"
