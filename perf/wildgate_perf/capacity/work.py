"""What videos cost a node, in node-seconds: the share of a saturated node's second that each takes."""

from __future__ import annotations

from wildgate_perf.capacity.demand import Demand
from wildgate_perf.capacity.errors import BadProfile
from wildgate_perf.capacity.profile import Profile

__all__ = ["first_work_s", "mixed_work_s"]


def first_work_s(profile: Profile, uri_share: float, seconds: float) -> float:
    """Of a video that was not seen before: so many by URI, the others as content, of such a length.

    Raises `BadProfile` where the profile has no peak for a way that videos come.
    """
    scale = profile.windows(seconds) / profile.windows(profile.video_seconds)
    work_s = 0.0
    for way, share in (("uri", uri_share), ("content", 1 - uri_share)):
        peak: float | None = getattr(profile.peak_per_s, way)
        if share > 0:
            if peak is None:
                raise BadProfile(f"peak_per_s.{way} was not measured, and {share:.0%} of the videos come so")
            work_s += share * scale / peak
    return work_s


def mixed_work_s(profile: Profile, demand: Demand) -> float:
    """Of a video of the demand on average, cached ones included; raises `BadProfile` where they were not measured.

    Asked by digest first, every video costs a look into the cache, and cached ones nothing else. Otherwise a cached
    video costs what was measured for content sent again, or by URI: there it is read and sampled to be known again, so
    that its length matters.
    """
    first_s = first_work_s(profile, demand.uri_share, demand.mean_seconds)
    cost = profile.cached_over_first
    if cost is None:
        if demand.cached_share or demand.digest_first:
            raise BadProfile("cached_over_first was not measured, and the demand has cached videos")
        return first_s
    # The look into the cache was measured against a first video of the profile's own length.
    look_s = cost.by_digest * first_work_s(profile, demand.uri_share, profile.video_seconds)
    if demand.digest_first:
        return look_s + (1 - demand.cached_share) * first_s
    again_s = 0.0
    if demand.uri_share > 0:
        by_uri = 1.0 if cost.by_uri is None else cost.by_uri
        again_s += demand.uri_share * by_uri * first_work_s(profile, 1.0, demand.mean_seconds)
    if demand.uri_share < 1:
        again_s += (1 - demand.uri_share) * cost.by_content * first_work_s(profile, 0.0, profile.video_seconds)
    return demand.cached_share * again_s + (1 - demand.cached_share) * first_s
