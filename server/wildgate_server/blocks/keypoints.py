"""Keypoints of pictures (ORB, by OpenCV), which find what two pictures share, wherever in them it is.

ORB: Rublee et al., "ORB: an efficient alternative to SIFT or SURF", 2011. What matches at random does not lie alike in
both pictures: only points count that one similarity (shift, turn, scale) maps onto each other, found by RANSAC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["DESCRIPTOR_BYTES", "Keypoints", "Picture", "common_points", "keypoints_of"]

DESCRIPTOR_BYTES = 32

_MOST_KEYPOINTS = 256  # of a picture of at most 320 pixels
_LEAST_MATCHES = 8
_RATIO = 0.8  # Lowe's test: the best match has to be this much better than the second
_REPROJECTION_PX = 4.0
_SCALES = (0.2, 5.0)  # of what one picture shows in the other

Picture = npt.NDArray[np.uint8]
"""RGB [height, width, 3]."""


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """`points` FP32 [n, 2], x and y in pixels; `descriptors` UINT8 [n, DESCRIPTOR_BYTES]."""

    points: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)


def keypoints_of(picture: Picture) -> Keypoints:
    """The strongest keypoints of a picture; none where there is nothing in it, or it is too small."""
    found: Any = ()
    descriptors: Any = None
    if min(picture.shape[:2]) >= 32:
        grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
        # The usual edge of 31 pixels would leave nothing of pictures as small as these.
        orb = cv2.ORB_create(nfeatures=_MOST_KEYPOINTS, edgeThreshold=12, patchSize=24, fastThreshold=8)  # type: ignore[attr-defined]
        found, descriptors = orb.detectAndCompute(grey, None)
    if descriptors is None:
        return Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, DESCRIPTOR_BYTES), np.uint8))
    return Keypoints(np.array([point.pt for point in found], np.float32), descriptors)


def common_points(one: Keypoints, other: Keypoints) -> int:
    """How many keypoints of `one` lie in `other` where one similarity has them."""
    if min(len(one), len(other)) < _LEAST_MATCHES:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one.descriptors, other.descriptors, k=2)
    matches = [best for best, second in pairs if best.distance < _RATIO * second.distance]
    if len(matches) < _LEAST_MATCHES:
        return 0
    source = one.points[[match.queryIdx for match in matches]]
    target = other.points[[match.trainIdx for match in matches]]
    found, inliers = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=_REPROJECTION_PX)
    if found is None or not _SCALES[0] < float(np.hypot(*found[:, 0])) < _SCALES[1]:
        return 0
    held = inliers.ravel().astype(bool)
    # Many onto one point is no agreement.
    return min(len(np.unique(source[held].round(), axis=0)), len(np.unique(target[held].round(), axis=0)))
