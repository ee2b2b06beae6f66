"""From three facial points per frame to the similarity transform that brings the face upright into its crop."""

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import correlate1d

from ..intervals import runs_of

TEMPLATE = np.array([[17.0, 20.0], [58.0, 20.0], [37.5, 40.0]])  # left brow, right brow, nose; template units
TEMPLATE_WIDTH, TEMPLATE_HEIGHT = 75, 100  # template units
TEMPLATE_SCALE = 2.8  # crop pixels per template unit at a resolution of 256
NOSE = 2
BIAS_INERTIA = 0.2  # share of the previous frame's bias that the reference keeps
SMOOTHING_SIGMA = 1.5  # frames
SMOOTHING_REACH = 6  # frames to either side: four sigmas

__all__ = ["alignment_matrices", "crop_size"]


def crop_size(resolution: int) -> tuple[int, int]:
    """Width and height in pixels of the aligned crop before it is resized to resolution x resolution."""
    scale = _template_scale(resolution)
    return int(TEMPLATE_WIDTH * scale), int(TEMPLATE_HEIGHT * scale)


def alignment_matrices(points, resolution: int, mode: str = "smooth", breaks: Iterable[int] = ()) -> np.ndarray:
    """Map each frame's pixels to its face crop.

    points: (N, 3, 2) floats, array or tensor: centres of the left brow, the right brow and the nose in pixels (x, y);
    NaN where a frame has no face. Returns (N, 2, 3) float32, NaN for those frames; the crop is `crop_size(resolution)`.

    "smooth" keeps sub-pixel points and smooths them over time without lag, within each run of frames: a run ends at a
    frame without a face and before every frame index in ``breaks`` (the first frames of shots). "reference" rounds the
    points to whole pixels and smooths only the bias, causally and across everything, as LatentSync does.
    Source: REFERENCE, face alignment.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[1:] != (3, 2):
        raise ValueError(f"expected points of shape (frames, 3, 2), got {points.shape}")
    if mode not in ("smooth", "reference"):
        raise ValueError(f'expected the mode "smooth" or "reference", got {mode!r}')
    present = np.isfinite(points).all(axis=(1, 2))
    matrices = np.full((len(points), 2, 3), np.nan, np.float32)
    if mode == "reference":
        faces = np.round(points[present])
        bias = _causal(_nose_bias(faces))
    else:
        faces = smooth_points(points, present, breaks)[present]
        bias = _nose_bias(faces)
    similarity = _similarity_to_template(faces, resolution)
    similarity[:, :, 2] += bias
    matrices[present] = similarity
    return matrices


def smooth_points(points: np.ndarray, present: np.ndarray, breaks: Iterable[int] = ()) -> np.ndarray:
    """Smooth (N, 3, 2) points over time by a Gaussian-weighted straight-line fit around every frame.

    The fit is symmetric inside a run, so it has no lag; at a run's ends it follows the local slope instead of
    shrinking towards the mean; points at rest or in uniform motion are returned unchanged. Runs are independent.
    """
    smoothed = points.copy()
    for first, end in runs_of(present, breaks):
        start = points[first]  # relative to it a face at rest is exactly zero, hence exactly still
        smoothed[first:end] = start + _local_line(points[first:end] - start)
    return smoothed


def _local_line(values: np.ndarray) -> np.ndarray:
    """Value at every frame of the weighted least-squares line through its neighbourhood; (n, ...) -> (n, ...)."""
    if len(values) < 2:
        return values
    offset = np.arange(-SMOOTHING_REACH, SMOOTHING_REACH + 1)
    weight = np.exp(-0.5 * (offset / SMOOTHING_SIGMA) ** 2)

    def neighbourhood_sum(series: np.ndarray, power: int) -> np.ndarray:
        return correlate1d(series, weight * offset**power, axis=0, mode="constant")

    ones = np.ones((len(values),) + (1,) * (values.ndim - 1))
    s0, s1, s2 = (neighbourhood_sum(ones, power) for power in range(3))
    v0, v1 = (neighbourhood_sum(values, power) for power in range(2))
    return (s2 * v0 - s1 * v1) / (s0 * s2 - s1**2)


def _similarity_to_template(points: np.ndarray, resolution: int) -> np.ndarray:
    """(n, 3, 2) points -> (n, 2, 3) similarities: scale from the ratio of spreads, rotation by Procrustes."""
    template = TEMPLATE * _template_scale(resolution)
    centre, template_centre = points.mean(axis=1), template.mean(axis=0)
    source = _complex(points - centre[:, None])
    target = _complex(template - template_centre)
    # In the plane the Procrustes rotation has a closed form: the phase of the correlation of the two shapes.
    correlation = (target * source.conj()).sum(axis=1)
    turn = (_spread(template) / _spread(points)) * correlation / np.abs(correlation)
    linear = np.stack([np.stack([turn.real, -turn.imag], -1), np.stack([turn.imag, turn.real], -1)], axis=1)
    translation = template_centre - np.einsum("nij,nj->ni", linear, centre)
    return np.concatenate([linear, translation[:, :, None]], axis=2)


def _nose_bias(points: np.ndarray) -> np.ndarray:
    """How far each face's nose, both shapes normalised, lies from the template's: (n, 2).

    The reference adds this (less than a pixel) to the translation, and the published weights were trained on it.
    """
    return _normalised(TEMPLATE)[NOSE] - _normalised(points)[:, NOSE]


def _causal(bias: np.ndarray) -> np.ndarray:
    """b = 0.2 b_prev + 0.8 b over the frames that have a face, starting from the first."""
    smoothed = bias.copy()
    for frame in range(1, len(bias)):
        smoothed[frame] = BIAS_INERTIA * smoothed[frame - 1] + (1 - BIAS_INERTIA) * bias[frame]
    return smoothed


def _normalised(points: np.ndarray) -> np.ndarray:
    return (points - points.mean(axis=-2, keepdims=True)) / _spread(points)[..., None, None]


def _spread(points: np.ndarray) -> np.ndarray:
    """Unbiased standard deviation over all six centred numbers of a shape (..., 3, 2)."""
    return (points - points.mean(axis=-2, keepdims=True)).std(axis=(-2, -1), ddof=1)


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]


def _template_scale(resolution: int) -> float:
    return resolution / 256 * TEMPLATE_SCALE
