"""Metrics of a generated clip: lip sync, similarity to the ground truth, temporal stability."""

import numpy as np

from ..faces.mouth_opening import correlation

MAX_LAG = 6  # frames, in either direction
PEAK = 255.0


def best_lag(found: np.ndarray, truth: np.ndarray, max_lag: int = MAX_LAG) -> int:
    """By how many frames `found` comes after `truth`, by the greatest correlation; negative if it comes before."""
    scores = {}
    for lag in range(-max_lag, max_lag + 1):
        late, early = found[max(lag, 0) :], truth[max(-lag, 0) :]
        shared = min(len(late), len(early))
        scores[lag] = correlation(late[:shared], early[:shared])
    known = {lag: score for lag, score in scores.items() if not np.isnan(score)}
    return max(known, key=lambda lag: (known[lag], -abs(lag))) if known else 0


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pictures of one shape, over all their samples."""
    error = np.mean((found.astype(np.float64) - truth) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(found: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004, Gaussian window), the mean over frames (N, h, w, 3) uint8."""
    from skimage.metrics import structural_similarity

    options = {"channel_axis": -1, "data_range": PEAK, "gaussian_weights": True, "use_sample_covariance": False}
    return float(np.mean([structural_similarity(a, b, **options) for a, b in zip(found, truth, strict=True)]))


def flicker(pictures: np.ndarray) -> float:
    """Mean absolute second difference over time, in grey levels, of (N, h, w, 3)."""
    second = np.diff(pictures.astype(np.int16), n=2, axis=0)
    return float(np.abs(second).mean())


def border_energy(pictures: np.ndarray, borders: list[int]) -> float:
    """Mean absolute change into the frames `borders` over that into other frames: 1 where borders do not show.

    pictures: (N, h, w, 3) uint8. borders: first frames of windows, other than frame 0. NaN without any.
    """
    change = np.abs(np.diff(pictures.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))  # into frame 1, 2, ...
    at = np.zeros(len(change), bool)
    at[[border - 1 for border in borders if 0 < border <= len(change)]] = True
    if not at.any() or at.all() or change[~at].mean() == 0:
        return float("nan")
    return float(change[at].mean() / change[~at].mean())
