"""How far the lips are apart in aligned crops, and whether generated lips move as the voice's own did."""

import numpy as np

from ..faces.landmarks import MeshFitter, roi_from_box

UPPER_LIP, LOWER_LIP = 13, 14  # mesh indices: the inner edges of the lips, in the middle
FOREHEAD, CHIN = 10, 152
FACE_BOX = (0.0, 0.0, 1.0, 1.0)  # of the crop: the aligned face fills it
SURE = 0.5  # probability that there is a face


def lip_gaps(crops: np.ndarray, fitter: MeshFitter) -> np.ndarray:
    """The gap between the inner lips in each crop, as a share of the face's height: (f,), NaN without a face.

    crops: (f, r, r, 3) uint8, aligned.
    """
    side = crops.shape[1]
    box = np.array(FACE_BOX) * side
    roi = roi_from_box(box, np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    gaps = np.full(len(crops), np.nan)
    for index, crop in enumerate(crops):
        mesh, presence = fitter.fit(crop, roi)
        if presence >= SURE:
            height = np.linalg.norm(mesh[CHIN, :2] - mesh[FOREHEAD, :2])
            gaps[index] = np.linalg.norm(mesh[LOWER_LIP, :2] - mesh[UPPER_LIP, :2]) / height
    return gaps


def correlation(found: np.ndarray, expected: np.ndarray) -> float:
    """Pearson's correlation of two courses over the frames in which both are known; NaN where either stands still."""
    known = ~(np.isnan(found) | np.isnan(expected))
    if known.sum() < 3 or found[known].std() == 0 or expected[known].std() == 0:
        return float("nan")
    return float(np.corrcoef(found[known], expected[known])[0, 1])
