"""The picture of the redrawn mouth: does it flicker, is it as sharp as its surroundings, do window borders show.

Aligned crops of the face come frame by frame and are not kept; what remains is a few numbers per frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, laplace

from ..faces import fixed_mask

CROP = 128  # pixels: at which side aligned crops are looked at
RIM = 8  # pixels of a crop around the redrawn region that count as its surroundings, and that its inside leaves out
PEAK = 255.0
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5  # pixels; Wang et al. 2004
SSIM_K1, SSIM_K2 = 0.01, 0.03
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class MouthRegion:
    """Boolean maps (CROP, CROP) of an aligned crop: inside what is redrawn, and its surroundings within the face."""

    inside: np.ndarray
    around: np.ndarray

    @classmethod
    def fixed(cls) -> "MouthRegion":
        """Of LatentSync's fixed mask."""
        redrawn = fixed_mask(CROP).numpy() < 0.5
        around = binary_dilation(redrawn, iterations=2 * RIM) & ~binary_dilation(redrawn, iterations=RIM // 2)
        return cls(binary_erosion(redrawn, iterations=RIM), around & _face_ellipse())


def _face_ellipse() -> np.ndarray:
    """(CROP, CROP) bool: where an aligned crop shows face and not what is behind it."""
    y, x = (np.mgrid[:CROP, :CROP] + 0.5) / CROP
    return ((x - 0.5) / 0.36) ** 2 + ((y - 0.52) / 0.48) ** 2 <= 1


@dataclass
class PictureStatistics:
    """What is kept of the crops of one face: per frame of `add`, in order.

    sharpness: energy of the luma's Laplacian inside the redrawn region over that in its surroundings. changes: mean
    absolute change of the inside into each frame; flickers: mean absolute second difference ending with it; NaN where
    a frame before is missing. Grey levels.
    """

    region: MouthRegion = field(default_factory=MouthRegion.fixed)
    sharpness: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)
    _recent: list[np.ndarray] = field(default_factory=list)

    def add(self, crop: np.ndarray | None) -> None:
        """The next frame's aligned face (CROP, CROP, 3) uint8, or None where it shows none."""
        if crop is None:
            self.new_shot()
            self.sharpness.append(np.nan)
            self.changes.append(np.nan)
            self.flickers.append(np.nan)
            return
        luma = crop @ LUMA
        detail = laplace(luma) ** 2
        around = detail[self.region.around].mean()
        self.sharpness.append(float(detail[self.region.inside].mean() / around) if around else np.nan)
        inside = crop[self.region.inside].astype(np.int16)
        before = self._recent
        self.changes.append(float(np.abs(inside - before[-1]).mean()) if before else np.nan)
        curved = np.abs(inside - 2 * before[-1] + before[-2]).mean() if len(before) > 1 else np.nan
        self.flickers.append(float(curved))
        self._recent = [*before[-1:], inside]

    def new_shot(self) -> None:
        """The next frame is not compared with those before."""
        self._recent = []


def flicker(pictures: np.ndarray) -> float:
    """Mean absolute second difference over time, in grey levels, of (N, h, w, 3) uint8."""
    second = np.diff(pictures.astype(np.int16), n=2, axis=0)
    return float(np.abs(second).mean())


def border_ratio(changes: Sequence[float], borders: Sequence[int]) -> float:
    """The median change into the frames `borders` over that into the others: 1 where window borders do not show.

    changes: (N,) into each frame, NaN where unknown. borders: first frames of windows. NaN without either kind.
    """
    changes = np.asarray(changes, float)
    at = np.zeros(len(changes), bool)
    at[[border for border in borders if 0 < border < len(changes)]] = True
    known = ~np.isnan(changes)
    inside, into = changes[known & ~at], changes[known & at]
    if not len(inside) or not len(into) or not np.median(inside):
        return float("nan")
    return float(np.median(into) / np.median(inside))


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


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pictures of one shape, over all their samples; inf for equal ones."""
    error = np.mean((found.astype(np.float64) - truth) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(found: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004, Gaussian window) of two pictures (h, w, 3) uint8, mean of channels."""
    a, b = found.astype(np.float64), truth.astype(np.float64)

    def blurred(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, SSIM_SIGMA, radius=SSIM_RADIUS, axes=(0, 1))

    mean_a, mean_b = blurred(a), blurred(b)
    variances = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    inner = slice(SSIM_RADIUS, -SSIM_RADIUS or None)
    return float(likeness[inner, inner].mean())
