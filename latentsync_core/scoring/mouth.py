"""The mouth in a tracked mesh: its shape, how steadily it sits in the head, and whose face it is.

Everything is measured in the head's own frame: the similarity transform that lays the points of the skull, which no
expression moves, over their mean. Lengths are in distances of the outer corners of the eyes.
"""

from dataclasses import dataclass

import numpy as np

from ..faces.mouth_opening import LEFT_EYE_CORNER, RIGHT_EYE_CORNER, mouth_opening

# Mesh indices.
SKULL = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 8, 127, 356, 234, 454)
LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 61, 291
OUTER_UPPER_LIP, OUTER_LOWER_LIP = 0, 17
STEADY_MOUTH = (61, 291, 0, 37, 267, 164, 2)  # corners, upper lip and what lies above it: speech moves them least
NOT_MOUTH = (*SKULL, 55, 65, 285, 295, 159, 386, 145, 374, 93, 323, 129, 358, 98, 327, 116, 345, 50, 280)
INNER_LIPS = (13, 14)
LIPS = (LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER, OUTER_UPPER_LIP, OUTER_LOWER_LIP, *INNER_LIPS)
MEASURED_POINTS = tuple(sorted({*SKULL, *LIPS, *STEADY_MOUTH, *NOT_MOUTH}))
"""All that the functions here look at: what is to be kept of a mesh for them."""


@dataclass(frozen=True, eq=False)
class MouthShape:
    """Per frame (N,), NaN without a face: opening and width in eye distances; rounding: outer height / width."""

    opening: np.ndarray
    width: np.ndarray
    rounding: np.ndarray


def mouth_shape(mesh: np.ndarray) -> MouthShape:
    """The shape of the mouth in meshes (N, 468, 2 or 3) in pixels."""
    points = np.asarray(mesh)[..., :2]
    width = _distance(points, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER)
    height = _distance(points, OUTER_UPPER_LIP, OUTER_LOWER_LIP)
    eyes = _distance(points, LEFT_EYE_CORNER, RIGHT_EYE_CORNER)
    return MouthShape(mouth_opening(points), width / eyes, height / width)


def in_head_frame(mesh: np.ndarray, skull: np.ndarray | None = None) -> np.ndarray:
    """Meshes (N, 468, 3) turned, scaled and moved so that each skull lies on their mean, or on `skull` (K, 3).

    Result (N, 468, 3) in eye distances; NaN where the mesh is. Source: least-squares similarity, Umeyama 1991.
    """
    mesh = np.asarray(mesh, float)
    known = ~np.isnan(mesh[:, 0, 0])
    placed = np.full(mesh.shape, np.nan)
    if known.any():
        target = mean_skull(mesh[known]) if skull is None else skull
        placed[known] = [_laid_over(points, target) for points in mesh[known]]
    return placed


def mean_skull(mesh: np.ndarray) -> np.ndarray:
    """The mean skull (K, 3) of meshes without gaps, in eye distances, laid over that of the first of them."""
    first = mesh[0, SKULL] / _distance(mesh[0], LEFT_EYE_CORNER, RIGHT_EYE_CORNER)
    return np.mean([_laid_over(points, first)[list(SKULL)] for points in mesh], axis=0)


def mouth_jitter(mesh: np.ndarray) -> float:
    """How much the mouth as a whole trembles in the head, in percent of the eye distance.

    Root mean square of the second difference over time of the middle of the points that speech moves least. mesh:
    (N, 468, 3), NaN where there is no face. NaN with fewer than three frames in a row.
    """
    middle = in_head_frame(mesh)[:, STEADY_MOUTH, :2].mean(axis=1)  # (N, 2)
    second = np.diff(middle, n=2, axis=0)
    second = second[~np.isnan(second).any(axis=1)]
    return float(100 * np.sqrt((second**2).sum(axis=1).mean())) if len(second) else float("nan")


def identity_distance(mesh: np.ndarray, other: np.ndarray) -> float:
    """How far the shape of one face is from another's, in percent of the eye distance, the mouth and jaw left out.

    Mean distance of the points of the mean shapes of two clips (N, 468, 3) and (M, 468, 3): about 1 for one person
    tracked twice. NaN where either shows no face.
    """
    first, second = (shape[~np.isnan(shape[:, 0, 0])] for shape in (np.asarray(mesh, float), np.asarray(other, float)))
    if not len(first) or not len(second):
        return float("nan")
    skull = mean_skull(first)
    shapes = [in_head_frame(part, skull)[:, NOT_MOUTH].mean(axis=0) for part in (first, second)]
    return float(100 * np.linalg.norm(shapes[0] - shapes[1], axis=-1).mean())


def _distance(points: np.ndarray, one: int, other: int) -> np.ndarray:
    return np.linalg.norm(points[..., one, :] - points[..., other, :], axis=-1)


def _laid_over(points: np.ndarray, skull: np.ndarray) -> np.ndarray:
    """One mesh (468, 3), its skull laid over another (K, 3) by the least-squares similarity."""
    own = points[list(SKULL)]
    middle, target = own.mean(axis=0), skull.mean(axis=0)
    centred = own - middle
    u, spread, vt = np.linalg.svd((skull - target).T @ centred)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])  # a mirror image is no rotation
    scale = (spread * sign).sum() / (centred**2).sum()
    return scale * (points - middle) @ (u * sign @ vt).T + target
