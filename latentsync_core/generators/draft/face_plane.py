"""Coordinates that sit in the head: the plane in which lips and jaw move, laid into every frame of a clip.

u runs along the line of the eyes, v down the face, both in distances of the outer eye corners; (0, 0) is where the
middle of the mouth rests. A plane is a (2, 3) matrix from (u, v, 1) to pixels, so that a turned head foreshortens it.
"""

from collections.abc import Sequence

import numpy as np

from ...faces.landmarks import LEFT_EYE_CORNER, RIGHT_EYE_CORNER
from ...faces.resample import invert_affine

SKULL = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 8, 127, 356, 234, 454)  # no expression moves them
EYES = (SKULL.index(LEFT_EYE_CORNER), SKULL.index(RIGHT_EYE_CORNER))
FOREHEAD, NOSE_TIP = SKULL.index(10), SKULL.index(1)
MOUTH_CORNERS = (61, 291)  # left and right in the picture


def face_planes(mesh: np.ndarray, cuts: Sequence[int] = ()) -> np.ndarray:
    """The face's plane in every frame.

    Not smoothed over time: the fit to many points is steady, and teeth float where a plane lags behind its head.
    mesh: (N, 468, 3) pixels, NaN in frames without a face. cuts: the first frames of shots, each of which may show
    another face. Returns (N, 2, 3) float64, NaN for frames without a face.
    """
    planes = np.full((len(mesh), 2, 3), np.nan)
    ends = [0, *cuts, len(mesh)]
    for start, stop in zip(ends, ends[1:], strict=False):
        known = start + np.flatnonzero(np.isfinite(mesh[start:stop, 0, 0]))
        if len(known):
            planes[known] = planes_of_face(mesh[np.ix_(known, (*SKULL, *MOUTH_CORNERS))].astype(np.float64))
    return planes


def planes_of_face(points: np.ndarray) -> np.ndarray:
    """Planes (n, 2, 3) of one face, by the similarity that lays its mean skull over it in each frame.

    points: (n, K + 2, 3), its skull and the corners of its mouth.
    """
    skulls, corners = points[:, : len(SKULL)], points[:, len(SKULL) :].mean(1)
    upright = upright_axes(skulls[0]) @ (skulls[0] - skulls[0].mean(0)).T
    model = upright.T / np.linalg.norm(upright[:, EYES[1]] - upright[:, EYES[0]])  # (K, 3), eye distances
    axes, origins = laid_over(model, skulls)
    model = np.mean(np.linalg.solve(axes, (skulls - origins[:, None]).transpose(0, 2, 1)), axis=0).T
    axes, origins = laid_over(model, skulls)
    mouth = np.median(np.linalg.solve(axes, (corners - origins)[:, :, None]), axis=0)  # (3, 1) in the head
    origins = origins + (axes @ mouth)[:, :, 0]
    return np.concatenate([axes[:, :2, :2], origins[:, :2, None]], axis=2)


def upright_axes(skull: np.ndarray) -> np.ndarray:
    """The head's own axes in one skull (K, 3) as rows: along the eyes, down the face, away from the viewer."""
    right = skull[EYES[1]] - skull[EYES[0]]
    down = skull[NOSE_TIP] - skull[FOREHEAD]
    right = right / np.linalg.norm(right)
    down = down - right * (right @ down)
    down = down / np.linalg.norm(down)
    return np.stack([right, down, np.cross(right, down)])


def laid_over(model: np.ndarray, skulls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The similarities that lay a skull (K, 3) over each of (N, K, 3): axes (N, 3, 3) as columns, origins (N, 3).

    Source: least squares, Umeyama 1991.
    """
    middle, target = model.mean(0), skulls.mean(1)
    centred = model - middle
    u, spread, vt = np.linalg.svd((skulls - target[:, None]).transpose(0, 2, 1) @ centred)
    sign = np.ones_like(spread)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))  # a mirror image is no rotation
    scale = (spread * sign).sum(1) / (centred**2).sum()
    axes = scale[:, None, None] * ((u * sign[:, None]) @ vt)
    return axes, target - axes @ middle


def on_plane(plane: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (..., 2 or 3), of which x and y count, in the coordinates of a plane (2, 3): (..., 2)."""
    inverse = invert_affine(plane)
    return np.asarray(points, np.float64)[..., :2] @ inverse[:, :2].T + inverse[:, 2]
