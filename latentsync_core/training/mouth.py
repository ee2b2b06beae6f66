"""Measure the gap between the lips in aligned crops."""

import numpy as np

from ..faces.landmarks import MeshFitter
from ..faces.mouth_opening import mouth_opening


def lip_gaps(crops: np.ndarray, fitter: MeshFitter) -> np.ndarray:
    """The gap between the inner lips of every crop, in distances of the outer eye corners: (f,), NaN without a face.

    crops: (f, r, r, 3) uint8, aligned.
    """
    meshes = (fitter.fit_aligned(crop) for crop in crops)
    return np.array([np.nan if mesh is None else mouth_opening(mesh) for mesh in meshes])
