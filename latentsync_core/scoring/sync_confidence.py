"""Sync-C, Sync-D and offset: what the distances of shifted lip and voice embeddings say about a clip.

Source: REFERENCE section 1, "Sync networks"; Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter

MOST_SHIFT = 15  # frames at 25 per second, in either direction
DISTANCE_EPS = 1e-6  # added to every difference, as torch's pairwise_distance does
BLOCK_FRAMES = 1024  # whose differences are held at once
CONFIDENCE_TAPS = 9  # frames of the median of frame_confidences


class SyncConfidence(NamedTuple):
    """offset: frames at 25 per second by which the voice must be delayed to fit the lips: > 0 where it comes too early,
    < 0 where it comes too late. distance: Sync-D, less is better. confidence: Sync-C, more is better."""

    offset: int
    distance: float
    confidence: float


def sync_confidence(lips: np.ndarray, voice: np.ndarray) -> SyncConfidence:
    """Offset, least mean distance (Sync-D), and how far that stands out from the median over all shifts (Sync-C).

    lips, voice: (n, d) floats, arrays or CPU tensors: embeddings of the same n windows.
    Raises ValueError for unlike shapes and for none at all.
    """
    return confidence_of(shift_curve(shift_distances(lips, voice)))


def confidence_of(curve: np.ndarray) -> SyncConfidence:
    """The same of a `shift_curve` (31,)."""
    best = int(curve.argmin())
    return SyncConfidence(MOST_SHIFT - best, float(curve[best]), float(np.median(curve) - curve[best]))


def shift_curve(distances: np.ndarray) -> np.ndarray:
    """(n, 31) of `shift_distances` -> (31,): the mean distance by shift, of the voice by -15 .. 15 frames, for plots.

    Its deepest point is Sync-D; at index 15 both are as they come.
    """
    return distances.mean(0)


def shift_distances(lips: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """L2 distances (n, 31) float64 between every lip embedding i and the voice's i - 15 .. i + 15.

    lips, voice: (n, d). Beyond its ends the voice is zero, as in the reference.
    """
    lips, voice = np.asarray(lips), np.asarray(voice)
    if lips.shape != voice.shape or lips.ndim != 2 or not len(lips):
        raise ValueError(f"expected two series of embeddings of one shape (n, d), got {lips.shape} and {voice.shape}")
    padded = np.pad(voice, ((MOST_SHIFT, MOST_SHIFT), (0, 0)))
    distances = np.empty((len(lips), 2 * MOST_SHIFT + 1))
    for start in range(0, len(lips), BLOCK_FRAMES):
        block = lips[start : start + BLOCK_FRAMES].astype(np.float64)
        for shift in range(2 * MOST_SHIFT + 1):
            first = start + shift
            distances[start : start + len(block), shift] = np.linalg.norm(
                block - padded[first : first + len(block)] + DISTANCE_EPS, axis=1
            )
    return distances


def frame_confidences(distances: np.ndarray) -> np.ndarray:
    """(n, 31) of `shift_distances` -> (n,): the confidence of every window at the clip's offset, over nine frames.

    The median of the clip's curve less the window's own distance, median-filtered: where a clip is in sync and where
    it is not.
    """
    curve = shift_curve(distances)
    return median_filter(np.median(curve) - distances[:, curve.argmin()], CONFIDENCE_TAPS, mode="nearest")
