"""By how many frames two curves lie apart: their correlation at every shift."""

from typing import NamedTuple

import numpy as np

from ..faces.mouth_opening import correlation

MAX_LAG = 15  # frames, in either direction, as SyncNet's
LEAST_SHARED = 12  # frames in which both curves are known; fewer tell nothing


class Lag(NamedTuple):
    """frames by which the second curve comes later than the first, where their correlation is greatest.

    correlation: there. confidence: how far it stands above the median over all shifts, 0 to 2; about 0 for unrelated
    curves. All NaN, and frames 0, where no shift can be measured.
    """

    frames: int
    correlation: float
    confidence: float


def lag_curve(first: np.ndarray, second: np.ndarray, max_lag: int = MAX_LAG) -> np.ndarray:
    """Correlation (2 max_lag + 1,) of `first` (n,) with `second` (n,) when the second comes -max_lag .. max_lag later.

    NaN in a curve, and at shifts where fewer than 12 frames are known in both or one of them is constant, is unknown.
    """
    count = min(len(first), len(second))
    first, second = np.asarray(first[:count], float), np.asarray(second[:count], float)
    values = np.full(2 * max_lag + 1, np.nan)
    for lag in range(max(-max_lag, 1 - count), min(max_lag, count - 1) + 1):
        early, late = first[max(-lag, 0) : count - max(lag, 0)], second[max(lag, 0) : count - max(-lag, 0)]
        if np.count_nonzero(~(np.isnan(early) | np.isnan(late))) >= LEAST_SHARED:
            values[lag + max_lag] = correlation(early, late)
    return values


def best_lag(curve: np.ndarray) -> Lag:
    """Where a lag curve is greatest; among equals the smallest shift."""
    if np.isnan(curve).all():
        return Lag(0, float("nan"), float("nan"))
    shifts = np.arange(len(curve)) - len(curve) // 2
    highest = np.nanmax(curve)
    frames = min(shifts[curve == highest], key=abs)
    return Lag(int(frames), float(highest), float(highest - np.nanmedian(curve)))


def frames_late(found: np.ndarray, truth: np.ndarray, max_lag: int = MAX_LAG) -> int:
    """By how many frames a mouth comes after what it was to do, by the greatest correlation; below 0: before it."""
    return -best_lag(lag_curve(found, truth, max_lag)).frames
