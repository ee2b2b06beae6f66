"""Measure the gap between the lips in aligned crops."""

import numpy as np

from ..faces.landmarks import MeshFitter, roi_from_box, roi_from_mesh
from ..faces.mouth_opening import mouth_opening

FACE_BOX = np.array([0.15, 0.1, 0.85, 0.9])  # where the face is in an aligned crop, as fractions of its side
LEFT, RIGHT = np.array([0.0, 0.0]), np.array([1.0, 0.0])  # aligned: the eyes are level
PRESENCE_THRESHOLD = 0.5  # probability that there is a face


def lip_gaps(crops: np.ndarray, fitter: MeshFitter) -> np.ndarray:
    """The gap between the inner lips of every crop, in distances of the outer eye corners: (f,), NaN without a face.

    crops: (f, r, r, 3) uint8, aligned. The mesh is fitted twice, the second time in the region found by the first.
    """
    first = roi_from_box(FACE_BOX * crops.shape[1], LEFT, RIGHT)
    gaps = np.full(len(crops), np.nan)
    for index, crop in enumerate(crops):
        mesh, _ = fitter.fit(crop, first)
        mesh, presence = fitter.fit(crop, roi_from_mesh(mesh))
        if presence >= PRESENCE_THRESHOLD:
            gaps[index] = mouth_opening(mesh)
    return gaps
