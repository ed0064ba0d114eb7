"""The policy's rules for videos on the list of blocks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wildgate_server.config_section import ConfigSection

__all__ = ["BlockRules", "RegionRule"]


class RegionRule(ConfigSection):
    """When regions of two pictures are near: so many of them, each in at most so many of 256 bits apart."""

    distance: Annotated[int, Field(ge=0, le=64)] = 45
    regions: Annotated[int, Field(ge=1)] = 2


class BlockRules(ConfigSection):
    """When a video is taken for one on the list of blocks.

    It is, where at least `frames` frames are within `distance` of 256 bits of the blocked video's, and `share` of those
    that can match. With fewer, or with regions that are near, it resembles it, and pictures are compared: it is the
    blocked one where `frames` of them have at least `inliers` points in common, and `share` of those asked about are
    near. Where there are fewer, `part` is called for, and where there is nothing to compare, `resembling`.
    """

    distance: Annotated[int, Field(ge=0, le=64)] = 31
    frames: Annotated[int, Field(ge=1)] = 2
    share: Annotated[float, Field(ge=0, le=1)] = 0.2
    regional: RegionRule = RegionRule()
    inliers: Annotated[int, Field(ge=4)] = 15
    part: Literal["ALLOW", "REVIEW", "BLOCK"] = "REVIEW"
    resembling: Literal["ALLOW", "REVIEW", "BLOCK"] = "REVIEW"
