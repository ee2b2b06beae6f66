"""The opening between the lips as two curves over the face's plane, measured in a mesh or wanted by a voice."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

# Mesh indices, left to right in the picture. The ends are the outer corners: between them and the mesh's inner ones,
# left out here, an open mouth is dark already.
INNER_UPPER_LIP = (61, 191, 80, 81, 82, 13, 312, 311, 310, 415, 291)
INNER_LOWER_LIP = (61, 95, 88, 178, 87, 14, 317, 402, 318, 324, 291)
OUTER_UPPER_LIP, OUTER_LOWER_LIP = 0, 17
NOSE_BASE, CHIN = 2, 152
SMOOTHING = 1.5  # samples: standard deviation over which an edge is smoothed
THINNEST_LIP = 0.05  # eye distances
SAMPLES = 65  # of a curve, from one corner of the mouth to the other
PLACES = np.linspace(-1, 1, SAMPLES)  # -1: left corner, 1: right corner
TAPER = 1 - PLACES**2
MIDDLE = SAMPLES // 2


@dataclass(frozen=True, eq=False)
class Lips:
    """Where the lips of a face are on its plane (see face_plane.py), in eye distances.

    corners: (2, 2), left and right, u and v. upper, lower: (SAMPLES,) v of the inner edges from corner to corner.
    nose, chin: v of the base of the nose and of the chin. upper_lip, lower_lip: how high each lip is in the middle.
    """

    corners: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    nose: float
    chin: float
    upper_lip: float
    lower_lip: float

    @property
    def opening(self) -> float:
        """The gap in the middle."""
        return float(self.lower[MIDDLE] - self.upper[MIDDLE])

    @property
    def width(self) -> float:
        """From corner to corner."""
        return float(self.corners[1, 0] - self.corners[0, 0])


def measured_lips(points: np.ndarray) -> Lips:
    """The lips of a mesh (468, 2) on its plane."""
    corners = points[[INNER_UPPER_LIP[0], INNER_UPPER_LIP[-1]]]
    upper, lower = (edge_curve(points[list(indices)]) for indices in (INNER_UPPER_LIP, INNER_LOWER_LIP))
    middle = (upper + lower) / 2
    half_gap = np.maximum(lower - upper, 0) / 2  # a mesh may cross its lips where they are shut
    upper, lower = middle - half_gap, middle + half_gap
    return Lips(
        corners=corners,
        upper=upper,
        lower=lower,
        nose=float(points[NOSE_BASE, 1]),
        chin=float(points[CHIN, 1]),
        upper_lip=float(max(upper[MIDDLE] - points[OUTER_UPPER_LIP, 1], THINNEST_LIP)),
        lower_lip=float(max(points[OUTER_LOWER_LIP, 1] - lower[MIDDLE], THINNEST_LIP)),
    )


def edge_curve(points: np.ndarray) -> np.ndarray:
    """A smooth curve (SAMPLES,) of v through points (n, 2) whose first and last are the mouth's corners."""
    (left, left_v), (right, right_v) = points[0], points[-1]
    place = np.clip((2 * points[:, 0] - left - right) / max(right - left, 1e-6), -1, 1)
    line = (left_v * (1 - place) + right_v * (1 + place)) / 2
    arch = np.interp(PLACES, np.maximum.accumulate(place), points[:, 1] - line)
    mirrored = np.concatenate([-arch[:0:-1], arch, -arch[-2::-1]])  # so that its ends stay the corners
    smooth = gaussian_filter1d(mirrored, SMOOTHING)[SAMPLES - 1 : 2 * SAMPLES - 1]
    return (left_v * (1 - PLACES) + right_v * (1 + PLACES)) / 2 + smooth
