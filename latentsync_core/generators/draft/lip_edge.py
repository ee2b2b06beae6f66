"""Where the lower lip of an open mouth begins: a mesh places it too high, over teeth or into the dark.

Lips are redder than all that lies between them but the tongue, so the edge is sought where redness rises most, in every
column of the mouth for itself, and smoothed from corner to corner.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, median_filter

from ...faces.resample import sample_bilinear
from .lips import PLACES, Lips

STEP = 0.005  # eye distances between the depths that are compared
DEEPEST, ABOVE = 18, 6  # steps below and above the mesh's edge
SPAN = 5  # steps on either side of an edge, whose redness is compared
UNSURE, SURE = 6.0, 25.0  # levels by which redness rises: no edge below the first, one for certain from the second on
# Standard deviation of the edge's distance from the mesh's, by which a farther one counts less: share of the gap, and
# its limits in eye distances.
DISTANCE, LEAST_DISTANCE, MOST_DISTANCE = 0.25, 0.03, 0.065
ALIKE, ALONG = 17, 4.0  # samples from corner to corner: of which the median counts, over which the edge is smoothed
PARTED = 0.03, 0.06  # eye distances of a gap: none of this below the first, all of it from the second on


def with_seen_edge(lips: Lips, planes: torch.Tensor, plane: np.ndarray) -> Lips:
    """Lips of a mesh with the lower one's edge where a picture shows it.

    planes: (3, h, w) float32 in 0..255. plane: (2, 3) of the face in its pixels. A mouth that is hardly open is
    returned unchanged.
    """
    share = np.clip((lips.opening - PARTED[0]) / (PARTED[1] - PARTED[0]), 0, 1)
    if share == 0:
        return lips
    redness = redness_below(lips, planes, plane)
    total = np.cumsum(np.pad(redness, ((1, 0), (0, 0))), axis=0)
    means = (total[SPAN:] - total[:-SPAN]) / SPAN  # of SPAN steps from each on
    rise = means[SPAN:] - means[:-SPAN]  # across the edge that follows step SPAN, SPAN + 1, ...
    steps = np.arange(len(rise)) + SPAN - 0.5 - ABOVE  # where that is, from the mesh's edge
    near = np.exp(-0.5 * (steps * STEP / np.clip(DISTANCE * lips.opening, LEAST_DISTANCE, MOST_DISTANCE)) ** 2)[:, None]
    best = (rise * near).argmax(0)
    sure = np.clip((np.take_along_axis(rise, best[None], 0)[0] - UNSURE) / (SURE - UNSURE), 0, 1)
    depth = median_filter(np.maximum(steps[best], 0) * STEP, ALIKE, mode="nearest")
    shift = weighted(depth, sure + 1e-3)
    return replace(lips, lower=lips.lower + share * shift * (1 - PLACES**4))


def redness_below(lips: Lips, planes: torch.Tensor, plane: np.ndarray) -> np.ndarray:
    """Red less the mean of green and blue, at depths around the lower lip's edge: (depths, SAMPLES)."""
    depths = (np.arange(ABOVE + DEEPEST + SPAN) - ABOVE) * STEP
    u = lips.corners[:, 0].mean() + PLACES * lips.width / 2
    points = np.stack(np.broadcast_arrays(u[None], lips.lower[None] + depths[:, None], 1.0))  # (3, depths, SAMPLES)
    x, y = torch.from_numpy(np.tensordot(plane, points, 1)).float()
    red, green, blue = sample_bilinear(planes, x, y, padding="border").numpy()
    return red - (green + blue) / 2


def weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values (SAMPLES,) smoothed along the lip, as far as they are sure."""
    smooth = gaussian_filter1d(np.stack([values * weights, weights]), ALONG, axis=1, mode="nearest")
    return smooth[0] / smooth[1]
