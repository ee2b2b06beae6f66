"""The mouth opening, defined alike for synthetic and tracked meshes, and the correlation of two curves of it."""

import numpy as np

UPPER_INNER_LIP, LOWER_INNER_LIP = 13, 14  # mesh indices, in the middle
LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263  # outer corners: no expression moves them


def mouth_opening(mesh: np.ndarray) -> np.ndarray:
    """Distance between the inner lips over the distance between the outer corners of the eyes.

    mesh: (..., 468, 2 or 3) in pixels; only x and y count. Returns (...,), about 0 for a shut mouth and 0.25 for a
    wide open one; NaN where the mesh is NaN.
    """
    mesh = np.asarray(mesh)[..., :2]
    gap = np.linalg.norm(mesh[..., LOWER_INNER_LIP, :] - mesh[..., UPPER_INNER_LIP, :], axis=-1)
    return gap / np.linalg.norm(mesh[..., RIGHT_EYE_CORNER, :] - mesh[..., LEFT_EYE_CORNER, :], axis=-1)


def correlation(found: np.ndarray, expected: np.ndarray) -> float:
    """Pearson's correlation of two curves over the frames in which both are known; NaN where either is constant."""
    known = ~(np.isnan(found) | np.isnan(expected))
    if known.sum() < 3 or found[known].std() == 0 or expected[known].std() == 0:
        return float("nan")
    return float(np.corrcoef(found[known], expected[known])[0, 1])
